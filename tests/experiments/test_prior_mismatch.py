"""How fast the noised data forget what they were."""

import numpy as np
import pytest
from scipy.special import erf

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


def test_a_target_of_two_dimensions_is_refused():
    with pytest.raises(ValueError, match=r"a target of one dimension. Got 2"):
        dp.prior_mismatch(dp.Gaussian(np.zeros(2)), [1.0])
