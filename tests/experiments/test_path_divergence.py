"""The relative entropy of paths: exact for linear denoisers, and a bound of what they generate."""

import jax
import numpy as np
import pytest

import diffphys as dp
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


def test_the_exact_denoiser_costs_nothing():
    ds = run(dp.Gaussian(np.zeros(3), FIRST).posterior_mean, samples=8)
    assert ds.attrs["path_kl"] == ds.attrs["total_variation_bound"] == 0


def test_a_denoiser_that_is_not_finite_has_no_bound():
    with jax.debug_nans(False):
        ds = run(lambda y, v: y / 0.0 * 0.0, samples=8)
    assert np.isnan(ds.attrs["total_variation_bound"])


def test_levels_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"0 < `low` < `high`. Got 2.0 and 1.0"):
        run(lambda y, v: y, low=2.0, high=1.0)
