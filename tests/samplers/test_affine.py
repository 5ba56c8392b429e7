"""Runs on a linear denoiser as one affine map: against the Jacobians of the steps, for memory, stages and blocks."""

import functools

import numpy as np
import pytest
from linear_maps import end_covariance, gaussian_denoiser, step_maps

import diffphys as dp
from diffphys.samplers.affine import affine_steps, in_one

VARIANCE = 0.4
TS = dp.clocks.log_snr_grid(2.0, 0.1, 7)
OU, PSLD = dp.OrnsteinUhlenbeck(0.7), dp.PhaseSpaceLangevin()
DENOISE = gaussian_denoiser(VARIANCE)
SAMPLERS = {
    "one noise": dp.ReverseSDE(OU, DENOISE),
    "two stages that see their noise": dp.SEEDS2(OU, DENOISE),
    "memory and noise": dp.DPMSolverMultistep(OU, DENOISE, stochastic=True),
    "memory of states": dp.UniPC(OU, DENOISE),
    "two variables": dp.SSCS(PSLD, DENOISE),
    "two variables that see their noise": dp.OBA(PSLD, DENOISE),
    "two variables and memory": dp.Conjugate(PSLD, DENOISE, order=3),
}


def linear(variance, _):
    return np.array([0.0, VARIANCE / (VARIANCE + variance)]), np.array([0.5, 0.0])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_in_one_is_the_product_of_its_steps_and_has_the_covariance_of_their_noises(name):
    sampler = SAMPLERS[name]
    ((states, noises),) = step_maps(sampler, TS)
    k = np.size(sampler.process.start()[0])
    run = in_one(affine_steps(sampler, TS, linear), k)
    wanted = functools.reduce(lambda done, step: step @ done, states)[:k, :k]
    np.testing.assert_allclose(run.matrix[1], wanted, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(
        run.factor[1] @ run.factor[1].T, end_covariance((states, noises), np.zeros((k, k))), rtol=1e-10, atol=1e-14
    )
    np.testing.assert_array_equal(run.offset[1], 0)


def test_a_constant_estimate_moves_the_state_to_its_place():
    # Deterministic data: the bridge and the flow end in m a, whatever the noise has left of where they began.
    for sampler in (SAMPLERS["one noise"], SAMPLERS["two variables"], dp.DDIM(OU, DENOISE)):
        ts = dp.clocks.log_snr_grid(4.0, 1e-4, 800)
        run = in_one(affine_steps(sampler, ts, linear), np.size(sampler.process.start()[0]))
        np.testing.assert_allclose(run.offset[0], 0.5 * np.asarray(sampler.process.kernel(1e-4).mean), atol=2e-2)
