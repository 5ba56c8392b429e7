"""Steps of samplers on all trajectories of a problem, compiled: one program for as many samplers as it can serve."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

import diffphys as dp
from diffphys.samplers.combination import Combination, Term, Terms
from diffphys.samplers.table import Row, Stage

from ._grids import Clock
from ._problems import Problem

_SLOTS = 5
"""Room for remembered predictions: as many as the longest past here takes."""


class Runner(NamedTuple):
    """A compiled sampler: its rows from a plan, its carry from states, a step, and the states in a carry."""

    rows: Callable[[Any], Any]
    init: Callable[[Any], Any]
    step: Callable[[Any, Any, Any], Any]
    state: Callable[[Any], Any]


class _Table(dp.AbstractTableSampler):
    """Whatever a table says, with room for a longer past than most have: it runs the tables of others."""

    process: dp.AbstractProcess
    denoise: Any
    draws: int = eqx.field(static=True, default=0)
    evaluations: int = eqx.field(static=True, default=1)
    is_time_reversal = False
    history = _SLOTS - 1

    def compose(self, step: dp.Step) -> Combination:
        raise NotImplementedError("A table that is there already is not composed.")


def runner_of(sampler: dp.AbstractSampler, setting: Callable[[], tuple[Any, Clock]], problem: Problem) -> Runner:
    """The sampler on a problem. Those that have a table, with as many evaluations and noises, share one program.

    A denoiser takes seconds to compile, and there are some seventy samplers.
    """
    if not isinstance(sampler, dp.AbstractTableSampler) or sampler.leaves > 1:
        return own(sampler)
    shared = _shared(problem, setting, sampler.draws, sampler.evaluations)
    return shared._replace(rows=lambda plan: filled(plan, sampler.draws))


@functools.cache
def _shared(problem: Problem, setting: Callable[[], tuple[Any, Clock]], draws: int, evaluations: int) -> Runner:
    return own(_Table(setting()[0], problem.target.posterior_mean, draws, evaluations))


def own(sampler: dp.AbstractSampler) -> Runner:
    """The sampler in a program of its own."""
    arrays, static = eqx.partition(sampler, eqx.is_array)

    @jax.jit
    def init(arrays, states):
        return jax.vmap(eqx.combine(arrays, static).init)(states)

    @jax.jit
    def step(arrays, row, carry, noise):
        return jax.vmap(eqx.combine(arrays, static).step, in_axes=(None, 0, 0))(row, carry, noise)

    return Runner(
        lambda plan: plan, functools.partial(init, arrays), functools.partial(step, arrays), jax.vmap(sampler.state)
    )


def filled(row: Row, draws: int) -> Row:
    """The table with every term that any could have: those that it has not, with the coefficient 0."""
    steps, k = len(row.stages[0].variance), np.shape(row.state["state", 0])[1:]
    block, lift = np.zeros((steps, *k)), np.zeros((steps, *k[:1]))
    others = [("state", 0), *(("noise", j) for j in range(draws)), *(("past", slot) for slot in range(_SLOTS))]

    def fill(terms: Terms, other: Any, data: Any, stages: int) -> Terms:
        every: dict[Term, Any] = dict.fromkeys(others, other) | {("data", i): data for i in range(stages)}
        return every | terms

    count = len(row.stages)
    stages = tuple(Stage(s.variance, fill(s.channel, lift, np.zeros(steps), i)) for i, s in enumerate(row.stages))
    memory = tuple(fill(terms, block, lift, count) for terms in row.memory or ({},))
    slot = np.zeros(steps) if row.slot is None else row.slot
    return Row(stages, fill(row.state, block, lift, count), memory, slot)
