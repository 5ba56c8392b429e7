"""The pseudo linear multistep method: classical weights in place of those of the grid, after a start of its own."""

from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from .._types import Denoiser, Draws, State
from ..processes import AbstractProcess
from ._checks import check_overdamped, check_steps
from .base import AbstractSampler
from .channel import AbstractChannelSampler, ChannelStep, weigh
from .combination import Combination
from .table import Carry, Row

_CLASSICAL = (
    np.array([1.0]),
    np.array([3.0, -1.0]) / 2,
    np.array([23.0, -16.0, 5.0]) / 12,
    np.array([55.0, -59.0, 37.0, -9.0]) / 24,
)
_WARM_UP = 3


class _Adams(AbstractChannelSampler):
    """The steps of one evaluation, the first of them with the weights of lower orders."""

    process: AbstractProcess
    denoise: Denoiser
    is_time_reversal = False
    draws = 0
    evaluations = 1
    history = 3

    def advance(self, step: ChannelStep) -> Combination:
        predictions = step.recall(step.noise(), 4)
        return step.y + (step.rho_s - step.rho) * weigh(_CLASSICAL[len(predictions) - 1], predictions)


class _RungeKutta(AbstractChannelSampler):
    """The steps of the start, of four evaluations; the first of them is remembered."""

    process: AbstractProcess
    denoise: Denoiser
    is_time_reversal = False
    draws = 0
    evaluations = 4
    history = 3

    def advance(self, step: ChannelStep) -> Combination:
        length, middle = step.rho_s - step.rho, 0.5 * (step.rho + step.rho_s)
        (first,) = step.recall(step.noise(), 1)
        second = step.noise(step.y + 0.5 * length * first, middle)
        third = step.noise(step.y + 0.5 * length * second, middle)
        last = step.noise(step.y + length * third, step.rho_s)
        return step.y + length / 6 * (first + 2.0 * second + 2.0 * third + last)


class _Rows(NamedTuple):
    """The table of the start and that of the rest, both of all steps, and which of them a step takes."""

    starts: np.ndarray
    start: Row | None
    rest: Row


class PNDM(AbstractSampler):
    r"""The pseudo linear multistep method: classical Adams-Bashforth weights on noise, and the step of `DDIM`.

    $$ y_s = y + (\rho_s - \rho_t)\,\tfrac{1}{24} (55\,\hat\varepsilon_0 - 59\,\hat\varepsilon_1
       + 37\,\hat\varepsilon_2 - 9\,\hat\varepsilon_3), $$

    $\hat\varepsilon_k$ the prediction k steps ago. One evaluation a step, but four in each of the first three, which
    are those of Runge and Kutta: `calls(steps)` is `steps + 9`. Order 4 on grids uniform in $\rho$; the weights do not
    know of the grid, so the order is 2 on other smooth ones.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        warm_up: the start of the paper; false for that of the PLMS sampler of latent diffusion (`skip_prk_steps` in
            diffusers), the weights of orders 1 to 3 in the first three steps, at one evaluation each.

    Reference:
        Liu, Ren, Lin, Zhao, "Pseudo numerical methods for diffusion models on manifolds" (2022), eqs. 11 to 13 and
        algorithm 2. There a step of the start has its middle in time, here in the noise level, where its rule is of
        order 4.
    """

    process: AbstractProcess
    denoise: Denoiser
    warm_up: bool = eqx.field(static=True, default=True)
    is_time_reversal = False
    draws = 0
    evaluations = 1

    def __check_init__(self):
        check_overdamped(self, self.process)

    def calls(self, steps: int) -> int:
        return steps + _WARM_UP * 3 if self.warm_up else steps

    def plan(self, ts: Float[np.ndarray, " n"]) -> _Rows:
        check_steps(self, len(ts) - 1, _WARM_UP)
        start, rest = self._parts()
        starts = (np.arange(len(ts) - 1) < _WARM_UP).astype(np.float64)
        return _Rows(starts, start.plan(ts) if self.warm_up else None, rest.plan(ts))

    def init(self, z: State) -> Carry:
        return self._parts()[1].init(z)

    def step(self, row: _Rows, carry: Carry, noise: Draws) -> Carry:
        start, rest = self._parts()
        first = row.start
        if first is None:
            return rest.step(row.rest, carry, noise)
        # A branch, so that a step pays for no evaluation but its own.
        return jax.lax.cond(
            row.starts > 0, lambda: start.step(first, carry, noise), lambda: rest.step(row.rest, carry, noise)
        )

    def state(self, carry: Carry) -> State:
        return self._parts()[1].state(carry)

    def _parts(self) -> tuple[_RungeKutta, _Adams]:
        return _RungeKutta(self.process, self.denoise), _Adams(self.process, self.denoise)
