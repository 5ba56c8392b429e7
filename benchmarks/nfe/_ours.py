"""The samplers of this package: to add one, add a line to `OVERDAMPED` or to `PHASE_SPACE`."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

import diffphys as dp

from ._entries import Entry, Family, Outcome, Walk
from ._grids import LEVELS, QUADRATIC, Clock
from ._problems import Problem

Build = Callable[[Any, Any], dp.AbstractSampler]

OVERDAMPED: dict[str, Build] = {
    "ReverseSDE": lambda process, denoise: dp.ReverseSDE(process, denoise),
    "ReverseSDE, no noise": lambda process, denoise: dp.ReverseSDE(process, denoise, noise_level=0.0),
    "Bridge": lambda process, denoise: dp.Bridge(process, denoise),
    "ProbabilityFlow": lambda process, denoise: dp.ProbabilityFlow(process, denoise),
}

PHASE_SPACE: dict[str, Build] = {
    "PSLD ReverseSDE": lambda process, denoise: dp.ReverseSDE(process, denoise),
    "PSLD ReverseSDE, no noise": lambda process, denoise: dp.ReverseSDE(process, denoise, noise_level=0.0),
    "PSLD Bridge": lambda process, denoise: dp.Bridge(process, denoise),
    "PSLD ProbabilityFlow": lambda process, denoise: dp.ProbabilityFlow(process, denoise),
}

CONJUGATE: dict[str, Build] = {}

NONLINEAR: frozenset[str] = frozenset()
"""Samplers whose step sizes depend on the state."""


@functools.cache
def overdamped() -> tuple[dp.AbstractProcess, Clock]:
    """The process of overdamped samplers, and its clock. In units of the data all such processes are one."""
    process = dp.OrnsteinUhlenbeck()
    return process, Clock(process)


@functools.cache
def phase_space() -> tuple[dp.AbstractProcess, Clock]:
    """The process of the others, and its clock."""
    process = dp.PhaseSpaceLangevin()
    return process, Clock(process)


def entries() -> list[Entry]:
    """All of them."""
    line = functools.partial(_entry, overdamped, "overdamped", tuple(LEVELS))
    found = [line(name, build) for name, build in OVERDAMPED.items()]
    families: list[tuple[Family, dict[str, Build]]] = [
        ("phase space", PHASE_SPACE), ("phase-space conjugate", CONJUGATE),
    ]  # fmt: skip
    for family, builds in families:
        line = functools.partial(_entry, phase_space, family, (*LEVELS, QUADRATIC))
        found += [line(name, build) for name, build in builds.items()]
    return found


def _entry(
    setting: Callable[[], tuple[Any, Clock]], family: Family, grids: tuple[str, ...], name: str, build: Build
) -> Entry:
    noisy = build(setting()[0], lambda y, v: y).draws > 0
    return Entry(
        name, "diffphys", functools.partial(walk, setting, build), family, noisy, name in NONLINEAR, grids
    )  # fmt: skip


def walk(setting: Callable[[], tuple[Any, Clock]], build: Build, problem: Problem) -> Walk:
    """One step compiled, then called down each grid: every sampler of the package is such a step."""
    process, clock = setting()
    sampler = build(process, problem.target.posterior_mean)
    variables = np.size(process.start()[0]) if np.ndim(process.start()[0]) else 0
    arrays, static = eqx.partition(sampler, eqx.is_array)

    @jax.jit
    def init(arrays, states):
        return jax.vmap(eqx.combine(arrays, static).init)(states)

    @jax.jit
    def step(arrays, row, carry, noise):
        return jax.vmap(eqx.combine(arrays, static).step, in_axes=(None, 0, 0))(row, carry, noise)

    def go(grid: str, budget: int) -> Outcome | None:
        steps = (budget - 1) // sampler.evaluations
        if steps < 1:
            return None
        ts = np.array(clock.times(grid, steps))
        try:
            plan = sampler.plan(ts)
        except ValueError:  # Fewer steps than the sampler has a past.
            return None
        rows = jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype), plan)
        batch = problem.batch
        carry = init(arrays, batch.start(process.kernel(ts[0])))
        for i in range(steps):
            drawn = [batch.draw(i * sampler.draws + j, variables) for j in range(sampler.draws)]
            shape = (len(batch.clean), *((variables,) if variables else ()), batch.clean.shape[1])
            noise = np.stack(drawn, axis=1) if drawn else np.zeros((shape[0], 0, *shape[1:]), problem.dtype)
            carry = step(arrays, jax.tree.map(lambda leaf, i=i: leaf[i], rows), carry, noise)
        states = np.asarray(sampler.state(carry))
        kernel = process.kernel(ts[-1])
        ys = np.einsum("i,bid->bd", kernel.gain, states) if variables else kernel.gain * states
        return Outcome(problem.denoise(ys, float(kernel.variance)), steps * sampler.evaluations + 1)

    return go
