"""The symmetric splitting sampler: exact at equilibrium, a time reversal of weak order 1 elsewhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps
from phase_space import STATIONARY, at_equilibrium, quickening

import diffphys._block as block
from diffphys.clocks import uniform_grid
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin, third_order_langevin
from diffphys.samplers.sscs import SSCS

SPAN = (0.4, 0.1)


@functools.cache
def maps_of(name):
    sampler = SSCS(STATIONARY[name], gaussian_denoiser(0.3))
    return step_maps(sampler, *[uniform_grid(*SPAN, steps) for steps in (60, 120)])


@pytest.mark.parametrize("name", STATIONARY)
def test_the_end_covariance_converges_to_the_marginal_at_order_one(name):
    start, wanted = (marginal(STATIONARY[name], t, 0.3) for t in SPAN)
    errors = [np.abs(end_covariance(maps, start) - wanted).max() for maps in maps_of(name)]
    assert errors[1] < 0.1 * np.abs(wanted).max()
    assert abs(np.log2(errors[0] / errors[1]) - 1) < 0.15, errors


@pytest.mark.parametrize("name", STATIONARY)
def test_the_joint_law_of_the_ends_is_that_of_the_forward_process(name):
    """Cov(z_s, z_t) is the marginal at s times E'; extrapolated."""
    process, (t, s) = STATIONARY[name], SPAN
    coarse, fine = (np.linalg.multi_dot([*states[::-1], marginal(process, t, 0.3)]) for states, _ in maps_of(name))
    wanted = marginal(process, s, 0.3) @ process.transition(s, t)[0].T
    assert SSCS(process, gaussian_denoiser(0.3)).is_time_reversal
    assert np.abs(2 * fine - coarse - wanted).max() < 0.01 * np.abs(wanted).max()


@pytest.mark.parametrize("process", [at_equilibrium(), quickening(at_equilibrium())], ids=["steady", "quickening"])
def test_a_step_is_exact_at_equilibrium_each_half_at_its_own_rate(process):
    """The score step does nothing there, and both halves make the reversed forward process whatever its rate."""
    t, s = 0.9, 0.2
    ((states, noises),) = step_maps(SSCS(process, gaussian_denoiser(1.0)), np.array([t, s]))
    law = block.outer(process.stationary())
    np.testing.assert_allclose(end_covariance((states, noises), law), law, atol=1e-12)
    np.testing.assert_allclose(states[0] @ law, law @ process.transition(s, t)[0].T, atol=1e-12)
    # The last half alone gives the second noise.
    last = block.outer(noises[0][:, 2:])
    propagator = process.transition(s, 0.5 * (t + s))[0]
    back = law @ propagator.T @ np.linalg.inv(law)
    np.testing.assert_allclose(last, law - back @ law @ back.T, atol=1e-12)


@pytest.mark.parametrize("name", STATIONARY)
def test_both_parts_add_up_to_the_reverse_diffusion(name):
    process, t, h = STATIONARY[name], 0.4, 1e-7
    ((states, noises),) = step_maps(SSCS(process, gaussian_denoiser(0.3)), np.array([t, t - h]))
    drift, noise = process.coefficients(t)
    wanted = -drift - block.outer(noise) @ np.linalg.inv(marginal(process, t, 0.3))
    np.testing.assert_allclose((states[0] - np.eye(2)) / h, wanted, rtol=2e-5, atol=5e-5)
    np.testing.assert_allclose(block.outer(noises[0]) / h, block.outer(noise), rtol=2e-5, atol=2e-5)


def test_the_noise_of_a_position_without_friction_keeps_its_digits_at_short_steps():
    """Its variance is that of an integrated momentum, beta^2 nu h^3 / (12 M), which a difference would lose."""
    h = 1e-5
    row = SSCS(PhaseSpaceLangevin(0.0, 4.0), gaussian_denoiser(0.3)).plan(np.array([0.5 + 2 * h, 0.5]))
    noise = row.state[("noise", 1)][0]
    np.testing.assert_allclose((noise @ noise.T)[0, 0], 8.0**3 * 4.0 * 4.0 * h**3 / 12, rtol=2e-4)


def test_a_step_has_one_evaluation_and_two_draws():
    calls = []

    def denoise(y, v):
        calls.append(v)
        return 0.5 * y

    sampler = SSCS(PhaseSpaceLangevin(), denoise)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), sampler.plan(np.array([0.5, 0.4])))
    step = lambda noise: sampler.state(sampler.step(row, sampler.init(jnp.ones((2, 3))), noise))  # noqa: E731
    still, moved = (step(noise) for noise in (jnp.zeros((2, 2, 3)), jnp.zeros((2, 2, 3)).at[1].set(1.0)))
    assert len(calls) == 2 * sampler.evaluations == 2
    assert np.abs(moved - still).min() > 0


@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), third_order_langevin()])
@pytest.mark.usefixtures("unchecked")
def test_other_processes_are_refused(process):
    with pytest.raises(ValueError, match="`SSCS` needs position and momentum with a stationary law"):
        SSCS(process, lambda y, v: y)
