"""Processes whose rate changes in time: a process run by another clock."""

import abc

import equinox as eqx
import numpy as np

from .. import _block as block
from .._types import Block, Lift, Scalar
from .base import AbstractProcess, AbstractStationaryProcess, Kernel, check_order


class AbstractSchedule(eqx.Module):
    r"""A rate $\beta(t) \ge 0$ and the clock that it drives, $b(t) = \int_0^t \beta$, strictly increasing.

    Given Python or NumPy numbers both are NumPy float64; given jax arrays, they are jax arrays of that dtype.
    """

    @abc.abstractmethod
    def rate(self, t: Scalar) -> Scalar:
        r"""$\beta(t)$."""

    @abc.abstractmethod
    def clock(self, t: Scalar) -> Scalar:
        r"""$b(t)$: the time that the process has lived at `t`."""


class LinearSchedule(AbstractSchedule):
    r"""$\beta(t) = \beta_0 + (\beta_1 - \beta_0)\,t$, so that $b(t) = \beta_0 t + \tfrac12 (\beta_1 - \beta_0)\,t^2$.

    For phase-space Langevin of `beta = 1` these are the betas of the papers. For Ornstein-Uhlenbeck they are half of
    those of the variance-preserving process, whose drift is $-\tfrac12 \beta x$: (0.05, 10) for its (0.1, 20).

    Args:
        start: $\beta_0$, the rate at 0.
        end: $\beta_1 \ge \beta_0$, the rate at 1.

    Raises:
        ValueError: unless `0 <= start <= end`, `end` finite and above 0.

    Reference:
        Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eq. 32.
    """

    start: Scalar
    end: Scalar

    def __init__(self, start: Scalar, end: Scalar):
        self.start, self.end = block.parameter(start), block.parameter(end)
        if any(map(block.fails, (self.start >= 0, self.end >= self.start, self.end > 0, self.end < np.inf))):
            raise ValueError(
                "`LinearSchedule` needs finite rates 0 <= `start` <= `end`, `end` above 0: a clock that runs on. "
                f"Got {self.start} and {self.end}."
            )

    def rate(self, t: Scalar) -> Scalar:
        _, (t, start, end) = block.scalars(t, self.start, self.end)
        return start + (end - start) * t

    def clock(self, t: Scalar) -> Scalar:
        _, (t, start, end) = block.scalars(t, self.start, self.end)
        return t * (start + 0.5 * (end - start) * t)


class AbstractScheduled(AbstractProcess):
    r"""A linear process at the time that a clock shows: $dz = \beta F(b)\,z\,dt + \sqrt{\beta}\,G(b)\,dW$."""

    process: eqx.AbstractVar[AbstractProcess]
    schedule: eqx.AbstractVar[AbstractSchedule]

    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        drift, noise = self.process.coefficients(self.schedule.clock(t))
        xp, (rate, drift, noise) = block.scalars(self.schedule.rate(t), drift, noise)
        return rate * drift, xp.sqrt(rate) * noise

    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        check_order(s, t)
        return self.process.transition(self.schedule.clock(s), self.schedule.clock(t))

    def start(self) -> tuple[Lift, Block]:
        return self.process.start()

    def kernel(self, t: Scalar) -> Kernel:
        check_order(0.0, t)
        return self.process.kernel(self.schedule.clock(t))


class Scheduled(AbstractScheduled):
    r"""Any linear process with a rate that changes in time.

    $$ dz = \beta(t)\,F(b_t)\,z\,dt + \sqrt{\beta(t)}\,G(b_t)\,dW, \qquad b_t = \int_0^t \beta, $$

    F and G those of `process`. Its laws are those of `process` at times $b_t$, so nothing is integrated. The law of
    a path, and an exact denoiser, do not need it: a grid of other times is the same. What is stated per unit
    of time does: the damping of a sampler, a polynomial in time through past steps.

    Args:
        process: the process at rate 1.
        schedule: the rate and its clock.
    """

    process: AbstractProcess
    schedule: AbstractSchedule


class ScheduledStationary(AbstractScheduled, AbstractStationaryProcess):
    """`Scheduled`, of a process that relaxes to a stationary law: it relaxes to the same.

    Args:
        process: the stationary process at rate 1.
        schedule: the rate and its clock.
    """

    process: AbstractStationaryProcess
    schedule: AbstractSchedule

    def stationary(self) -> Block:
        return self.process.stationary()
