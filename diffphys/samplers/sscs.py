"""The symmetric splitting sampler of critically damped Langevin diffusion."""

from typing import Any, cast

from .. import _block as block
from .._types import Denoiser
from ..processes import AbstractStationaryProcess
from ._checks import check_phase_space
from .combination import Combination
from .table import AbstractTableSampler, Step


class SSCS(AbstractTableSampler):
    r"""Symmetric splitting CLD sampler: the stationary dynamics exactly, the score by an Euler step between.

    With S the stationary covariance the reverse diffusion is, down in time,

    $$ dz = S F^\top S^{-1} z\,dt + G\,dW \quad \text{(analytic)} \qquad + \qquad
       G G^\top (\nabla\log p_t(z) + S^{-1} z)\,dt \quad \text{(score)}. $$

    The first is the stationary forward process reversed, an exact Gaussian step over each half of the step, by the law
    of its own half when the rate depends on time. Half of it, the score over the whole step at t, the other half.
    Exact at any step for data at equilibrium. Weak order 1.

    Args:
        process: a stationary process of position and momentum.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        Dockhorn, Vahdat, Kreis, "Score-based generative modeling with critically-damped Langevin diffusion" (2022),
        section 3.3; for PSLD: Pandey, Mandt, "A complete recipe for diffusion generative models" (2023).
    """

    process: AbstractStationaryProcess
    denoise: Denoiser
    is_time_reversal = True
    draws = 2
    evaluations = 1
    history = 0

    def __check_init__(self):
        check_phase_space(self, self.process)

    def compose(self, step: Step) -> Combination:
        middle = 0.5 * (step.t + step.s)
        process = cast(AbstractStationaryProcess, step.process)
        force = block.outer(process.coefficients(step.t)[1])
        whiten = block.inverse_lower(process.stationary())
        back, spread = _stationary_reversal(process, middle, step.t)
        z = back @ step.z + spread @ step.noise(0)
        z = z + (step.t - step.s) * (force @ (step.score(z, step.t) + whiten.T @ whiten @ z))
        back, spread = _stationary_reversal(process, step.s, middle)
        return back @ z + spread @ step.noise(1)


def _stationary_reversal(process: AbstractStationaryProcess, s: float, t: float) -> tuple[Any, Any]:
    """K, C such that z_s given z_t is N(K z_t, C C'), at equilibrium."""
    propagator, spread = process.transition(s, t)
    factor = process.stationary()
    whiten = block.inverse_lower(factor)
    back = factor @ (whiten @ propagator @ factor).T @ whiten
    # Joseph's form of the covariance: a sum of squares.
    return back, block.join(factor - back @ propagator @ factor, back @ spread)
