"""The exact probability flows from the starts of a problem, by an eighth-order method at a tight tolerance."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import diffphys as dp
from diffphys import _block as block

from ._grids import SIGMA_MAX, SIGMA_MIN, Clock
from ._problems import Problem


def overdamped_flow(problem: Problem) -> np.ndarray:
    """Where the flow of y = a + sigma eps ends, denoised: dy / dlog sigma = y - D(y)."""
    batch = problem.batch
    start = jnp.asarray(batch.clean, jnp.float64) + SIGMA_MAX * jnp.asarray(batch.noise, jnp.float64)

    def velocity(log_sigma, ys, target):
        return ys - jax.vmap(target.posterior_mean, (0, None))(ys, jnp.exp(2 * log_sigma))

    ends = _solve(problem, velocity, np.log(SIGMA_MAX), np.log(SIGMA_MIN), start)
    return _denoised(problem, ends, SIGMA_MIN**2)


def phase_space_flow(problem: Problem, process: dp.AbstractProcess, clock: Clock) -> np.ndarray:
    """Where the flow in phase space ends, denoised."""
    high, low = clock.ends

    def velocity(log_t, states, target):
        t: Any = jnp.exp(log_t)
        kernel, (drift, noise) = process.kernel(t), process.coefficients(t)
        ys = jnp.einsum("i,bid->bd", kernel.gain, states)
        a = jax.vmap(target.posterior_mean, (0, None))(ys, kernel.variance)
        score = jnp.einsum("ij,bjd->bid", kernel.precision, jnp.einsum("i,bd->bid", kernel.mean, a) - states)
        return t * (
            jnp.einsum("ij,bjd->bid", drift, states) - 0.5 * jnp.einsum("ij,bjd->bid", block.outer(noise), score)
        )

    start = jnp.asarray(problem.batch.start(process.kernel(high)), jnp.float64)
    states = _solve(problem, velocity, np.log(high), np.log(low), start)
    kernel = process.kernel(low)
    return _denoised(problem, np.einsum("i,bid->bd", kernel.gain, states), float(kernel.variance))


def _solve(problem, velocity, first: float, last: float, start) -> np.ndarray:
    # All trajectories in the same steps, which fit the worst of them.
    controller = diffrax.PIDController(
        rtol=problem.tolerance, atol=problem.tolerance, norm=lambda error: jnp.max(jnp.abs(error))
    )

    @jax.jit
    def program(target, start):
        term = diffrax.ODETerm(velocity)
        solution = diffrax.diffeqsolve(
            term, diffrax.Dopri8(), first, last, -0.01, start, target, stepsize_controller=controller, max_steps=20_000
        )
        assert solution.ys is not None
        return solution.ys[0]

    return np.asarray(program(problem.precise, start))


def _denoised(problem: Problem, ys, variance: float) -> np.ndarray:
    program = jax.jit(lambda target, ys, v: jax.vmap(target.posterior_mean, (0, None))(ys, v))
    return np.asarray(program(problem.precise, jnp.asarray(ys, jnp.float64), jnp.asarray(variance, jnp.float64)))
