"""Log-densities along the flow, against the exact ones."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from exact_laws import PROCESSES

from diffphys.diffused import Diffused
from diffphys.processes import OrnsteinUhlenbeck
from diffphys.samplers.likelihood import flow_and_divergence, log_likelihood
from diffphys.targets import Gaussian, symmetric_mixture

T_MIN, T_MAX = 0.05, 0.9
GAUSSIAN = Gaussian(jnp.array([0.5, -1.0]), jnp.array([0.4, 1.5]))
MIXTURE = symmetric_mixture(jnp.array([1.0, 0.5, -0.3]), 0.2, 0.7)


def likelihood_of(law, **settings):
    """Of a state at T_MIN, from the exact law at T_MAX; of many, along a leading axis."""
    prior = lambda z: law.log_prob(jnp.asarray(T_MAX), z)  # noqa: E731
    one = lambda z, key: log_likelihood(  # noqa: E731
        law.process, law.target.posterior_mean, z, T_MIN, T_MAX, key=key, prior=prior, **settings
    )
    return eqx.filter_jit(eqx.filter_vmap(one))


@pytest.mark.parametrize("name", ["ou", "brownian", "psld"])
def test_the_density_of_a_gaussian_is_its_own(name):
    law = Diffused(GAUSSIAN, PROCESSES[name])
    states = jax.vmap(lambda key: law.sample(key, T_MIN))(jr.split(jr.key(0), 2))
    got = likelihood_of(law, tolerance=1e-10)(states, None)
    np.testing.assert_allclose(got, jax.vmap(lambda z: law.log_prob(T_MIN, z))(states), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["ou", pytest.param("psld", marks=pytest.mark.slow)])
def test_the_density_of_a_mixture_is_its_own(name):
    law = Diffused(MIXTURE, PROCESSES[name])
    states = jax.vmap(lambda key: law.sample(key, T_MIN))(jr.split(jr.key(0), 3))
    got = likelihood_of(law, tolerance=1e-8, solver=diffrax.Dopri5())(states, None)
    np.testing.assert_allclose(got, jax.vmap(lambda z: law.log_prob(T_MIN, z))(states), atol=1e-6)


def test_the_prior_is_that_of_the_noise():
    """A point at 0 is noise at all times: its law is the kernel's, and the flow a change of scale."""
    process, z = PROCESSES["psld"], jnp.array([[0.1, -0.2], [0.05, 0.3]])
    got = log_likelihood(process, lambda y, v: 0 * y, z, T_MIN, T_MAX, tolerance=1e-10)
    wanted = Diffused(Gaussian(jnp.zeros(2), 0.0), process).log_prob(T_MIN, z)
    np.testing.assert_allclose(got, wanted, rtol=1e-8)


def test_probes_leave_the_density_unbiased():
    law = Diffused(MIXTURE, PROCESSES["ou"])
    z = jnp.array([0.3, -0.4, 0.1])
    got = np.asarray(likelihood_of(law)(jnp.tile(z, (256, 1)), jr.split(jr.key(0), 256)))
    assert got.std() > 0.01
    assert abs(got.mean() - law.log_prob(T_MIN, z)) < 4 * got.std() / 16 + 1e-4


def test_more_probes_are_their_mean():
    law, z = Diffused(MIXTURE, PROCESSES["psld"]), jnp.array([[0.3, -0.4, 0.1], [0.1, 0.2, 0.0]])
    divergence = jax.jit(lambda signs: flow_and_divergence(law.process, MIXTURE.posterior_mean, 0.3, z, signs)[1])
    signs = jnp.array([[s, t, u] for s in (-1.0, 1.0) for t in (-1.0, 1.0) for u in (-1.0, 1.0)])
    np.testing.assert_allclose(divergence(signs), np.mean([divergence(sign[None]) for sign in signs]), rtol=1e-12)
    # The mean over all signs is the trace.
    np.testing.assert_allclose(divergence(signs), divergence(None), rtol=1e-12)


@pytest.mark.parametrize("name", ["ou-warm", "psld", "recipe"])
def test_the_divergence_is_the_trace_of_the_jacobian_of_the_velocity(name):
    law = Diffused(MIXTURE, PROCESSES[name])
    z = law.sample(jr.key(0), 0.3)
    flow = lambda z: flow_and_divergence(law.process, MIXTURE.posterior_mean, 0.3, z, None)  # noqa: E731
    jacobian, got = jax.jit(jax.jacfwd(flow, has_aux=True))(z)
    jacobian = jacobian.reshape(z.size, z.size)
    np.testing.assert_allclose(got, jnp.trace(jacobian), rtol=1e-9, atol=1e-9 * np.abs(jacobian).max())


@pytest.mark.slow
def test_the_density_is_differentiable_in_the_state():
    law, z = Diffused(MIXTURE, PROCESSES["ou"]), jnp.array([0.3, -0.4, 0.1])
    density = lambda z: likelihood_of(law, tolerance=1e-8)(z[None], None)[0]  # noqa: E731
    np.testing.assert_allclose(jax.grad(density)(z), law.score(T_MIN, z), atol=1e-5)


def test_states_in_float32_stay_so():
    denoise = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), GAUSSIAN).posterior_mean
    z = jnp.array([0.2, 0.4])
    exact = log_likelihood(OrnsteinUhlenbeck(), GAUSSIAN.posterior_mean, z, T_MIN, T_MAX)
    single = log_likelihood(OrnsteinUhlenbeck(), denoise, z.astype(jnp.float32), T_MIN, T_MAX)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"t_min": 0.0}, "0 < t_min < t_max"),
        ({"t_min": 1.0}, "0 < t_min < t_max"),
        ({"key": jr.key(0), "probes": 0}, "`probes` to be a whole number"),
        ({"denoise": lambda y, v: y[:1]}, "`denoise` needs to return an estimate of shape"),
    ],
)
def test_what_makes_no_flow_is_refused(settings, message):
    settings = {"denoise": GAUSSIAN.posterior_mean, "t_min": T_MIN} | settings
    with pytest.raises(ValueError, match=message):
        log_likelihood(OrnsteinUhlenbeck(), z=jnp.ones(2), t_max=T_MAX, **settings)


def test_a_raw_key_is_refused(unchecked):
    with pytest.raises(ValueError, match="`key` needs a typed key"):
        log_likelihood(OrnsteinUhlenbeck(), GAUSSIAN.posterior_mean, jnp.ones(2), T_MIN, T_MAX, key=0)
