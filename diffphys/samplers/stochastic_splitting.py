"""Splitting integrators of the reverse diffusion in phase space: friction and noise, momentum, position."""

from functools import partial
from typing import Any, cast

import equinox as eqx
import numpy as np

from .. import _block as block
from .._quadrature import gauss_legendre
from .._types import Denoiser
from ..processes import AbstractStationaryProcess
from ._checks import check_phase_space
from .combination import Combination
from .splitting import Velocity, euler_step, verlet_step
from .table import AbstractTableSampler, Step


class NoiseControl(eqx.Module):
    r"""Another variance for the noise that a step gives to the position, instead of $1 - e^{-h \beta \Gamma}$.

    $$ 1 - e^{-\eta\,h\,\beta\Gamma} \quad \text{(per step)}, \qquad
       1 - e^{-\lambda_s\,\bar t\,\beta\Gamma}, \quad \bar t = t - \tfrac h2 \quad \text{(not per step)}. $$

    The second is the noise-control parameter $\lambda_s$ of the paper, as it is recalled. It does not shrink with the
    step, so at a fixed $\lambda_s$ a finer grid is worse without bound: tune it to each number of steps. The first
    is consistent: it has a limit as steps shrink, the reverse diffusion at $\eta = 1$ and one of more or less noise, of
    other marginals, at another value. Both make up for the spread of the position that a coarse splitting loses.

    Args:
        level: $\eta$ or $\lambda_s$, at least 0; $\eta = 1$ changes nothing.
        per_step: the consistent form; false for the $\lambda_s$ of the paper.

    Raises:
        ValueError: if `level` is negative or not finite.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
    """

    level: float = eqx.field(static=True)
    per_step: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if not 0 <= self.level < np.inf:
            raise ValueError(f"`NoiseControl` needs a finite `level >= 0`. Got {self.level}.")

    def decay(self, step: Step, decay: Any) -> Any:
        """The log of the share of the variance of the position that the noise leaves."""
        if self.per_step:
            return self.level * 2 * decay[0]
        return self.level * (step.t + step.s) * np.diag(step.process.coefficients(step.t)[0])[0]


class OBA(AbstractTableSampler):
    r"""Splitting of the reverse diffusion: friction and noise (O), then the momentum (B), then the position (A).

    For phase-space Langevin, down in time,

    $$ A:\ \dot x = \tfrac\beta2 (2\Gamma x - M^{-1} p + 2\Gamma s_x), \qquad
       B:\ \dot p = \tfrac\beta2 (x + 2\nu p + 2 M\nu s_p), $$
    $$ O:\ dx = -\tfrac{\beta\Gamma}2 x\,dt + \sqrt{\beta\Gamma}\,dW_x, \quad
           dp = -\tfrac{\beta\nu}2 p\,dt + \sqrt{M\nu\beta}\,dW_p. $$

    A and B by Euler steps; O exactly, $z_i \to e^{\int F_{ii}} z_i + \sqrt{S_{ii} (1 - e^{2\int F_{ii}})}\,\xi_i$,
    which keeps the stationary law. This is ROBA, the reduced scheme: one evaluation after O, which B and A share. NOBA,
    the naive one, asks for the score anew before A. Weak order 1.

    Args:
        process: a stationary process of position and momentum.
        denoise: `(y, v) -> E[a | y]`.
        reduced: ROBA if true, NOBA if not.
        position_noise: another noise for the position in O, `NoiseControl`; by default its own.

    Raises:
        ValueError: from `plan`, if noise or stationary law correlate position and momentum.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
    """

    process: AbstractStationaryProcess
    denoise: Denoiser
    reduced: bool = eqx.field(static=True, default=True)
    position_noise: NoiseControl | None = None
    draws = 1
    history = 0

    def __check_init__(self):
        check_phase_space(self, self.process)
        _check_control(self, self.position_noise)

    @property
    def is_time_reversal(self) -> bool:
        return self.position_noise is None or self.position_noise == NoiseControl(1.0)

    @property
    def evaluations(self) -> int:
        return 1 if self.reduced else 2

    def compose(self, step: Step) -> Combination:
        z = _relaxed(step, self.position_noise)
        return euler_step(step, z, partial(_velocity, self, step), self.reduced)


class OBAB(AbstractTableSampler):
    r"""Splitting of the reverse diffusion as `OBA`, the momentum in two half steps about the position.

    O over the step, B over half of it and A over all of it with one score between them, then B over the other half
    with the score at the time the step ends in: ROBAB, two evaluations. The naive scheme, NOBAB, asks for the score
    anew before A and stays at t: three. Weak order 1.

    Args:
        process: a stationary process of position and momentum.
        denoise: `(y, v) -> E[a | y]`.
        reduced: ROBAB if true, NOBAB if not.
        position_noise: another noise for the position in O, `NoiseControl`; by default its own.

    Raises:
        ValueError: from `plan`, if noise or stationary law correlate position and momentum.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
    """

    process: AbstractStationaryProcess
    denoise: Denoiser
    reduced: bool = eqx.field(static=True, default=True)
    position_noise: NoiseControl | None = None
    draws = 1
    history = 0

    def __check_init__(self):
        check_phase_space(self, self.process)
        _check_control(self, self.position_noise)

    @property
    def is_time_reversal(self) -> bool:
        return self.position_noise is None or self.position_noise == NoiseControl(1.0)

    @property
    def evaluations(self) -> int:
        return 2 if self.reduced else 3

    def compose(self, step: Step) -> Combination:
        z = _relaxed(step, self.position_noise)
        return verlet_step(step, z, partial(_velocity, self, step), self.reduced)


def _check_control(sampler: object, found: object):
    if found is not None and not isinstance(found, NoiseControl):
        raise ValueError(
            f"`{type(sampler).__name__}` needs `position_noise` to be a `NoiseControl(level)`. Got {found!r}."
        )


def _velocity(sampler: object, step: Step, t: float) -> Velocity:
    """What the reverse diffusion has beside friction and noise."""
    drift, noise = map(np.asarray, step.process.coefficients(t))
    force = block.outer(noise)
    if force[0, 1] != 0 or block.outer(_spread(step))[0, 1] != 0:
        raise ValueError(
            f"`{type(sampler).__name__}` needs noise and a stationary law in which position and momentum are "
            f"independent. Got `{type(step.process).__name__}`, where they are not. Do use `SSCS` or `ReverseSDE`."
        )
    return Velocity(drift + np.diag(np.diag(drift)), force)


def _spread(step: Step) -> Any:
    """The factor of the stationary covariance, on the host."""
    return cast(AbstractStationaryProcess, step.process).stationary()


def _relaxed(step: Step, control: NoiseControl | None) -> Combination:
    """The state after friction and noise, which alone would keep the stationary law."""
    times, weights = gauss_legendre(step.s, step.t, points=8)
    decay = weights @ np.stack([np.diag(step.process.coefficients(t)[0]) for t in times])
    faded = 2 * decay
    if control is not None:
        faded[0] = control.decay(step, decay)
    spread = np.sqrt(-np.expm1(faded))[:, None] * _spread(step)
    return np.diag(np.exp(decay)) @ step.z + spread @ step.noise()
