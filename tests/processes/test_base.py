"""What every process refuses, and the time at which it has a noise."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from exact_laws import PROCESSES

from diffphys.processes import OrnsteinUhlenbeck

every_process = pytest.mark.parametrize("name", PROCESSES)


def test_a_table_of_traced_parameters_is_refused():
    with pytest.raises(ValueError, match="`OrnsteinUhlenbeck` needs known parameters"):
        jax.jit(lambda x: OrnsteinUhlenbeck(x).table(np.array([1.0])))(1.0)


@every_process
@pytest.mark.parametrize("t", [0.0, -1.0, float("nan"), jnp.asarray(0.0)])
def test_a_kernel_at_no_time_is_refused(name, t):
    with pytest.raises(ValueError, match="`kernel` t > 0"):
        PROCESSES[name].kernel(t)


@every_process
@pytest.mark.parametrize("t", [np.inf, jnp.asarray(np.inf)], ids=["host", "device"])
def test_a_kernel_at_the_end_of_time_is_refused(name, t):
    """The channel has a noise of inf there, and every answer was nan."""
    with pytest.raises(ValueError, match=r"Got s = 0\.0 and t = inf\. Do pass a finite t"):
        PROCESSES[name].kernel(t)


@every_process
def test_more_than_one_time_is_refused(name, unchecked):
    with pytest.raises(ValueError, match=r"`t` needs one time. Got shape \(2,\). Map over many with `jax.vmap`"):
        PROCESSES[name].kernel(np.array([1.0, 2.0]))


def test_a_state_is_not_drawn_from_a_raw_key(unchecked):
    with pytest.raises(ValueError, match="`key` needs a typed key"):
        PROCESSES["ou"].kernel(1.0).prior(jr.key_data(jr.key(0)), 3)


@every_process
def test_a_transition_down_in_time_is_refused(name):
    with pytest.raises(ValueError, match="`transition` needs s < t"):
        PROCESSES[name].transition(0.5, 0.4)


@every_process
def test_the_time_of_a_variance_is_where_the_channel_has_it(name):
    process = PROCESSES[name]
    for t in (1e-4, 0.03, 0.7, 2.5):
        found = process.time_of_variance(float(process.kernel(t).variance))
        np.testing.assert_allclose(found, t, rtol=1e-10)


@pytest.mark.parametrize("variance", [0.0, -1.0, np.inf])
def test_a_variance_that_no_time_has_is_refused(variance):
    with pytest.raises(ValueError, match="`variance` needs a positive noise"):
        PROCESSES["ou"].time_of_variance(variance)


def test_the_time_of_an_unknown_variance_is_unknown():
    assert np.isnan(PROCESSES["ou"].time_of_variance(float("nan")))
