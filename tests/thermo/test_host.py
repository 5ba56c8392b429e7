"""What thermodynamics on the host says to those who trace it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys import thermo

TRACED = {
    "separation": lambda x: thermo.separation(x * jnp.ones(2), 1.0, 0.5),
    "agreement": thermo.agreement,
    "class_information": thermo.class_information,
    "gaussian_divergence": thermo.gaussian_divergence,
    "critical_times": lambda x: thermo.critical_times(x, 1.0).drift,
    "crossing_time": lambda x: thermo.crossing_time(x * jnp.ones(2), 1.0),
    "log_capacity": lambda x: thermo.log_capacity(x, jnp.ones(2)),
    "collapse_time": lambda x: thermo.collapse_time(10, x * jnp.ones(2)),
    "collapse_time_isotropic": lambda x: thermo.collapse_time_isotropic(100, 10, x),
    "spontaneous_magnetisation": thermo.spontaneous_magnetisation,
    "spectral_time": lambda x: thermo.spectral_time(x * jnp.eye(3)).time,
    "wasserstein": lambda x: thermo.wasserstein(x * jnp.eye(2), jnp.eye(2)),
    "spectral_law": lambda x: thermo.spectral_law(1.0, x * jnp.ones(2), 0.5).density,
    "critical_variance": lambda x: thermo.critical_variance(
        lambda y, v: dp.symmetric_mixture(x * jnp.ones(2)).posterior_mean(y, v), jnp.zeros(2)
    ),
    "fixed_point": lambda x: thermo.fixed_point(dp.symmetric_mixture(jnp.ones(2)).posterior_mean, x * jnp.ones(2), 0.5),
}


@pytest.mark.parametrize("transform", [jax.grad, jax.jit], ids=["grad", "jit"])
@pytest.mark.parametrize("name", TRACED)
def test_traced_numbers_are_refused_by_the_function_that_was_called(name, transform, unchecked):
    with pytest.raises(ValueError, match=f"`{name}` needs known numbers: it is computed on the host"):
        transform(TRACED[name])(2.0)


def test_a_derivative_by_differences_is_that_of_the_formula():
    """As the refusal says: of delta = |m| / sqrt(sigma^2 + v), in the length of m."""
    step = 1e-5
    ends = [thermo.separation(length * np.ones(4), 1.0, 0.5) for length in (2 + step, 2 - step)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(2 / 1.5**0.5, rel=1e-9)
