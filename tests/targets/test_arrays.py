"""Observations at the door of a target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffphys.targets._arrays import observation


@pytest.mark.parametrize("y", [[1, -2], np.array([1, -2]), jnp.array([1, -2])], ids=["list", "numpy", "jax"])
def test_integers_are_observed_as_floats_and_do_not_round_the_variance(y, unchecked):
    found, variance = observation(2, y, 0.5)
    np.testing.assert_array_equal(found, [1.0, -2.0])
    assert (found.dtype, float(variance)) == (variance.dtype, 0.5)


def test_the_variance_takes_the_type_of_the_observation():
    _, variance = observation(2, jnp.ones(2, jnp.float32), np.float64(0.1))
    assert variance.dtype == jnp.float32


def test_the_observation_is_named_in_its_refusal(unchecked):
    with pytest.raises(ValueError, match="`other` needs one observation of shape"):
        observation(2, jnp.ones(3), 0.5, "other")


def test_a_variance_on_a_device_is_not_looked_at():
    """It would have to be waited for."""
    assert float(observation(2, jnp.ones(2), jnp.zeros(()))[1]) == 0


def test_float64_of_the_host_is_float32_where_there_is_no_other_without_a_word(unchecked):
    """Warnings are errors in these tests."""
    jax.config.update("jax_enable_x64", False)
    try:
        y, variance = observation(2, np.ones(2), np.float64(0.5))
    finally:
        jax.config.update("jax_enable_x64", True)
    assert (y.dtype, variance.dtype) == (jnp.float32, jnp.float32)
