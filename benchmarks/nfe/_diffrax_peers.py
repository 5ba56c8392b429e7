"""Solvers of diffrax on the probability flow, in the noise level or in its logarithm, and on the reverse diffusion."""

import functools
import itertools
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ._entries import Entry, Outcome, Walk
from ._grids import SIGMA_MAX, SIGMA_MIN, levels
from ._problems import Problem

SOLVERS: dict[str, tuple[Any, int]] = {
    # Solver, evaluations a step. Those that begin a step with the last evaluation of the one before (FSAL) make one
    # more at the end: it is the final denoising.
    "Heun": (diffrax.Heun, 2),
    "Midpoint": (diffrax.Midpoint, 2),
    "Bosh3": (diffrax.Bosh3, 3),
    "Tsit5": (diffrax.Tsit5, 6),
}


def diffrax_entries() -> list[Entry]:
    return [
        Entry(f"diffrax {name}, {variable}", "diffrax", functools.partial(_flow_walk, *SOLVERS[name], variable))
        for name in SOLVERS
        for variable in ("sigma", "log sigma")
    ] + [Entry("diffrax Euler, reverse SDE", "diffrax", _sde_walk, noisy=True)]


def _flow_walk(solver_type: Any, cost: int, variable: str, problem: Problem) -> Walk:
    solver, logarithmic = solver_type(), variable == "log sigma"

    def velocity(u, ys, target):
        sigma = jnp.exp(u) if logarithmic else u
        slope = ys - jax.vmap(target.posterior_mean, (0, None))(ys, sigma**2)
        return slope if logarithmic else slope / sigma

    term = diffrax.ODETerm(velocity)

    @jax.jit
    def init(target, t0, t1, ys):
        return solver.init(term, t0, t1, ys, target)

    @jax.jit
    def step(target, t0, t1, ys, state):
        ys, _, _, state, _ = solver.step(term, t0, t1, ys, target, state, made_jump=False)
        return ys, state

    def go(grid: str, budget: int) -> Outcome | None:
        steps = (budget - 1) // cost
        if steps < 1:
            return None
        knots = levels(grid, steps)
        knots = (np.log(knots) if logarithmic else knots).astype(problem.dtype)
        ys = _start(problem)
        state = init(problem.target, knots[0], knots[1], ys)
        for t0, t1 in itertools.pairwise(knots):
            ys, state = step(problem.target, t0, t1, ys, state)
        return Outcome(problem.denoise(ys, SIGMA_MIN**2), steps * cost + 1)

    return go


class _Given(diffrax.AbstractPath):
    """A Brownian path whose increment is known."""

    increment: Any
    t0: Any = None
    t1: Any = None

    def evaluate(self, t0, t1=None, left=True, use_jump=False):
        return self.increment


def _sde_walk(problem: Problem) -> Walk:
    """Euler-Maruyama on dy = (y - D) / v dv + dW, in the variance v of the channel."""
    import lineax as lx

    def drift(v, y, target):
        return (y - target.posterior_mean(y, v)) / v

    def spread(v, y, target):
        return lx.IdentityLinearOperator(jax.ShapeDtypeStruct(y.shape, y.dtype))

    @jax.jit
    def step(target, v0, v1, ys, noise):
        def one(y, noise):
            path = _Given(jnp.sqrt(v0 - v1) * noise)
            terms = diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(spread, path))
            return diffrax.Euler().step(terms, v0, v1, y, target, None, made_jump=False)[0]

        return jax.vmap(one)(ys, noise)

    def go(grid: str, budget: int) -> Outcome | None:
        variances, ys = (levels(grid, budget - 1) ** 2).astype(problem.dtype), _start(problem)
        for i, (v0, v1) in enumerate(itertools.pairwise(variances)):
            ys = step(problem.target, v0, v1, ys, problem.batch.draw(i))
        return Outcome(problem.denoise(ys, SIGMA_MIN**2), budget)

    return go


def _start(problem: Problem) -> np.ndarray:
    return (problem.batch.clean + SIGMA_MAX * problem.batch.noise).astype(problem.dtype)
