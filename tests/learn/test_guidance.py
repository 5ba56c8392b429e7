"""Guidance by a weight, of exact denoisers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys.learn.guidance import ClassifierFreeGuidance

BOTH = dp.symmetric_mixture(jnp.array([1.0, 0.5]), 0.3, 0.4)
ONE = dp.Gaussian(jnp.array([1.0, 0.5]), 0.3)


def test_denoisers_of_two_shapes_are_refused_and_not_broadcast(unchecked):
    guided = ClassifierFreeGuidance(BOTH.posterior_mean, lambda y, v: y[:1], 2.0)
    with pytest.raises(ValueError, match=r"estimates of one shape. Got \(2,\) of `everything` and \(1,\) of `chosen`"):
        guided(jnp.ones(2), 0.5)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_the_guided_score_is_that_of_the_product_of_powers(weight):
    def log_law(y, v):
        return (1 - weight) * BOTH.log_evidence(y, v) + weight * ONE.log_evidence(y, v)

    y, v = jnp.array([0.3, -0.8]), jnp.asarray(0.7)
    guided = ClassifierFreeGuidance(BOTH.posterior_mean, ONE.posterior_mean, weight)
    np.testing.assert_allclose((guided(y, v) - y) / v, jax.grad(log_law)(y, v), rtol=1e-10)
