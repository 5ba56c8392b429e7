"""The relative entropy of paths: exact for linear denoisers, and a bound of what they generate."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

import diffphys as dp
from diffphys import thermo
from diffphys.thermo import kullback_leibler

FIRST, SECOND = np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.7, 1.5])


def run(denoise, low=1e-3, high=50.0, samples=4000):
    law = dp.Gaussian(np.zeros(3), FIRST)
    return dp.path_divergence(law, denoise, key=jax.random.key(0), low=low, high=high, samples=samples)


def test_the_denoiser_of_another_law_costs_the_relative_entropy_of_the_laws():
    ds = run(dp.Gaussian(np.full(3, 0.3), SECOND).posterior_mean)
    ends = [kullback_leibler(FIRST + v, SECOND + v, 0.3) for v in (1e-3, 50.0)]
    assert abs(ds.attrs["path_kl"] - (ends[0] - ends[1])) < 4 * ds.attrs["path_kl_stderr"]
    assert ds.attrs["path_kl_stderr"] < 0.02 * ds.attrs["path_kl"]
    # Resolved in noise too: the derivative of the relative entropy in log v.
    levels = ds.variance.values
    low, high = ([kullback_leibler(FIRST + f * v, SECOND + f * v, 0.3) for v in levels] for f in (0.999, 1.001))
    rates = np.subtract(low, high) / np.log(1.001 / 0.999)
    assert np.all(np.abs(ds.integrand - rates) < 4.5 * 0.5 * ds.gap_stderr / levels + 1e-6)


def test_a_constant_error_of_the_score_costs_its_square_times_the_horizon():
    # An error eps of the score is one of eps m v in the estimate: in Ornstein-Uhlenbeck time, eps^2 (t - t_min).
    law, eps = dp.Gaussian(np.zeros(3), FIRST), 0.2

    def denoise(y, v):
        return law.posterior_mean(y, v) + eps * v / np.sqrt(3) / (1 + v) ** 0.5

    ds = run(denoise, low=float(np.expm1(2 * 0.02)), high=float(np.expm1(2 * 2.0)), samples=8)
    np.testing.assert_allclose(ds.attrs["path_kl"], eps**2 * (2.0 - 0.02), rtol=1e-9)
    bound = dp.error_bound(FIRST, score_errors=[eps], horizons=[2.0], steps=[4]).path_kl
    np.testing.assert_allclose(ds.attrs["path_kl"], bound[0, 0], rtol=1e-9)


def test_chunks_change_nothing_but_rounding():
    law, other = dp.Gaussian(np.zeros(3), FIRST), dp.Gaussian(np.full(3, 0.3), SECOND).posterior_mean
    one, other = (
        dp.path_divergence(law, other, key=jax.random.key(0), low=0.1, high=9.0, nodes=4, samples=10, chunk=chunk)
        for chunk in (10, 4)
    )
    assert (one.attrs["chunk"], other.attrs["chunk"]) == (10, 4)
    np.testing.assert_allclose(one.gap, other.gap, rtol=1e-12)
    np.testing.assert_allclose(one.attrs["path_kl_stderr"], other.attrs["path_kl_stderr"], rtol=1e-12)


def test_the_exact_denoiser_costs_nothing():
    ds = run(dp.Gaussian(np.zeros(3), FIRST).posterior_mean, samples=8)
    assert ds.attrs["path_kl"] == ds.attrs["total_variation_bound"] == 0


def test_an_estimate_that_is_not_finite_is_refused_by_its_sample():
    with jax.debug_nans(False), pytest.raises(FloatingPointError, match="`gap` of sample 0 is not finite"):
        run(lambda y, v: y / 0.0 * 0.0, samples=8)


def test_levels_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"0 < `low` < `high`. Got 2.0 and 1.0"):
        run(lambda y, v: y, low=2.0, high=1.0)


def divergence_on_a_line(mean, variance):
    """Of two noised points +-m in variance and the Gaussian of their moments, by quadrature along m."""
    x = np.linspace(-(mean + 12 * variance**0.5), mean + 12 * variance**0.5, 40_001)
    density = 0.5 * (norm.pdf(x, mean, variance**0.5) + norm.pdf(x, -mean, variance**0.5))
    fitted = norm.logpdf(x, 0, (variance + mean**2) ** 0.5)
    return np.trapezoid(np.where(density > 0, density * (np.log(np.maximum(density, 1e-300)) - fitted), 0), x)


def test_the_linear_denoiser_pays_in_each_regime_of_a_mixture_what_quadrature_says():
    mixture, edges = dp.symmetric_mixture(np.array([2.0, 0.0]), 0.25), [0.3, 5.0]
    linear = dp.Gaussian(np.zeros(2), np.array([4.25, 0.25])).posterior_mean
    ds = dp.path_divergence(
        mixture, linear, key=jax.random.key(0), low=0.01, high=80.0, edges=edges, nodes=16, samples=4000
    )
    exact = -np.diff([divergence_on_a_line(2.0, 0.25 + v) for v in (0.01, *edges, 80.0)])
    assert list(ds.regime.values) == ["III", "II", "I"]
    assert np.all(np.abs(ds.path_kl_regime - exact) < 4 * ds.path_kl_regime_stderr)
    assert np.all(ds.path_kl_regime_stderr < 0.05 * exact)
    np.testing.assert_allclose(ds.path_kl_regime.sum(), ds.attrs["path_kl"], rtol=1e-12)
    np.testing.assert_allclose(ds.regime_low[1:], ds.regime_high[:-1])


def test_a_regime_is_integrated_between_its_edges():
    # A constant error of the score: its square times what half the logarithm of 1 + v grows by.
    law, eps, edges = dp.Gaussian(np.zeros(3), FIRST), 0.2, [0.5, 4.0]

    def denoise(y, v):
        return law.posterior_mean(y, v) + eps * v / np.sqrt(3) / (1 + v) ** 0.5

    ds = dp.path_divergence(law, denoise, key=jax.random.key(0), low=0.01, high=50.0, edges=edges, samples=4)
    exact = eps**2 * np.diff(0.5 * np.log1p([0.01, *edges, 50.0]))
    np.testing.assert_allclose(ds.path_kl_regime, exact, rtol=1e-10)
    assert "regime" not in run(denoise, samples=4).dims


@pytest.mark.slow
def test_the_divergence_from_memorisation_is_all_below_the_collapse():
    # Of one data set and its law: what the law's own denoiser lacks is the knowledge of the points.
    points = np.random.default_rng(0).normal(size=(40, 6))
    data, v_c = dp.Empirical(points), thermo.collapse_variance(40, np.ones(6))
    law = dp.Gaussian(np.zeros(6), 1.0)
    ds = dp.path_divergence(
        data, law.posterior_mean, key=jax.random.key(0), low=0.05, high=60.0, edges=[v_c], nodes=8, samples=400
    )
    assert list(ds.regime.values) == ["III", "I"]
    # KL(P_low | Q_low) - KL(P_high | Q_high), each an average over the data.
    found = [float(mean_log_ratio(data, law, jax.numpy.asarray(v))) for v in (0.05, v_c, 60.0)]
    np.testing.assert_allclose(ds.path_kl_regime, -np.diff(found), rtol=0.1)
    assert ds.path_kl_regime[0] > ds.path_kl_regime[1]


@jax.jit
def mean_log_ratio(first, second, variance):
    def one(key):
        data_key, noise_key = jax.random.split(key)
        y = first.sample(data_key) + variance**0.5 * jax.random.normal(noise_key, (6,))
        return first.log_evidence(y, variance) - second.log_evidence(y, variance)

    return jax.vmap(one)(jax.random.split(jax.random.key(3), 4000)).mean()


def test_edges_out_of_order_are_refused():
    law = dp.Gaussian(np.zeros(3), FIRST)
    for edges in ([5.0, 0.3], [0.001], [0.1, 0.2, 0.3]):
        with pytest.raises(ValueError, match="`edges` needs at most two noise variances, increasing"):
            dp.path_divergence(law, law.posterior_mean, key=jax.random.key(0), low=0.01, high=80.0, edges=edges)


def test_the_exact_denoiser_of_a_data_set_costs_nothing_in_any_regime():
    data = dp.Empirical(np.random.default_rng(0).normal(size=(5, 2)))
    ds = dp.path_divergence(
        data, data.posterior_mean, key=jax.random.key(0), low=0.1, high=9.0, edges=[1.0], samples=4, nodes=3
    )
    np.testing.assert_allclose(ds.path_kl_regime, 0, atol=1e-20)
