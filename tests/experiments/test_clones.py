"""Cloned trajectories: the address of their noise, their halved grids and their trunks."""

import jax
import numpy as np
import pytest

import diffphys as dp

KEY = 7
OU = dp.OrnsteinUhlenbeck()
TWO_GAUSSIANS = dp.symmetric_mixture(np.ones(8, np.float32))


def test_noise_is_that_of_the_address_and_not_of_the_chunk():
    runs = [
        dp.speciation(
            TWO_GAUSSIANS, OU, [0.8, 1.6], key=jax.random.key(KEY), samples=64, clones=50, steps=8, chunk=chunk
        )
        for chunk in (50, 13)
    ]
    np.testing.assert_allclose(runs[0].phi, runs[1].phi, rtol=1e-5)
    np.testing.assert_allclose(runs[0].phi_clones, runs[1].phi_clones, rtol=1e-3)
    assert runs[0].attrs["chunk_clones"] == 50
    assert runs[1].attrs["chunk_clones"] == 13


def test_the_halved_grid_is_run_in_a_quarter_of_the_chunks_and_tells_the_same_bias():
    """On a coarse grid, whose bias is many errors: a mean that counted the other chunks would be a quarter of it."""
    part, whole = (
        dp.speciation(
            TWO_GAUSSIANS, OU, [0.8, 1.6], key=jax.random.key(KEY), samples=None, clones=1600, steps=4, chunk=chunk
        )
        for chunk in (100, 1600)
    )
    np.testing.assert_allclose(part.phi_clones, whole.phi_clones, rtol=1e-3)
    assert part.attrs["clones_halved"] == 400
    assert whole.attrs["clones_halved"] == 1600
    assert part.attrs["denoiser_evaluations"] == 2 * 2 * (1600 * 4 + 400 * 2)
    assert whole.attrs["denoiser_evaluations"] == 2 * 2 * (1600 * 4 + 1600 * 2)
    assert np.all(np.abs(whole.phi_clones_bias) > 8 * whole.phi_clones_bias_stderr)
    apart = np.abs(part.phi_clones_bias - whole.phi_clones_bias)
    assert np.all(apart < 4 * part.phi_clones_bias_stderr + 2e-4)
    np.testing.assert_allclose(part.phi_clones_bias_stderr, 2 * whole.phi_clones_bias_stderr, rtol=0.25)


def test_few_clones_are_all_run_on_the_halved_grid():
    ds = dp.speciation(TWO_GAUSSIANS, OU, [0.8], key=jax.random.key(KEY), samples=None, clones=50, steps=8, chunk=7)
    assert ds.attrs["clones_halved"] == 50


def trunk_from_noise(pairs, steps):
    """Clones of one trunk at times close together, by steps that leave nothing to the branches' own bias."""
    small, times = dp.reduce(dp.symmetric_mixture(np.ones(256))).target, np.arange(1.0, 10.01, 0.5)
    exact = dp.speciation(small, OU, times, key=jax.random.key(0), samples=500)
    sampler = dp.DPMSolverMultistep(OU, small.posterior_mean, stochastic=True)
    return dp.speciation(
        small, OU, times, key=jax.random.key(1), samples=None, clones=pairs, steps=steps, stop=0.5, trunk_from=10.5,
        sampler=sampler, grid=dp.focused_grid(exact), increments=dp.rademacher,
    )  # fmt: skip


def test_a_trunk_has_steps_of_its_own_however_few_the_branches_have():
    calls = trunk_from_noise(64, 4).attrs["denoiser_evaluations"]
    # Two clones of each point, on the grid and on the halved one.
    branches = 64 * 19 * 2 * (4 + 2)
    assert calls - branches >= 64 * 19 * 6


@pytest.mark.slow
def test_clones_from_noise_agree_with_theory_though_their_branches_have_few_steps():
    """With two steps from a branch to the next phi was .012 too low at the crossing."""
    ds = trunk_from_noise(100_000, 24)
    assert np.all(np.abs(ds.phi_clones - ds.phi_theory) < 4 * ds.phi_clones_stderr + 1e-4)
