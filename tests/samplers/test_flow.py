"""The probability flow: its exact values, its map of covariances, and back again."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from exact_laws import PROCESSES
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps

from diffphys.clocks import uniform_grid
from diffphys.diffused import Diffused
from diffphys.processes import OrnsteinUhlenbeck
from diffphys.samplers import ProbabilityFlow
from diffphys.samplers.base import place, run
from diffphys.targets import symmetric_mixture


def test_heun_steps_to_the_data_match_the_exact_recursion(oracles):
    """The recursion ends at t = 0, where the channel has no noise. We stop at 1e-8, worth that much and rounding."""
    entry = oracles["disc_ODE_Heun_c0.25"]
    sampler = ProbabilityFlow(OrnsteinUhlenbeck(), gaussian_denoiser(entry["inputs"]["c"]))
    grids = [np.append(uniform_grid(entry["inputs"]["tf"], 0.0, n)[:-1], 1e-8) for n in entry["inputs"]["nsteps"]]
    got = [end_covariance(steps, np.eye(1)).item() for steps in step_maps(sampler, *grids)]
    np.testing.assert_allclose(got, entry["value"], rtol=2e-7)


@pytest.mark.parametrize("name", ["ou-warm", "brownian", "psld", "third-order"])
def test_the_flow_of_a_gaussian_is_the_map_of_its_covariances(name):
    """Of one coordinate, z_s = Psi z_t with Psi P_t Psi' = P_s; two runs of Heun's rule, extrapolated."""
    process, variance, (t, s) = PROCESSES[name], 0.4, (1.0, 0.3)
    sampler = ProbabilityFlow(process, gaussian_denoiser(variance))
    start = marginal(process, t, variance)
    maps = step_maps(sampler, *[uniform_grid(t, s, n) for n in (200, 400)])
    coarse, fine = (end_covariance(steps, start) for steps in maps)
    np.testing.assert_allclose((4 * fine - coarse) / 3, marginal(process, s, variance), atol=1e-5)


@pytest.mark.parametrize("name", ["ou", "psld"])
def test_there_and_back_is_the_identity_to_second_order(name):
    law = Diffused(symmetric_mixture(jnp.ones(3), 0.2), PROCESSES[name])
    sampler, z = ProbabilityFlow(law.process, law.target.posterior_mean), law.sample(jr.key(0), 0.6)

    @eqx.filter_jit
    def flow(rows, z):
        return run(sampler, rows, z, lambda i: jnp.zeros((0, *z.shape)))

    def distance(steps):
        ts = uniform_grid(0.6, 0.2, steps)
        there, back = (place(sampler.plan(grid), z.dtype) for grid in (ts, ts[::-1]))
        return float(jnp.abs(flow(back, flow(there, z)) - z).max())

    coarse, fine = distance(40), distance(80)
    assert fine < 1e-3
    assert coarse / fine > 3.5
