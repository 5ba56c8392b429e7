"""Splittings of the reverse diffusion: laws, orders, the control of their noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps
from phase_space import STATIONARY, correlated, quickening, uncoupled

import diffphys._block as block
from diffphys.clocks import quadratic_grid, uniform_grid
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin, third_order_langevin
from diffphys.samplers.stochastic_splitting import OBA, OBAB, NoiseControl

SAMPLERS = {
    "NOBA": lambda process, denoise: OBA(process, denoise, reduced=False),
    "ROBA": OBA,
    "NOBAB": lambda process, denoise: OBAB(process, denoise, reduced=False),
    "ROBAB": OBAB,
}
EVALUATIONS = {"NOBA": 2, "ROBA": 1, "NOBAB": 3, "ROBAB": 2}
PROCESSES = {name: process for name, process in STATIONARY.items() if name in ("psld", "cld", "quickening")}
PSLD, SPAN = PhaseSpaceLangevin(), (0.4, 0.1)


@functools.cache
def maps_of(kind, name):
    sampler = SAMPLERS[kind](PROCESSES[name], gaussian_denoiser(0.3))
    return sampler, step_maps(sampler, *[uniform_grid(*SPAN, steps) for steps in (60, 120)])


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_end_covariance_converges_to_the_marginal_at_order_one(kind, name):
    start, wanted = (marginal(PROCESSES[name], t, 0.3) for t in SPAN)
    errors = [np.abs(end_covariance(maps, start) - wanted).max() for maps in maps_of(kind, name)[1]]
    assert errors[1] < 0.1 * np.abs(wanted).max()
    assert abs(np.log2(errors[0] / errors[1]) - 1) < 0.15, errors


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_joint_law_of_the_ends_is_that_of_the_forward_process(kind, name):
    """Cov(z_s, z_t) is the marginal at s times E'. Extrapolated, since the splitting is coarse."""
    process, (t, s) = PROCESSES[name], SPAN
    sampler, maps = maps_of(kind, name)
    coarse, fine = (np.linalg.multi_dot([*states[::-1], marginal(process, t, 0.3)]) for states, _ in maps)
    wanted = marginal(process, s, 0.3) @ process.transition(s, t)[0].T
    assert sampler.is_time_reversal
    assert np.abs(2 * fine - coarse - wanted).max() < 0.01 * np.abs(wanted).max()


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_sub_flows_add_up_to_the_reverse_diffusion(kind, name):
    process, t, h = PROCESSES[name], 0.4, 1e-7
    sampler = SAMPLERS[kind](process, gaussian_denoiser(0.3))
    ((states, noises),) = step_maps(sampler, np.array([t, t - h]))
    drift, noise = process.coefficients(t)
    wanted = -drift - block.outer(noise) @ np.linalg.inv(marginal(process, t, 0.3))
    np.testing.assert_allclose((states[0] - np.eye(2)) / h, wanted, rtol=2e-5, atol=5e-5)
    np.testing.assert_allclose(block.outer(noises[0]) / h, block.outer(noise), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("process", [uncoupled(), quickening(uncoupled())], ids=["uncoupled", "quickening"])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_friction_and_noise_are_exact_and_keep_the_stationary_law(kind, process):
    """At equilibrium and without coupling they are all that is left of the step, however long."""
    t, s = 0.9, 0.2
    ((states, noises),) = step_maps(SAMPLERS[kind](process, gaussian_denoiser(1.0)), np.array([t, s]))
    np.testing.assert_allclose(states[0], process.transition(s, t)[0], atol=1e-13)
    law = block.outer(process.stationary())
    np.testing.assert_allclose(end_covariance((states, noises), law), law, atol=1e-13)


def error_of(sampler, *counts):
    """Relative errors of the variance of the position near the data, on quadratic grids."""
    start, wanted = (marginal(PSLD, t, 1 / 16) for t in (1.0, 1e-3))
    maps = step_maps(sampler, *[quadratic_grid(1.0, 1e-3, n) for n in counts])
    return [end_covariance(steps, start)[0, 0] / wanted[0, 0] - 1 for steps in maps]


def test_the_noise_control_of_the_paper_makes_up_for_the_lost_spread():
    denoise = gaussian_denoiser(1 / 16)
    np.testing.assert_allclose(error_of(OBA(PSLD, denoise), 100), [-0.193], atol=5e-4)
    controlled = OBA(PSLD, denoise, position_noise=NoiseControl(0.48, per_step=False))
    np.testing.assert_allclose(error_of(controlled, 100), [-2e-4], atol=1e-5)


@pytest.mark.slow
def test_the_noise_control_of_the_paper_spoils_a_finer_grid():
    sampler = OBA(PSLD, gaussian_denoiser(1 / 16), position_noise=NoiseControl(0.48, per_step=False))
    np.testing.assert_allclose(error_of(sampler, 800), [2.3], atol=0.05)


def test_the_noise_control_per_step_has_a_limit_which_is_not_the_marginal():
    """More noise than the diffusion has, but the same on every grid: differences halve with the step."""
    control = NoiseControl(3.0)
    coarse, middle, fine = error_of(OBA(PSLD, gaussian_denoiser(1 / 16), position_noise=control), 100, 200, 400)
    assert abs(np.log2((middle - coarse) / (fine - middle)) - 1) < 0.3
    assert 2 * fine - middle > 0.1


@pytest.mark.parametrize("cls", [OBA, OBAB])
@pytest.mark.parametrize(("per_step", "level"), [(True, 2.5), (False, 0.48)])
def test_the_noise_control_changes_the_noise_of_the_position_alone(cls, per_step, level):
    """To 1 - exp(-eta h beta Gamma), and to 1 - exp(-lambda_s (t + s) / 2 beta Gamma)."""
    t, s, denoise = 0.7, 0.6, lambda y, v: 0 * y
    control = NoiseControl(level, per_step)
    own, changed = (
        step_maps(cls(PSLD, denoise, position_noise=noise), np.array([t, s]))[0] for noise in (None, control)
    )
    np.testing.assert_array_equal(own[0], changed[0])
    np.testing.assert_array_equal(own[1][0, :, 1], changed[1][0, :, 1])
    rate = 8.0 * 0.01
    exponent = level * rate * (t - s if per_step else 0.5 * (t + s))
    ratio = np.sqrt(np.expm1(-exponent) / np.expm1(-rate * (t - s)))
    np.testing.assert_allclose(changed[1][0, :, 0], ratio * own[1][0, :, 0], rtol=1e-12)


@pytest.mark.parametrize("cls", [OBA, OBAB])
def test_only_its_own_noise_makes_a_splitting_a_time_reversal(cls):
    def is_time_reversal(control):
        return cls(PSLD, lambda y, v: y, position_noise=control).is_time_reversal

    assert is_time_reversal(None)
    assert is_time_reversal(NoiseControl(1.0))
    assert not is_time_reversal(NoiseControl(1.0, per_step=False))
    assert not is_time_reversal(NoiseControl(2.0))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_splitting_calls_the_denoiser_as_often_as_its_name_says(kind):
    calls = []

    def denoise(y, v):
        calls.append(v)
        return 0.5 * y

    sampler = SAMPLERS[kind](PSLD, denoise)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), sampler.plan(np.array([0.5, 0.4])))
    sampler.step(row, sampler.init(jnp.ones((2, 3))), jnp.zeros((sampler.draws, 2, 3)))
    assert len(calls) == sampler.evaluations == EVALUATIONS[kind]
    assert sampler.draws == 1


@pytest.mark.parametrize("cls", [OBA, OBAB])
@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), third_order_langevin()])
@pytest.mark.usefixtures("unchecked")
def test_a_splitting_refuses_other_processes(cls, process):
    with pytest.raises(ValueError, match=f"`{cls.__name__}` needs position and momentum with a stationary law"):
        cls(process, lambda y, v: y)


@pytest.mark.parametrize("cls", [OBA, OBAB])
def test_a_splitting_refuses_correlated_noise(cls):
    with pytest.raises(ValueError, match=f"`{cls.__name__}` needs noise and a stationary law in which"):
        cls(correlated(), lambda y, v: y).plan(np.array([0.5, 0.4]))


@pytest.mark.parametrize("level", [-1.0, float("nan"), float("inf")])
def test_a_noise_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="`NoiseControl` needs a finite `level >= 0`"):
        NoiseControl(level)
