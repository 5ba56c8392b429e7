"""The probability flow, by Heun's rule."""

from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from .. import _block as block
from .._types import Block, Denoiser, Lift, Scalar, State
from ..processes import AbstractProcess
from .base import AbstractSampler


class FlowRow(NamedTuple):
    r"""The field at one time, $\dot z = A z + b \otimes \hat a(y, v)$ with $y = w^\top z$."""

    gain: Lift
    """w."""
    variance: Scalar
    """v."""
    linear: Block
    """A."""
    pull: Lift
    """b."""


class ProbabilityFlow(AbstractSampler):
    r"""The flow $\dot z = F z - \tfrac12 G G^\top \nabla\log p_t(z)$ by Heun's rule: order 2, two evaluations a step.

    It has the marginals of the process and none of its noise: a deterministic map from noise to data.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eq. 13.
    """

    process: AbstractProcess
    denoise: Denoiser
    is_time_reversal: bool = eqx.field(static=True, init=False, default=False)
    draws: int = eqx.field(static=True, init=False, default=0)
    evaluations: int = eqx.field(static=True, init=False, default=2)

    def plan(self, ts: Float[np.ndarray, " n"]) -> tuple[np.ndarray, FlowRow, FlowRow]:
        process = self.process.on_host()
        fields = jax.tree.map(lambda *leaves: np.stack(leaves), *[_field(process, t) for t in ts])
        starts, ends = (jax.tree.map(lambda leaf, cut=cut: leaf[cut], fields) for cut in (slice(-1), slice(1, None)))
        return np.diff(ts), starts, ends

    def init(self, z: State) -> State:
        return z

    def step(self, row: tuple[Scalar, FlowRow, FlowRow], carry: State, noise: Float[Array, "draws ..."]) -> State:
        h, start, end = row
        first = self._velocity(start, carry)
        return carry + 0.5 * h * (first + self._velocity(end, carry + h * first))

    def _velocity(self, field: FlowRow, z: State) -> State:
        data = self.denoise(block.project(field.gain, z), field.variance)
        return block.apply(field.linear, z) + block.lift(field.pull, data)


def _field(process: AbstractProcess, t: float) -> FlowRow:
    drift, noise = process.coefficients(t)
    kernel = process.kernel(t)
    force = 0.5 * block.matmul(block.outer(noise), kernel.precision)
    return FlowRow(kernel.gain, kernel.variance, drift + force, -block.matmul(force, kernel.mean))
