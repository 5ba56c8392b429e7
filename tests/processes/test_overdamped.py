"""Ornstein-Uhlenbeck and Brownian motion against their exact values and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffphys.clocks import time_of_variance, variance_of_time
from diffphys.processes import Brownian, OrnsteinUhlenbeck


@pytest.mark.parametrize("name", ["t0.5_T1.0", "t0.1_T1.0", "t0.0001_T1.0", "t0.7_T0.5"])
def test_noise_of_ornstein_uhlenbeck_matches_its_exact_value(oracles, name):
    entry = oracles[f"ou_delta_{name}"]
    kernel = OrnsteinUhlenbeck(entry["inputs"]["T"]).kernel(entry["inputs"]["t"])
    np.testing.assert_allclose(kernel.cov, entry["value"], rtol=entry["tol"])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("t", [1e-6, 0.4, 10.0])
def test_channel_of_ornstein_uhlenbeck_is_that_of_the_clocks(temperature, t):
    kernel = OrnsteinUhlenbeck(temperature).kernel(t)
    np.testing.assert_allclose(kernel.variance, variance_of_time(t, temperature), rtol=1e-14)
    np.testing.assert_allclose(kernel.gain, np.exp(t), rtol=1e-14)


def test_brownian_motion_and_ornstein_uhlenbeck_meet_at_one_variance(oracles):
    entry = oracles["ve_tau1"]
    tau, temperature = entry["inputs"]["tau"], entry["inputs"]["T"]
    np.testing.assert_allclose(time_of_variance(tau, temperature), entry["value"], rtol=entry["tol"])
    for sigma in (0.5, 2.0):
        variance = Brownian(sigma).kernel(tau / sigma**2).variance
        np.testing.assert_allclose(variance, OrnsteinUhlenbeck(temperature).kernel(entry["value"]).variance, rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, jnp.asarray(-1.0)])
@pytest.mark.parametrize(("process", "name"), [(OrnsteinUhlenbeck, "temperature"), (Brownian, "sigma")])
def test_a_parameter_that_is_not_one_positive_number_is_refused(process, name, value):
    with pytest.raises(ValueError, match=f"needs one positive number `{name}`"):
        process(value)


def test_a_sweep_stores_many_parameters_in_one_process():
    bath = jax.vmap(OrnsteinUhlenbeck)(jnp.array([0.5, 2.0]))
    variances = jax.vmap(lambda process: process.kernel(0.7).variance)(bath)
    np.testing.assert_allclose(variances, np.array([0.5, 2.0]) * np.expm1(1.4), rtol=1e-14)
