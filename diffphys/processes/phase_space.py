"""Phase-space Langevin diffusion: PSLD, and CLD as the case gamma = 0."""

from typing import Any

import numpy as np

from .. import _block as block
from .._types import Block, Lift, Scalar
from .base import AbstractStationaryProcess, Kernel, check_order

# Below this u remainders of exponentials are summed as series, above it they are subtracted.
_SERIES = 2.0


class PhaseSpaceLangevin(AbstractStationaryProcess):
    r"""Critically damped Langevin dynamics of a position and a momentum, $z = (x, p)$.

    $$ dz = \tfrac{\beta}{2} \begin{pmatrix} -\Gamma & M^{-1} \\ -1 & -\nu \end{pmatrix} z\,dt
       + \sqrt{\beta} \begin{pmatrix} \sqrt{\Gamma} & 0 \\ 0 & \sqrt{M\nu} \end{pmatrix} dW, \qquad
       M^{-1} = (\nu - \Gamma)^2 / 4, \quad p_0 \sim \mathcal{N}(0, \kappa M). $$

    The law relaxes to $\mathcal{N}(0, \mathrm{diag}(1, M) \otimes I_d)$. The kernel is a closed form whose
    variances and determinant are sums of terms of one sign, so that float32 is enough at small t: in the textbook form
    they cancel, and a variance comes out negative. A schedule $\beta(t)$ is a time grid for constant $\beta$.

    Args:
        gamma: friction of the position, $\Gamma \ge 0$; 0 is critically damped Langevin (CLD).
        nu: friction of the momentum, $\nu \ge 0$, different from `gamma`.
        beta: rate; time is measured in units of 1 / beta.
        kappa: variance of the starting momentum in units of the mass.

    Raises:
        ValueError: if a parameter is out of its range, or `gamma` equals `nu`.

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
        finite = self.gamma + self.nu + self.beta + self.kappa < np.inf
        if any(map(block.fails, (self.gamma >= 0, self.nu >= 0, self.beta > 0, self.kappa >= 0, finite))):
            raise ValueError(
                "`PhaseSpaceLangevin` needs `gamma >= 0`, `nu >= 0`, `beta > 0` and `kappa >= 0`, all finite. "
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
        check_order(s, t)
        return self._law(t - s, 0.0)

    def start(self) -> tuple[Lift, Block]:
        xp, (mass, kappa) = block.scalars(self.mass, self.kappa)
        zero = xp.zeros_like(mass)
        return np.array([1.0, 0.0]), block.matrix(xp, [[zero, zero], [zero, xp.sqrt(kappa * mass)]])

    def kernel(self, t: Scalar) -> Kernel:
        check_order(0.0, t)
        propagator, factor = self._law(t, self.kappa)
        return Kernel.from_factor(propagator[:, 0], factor)

    def stationary(self) -> Block:
        xp, (mass,) = block.scalars(self.mass)
        one, zero = xp.ones_like(mass), xp.zeros_like(mass)
        return block.matrix(xp, [[one, zero], [zero, xp.sqrt(mass)]])

    def _law(self, h: Scalar, kappa: Scalar) -> tuple[Any, Any]:
        """Propagator over a time h, and factor of the covariance that starts at diag(0, kappa M).

        In units where both stationary variances are 1 the process is the same when position and momentum change roles
        together with their frictions. So it is written for the one of lower friction, and `side` says which it is:
        the variances and the determinant are sums of terms of one sign either way.
        """
        xp, (h, gamma, nu, beta, kappa) = block.scalars(h, self.gamma, self.nu, self.beta, kappa)
        side, rate, low, b = xp.sign(nu - gamma), 0.5 * abs(nu - gamma), xp.minimum(gamma, nu), beta * h
        u = rate * b
        half, decay = 0.5 * side * u, xp.exp(-low * b)
        fade, turn = decay * xp.exp(-u), 1 - half
        grown, third = -xp.expm1(-low * b), decay * _third_remainder(xp, u)
        slow = grown + third
        fast = slow + 2 * u * fade
        # The determinant: at a fixed starting momentum, and what its spread adds.
        det = grown * (grown + 2 * third + 2 * u * fade) + (decay * _sinh_remainder(xp, u)) * (
            decay * (u * xp.exp(-0.5 * u) - xp.expm1(-u))
        )
        mixed = xp.where(side > 0, 0.25 * u**3, turn * (2 * turn + 0.5 * u * u))
        det = det + kappa * fade * (slow * (0.25 * u * u + turn * turn) + fade * u * mixed)
        l_xx = xp.sqrt(xp.where(side > 0, slow, fast) + 0.25 * kappa * fade * u * u)
        l_px = 0.5 * fade * b * (side * u + kappa * turn) / l_xx
        l_pp = xp.sqrt(det) / (rate * l_xx)
        factor = block.matrix(xp, [[l_xx, xp.zeros_like(l_xx)], [l_px, l_pp]])
        damp = xp.exp(-0.25 * (gamma + nu) * b)
        return damp * block.matrix(xp, [[1 + half, 0.5 * rate * u], [-0.5 * b, turn]]), factor


def _third_remainder(xp: Any, u: Any) -> Any:
    """1 - exp(-u) (1 + u + u^2 / 2), the tail of a Poisson law."""
    small = xp.where(u < _SERIES, u, xp.zeros_like(u))
    series = xp.zeros_like(u)
    for j in range(23, 0, -1):
        series = (series + 1) * small / (j + 3)
    series = xp.exp(-small) * small**3 / 6 * (1 + series)
    return xp.where(u < _SERIES, series, 1 - xp.exp(-u) * (1 + u + 0.5 * u * u))


def _sinh_remainder(xp: Any, u: Any) -> Any:
    """exp(-u/2) (2 sinh(u/2) - u)."""
    small = xp.where(u < _SERIES, u, xp.zeros_like(u))
    square, series = 0.25 * small * small, xp.zeros_like(u)
    for j in range(10, 0, -1):
        series = (series + 1) * square / ((2 * j + 2) * (2 * j + 3))
    series = xp.exp(-0.5 * small) * small**3 / 24 * (1 + series)
    return xp.where(u < _SERIES, series, -xp.expm1(-u) - u * xp.exp(-0.5 * u))
