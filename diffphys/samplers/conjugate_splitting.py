"""Splitting integrators whose sub-flows are solved exactly, but for the noise that the denoiser predicts."""

import equinox as eqx
import numpy as np
from numpy.polynomial import legendre

from .. import _block as block
from .._types import Denoiser
from ..processes import AbstractStationaryProcess
from ._checks import check_phase_space
from .combination import Combination
from .table import AbstractTableSampler, Step

_ORDER = 8
_NODES, _WEIGHTS = legendre.leggauss(_ORDER)
_POLYNOMIALS = legendre.legvander(_NODES, _ORDER)
_DEGREES = 2 * np.arange(_ORDER) + 1
# Of values at the nodes, the integrals from -1 to each node of the polynomial through them.
_INTEGRALS = np.column_stack([1 + _NODES, (_POLYNOMIALS[:, 2:] - _POLYNOMIALS[:, :-2]) / _DEGREES[1:]])
_TO_NODES = 0.5 * _INTEGRALS * _DEGREES @ _POLYNOMIALS[:, :-1].T * _WEIGHTS


class ConjugateSymplecticEuler(AbstractTableSampler):
    r"""Symplectic Euler on the probability flow, each sub-flow exactly at a fixed partner and predicted noise.

    With $\hat\varepsilon = L_t^{-1}(z - m_t \otimes \hat a)$, L the triangular factor of the kernel's covariance, the
    score along a sub-flow is $-L_u^{-\top}\hat\varepsilon$, and of variable i with partner j

    $$ z_i \to e^{g(t)} z_i - \int_s^t e^{g(u)} \Big[ F_{ij}\, z_j
       + \tfrac12 \big( G G^\top L_u^{-\top} \hat\varepsilon \big)_i \Big] du, \qquad g(u) = -\int_s^u F_{ii}, $$

    the momentum first; one evaluation, shared. Exact in one step for a single datum if the variables are not coupled.
    Order 1. It is the natural construction of the kind, and not the conjugate symplectic Euler (CSE) of the paper
    below, whose equations are not at hand. On Gaussians and mixtures it is less accurate than `SymplecticEuler`.

    Args:
        process: a stationary process of position and momentum.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        In the manner of Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
    """

    process: AbstractStationaryProcess
    denoise: Denoiser
    is_time_reversal: bool = eqx.field(static=True, init=False, default=False)
    draws: int = eqx.field(static=True, init=False, default=0)
    evaluations: int = eqx.field(static=True, init=False, default=1)
    history: int = eqx.field(static=True, init=False, default=0)

    def __check_init__(self):
        check_phase_space(self, self.process)

    def compose(self, step: Step) -> Combination:
        noise = _predicted_noise(step, step.z, step.t)
        z = _sub_flow(step, 1, step.z, noise, step.t, step.s)
        return _sub_flow(step, 0, z, noise, step.t, step.s)


class ConjugateVelocityVerlet(AbstractTableSampler):
    r"""Velocity Verlet on the probability flow with the sub-flows of `ConjugateSymplecticEuler`.

    Half a step of momentum and one of position with the noise predicted at t, then half a step of momentum with the
    noise predicted anew at s: two evaluations. Order 1. Not the conjugate velocity Verlet (CVV) of the paper below,
    whose equations are not at hand; on Gaussians and mixtures it is less accurate than `VelocityVerlet`.

    Args:
        process: a stationary process of position and momentum.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        In the manner of Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
    """

    process: AbstractStationaryProcess
    denoise: Denoiser
    is_time_reversal: bool = eqx.field(static=True, init=False, default=False)
    draws: int = eqx.field(static=True, init=False, default=0)
    evaluations: int = eqx.field(static=True, init=False, default=2)
    history: int = eqx.field(static=True, init=False, default=0)

    def __check_init__(self):
        check_phase_space(self, self.process)

    def compose(self, step: Step) -> Combination:
        noise, middle = _predicted_noise(step, step.z, step.t), 0.5 * (step.t + step.s)
        z = _sub_flow(step, 1, step.z, noise, step.t, middle)
        z = _sub_flow(step, 0, z, noise, step.t, step.s)
        return _sub_flow(step, 1, z, _predicted_noise(step, z, step.s), middle, step.s)


def _predicted_noise(step: Step, z: Combination, t: float) -> Combination:
    """The noise of the state as the denoiser has it, by one evaluation."""
    kernel = step.kernel(t)
    return block.inverse_lower(kernel.factor) @ (z - kernel.mean * step.denoise(z, t))


def _sub_flow(step: Step, i: int, z: Combination, noise: Combination, t: float, s: float) -> Combination:
    """Variable i carried from t to s, the other and the predicted noise held."""
    # Nodes uniform in log u, since near the data the score goes as a power of u.
    times = s * (t / s) ** (0.5 * (1 + _NODES))
    lengths = 0.5 * np.log(t / s) * times
    drifts, noises = map(np.stack, zip(*[step.process.coefficients(u) for u in times], strict=True))
    scores = np.stack([block.inverse_lower(step.kernel(u).factor).T for u in times])
    rates = -lengths * drifts[:, i, i]
    growth = _WEIGHTS * lengths * np.exp(_TO_NODES @ rates)
    carry, pull = np.eye(2), np.zeros((2, 2))
    carry[i, i], carry[i, 1 - i] = np.exp(_WEIGHTS @ rates), -growth @ drifts[:, i, 1 - i]
    pull[i] = -0.5 * growth @ np.einsum("uj,ukj,ukl->ul", noises[:, i], noises, scores)
    return carry @ z + pull @ noise
