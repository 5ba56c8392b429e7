"""Adaptive steps: the law they end in, the path that rejections keep, and what they say they cost."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from exact_laws import PROCESSES
from linear_maps import gaussian_denoiser, marginal

from diffphys.processes import Brownian, OrnsteinUhlenbeck
from diffphys.samplers.adaptive import simulate_adaptive
from diffphys.targets import Gaussian

T_MAX, T_MIN, VARIANCE = 0.8, 0.05, 0.3


@eqx.filter_jit
def ends(process, denoise, keys, atol, start=None):
    """From exact states at T_MAX of a Gaussian, or from one that is given."""

    def end(key):
        start_key, data_key, step_key = jr.split(key, 3)
        z = start
        if z is None:
            z = process.kernel(T_MAX).sample(start_key, VARIANCE**0.5 * jr.normal(data_key, (1,)))
        return simulate_adaptive(process, denoise, step_key, z, T_MAX, T_MIN, atol=atol, rtol=1e-6, h0=0.1)

    return jax.vmap(end)(keys)


@pytest.mark.parametrize(("name", "atol"), [("ou", 0.01), ("brownian", 0.01), ("psld", 0.003)])
def test_the_end_has_the_law_of_the_marginal(name, atol):
    process, n = PROCESSES[name], 2000
    states, cost = ends(process, gaussian_denoiser(VARIANCE), jr.split(jr.key(0), n), jnp.asarray(atol))
    states, wanted = np.asarray(states).reshape(n, -1), marginal(process, T_MIN, VARIANCE)
    error = np.sqrt((wanted**2 + np.outer(np.diag(wanted), np.diag(wanted))) / n)
    assert float(cost.rejected.mean()) > 0.5
    assert (np.abs(states.T @ states / n - wanted) < 4 * error).all()
    assert (np.abs(states.mean(0)) < 4 * np.sqrt(np.diag(wanted) / n)).all()


def test_the_bias_shrinks_with_the_tolerance():
    process, keys = OrnsteinUhlenbeck(), jr.split(jr.key(0), 2000)
    denoise, wanted = gaussian_denoiser(VARIANCE), marginal(OrnsteinUhlenbeck(), T_MIN, VARIANCE).item()

    def end(atol):
        return np.asarray(ends(process, denoise, jr.clone(keys), jnp.asarray(atol))[0])

    loose, tight = (abs(np.mean(end(atol) ** 2) / wanted - 1) for atol in (0.3, 0.01))
    assert tight < 0.25 * loose, (tight, loose)


def test_rejections_leave_the_brownian_path_as_it_is():
    """The first coordinate is free noise which the drift of the second sees: drawn anew it loses half its variance."""
    process, n = Brownian(), 4000
    denoise = lambda y, v: jnp.array([1.0, 0.0]) * y + jnp.array([0.0, 10.0]) * y[0]  # noqa: E731
    states, cost = ends(process, denoise, jr.split(jr.key(0), n), jnp.asarray(0.1), jnp.zeros(2))
    assert float(cost.rejected.mean()) > 3
    free = np.asarray(states[:, 0])
    wanted = T_MAX - T_MIN
    assert abs(free.mean()) < 4 * (wanted / n) ** 0.5
    assert abs(np.mean(free**2) - wanted) < 4 * wanted * (2 / n) ** 0.5
    assert abs(np.mean(free**4) - 3 * wanted**2) < 4 * wanted**2 * (96 / n) ** 0.5


def test_a_step_that_is_accepted_at_once_is_heuns():
    """By hand, on the noise of try number 0."""
    process, key, z = OrnsteinUhlenbeck(), jr.key(2), jnp.array([0.3, -0.2])
    end, cost = simulate_adaptive(
        process, Gaussian(jnp.zeros(2), VARIANCE).posterior_mean, jr.clone(key), z, T_MAX, T_MAX - 0.01, atol=10.0
    )
    w = 0.1 * np.asarray(jr.normal(jr.fold_in(key, 0), (2,)))

    def move(t, z):
        return 0.01 * (z - 2 * z / marginal(process, t, VARIANCE).item()) + 2**0.5 * w

    euler = z + move(T_MAX, z)
    np.testing.assert_allclose(end, 0.5 * (euler + z + move(T_MAX - 0.01, euler)), rtol=1e-10)
    assert (int(cost.accepted), int(cost.rejected), int(cost.evaluations)) == (1, 0, 2)


def test_evaluations_are_as_many_as_it_says():
    calls = []

    def denoise(y, v):
        jax.debug.callback(lambda v: calls.append(v), v)
        return 0.3 / (0.3 + v) * y

    _, cost = simulate_adaptive(OrnsteinUhlenbeck(), denoise, jr.key(0), jnp.ones(3), T_MAX, T_MIN, h0=0.3, rtol=0.01)
    jax.effects_barrier()
    assert len(calls) == int(cost.evaluations) == 2 * int(cost.accepted + cost.rejected)
    assert int(cost.rejected) > 0


def test_states_in_float32_end_at_the_same_time():
    denoise = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), gaussian_denoiser(VARIANCE))
    end, cost = simulate_adaptive(PROCESSES["psld"], denoise, jr.key(0), jnp.ones((2, 1), jnp.float32), T_MAX, 1e-3)
    assert end.dtype == jnp.float32
    assert 10 < int(cost.accepted) < 1000


def test_too_few_steps_are_an_error():
    with pytest.raises(eqx.EquinoxRuntimeError, match="`max_steps` = 3 tries did not reach"):
        simulate_adaptive(
            OrnsteinUhlenbeck(), gaussian_denoiser(1.0), jr.key(0), jnp.ones(1), T_MAX, T_MIN, max_steps=3
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"t_min": 0.0}, "0 < t_min < t_max"),
        ({"t_min": 1.0}, "0 < t_min < t_max"),
        ({"atol": 0.0}, "`atol > 0`"),
        ({"rtol": -1.0}, "`rtol > 0`"),
        ({"h0": np.inf}, "`h0 > 0`"),
        ({"safety": 1.0}, r"`safety` in \(0, 1\)"),
        ({"exponent": 0.0}, r"`exponent` in \(0, 1\]"),
    ],
)
def test_settings_that_make_no_steps_are_refused(settings, message):
    settings = {"t_min": T_MIN} | settings
    with pytest.raises(ValueError, match=message):
        simulate_adaptive(OrnsteinUhlenbeck(), gaussian_denoiser(1.0), jr.key(0), jnp.ones(1), T_MAX, **settings)
