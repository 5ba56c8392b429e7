"""Phase-space Langevin diffusion: PSLD, and CLD as the case gamma = 0."""

from typing import Any

import numpy as np

from .. import _block as block
from .._types import Block, Lift, Scalar
from .base import AbstractStationaryProcess, Kernel

# Below this |u| remainders of exponentials are summed as series, above it they are subtracted.
_SERIES = 2.0


class PhaseSpaceLangevin(AbstractStationaryProcess):
    r"""Critically damped Langevin dynamics of a position and a momentum, $z = (x, p)$.

    $$ dz = \tfrac{\beta}{2} \begin{pmatrix} -\Gamma & M^{-1} \\ -1 & -\nu \end{pmatrix} z\,dt
       + \sqrt{\beta} \begin{pmatrix} \sqrt{\Gamma} & 0 \\ 0 & \sqrt{M\nu} \end{pmatrix} dW, \qquad
       M^{-1} = (\nu - \Gamma)^2 / 4, \quad p_0 \sim \mathcal{N}(0, \kappa M). $$

    The kernel is the closed form of `samplers.md` 1.4 with its exponentials rearranged so that for
    $\nu > \Gamma$ every sum has terms of one sign, the determinant included: float32 is enough at any t.
    A schedule $\beta(t)$ is a time grid for constant $\beta$.

    Args:
        gamma: friction of the position, $\Gamma \ge 0$; 0 is critically damped Langevin (CLD).
        nu: friction of the momentum, $\nu \ge 0$, different from `gamma`.
        beta: rate; time is measured in units of 1 / beta.
        kappa: variance of the starting momentum in units of the mass.

    Reference:
        Pandey, Mandt, "A complete recipe for diffusion generative models" (2023), eqs. 8-10;
        Dockhorn, Vahdat, Kreis, "Score-based generative modeling with critically-damped Langevin diffusion" (2022).
    """

    gamma: Scalar
    nu: Scalar
    beta: Scalar
    kappa: Scalar

    def __init__(self, gamma: Scalar = 0.01, nu: Scalar = 4.01, beta: Scalar = 8.0, kappa: Scalar = 0.04):
        self.gamma, self.nu, self.beta, self.kappa = map(block.parameter, (gamma, nu, beta, kappa))
        if any(map(block.fails, (self.gamma >= 0, self.nu >= 0, self.beta > 0, self.kappa >= 0))):
            raise ValueError(
                "`PhaseSpaceLangevin` needs `gamma >= 0`, `nu >= 0`, `beta > 0` and `kappa >= 0`. "
                f"Got gamma={self.gamma}, nu={self.nu}, beta={self.beta}, kappa={self.kappa}."
            )
        if block.fails(self.gamma != self.nu):
            raise ValueError(
                "`PhaseSpaceLangevin` needs `gamma` different from `nu`: at critical damping the inverse mass is "
                f"(nu - gamma)^2 / 4, so equal values make the mass infinite. Got both {self.gamma}."
            )

    @property
    def mass(self) -> Scalar:
        """M."""
        return 4 / (self.nu - self.gamma) ** 2

    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        xp, (_, gamma, nu, beta) = block.scalars(t, self.gamma, self.nu, self.beta)
        mass, zero = 4 / (nu - gamma) ** 2, xp.zeros_like(beta)
        drift = 0.5 * beta * block.matrix(xp, [[-gamma, 1 / mass], [zero - 1, -nu]])
        return drift, xp.sqrt(beta * block.matrix(xp, [[gamma, zero], [zero, mass * nu]]))

    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        return self._law(t - s, 0.0)

    def start(self) -> tuple[Lift, Block]:
        xp, (mass, kappa) = block.scalars(self.mass, self.kappa)
        zero = xp.zeros_like(mass)
        return np.array([1.0, 0.0]), block.matrix(xp, [[zero, zero], [zero, xp.sqrt(kappa * mass)]])

    def kernel(self, t: Scalar) -> Kernel:
        propagator, factor = self._law(t, self.kappa)
        return Kernel.from_factor(propagator[:, 0], factor)

    def stationary(self) -> Block:
        xp, (mass,) = block.scalars(self.mass)
        one, zero = xp.ones_like(mass), xp.zeros_like(mass)
        return block.matrix(xp, [[one, zero], [zero, xp.sqrt(mass)]])

    def _law(self, h: Scalar, kappa: Scalar) -> tuple[Block, Block]:
        """Propagator over a time h, and factor of the covariance that starts at diag(0, kappa M)."""
        xp, (h, gamma, nu, beta, kappa) = block.scalars(h, self.gamma, self.nu, self.beta, kappa)
        a, b = 0.5 * (nu - gamma), beta * h
        u, decay = a * b, xp.exp(-gamma * b)
        fade = decay * xp.exp(-u)
        grown, third, turn = -xp.expm1(-gamma * b), decay * _third_remainder(xp, u), 1 - 0.5 * u
        spread = grown + third
        # The determinant over M: at a fixed starting momentum, and what its spread adds.
        det = grown * (grown + 2 * third + 2 * u * fade) + (decay * _sinh_remainder(xp, u)) * (
            decay * (u * xp.exp(-0.5 * u) - xp.expm1(-u))
        )
        det = det + kappa * (fade * spread * (0.25 * u * u + turn * turn) + 0.25 * (fade * u * u) ** 2)
        xx = spread + 0.25 * kappa * fade * u * u
        l_xx = xp.sqrt(xx)
        l_px = 0.5 * fade * b * (u + kappa * turn) / l_xx
        l_pp = xp.sqrt(det) / (abs(a) * l_xx)
        factor = block.matrix(xp, [[l_xx, xp.zeros_like(xx)], [l_px, l_pp]])
        damp = xp.exp(-0.25 * (gamma + nu) * b)
        rows = [[1 + 0.5 * u, 0.5 * a * u], [-0.5 * b, turn]]
        return damp * block.matrix(xp, rows), factor


def _third_remainder(xp: Any, u: Any) -> Any:
    """1 - exp(-u) (1 + u + u^2 / 2), the tail of a Poisson law."""
    small = xp.where(abs(u) < _SERIES, u, xp.zeros_like(u))
    series = xp.zeros_like(u)
    for j in range(23, 0, -1):
        series = (series + 1) * small / (j + 3)
    series = xp.exp(-small) * small**3 / 6 * (1 + series)
    return xp.where(abs(u) < _SERIES, series, 1 - xp.exp(-u) * (1 + u + 0.5 * u * u))


def _sinh_remainder(xp: Any, u: Any) -> Any:
    """exp(-u/2) (2 sinh(u/2) - u)."""
    small = xp.where(abs(u) < _SERIES, u, xp.zeros_like(u))
    square, series = 0.25 * small * small, xp.zeros_like(u)
    for j in range(10, 0, -1):
        series = (series + 1) * square / ((2 * j + 2) * (2 * j + 3))
    series = xp.exp(-0.5 * small) * small**3 / 24 * (1 + series)
    return xp.where(abs(u) < _SERIES, series, -xp.expm1(-u) - u * xp.exp(-0.5 * u))
