"""PNDM: its start by Runge and Kutta, its grid, its calls of the denoiser."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from fast_samplers import VARIANCE
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps

from diffphys.processes import Brownian, OrnsteinUhlenbeck
from diffphys.samplers import simulate
from diffphys.samplers.adams import DEIS
from diffphys.samplers.langevin import PredictorCorrector
from diffphys.samplers.pndm import PNDM

OU = OrnsteinUhlenbeck()
LEVELS = np.array([3.0, 2.2, 1.7, 1.1, 0.8, 0.5])


def even(steps):
    """A grid of OU uniform in the noise level."""
    return 0.5 * np.log1p(np.linspace(4.0, 0.5, steps + 1) ** 2)


def slope(y, rho):
    """dy / drho of the flow of two points, +-1."""
    return (y - np.tanh(y / rho**2)) / rho


def textbook(y):
    """Three steps of Runge and Kutta, then Adams and Bashforth with the weights of equal steps."""
    past, path = [], [y]
    for rho, end in itertools.pairwise(LEVELS):
        h, past = end - rho, [slope(y, rho), *past]
        if len(past) <= 3:
            k2 = slope(y + h / 2 * past[0], rho + h / 2)
            k3 = slope(y + h / 2 * k2, rho + h / 2)
            y = y + h / 6 * (past[0] + 2 * k2 + 2 * k3 + slope(y + h * k3, end))
        else:
            y = y + h / 24 * (55 * past[0] - 59 * past[1] + 37 * past[2] - 9 * past[3])
        path.append(y)
    return path


def test_the_path_is_that_of_the_textbook_rules():
    sampler = PNDM(Brownian(), lambda y, v: jnp.tanh(y / v))
    path = simulate(sampler, jr.key(0), LEVELS**2, jnp.array([2.7]), path=True)[:, 0]
    np.testing.assert_allclose(path, textbook(2.7), rtol=1e-12)


def test_on_its_grid_the_order_is_4_with_the_warm_up_and_less_without():
    grids, slopes = [even(steps) for steps in (100, 200)], []
    start, wanted = (marginal(OU, t, VARIANCE) for t in grids[0][[0, -1]])
    for warm_up in (True, False):
        maps = step_maps(PNDM(OU, gaussian_denoiser(VARIANCE), warm_up), *grids)
        errors = [abs(end_covariance(steps, start) - wanted).item() for steps in maps]
        slopes.append(np.log2(errors[0] / errors[1]))
    assert abs(slopes[0] - 4) < 0.15, slopes
    assert slopes[1] < 3.5, slopes


def test_without_its_warm_up_it_is_deis_of_order_4_on_a_grid_uniform_in_the_noise_level():
    one, other = PNDM(OU, lambda y, v: y, False).plan(even(12)).rest, DEIS(OU, lambda y, v: y, 4).plan(even(12))
    assert one.state.keys() == other.state.keys()
    for term, values in one.state.items():
        np.testing.assert_allclose(other.state[term], values, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("warm_up", [True, False])
def test_a_run_calls_the_denoiser_as_often_as_it_says(warm_up):
    """Nine times more with the warm-up: the branch that a step does not take costs nothing."""
    calls = []

    def denoise(y, v):
        jax.debug.callback(lambda v: calls.append(v), v)
        return 0.5 * y

    sampler = PNDM(OU, denoise, warm_up)
    simulate(sampler, jr.key(0), even(6), jnp.ones(2))
    jax.effects_barrier()
    assert len(calls) == sampler.calls(6) == 6 + 9 * warm_up
    assert PredictorCorrector(sampler).calls(6) == sampler.calls(6) + 6


def test_a_grid_shorter_than_the_past_is_refused():
    with pytest.raises(ValueError, match="needs at least 4 steps for `PNDM`"):
        PNDM(OU, lambda y, v: y).plan(even(3))
