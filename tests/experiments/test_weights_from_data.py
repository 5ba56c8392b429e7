"""Weights of the two states of a magnet, learned from data: estimators against enumeration, errors against theory."""

import itertools

import jax
import numpy as np
import pytest
from scipy.optimize import brentq

import diffphys as dp
from diffphys.experiments.weights_from_data import Magnet, Statistics, local, maximum_likelihood, memorised

BETA, FIELD = 1.5, 0.5


def test_a_magnet_with_a_field_on_each_spin_is_that_of_enumeration():
    magnet, fields = Magnet(8, 1.3), np.random.default_rng(0).normal(size=8)
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))
    logs = 1.3 * states.sum(1) ** 2 / 16 + states @ fields
    probs = np.exp(logs - logs.max())
    probs /= probs.sum()
    np.testing.assert_allclose(magnet.log_partition(fields)[1], probs @ states, atol=1e-12)
    uniform = magnet.log_partition(np.zeros(8))[0] - np.log(np.sum(np.exp(1.3 * states.sum(1) ** 2 / 16)))
    np.testing.assert_allclose(magnet.log_partition(fields)[0] - np.log(np.sum(np.exp(logs))), uniform, atol=1e-10)


def test_a_magnet_in_one_field_has_the_weights_of_the_target():
    for dim in (10, 200):
        np.testing.assert_allclose(
            Magnet(dim, BETA).up_weight(np.full(dim, FIELD / dim)),
            dp.CurieWeiss(dim, BETA, FIELD).label_weights[0], rtol=1e-10,
        )  # fmt: skip


def test_data_of_a_magnet_have_its_averages():
    dim, count = 30, 20_000
    data = Magnet(dim, BETA).draw(np.random.default_rng(1), FIELD / dim, count)
    exact = dp.thermo.finite_magnet(dim, BETA, FIELD)
    totals = 2 * np.arange(dim + 1) - dim
    probs = data.numbers / count
    spread = np.sqrt((probs @ totals**2 - (probs @ totals) ** 2) / count) / dim
    assert abs(probs @ totals / dim - exact.mean) < 4 * spread
    assert abs(probs @ totals**2 / dim - exact.mean_square) < 0.02 * exact.mean_square
    assert abs(data.states[0] / count - Magnet(dim, BETA).up_weight(np.full(dim, FIELD / dim))) < 4 * 0.5 / count**0.5
    np.testing.assert_allclose(data.ups.sum(), data.numbers @ np.arange(dim + 1))


def test_with_very_many_data_every_way_to_learn_finds_the_weight():
    dim = 12
    magnet = Magnet(dim, BETA)
    data = magnet.draw(np.random.default_rng(2), FIELD / dim, 400_000)
    true = magnet.up_weight(np.full(dim, FIELD / dim))
    for learner in (memorised, local, maximum_likelihood):
        np.testing.assert_allclose(learner(magnet, data), true, atol=0.01)


def test_maximum_likelihood_matches_the_mean_of_every_spin():
    magnet = Magnet(20, BETA)
    data = magnet.draw(np.random.default_rng(3), FIELD / 20, 300)
    # The state is known by the mean of all spins: both weights follow the data, not the truth.
    np.testing.assert_allclose(maximum_likelihood(magnet, data), memorised(magnet, data), atol=0.02)


@pytest.mark.parametrize("count", [3, 40])
def test_a_local_score_solves_the_equation_of_the_pseudo_likelihood_of_each_spin(count):
    dim = 6
    data = np.where(np.random.default_rng(4).random((count, dim)) < 0.8, 1.0, -1.0)
    totals = data.sum(1)
    members = (totals[:, None] == 2 * np.arange(dim + 1) - dim).astype(float)
    up = float((totals > 0).sum())
    found = local(Magnet(dim, BETA), Statistics(np.array([up, count - up]), members.sum(0), members.T @ (data > 0)))

    def residual(h, i):
        # The last term is the half datum that keeps fields finite.
        return (data[:, i] - np.tanh(BETA * (totals - data[:, i]) / dim + h)).sum() - np.tanh(h)

    fields = np.array([brentq(residual, -20, 20, args=(i,), xtol=1e-13) for i in range(dim)])
    assert found == pytest.approx(Magnet(dim, BETA).up_weight(fields), rel=1e-10)


@pytest.fixture(scope="module")
def run():
    return dp.weights_from_data(BETA, FIELD, key=jax.random.key(0), dims=[24, 96], ratios=[4.0, 32.0], draws=30)


def test_a_local_score_needs_many_data_a_spin_and_the_others_do_not(run):
    wide = run.sel(dim=96)
    for name in ("memorised", "maximum_likelihood"):
        part = wide.sel(learner=name)
        assert np.all(np.abs(part.error - wide.error_counting) < 4 * part.error_stderr + 0.1 * wide.error_counting)
    part = run.sel(learner="local")
    # By P / N and not by N; the theory is of many spins and many data each.
    one, other = part.error.values
    assert np.all(np.abs(one - other) < 4 * np.hypot(*part.error_stderr.values))
    assert abs(part.error - run.error_local_theory)[1, 1] < 4 * part.error_stderr[1, 1]
    assert np.all(other > 3 * wide.error_counting)


def test_the_error_is_the_root_of_a_mean_square_and_its_own_error_that_of_a_root():
    seen = []

    def learner(magnet, data):
        seen.append(memorised(magnet, data))
        return seen[-1]

    ds = dp.weights_from_data(
        BETA, FIELD, key=jax.random.key(1), dims=[10], ratios=[2.0], draws=20, learners=[learner]
    ).squeeze()
    squares = (np.array(seen) - float(ds.up_weight_true)) ** 2
    np.testing.assert_allclose(ds.up_weight, np.mean(seen), rtol=1e-12)
    np.testing.assert_allclose(ds.error**2, squares.mean(), rtol=1e-12)
    # d sqrt(x) = dx / (2 sqrt(x)).
    np.testing.assert_allclose(2 * ds.error * ds.error_stderr, squares.std(ddof=1) / 20**0.5, rtol=1e-12)


def test_what_means_nothing_is_refused():
    with pytest.raises(ValueError, match="needs two states, `beta` > 1"):
        dp.weights_from_data(0.9, 0.0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="two spins or more, and P = ratio N >= 1"):
        dp.weights_from_data(1.5, 0.0, key=jax.random.key(0), dims=[1])
