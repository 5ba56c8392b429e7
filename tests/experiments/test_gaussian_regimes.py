"""The three regimes of a learned Gaussian: measured against their theory, and apart from each other."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments.gaussian_regimes import _quantiles

SPECTRUM = np.linspace(0.5, 2.0, 24)
COUNTS = [6, 12, 48, 240, 2400, 24 * 24 * 16]


@pytest.fixture(scope="module")
def run():
    return dp.gaussian_regimes(SPECTRUM, key=jax.random.key(0), counts=COUNTS, draws=12, steps=150)


@pytest.mark.parametrize("name", ["wasserstein", "spectral_distance"])
def test_distances_follow_their_theory(run, name):
    # The theory is of infinite N: its relative corrections at N = 24 are of order 1/N, and in the third regime what is
    # left of the distance of the spectra is just that, the fluctuation lambda / 2P of single levels.
    part = run if name == "wasserstein" else run.sel(count=run["count"] <= 240)
    error = np.abs(part[name] - part[f"{name}_theory"])
    assert np.all(error < 4 * part[f"{name}_stderr"] + 0.12 * part[f"{name}_theory"])


def test_single_levels_fluctuate_as_wishart_variances_in_the_third_regime(run):
    np.testing.assert_allclose(run.spectral_distance.sel(count=9216), SPECTRUM.mean() / (2 * 9216), rtol=0.3)


def test_relative_entropy_follows_its_exact_mean(run):
    some = run.sel(count=run["count"] >= 48)
    error = np.abs(some.kullback_leibler - some.kullback_leibler_theory)
    assert np.all(error < 4 * some.kullback_leibler_stderr + 1e-6)
    assert np.all(np.isinf(run.kullback_leibler.sel(count=[6, 12])))


def test_the_three_regimes_are_told_apart(run):
    few, between, many = (run.sel(count=n) for n in (6, 240, 24 * 24 * 16))
    assert (run.attrs["regime_two_from"], run.attrs["regime_three_from"]) == (24, 576)
    # First: the spectrum is wrong. Second: it is right, but laws are told apart. Third: neither.
    assert few.spectral_distance > 0.5 > 20 * between.spectral_distance
    assert few.total_variation == 1.0
    assert between.total_variation > 0.4 > 4 * many.total_variation
    assert between.participation > 3 > 1.5 > many.participation
    np.testing.assert_allclose(many.total_variation, many.total_variation_theory, rtol=0.1)


def test_errors_of_the_estimators_fall_as_theirs_should(run):
    some = run.sel(count=[240, 2400])
    exact = some.score_error_theory.sel(estimator="unconstrained")
    error = np.abs(some.score_error.sel(estimator="unconstrained") - exact)
    assert np.all(error < 4 * some.score_error_stderr.sel(estimator="unconstrained"))
    for name in run.estimator.values:
        fall = run.score_error.sel(estimator=name, count=[240, 9216])
        np.testing.assert_allclose(np.log(fall[0] / fall[1]) / np.log(9216 / 240), 1, atol=0.15)
    # At P <= N only the averaged estimator has a value.
    assert np.isnan(run.score_error.sel(count=12)).sum() == 3


def test_one_frozen_noise_generates_too_much_and_the_average_over_noises_the_sample_covariance(run):
    ratio = run.trace_ratio.sel(count=240)
    np.testing.assert_allclose(ratio.sel(estimator="averaged"), 1, atol=0.01)
    assert np.all(ratio.sel(estimator=["unconstrained", "symmetric"]) > 1.04)
    # The equation of the covariance and the closed form agree on what the averaged score generates.
    made = run.wasserstein_estimator.sel(estimator="averaged", count=[48, 240])
    np.testing.assert_allclose(made, run.wasserstein.sel(count=[48, 240]), rtol=0.05)


def test_eigenvalues_lie_on_the_quantiles_of_silverstein(run):
    for count in (48, 240, 2400):
        part = run.sel(count=count)
        error = np.abs(part.eigenvalues - part.eigenvalues_theory)
        assert np.all(error[2:-2] < 4 * part.eigenvalues_stderr[2:-2] + 0.03)
    np.testing.assert_allclose(run.eigenvalues_theory.sel(count=6)[:18], 0)


@pytest.mark.parametrize("q", [0.01, 0.5, 1.0, 4.0])
def test_quantiles_cut_the_density_of_silverstein_at_their_levels(q):
    # Two routes: a curve in the complex plane with a closed integral, and the sum of the density.
    values = np.array([0.2, 1.0, 1.0, 3.0])
    edges = np.linspace(0, (3 * (1 + q**0.5) ** 2) ** 0.5, 8001) ** 2
    law = dp.thermo.spectral_law(0.5 * (edges[1:] + edges[:-1]), values, q)
    below = law.zeros + np.append(0.0, np.cumsum(law.density * np.diff(edges)))
    found, levels = _quantiles(values, q), (np.arange(4) + 0.5) / 4
    np.testing.assert_allclose(found[levels <= 1 - 1 / q], 0)
    np.testing.assert_allclose(
        np.interp(found, edges, below)[levels > 1 - 1 / q], levels[levels > 1 - 1 / q], atol=3e-3
    )


def test_quantiles_of_a_spectrum_of_many_scales_are_its_eigenvalues_shifted():
    # Levels apart repel: lambda_i (1 + sum_j lambda_j / (lambda_i - lambda_j) / P), up to squares of that.
    values, count = np.arange(64, 0, -1.0) ** -2, 8 * 64**2
    gaps = values[:, None] - values + np.diag(np.full(64, np.inf))
    shift = (values / gaps).sum(1) / count
    np.testing.assert_allclose(_quantiles(values, 64 / count) / values - 1, shift, atol=3e-4)


def test_data_of_one_count_do_not_depend_on_the_others():
    options = {"draws": 2, "steps": 20}
    alone = dp.gaussian_regimes(SPECTRUM[:4], key=jax.random.key(3), counts=[9], **options)
    among = dp.gaussian_regimes(SPECTRUM[:4], key=jax.random.key(3), counts=[5, 9], **options)
    np.testing.assert_array_equal(alone.wasserstein[0], among.wasserstein[1])


def test_temperature_only_changes_the_prior():
    options = {"counts": [2000], "draws": 2, "steps": 300, "t_min": 1e-3, "estimators": [dp.thermo.averaged]}
    cold, warm = (
        dp.gaussian_regimes(SPECTRUM[:4], key=jax.random.key(3), temperature=t, **options) for t in (0.5, 2.0)
    )
    np.testing.assert_allclose(cold.wasserstein, warm.wasserstein, rtol=1e-3)
    np.testing.assert_allclose(warm.wasserstein_estimator[0], warm.wasserstein, rtol=0.1)


def test_what_means_nothing_is_refused():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="`spectrum` needs two eigenvalues or more, all > 0"):
        dp.gaussian_regimes([1.0, 0.0], key=key)
    with pytest.raises(ValueError, match="`counts` needs increasing numbers of data"):
        dp.gaussian_regimes(SPECTRUM, key=key, counts=[10, 5])
    with pytest.raises(ValueError, match="`draws` needs a whole number, at least 2"):
        dp.gaussian_regimes(SPECTRUM, key=key, draws=1)
