"""Splitting integrators of the probability flow in phase space: position and momentum take turns."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .. import _block as block
from .._types import Denoiser
from ..processes import AbstractStationaryProcess
from ._checks import check_phase_space
from .combination import Combination
from .table import AbstractTableSampler, Step

POSITION, MOMENTUM = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
"""The part of the velocity that each sub-flow keeps."""


class Velocity(NamedTuple):
    r"""The velocity $Q\,\nabla\log p_t - F z$ down in time, linear in the state and its score."""

    drift: Float[np.ndarray, "2 2"]
    force: Float[np.ndarray, "2 2"]

    def move(self, part: Float[np.ndarray, "2 2"], z: Combination, score: Combination, h: float) -> Combination:
        """One Euler step of one variable, the other held."""
        return z + h * (part @ (self.force @ score - self.drift @ z))


def euler_step(step: Step, z: Combination, velocity: Callable[[float], Velocity], reduced: bool) -> Combination:
    """The momentum over the step, then the position; where it is not `reduced`, with a score of its own each."""
    h, now = step.t - step.s, velocity(step.t)
    score = step.score(z, step.t)
    z = now.move(MOMENTUM, z, score, h)
    if not reduced:
        score = step.score(z, step.t)
    return now.move(POSITION, z, score, h)


def verlet_step(step: Step, z: Combination, velocity: Callable[[float], Velocity], reduced: bool) -> Combination:
    """Half a step of momentum, one of position, half a step of momentum: at the time that this ends in if `reduced`.

    If not, the position asks for a score of its own, and the last half stays at the time that the step starts at.
    """
    h, now = step.t - step.s, velocity(step.t)
    score = step.score(z, step.t)
    z = now.move(MOMENTUM, z, score, 0.5 * h)
    if not reduced:
        score = step.score(z, step.t)
    z = now.move(POSITION, z, score, h)
    t = step.s if reduced else step.t
    return velocity(t).move(MOMENTUM, z, step.score(z, t), 0.5 * h)


def _velocity(step: Step, t: float) -> Velocity:
    """The velocity of the probability flow at a time."""
    drift, noise = map(np.asarray, step.process.coefficients(t))
    return Velocity(drift, 0.5 * block.outer(noise))


class SymplecticEuler(AbstractTableSampler):
    r"""Symplectic Euler on the probability flow: the momentum first, then the position with the new momentum.

    With $\dot x = A(x, p, s_x)$, $\dot p = B(x, p, s_p)$ the flow down in time and $(s_x, s_p)$ the score at t,

    $$ p' = p + h B(x, p, s_p(x, p)), \qquad x' = x + h A(x, p', s_x(x, p)). $$

    This is RSE, the reduced scheme: one evaluation, shared. NSE, the naive one, asks for $s_x(x, p')$ anew.
    For phase-space Langevin $A = \tfrac\beta2(\Gamma x - M^{-1} p + \Gamma s_x)$,
    $B = \tfrac\beta2(x + \nu p + M \nu s_p)$; at $\Gamma = 0$ the two schemes are one. Order 1.

    Args:
        process: a stationary process of position and momentum.
        denoise: `(y, v) -> E[a | y]`.
        reduced: RSE if true, NSE if not.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
    """

    process: AbstractStationaryProcess
    denoise: Denoiser
    reduced: bool = eqx.field(static=True, default=True)
    is_time_reversal = False
    draws = 0
    history = 0

    def __check_init__(self):
        check_phase_space(self, self.process)

    @property
    def evaluations(self) -> int:
        return 1 if self.reduced else 2

    def compose(self, step: Step) -> Combination:
        return euler_step(step, step.z, partial(_velocity, step), self.reduced)


class VelocityVerlet(AbstractTableSampler):
    r"""Velocity Verlet on the probability flow: half a step of momentum, one of position, half a step of momentum.

    In the notation of `SymplecticEuler`,

    $$ p_{1/2} = p + \tfrac h2 B(x, p, s_p(x, p, t)), \quad x' = x + h A(x, p_{1/2}, s_x(x, p, t)), \quad
       p' = p_{1/2} + \tfrac h2 B(x', p_{1/2}, s_p(x', p_{1/2}, t - h)). $$

    This is RVV, the reduced scheme: two evaluations, the last half step at the time it ends in. NVV, the naive one,
    asks for $s_x(x, p_{1/2}, t)$ anew and stays at t in the last half step: three evaluations.
    Order 1, with a small constant: 2 only where the velocity of the momentum holds neither momentum nor time.

    Args:
        process: a stationary process of position and momentum.
        denoise: `(y, v) -> E[a | y]`.
        reduced: RVV if true, NVV if not.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
    """

    process: AbstractStationaryProcess
    denoise: Denoiser
    reduced: bool = eqx.field(static=True, default=True)
    is_time_reversal = False
    draws = 0
    history = 0

    def __check_init__(self):
        check_phase_space(self, self.process)

    @property
    def evaluations(self) -> int:
        return 2 if self.reduced else 3

    def compose(self, step: Step) -> Combination:
        return verlet_step(step, step.z, partial(_velocity, step), self.reduced)
