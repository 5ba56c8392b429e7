"""How fast the noised data forget what they were."""

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import norm

import diffphys as dp

LATE = np.array([2.0, 2.4, 2.8])


@pytest.mark.parametrize(
    ("target", "order"),
    [
        (dp.symmetric_mixture(np.ones(1), 0.0), 4),
        (dp.symmetric_mixture(np.full(1, 0.7), 0.0), 2),
        (dp.symmetric_mixture(np.ones(1), 0.0, 0.8), 1),
        (dp.Gaussian(np.zeros(1), 0.5), 2),
    ],
    ids=["two points of unit variance", "two points", "two points with a mean", "gaussian"],
)
def test_mismatch_falls_at_the_order_of_the_first_cumulant_that_differs(target, order):
    np.testing.assert_allclose(dp.prior_mismatch(target, LATE).rate[1], order, atol=0.05)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_mismatch_of_a_shifted_prior_is_an_error_function(temperature):
    target = dp.Gaussian(np.full(1, 0.8), temperature)
    found = dp.prior_mismatch(target, [0.5, 1.0], temperature=temperature).total_variation
    exact = erf(0.8 * np.exp([-0.5, -1.0]) / np.sqrt(8 * temperature))
    np.testing.assert_allclose(found, exact, atol=1e-6)


@pytest.mark.parametrize("time", [1e-6, 1e-4, 0.1])
def test_mismatch_of_two_points_with_little_noise_is_a_sum_over_both(time):
    # Each point is a narrow law against the prior: between the roots, where the noised points are denser.
    keep, noise = np.exp(-time), np.sqrt(-np.expm1(-2 * time))
    x = keep + noise * np.linspace(-9, 9, 100_001)
    excess = 0.5 * norm.pdf(x, keep, noise) + 0.5 * norm.pdf(x, -keep, noise) - norm.pdf(x)
    # The other side of 0 by symmetry; there is nothing more of the points beyond 9 widths.
    exact = 2 * np.trapezoid(np.where(x > 0, np.maximum(excess, 0), 0), x)
    found = dp.prior_mismatch(dp.symmetric_mixture(np.ones(1), 0.0), [time]).total_variation[0]
    np.testing.assert_allclose(found, exact, atol=2e-5)


def test_a_distance_that_is_not_resolved_is_refused():
    target = dp.symmetric_mixture(np.ones(1, np.float32), 0.0)
    # It falls as e^{-4 t}: at t = 3 it is below what float32 can tell.
    with pytest.raises(ValueError, match=r"above the rounding of float32, 1.2e-05. Got .* at t = 3.0"):
        dp.prior_mismatch(target, [1.0, 3.0])
    with pytest.raises(ValueError, match=r"above the rounding of float64.* at t = 1.0"):
        dp.prior_mismatch(dp.Gaussian(np.zeros(1)), [1.0])
    with pytest.raises(ValueError, match=r"`times` above 1e-8. Got 1e-09"):
        dp.prior_mismatch(dp.Gaussian(np.zeros(1)), [1e-9])


def test_a_target_of_two_dimensions_is_refused():
    with pytest.raises(ValueError, match=r"a target of one dimension. Got 2"):
        dp.prior_mismatch(dp.Gaussian(np.zeros(2)), [1.0])
