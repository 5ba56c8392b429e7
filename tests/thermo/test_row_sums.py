"""Sums over rows against the plain formulas, and the memory that they take."""

import tracemalloc

import jax.random as jr
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import diffphys as dp
from diffphys.experiments import default_times
from diffphys.experiments._assemble import forward_attributes
from diffphys.experiments._normal_law import normal_law
from diffphys.experiments._theory import two_classes
from diffphys.experiments.collapse import collapse_theory
from diffphys.experiments.speciation import speciation_theory
from diffphys.thermo import covariance_spectrum, row_sums, separation, spectral_time
from diffphys.thermo.row_sums import DataRows, blocks_of, mean_of, scatter_of

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, 333)
POINTS = (RNG.normal(size=(333, 6)) * np.arange(1, 7) + 5 + 3 * LABELS[:, None]).astype(np.float32)
DATA = {
    "whole": lambda: dp.Empirical(POINTS, LABELS, block=16),
    "parted": lambda: dp.ShardedEmpirical(POINTS, LABELS, block=16, parts=3),
}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_sums, "_ROWS", 50)


@pytest.mark.parametrize("kind", DATA)
def test_rows_of_a_data_set_are_its_points_at_any_indices(kind):
    data = DATA[kind]()
    for members in (np.arange(333), np.array([7, 300, 7, 0]), np.array([], int)):
        np.testing.assert_allclose(data.rows(members), POINTS[members], rtol=3e-7, atol=1e-6)
    np.testing.assert_array_equal(data.rows(np.arange(20, 90)), data.points[20:90])


@pytest.mark.parametrize("kind", DATA)
def test_sums_by_small_blocks_are_the_plain_formulas(kind, small_blocks):
    data = DATA[kind]()
    members = np.flatnonzero(LABELS == 1)
    chosen = data.points[members].astype(float)
    for rows in (DataRows(data, members), data.points[members]):
        mean = mean_of(rows)
        np.testing.assert_allclose(np.concatenate(list(blocks_of(rows))), chosen, rtol=0)
        np.testing.assert_allclose(mean, chosen.mean(0), rtol=1e-12)
        scatter = (chosen - chosen.mean(0)).T @ (chosen - chosen.mean(0))
        np.testing.assert_allclose(scatter_of(rows, mean), scatter, rtol=1e-12, atol=1e-12 * np.trace(scatter))


def test_the_theory_of_two_classes_of_data_is_that_of_their_moments(small_blocks):
    data = DATA["whole"]()
    points = data.points.astype(float)
    groups = [points[LABELS == k] for k in (0, 1)]
    within = sum(len(group) * np.cov(group.T, bias=True) for group in groups) / len(points)
    found = two_classes(data)
    assert found is not None
    assert found.weight == len(groups[0]) / len(points)
    np.testing.assert_allclose(found.covariance, np.linalg.eigvalsh(within), rtol=1e-11)
    half = 0.5 * (groups[0].mean(0) - groups[1].mean(0))
    precision = np.sum(found.half_difference**2 / found.covariance)
    np.testing.assert_allclose(precision, half @ np.linalg.solve(within, half), rtol=1e-11)


@pytest.mark.parametrize("repeated", [False, True], ids=["in general", "one class of copies"])
def test_two_classes_of_few_data_are_separated_as_by_their_whole_covariance(repeated):
    points = np.random.default_rng(1).normal(size=(30, 41)).astype(np.float32) + 3
    labels = np.arange(30) % 3 // 2
    if repeated:
        points[labels == 1] = points[2]
    groups = [points[labels == k].astype(float) for k in (0, 1)]
    within = sum(len(group) * np.cov(group.T, bias=True) for group in groups) / len(points)
    found = two_classes(dp.Empirical(points, labels))
    assert found is not None
    assert found.weight == pytest.approx(2 / 3, abs=1e-15)
    variances = np.array([1e-3, 0.1, 3.0, 100.0])
    half = 0.5 * (groups[0].mean(0) - groups[1].mean(0))
    # Data are kept to float32 about their mean.
    exact = separation(half, within, variances)
    np.testing.assert_allclose(separation(found.half_difference, found.covariance, variances), exact, rtol=3e-6)


def test_two_classes_of_few_data_take_memory_of_the_data_and_not_of_their_covariance():
    points = np.random.default_rng(0).normal(size=(20, 3000)).astype(np.float32)
    data = dp.Empirical(points, np.arange(20) % 2)
    covariance = 8 * 3000**2
    assert added(lambda: two_classes(data)) < covariance / 20


@pytest.fixture(scope="module")
def large():
    """20000 points in 64 dimensions; and what one copy of them takes in float64."""
    points = np.random.default_rng(0).normal(size=(20000, 64)).astype(np.float32)
    return points, dp.Empirical(points, np.arange(20000) % 2), 8 * points.size


def added(program):
    """The most memory that a call adds to what there is, of NumPy."""
    with threadpool_limits(1):
        program()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        program()
        peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak


def test_a_spectrum_takes_the_memory_of_a_block(large):
    points, data, whole = large
    for rows in (points, DataRows.of(data)):
        assert added(lambda rows=rows: covariance_spectrum(rows)) < whole / 4
        assert added(lambda rows=rows: spectral_time(rows)) < whole / 4
    covariance = np.cov(points.astype(float), rowvar=False)
    np.testing.assert_allclose(covariance_spectrum(points), np.linalg.eigvalsh(covariance)[::-1], rtol=1e-12)


def test_what_is_known_of_a_data_set_before_a_run_takes_the_memory_of_a_block(large):
    _, data, whole = large
    process, times = dp.OrnsteinUhlenbeck(), np.array([1.0, 2.0])
    programs = {
        "default times": lambda: default_times(data, process),
        "speciation": lambda: speciation_theory(data, process, times),
        "collapse": lambda: collapse_theory(data, process, times, None),
        "attributes": lambda: forward_attributes(data, 1, 1),
        "normal law": lambda: normal_law(data),
    }
    for name, program in programs.items():
        assert added(program) < whole / 4, name


@pytest.mark.slow
def test_experiments_on_a_data_set_take_the_memory_of_a_block(large):
    _, data, whole = large

    def run():
        for experiment in (dp.speciation, dp.collapse, dp.regimes):
            experiment(data, dp.OrnsteinUhlenbeck(), [1.0, 2.0], key=jr.key(0), samples=32, progress=False)

    assert added(run) < whole / 4
