"""Samplers on spins, spheres and what is made of them: each gives the law of the target, in any process."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import diffphys as dp

OU, VE, PSLD = dp.OrnsteinUhlenbeck(), dp.Brownian(0.7), dp.PhaseSpaceLangevin()
TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
RUNS = {
    "curie-weiss": (dp.CurieWeiss(6, 1.3, 0.4), OU, dp.Bridge),
    "ising": (dp.Ising(dp.ring_couplings(4, 0.5), 0.2), VE, dp.DDIM),
    "sphere": (dp.Sphere(3), PSLD, lambda process, denoise: dp.Conjugate(process, denoise, order=2)),
    "states": (dp.pure_states([[0.8, -0.2, 0.5], [-0.6, 0.9, 1.0]], [1.0, 2.0]), OU, dp.ReverseSDE),
    "smooth and singular": (
        dp.embedded(dp.mixture_of([dp.Sphere(2, 2.0), dp.Gaussian(np.ones(2), 0.3)], [1.0, 3.0]), TURN[:, :2]),
        OU, dp.UniPC,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_what_is_sampled_has_the_moments_of_the_target(name):
    """From exact states at v = 30 down to v = .002: means and products of all coordinates, against exact draws."""
    target, process, kind = RUNS[name]
    ts = np.array([process.time_of_variance(v) for v in np.geomspace(30.0, 0.002, 101)])
    sampler, law = kind(process, target.posterior_mean), dp.Diffused(target, process)

    def end(key):
        start_key, step_key, own_key = jr.split(key, 3)
        z = dp.simulate(sampler, step_key, ts, law.sample(start_key, ts[0]))
        return target.posterior_mean(*process.kernel(ts[-1]).observe(z)), target.sample(own_key)

    made, exact = (np.asarray(part) for part in eqx.filter_jit(jax.vmap(end))(jr.split(jr.key(1), 4000)))

    def moments(a):
        return np.concatenate([a, (a[:, :, None] * a[:, None, :]).reshape(len(a), -1)], axis=1)

    one, other = moments(made), moments(exact)
    error = np.sqrt((one.var(0) + other.var(0)) / len(one))
    # The length of the steps costs 2 % of a square.
    assert np.all(np.abs(one.mean(0) - other.mean(0)) < 4 * error + 0.02 * np.mean(exact**2))


def test_retrieval_of_an_associative_memory_is_one_step_of_a_sampler_to_the_data():
    patterns = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, -0.8]])
    memory, cue, variance = dp.deltas(patterns), jnp.array([0.2, 0.1]), 0.5
    t, near = (VE.time_of_variance(v) for v in (variance, 1e-12))
    for kind in (dp.DDIM, dp.Bridge):
        step = dp.simulate(kind(VE, memory.posterior_mean), jr.key(0), np.array([t, near]), cue)
        np.testing.assert_allclose(step, dp.thermo.hopfield_update(patterns, cue, variance), atol=1e-5)
