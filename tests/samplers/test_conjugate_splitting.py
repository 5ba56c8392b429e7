"""Splittings with exact sub-flows: consistent, of order 1, exact where nothing couples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps
from phase_space import STATIONARY, quickening, uncoupled
from scipy.integrate import solve_ivp

import diffphys._block as block
from diffphys.clocks import uniform_grid
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers.conjugate_splitting import ConjugateSymplecticEuler, ConjugateVelocityVerlet

SAMPLERS = (ConjugateSymplecticEuler, ConjugateVelocityVerlet)
every_sampler = pytest.mark.parametrize("cls", SAMPLERS)
both_roots = pytest.mark.parametrize("rotates", [True, False], ids=["R", "L"])


@pytest.mark.parametrize("name", ["psld", "cld"])
@every_sampler
@both_roots
def test_the_end_covariance_converges_to_the_marginal_at_order_one(cls, name, rotates):
    process, (t, s) = STATIONARY[name], (0.4, 0.1)
    start, wanted = (marginal(process, u, 0.3) for u in (t, s))
    maps = step_maps(cls(process, gaussian_denoiser(0.3), rotates), *[uniform_grid(t, s, n) for n in (30, 60)])
    errors = [np.abs(end_covariance(steps, start) - wanted).max() for steps in maps]
    assert errors[1] < 0.1 * np.abs(wanted).max()
    assert abs(np.log2(errors[0] / errors[1]) - 1) < 0.15, errors


@pytest.mark.parametrize("name", STATIONARY)
@every_sampler
@both_roots
def test_the_sub_flows_add_up_to_the_velocity_of_the_probability_flow(cls, name, rotates):
    process, t, h = STATIONARY[name], 0.4, 1e-7
    ((maps, _),) = step_maps(cls(process, gaussian_denoiser(0.3), rotates), np.array([t, t - h]))
    drift, noise = process.coefficients(t)
    wanted = -drift - 0.5 * block.outer(noise) @ np.linalg.inv(marginal(process, t, 0.3))
    np.testing.assert_allclose((maps[0] - np.eye(2)) / h, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("process", [uncoupled(), quickening(uncoupled())], ids=["uncoupled", "quickening"])
@every_sampler
def test_a_step_is_exact_for_a_single_datum_where_nothing_couples(cls, process):
    """The flow keeps the noise: z_s - m_s a = L_s L_t^{-1} (z_t - m_t a). The datum is at 0."""
    t, s = 0.6, 0.3
    ((maps, _),) = step_maps(cls(process, lambda y, v: 0 * y), np.array([t, s]))
    wanted = process.kernel(s).factor @ np.linalg.inv(process.kernel(t).factor)
    np.testing.assert_allclose(maps[0], wanted, atol=1e-8)


def test_a_step_holds_the_noise_of_the_root_that_it_says():
    """By an adaptive solver, the sub-flows one after the other, on position and momentum in one dimension."""
    process, t, s = PhaseSpaceLangevin(), 0.5, 0.3
    for rotates in (True, False):
        ((maps, _),) = step_maps(ConjugateSymplecticEuler(process, lambda y, v: 0 * y, rotates), np.array([t, s]))
        np.testing.assert_allclose(maps[0], _solved(process, t, s, rotates), rtol=1e-6, atol=1e-8)


def _solved(process, t, s, rotates):
    r"""The step for a datum at 0. The state, the noise, and R or L: $\dot R = (F + G G' \Sigma^{-1} / 2) R$."""

    def slope(u, flat, i):
        z, root = flat[:4].reshape(2, 2), flat[4:].reshape(2, 2)
        (drift, noise), factor = process.coefficients(u), process.kernel(u).factor
        force = 0.5 * noise @ noise.T
        move = np.zeros((2, 2))
        held = np.linalg.inv(root if rotates else factor).T @ noise_of_start
        move[i] = (drift @ z + force @ held)[i]
        return np.concatenate([move.ravel(), ((drift + force @ np.linalg.inv(factor @ factor.T)) @ root).ravel()])

    start = process.kernel(t).factor
    noise_of_start = np.linalg.inv(start)
    z = np.eye(2)
    for i in (1, 0):
        flow = solve_ivp(
            slope, (t, s), np.concatenate([z.ravel(), start.ravel()]), "DOP853", args=(i,), rtol=1e-10, atol=1e-12
        )
        z = flow.y[:4, -1].reshape(2, 2)
    return z


@pytest.mark.parametrize(("cls", "count"), [(ConjugateSymplecticEuler, 1), (ConjugateVelocityVerlet, 2)])
def test_a_splitting_calls_the_denoiser_as_often_as_it_says(cls, count):
    calls = []

    def denoise(y, v):
        calls.append(v)
        return 0.5 * y

    sampler = cls(PhaseSpaceLangevin(), denoise)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), sampler.plan(np.array([0.5, 0.4])))
    sampler.step(row, sampler.init(jnp.ones((2, 3))), jnp.zeros((0, 2, 3)))
    assert len(calls) == sampler.evaluations == count


@every_sampler
@pytest.mark.usefixtures("unchecked")
def test_other_processes_are_refused(cls):
    with pytest.raises(ValueError, match=f"`{cls.__name__}` needs position and momentum with a stationary law"):
        cls(OrnsteinUhlenbeck(), lambda y, v: y)
