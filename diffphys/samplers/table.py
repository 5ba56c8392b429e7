"""Samplers whose steps are linear in the state, in estimates of the data and in noises: a table of numbers."""

import abc
import functools
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import _block as block
from .._types import Draws, Scalar, State
from ..processes import AbstractProcess, Kernel
from ._checks import check_steps
from .base import AbstractSampler, made_once
from .combination import Combination, Estimate, Terms, combine_channels, combine_states

if TYPE_CHECKING:
    # As in `base`: an import from there would not be known for what it is.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class Stage(NamedTuple):
    """One call of the denoiser: on which combination, at which variance."""

    variance: Any
    channel: Terms


class Row(NamedTuple):
    """One step: its calls of the denoiser, the state it ends in, and the predictions it leaves for later steps."""

    stages: tuple[Stage, ...]
    state: Terms
    memory: tuple[Terms, ...]
    slot: Any = None
    """Where the predictions are kept; None as long as past ones are counted from the step, the latest first."""


Carry: TypeAlias = tuple[State, Float[Array, "slots ..."]]
"""The state, and the remembered predictions."""


class Step:
    """A step `t -> s` as its author writes it down; see `AbstractTableSampler.compose`.

    Attributes:
        process: the forward process, on the host.
        ts: the whole grid.
        i: the number of the step.
        t, s: where it starts and where it ends, s < t.
        z: the state at t.
        shared: what the sampler has prepared for all steps.
    """

    def __init__(
        self,
        process: AbstractProcess,
        ts: Float[np.ndarray, " n"],
        i: int,
        kernels: dict[float, Kernel],
        shared: Any = None,
    ):
        self.process, self.ts, self.i, self.shared = process, ts, i, shared
        self.t, self.s = float(ts[i]), float(ts[i + 1])
        self._identity = block.identity_like(process.start()[1])
        self.z = Combination({("state", 0): self._identity})
        self._kernels = kernels
        self._stages: list[Stage] = []
        self._memory: tuple[Terms, ...] = ()

    def kernel(self, t: float) -> Kernel:
        """The law of the state at a time given the data; made once a time."""
        if t not in self._kernels:
            self._kernels[t] = self.process.kernel(t)
        return self._kernels[t]

    def noise(self, j: int = 0) -> Combination:
        """The standard normal noise number j of the step."""
        return Combination({("noise", j): self._identity})

    def past(self, k: int) -> Combination:
        """What was remembered k steps ago, k >= 1; there are `i` of them at most."""
        return Combination({("past", k - 1): self._identity})

    def remember(self, *predictions: Combination):
        """Leaves predictions for later steps; of several, `past` counts each."""
        self._memory = tuple(prediction.terms for prediction in predictions)

    def denoise(self, z: Combination, t: float) -> Estimate:
        """Asks for E[a | z] at time t: one evaluation."""
        kernel = self.kernel(t)
        return self.ask(z.project(kernel.gain), kernel.variance)

    def ask(self, channel: Terms, variance: Scalar) -> Estimate:
        """Asks for E[a | y] of an observation of any noise variance, at whatever time: one evaluation."""
        self._stages.append(Stage(variance, channel))
        return Estimate(len(self._stages) - 1)

    def score(self, z: Combination, t: float, estimate: Estimate | None = None) -> Combination:
        """The score at time t, by one evaluation unless an estimate is given."""
        kernel = self.kernel(t)
        estimate = self.denoise(z, t) if estimate is None else estimate
        return kernel.precision @ (kernel.mean * estimate - z)

    def row(self, end: Combination) -> Row:
        """The numbers of the step that ends in `end`."""
        return Row(tuple(self._stages), end.terms, self._memory)


class AbstractTableSampler(AbstractSampler):
    """A sampler given by `compose` alone: one step written down, from which the table of all steps is made.

    A subclass says how many evaluations and draws a step has, and how many predictions of earlier steps it
    remembers. The carry of the loop is the state and those predictions, each in the slot that it was written to.
    """

    history: AbstractClassVar[int]
    """How many predictions of earlier steps are remembered; the first steps have fewer, and must do with them."""

    @property
    def leaves(self) -> int:
        """How many predictions a step leaves for later ones."""
        return min(1, self.history)

    @abc.abstractmethod
    def compose(self, step: Step) -> Combination:
        """The state at `step.s`, as a combination of `step.z` and of what the step asks for."""

    def prepare(self, process: AbstractProcess, ts: Float[np.ndarray, " n"]) -> Any:
        """What all steps share and is better made for the whole grid at once; by default nothing."""

    def coordinates(self, ts: Float[np.ndarray, " n"]) -> Float[np.ndarray, "steps k k"]:
        r"""$A_t^{-1} A_s$ of each step t -> s, A z the coordinates that its stability is told in: the drift undone."""
        process = self.process.on_host()
        return np.stack([np.atleast_2d(process.transition(s, t)[0]) for t, s in itertools.pairwise(ts)])

    def table(self, ts: Float[np.ndarray, " n"]) -> Row:
        """The coefficients of the steps as they were written down, past predictions counted from each step."""
        process = self.process.on_host()
        kernels: dict[float, Kernel] = {}
        shared = self.prepare(process, ts)
        steps = [Step(process, ts, i, kernels, shared) for i in range(len(ts) - 1)]
        rows = [step.row(self.compose(step)) for step in steps]
        check_steps(self, len(rows), self.history // max(1, self.leaves))
        return _stack(rows)

    def plan(self, ts: Float[np.ndarray, " n"]) -> Row:
        row = _with_diagonals(self.table(ts))
        return _in_slots(_recalling(row), self.history + self.leaves, self.leaves) if self.leaves else row

    def init(self, z: State) -> Carry:
        return z, jnp.broadcast_to(0 * z, (self.history + self.leaves, *z.shape))

    def step(self, row: Row, carry: Carry, noise: Draws) -> Carry:
        z, past = carry
        # What the denoiser sees of it the state has too, and each row of a block reads all of its rows.
        draws = [("noise", j) for j in range(self.draws)]
        seen = any(draw in stage.channel for stage in row.stages for draw in draws)
        if seen or any(np.ndim(row.state.get(draw, 0.0)) > 1 for draw in draws):
            noise = made_once(noise, row.stages[0].variance)
        operands = {"state": (z,), "past": past, "noise": noise, "data": []}
        for stage in row.stages:
            operands["data"].append(self.denoise(combine_channels(stage.channel, operands), stage.variance))
        if row.slot is not None:
            new = jnp.stack([combine_states(terms, operands) for terms in row.memory])
            # Before the state is made, which reads the others: then XLA writes in place, and copies nothing.
            past = jax.lax.dynamic_update_slice_in_dim(past, new, row.slot.astype(int), 0)
            operands["past"] = past
        return combine_states(row.state, operands), past

    def state(self, carry: Carry) -> State:
        return carry[0]


def _stack(rows: list[Row]) -> Row:
    """Rows on a leading axis. A term that a step lacks, as the first ones do, has the coefficient 0."""
    stages = zip(*[row.stages for row in rows], strict=True)
    return Row(
        tuple(Stage(np.stack([s.variance for s in same]), _stack_terms([s.channel for s in same])) for same in stages),
        _stack_terms([row.state for row in rows]),
        tuple(_stack_terms(list(same)) for same in zip(*[row.memory for row in rows], strict=True)),
    )


def _with_diagonals(row: Row) -> Row:
    """The table with blocks of noise that are diagonal as their diagonals: then no row reads the noise of another."""

    def diagonal(block: Any) -> Any:
        k = np.shape(block)[-1]
        mixes = np.ndim(block) < 3 or np.any(block[:, ~np.eye(k, dtype=bool)])
        return block if mixes else block[:, np.arange(k), np.arange(k)]

    return row._replace(state={term: diagonal(value) if term[0] == "noise" else value
                               for term, value in row.state.items()})  # fmt: skip


def _recalling(row: Row) -> Row:
    """The table with the states made of the latest prediction, 0 steps ago, in place of an estimate that it holds.

    The prediction is in a slot by then, and all slots are read: so the estimate need not be. Blocks are let alone: what
    an estimate is lifted by does not say by which block its prediction was multiplied.
    """
    terms, *others = row.memory
    share = terms.get(("data", 0))
    if others or share is None or share.ndim > 1 or not share.all() or ("data", 0) not in row.state:
        return row
    weight = row.state["data", 0] / share
    state = {term: row.state.get(term, 0.0) - weight * terms.get(term, 0.0) for term in {**row.state, **terms}}
    del state["data", 0]
    return row._replace(state=state | {("past", -1): weight})


def _in_slots(row: Row, slots: int, new: int) -> Row:
    """The table with past predictions under the slots they were written to, in turn, so that none is ever moved."""
    starts = new * np.arange(len(row.stages[0].variance)) % slots

    def turned(terms: Terms) -> Terms:
        found = {term: coefficient for term, coefficient in terms.items() if term[0] != "past"}
        for (kind, age), coefficient in terms.items():
            if kind == "past":
                at = (starts - (age // new + 1) * new) % slots + age % new
                for slot in range(slots):
                    here = np.reshape(at == slot, (-1, *(1,) * (coefficient.ndim - 1)))
                    found["past", slot] = found.get(("past", slot), 0.0) + here * coefficient
        return found

    stages = tuple(Stage(stage.variance, turned(stage.channel)) for stage in row.stages)
    return Row(stages, turned(row.state), tuple(turned(terms) for terms in row.memory), starts.astype(np.float64))


def _stack_terms(dicts: list[Terms]) -> Terms:
    found: Terms = functools.reduce(lambda one, other: other | one, dicts, {})
    return {
        term: np.stack([np.asarray(terms.get(term, np.zeros_like(like)), np.float64) for terms in dicts])
        for term, like in found.items()
    }
