"""Chunk sums, standard errors and crossings."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from diffphys.experiments._statistics import Moments, chunk_moments, crossing, crossing_interval, stacked_moments
from diffphys.thermo import agreement, threshold


def collect(values, groups, number, chunk):
    """As the engines do: chunk by chunk, then stacked."""
    chunks = -(-len(values) // chunk)
    parts = [
        chunk_moments(
            {"q": values[i * chunk : (i + 1) * chunk]}, groups[i * chunk : (i + 1) * chunk], number, chunk, chunks
        )
        for i in range(chunks)
    ]
    return stacked_moments({name: np.stack([part[name] for part in parts]) for name in parts[0]})["q"]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 25), st.integers(0, 2**31))
def test_moments_do_not_depend_on_chunks(samples, chunk, seed):
    rng = np.random.default_rng(seed)
    values, groups = 1e3 + rng.normal(size=(samples, 3)), rng.integers(2, size=samples)
    moments = collect(values, groups, 2, chunk)
    mean, stderr = moments.pooled()
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(stderr, values.std(0, ddof=1) / samples**0.5, rtol=1e-8)
    means, _ = moments.by_group()
    for g in range(2):
        if (groups == g).sum() > 1:
            np.testing.assert_allclose(means[g], values[groups == g].mean(0), rtol=1e-12)
        else:
            assert np.isnan(means[g]).all()


def test_moments_count_what_was_measured_at_each_time_alone():
    rng = np.random.default_rng(3)
    values, groups = rng.normal(size=(40, 3)), rng.integers(2, size=40)
    measured = np.arange(40)[:, None] < np.array([[40, 25, 1]])
    # What was not measured may hold anything.
    spoilt = np.where(measured, values, 1e6)
    sums = chunk_moments({"q": spoilt}, groups, 2, 40, 1, measured)
    moments = stacked_moments({name: part[None] for name, part in sums.items()})["q"]
    mean, stderr = moments.pooled()
    for t, number in ((0, 40), (1, 25)):
        assert mean[t] == pytest.approx(values[:number, t].mean(), rel=1e-12)
        assert stderr[t] == pytest.approx(values[:number, t].std(ddof=1) / number**0.5, rel=1e-9)
    assert np.isnan([mean[2], stderr[2]]).all()


def test_intervals_of_few_blocks_cover_as_often_as_they_say():
    """400 lines through 1/2 at 1/2, of eight blocks: 95 % less 4 standard errors; by percentiles alone 84 % did."""
    rng, hits, number = np.random.default_rng(3), 0, 400
    for _ in range(number):
        means = np.array([0.8, 0.2]) + 0.1 * rng.normal(size=(8, 1, 2))
        moments = Moments(np.full((8, 1, 2), 10.0), 10.0 * means, np.ones((8, 1, 2)))
        _, low, high = crossing_interval(np.array([0.0, 1.0]), moments, 0.5)
        hits += low < 0.5 < high
    assert abs(hits / number - 0.95) < 4 * np.sqrt(0.95 * 0.05 / number)


def test_samples_at_part_of_the_times_widen_the_interval():
    """Half the samples at all times but one: wider by the root of two. Under 8 blocks that have them: none."""
    rng, t = np.random.default_rng(1), np.linspace(0, 2, 9)

    def width(number):
        values = (1 - t)[None] + rng.normal(size=(640, 1)) * np.ones((1, 9))
        measured = (np.arange(640)[:, None] < number) | (t == 0.0)[None]
        sums = chunk_moments({"q": values}, np.zeros(640, int), 1, 640, 1, measured)
        moments = stacked_moments({name: part[None] for name, part in sums.items()})["q"]
        value, low, high = crossing_interval(t, moments, 0.0, draws=100)
        assert np.isfinite(value)
        return high - low

    whole, half = (np.mean([width(number) for _ in range(30)]) for number in (640, 320))
    assert half / whole == pytest.approx(2**0.5, rel=0.2)
    assert np.isnan(width(200))


def test_large_offsets_leave_the_error_of_float32_values():
    """Centred sums: a variance of 1 beside a mean of 1000 keeps its digits."""
    values = (1000 + np.random.default_rng(0).normal(size=(400, 1))).astype(np.float32)
    _, stderr = collect(values, np.zeros(400, int), 1, 50).pooled()
    assert stderr[0] == pytest.approx(0.05, rel=0.15)


def test_crossing_of_a_smooth_curve_is_found_between_its_times():
    t = np.linspace(0, 3, 13)
    assert crossing(t, np.exp(-t), 0.5) == pytest.approx(np.log(2), abs=2e-3)
    assert crossing(t[::-1], np.exp(-t)[::-1], 0.5) == pytest.approx(np.log(2), abs=2e-3)
    assert crossing(t, -np.exp(-t), -0.5, rising=True) == pytest.approx(np.log(2), abs=2e-3)


@pytest.mark.parametrize(("spacing", "error"), [(1.0, 7e-3), (0.5, 7e-4), (0.25, 7e-5)])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.9])
def test_agreement_of_two_classes_is_found_to_cross_between_coarse_times(p, spacing, error):
    """Where the separation is one, wherever the times lie. Without its limits the first is .06 to .09 off."""
    limits = p**2 + (1 - p) ** 2, 1.0
    missed = []
    for first in np.linspace(0.1, 0.1 + spacing, 20, endpoint=False):
        t = np.arange(first, 6.5, spacing)
        phi = agreement(20 * np.exp(-t), p)
        missed.append(crossing(t, phi, threshold(p), limits=limits) - np.log(20))
    assert np.abs(missed).max() < error


@pytest.mark.parametrize("level", [0.49, 0.5, 1.0, np.nan])
def test_level_that_a_curve_cannot_have_has_no_crossing(level):
    assert np.isnan(crossing(np.arange(3.0), np.array([0.9, 0.7, 0.5]), level, limits=(0.5, 1.0)))


@pytest.mark.parametrize("level", [1.5, -0.5])
def test_level_out_of_reach_has_no_crossing(level):
    t = np.linspace(0, 3, 13)
    assert np.isnan(crossing(t, np.exp(-t), level))


def test_interval_of_a_crossing_covers_it_at_its_confidence():
    """300 replicates of a noisy line: fewer than 270 covered, or all, would be wrong at 4 sigma of 95 %."""
    rng, t = np.random.default_rng(1), np.linspace(0, 2, 9)
    hits = 0
    for _ in range(300):
        values = (1 - t)[None] + rng.normal(size=(200, 1)) + 0.3 * rng.normal(size=(200, 9))
        moments = collect(values, np.zeros(200, int), 1, 10)
        _, low, high = crossing_interval(t, moments, 0.0, draws=100)
        hits += low < 1 < high
    assert 265 <= hits <= 298


def test_too_few_blocks_give_no_interval():
    moments = Moments(np.full((3, 1, 2), 10.0), np.array([[[8.0, 2.0]]] * 3), np.ones((3, 1, 2)))
    value, low, high = crossing_interval(np.array([0.0, 1.0]), moments, 0.5)
    assert value == pytest.approx(0.5)
    assert np.isnan(low)
    assert np.isnan(high)
