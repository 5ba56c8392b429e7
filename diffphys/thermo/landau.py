"""The Landau expansion of the free energy about a fixed point, along the direction that becomes unstable."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Data, Denoiser, Scalar
from ._points import placed, unit_vector


class Landau(NamedTuple):
    r"""Cumulants of the posterior along one direction u, and what they say of the transition.

    With $m = m_c + a u$ the free energy is $\tilde F = \frac{r}{2} a^2 - \frac{\kappa_3}{6 v^2} a^3
    - \frac{\kappa_4}{24 v^3} a^4 + \dots$, $r = 1 - \kappa_2 / v$.

    Attributes:
        variance: where the expansion was made.
        second: $\kappa_2$, the posterior variance along u, in data units squared.
        third: $\kappa_3$, which symmetry makes zero.
        fourth: $\kappa_4$, the fourth cumulant.
        quartic: $\kappa_4$ with what the other directions add by following the square of the amplitude; it is this
            that decides, and it is $\kappa_4$ for a point of inversion symmetry.
    """

    variance: Float[Array, ""]
    second: Float[Array, ""]
    third: Float[Array, ""]
    fourth: Float[Array, ""]
    quartic: Float[Array, ""]

    @property
    def is_continuous(self) -> bool:
        """Whether the transition is of second order: no cubic term, beyond rounding, and a negative quartic one."""
        rounding = 10 * float(jnp.finfo(self.third.dtype).eps) ** 0.5
        return bool(abs(self.third) <= rounding * self.second**1.5) and bool(self.quartic < 0)

    def amplitude(self, variance: Scalar) -> Float[Array, ""]:
        r"""How far from the fixed point the broken branches lie, $\sqrt{6 \kappa_2^2 |\kappa_2 - v| / |\kappa_4|}$.

        They lie at variances below `second` for a continuous transition, else above it. The relative error is of the
        order of the distance from the critical variance.

        Args:
            variance: the noise variance, near the critical one.
        """
        excess = jnp.abs(self.second - jnp.asarray(variance, self.second.dtype))
        return jnp.sqrt(6 * self.second**2 * excess / jnp.abs(self.quartic))


def landau(denoise: Denoiser, point: Data, variance: Scalar, direction: Data) -> Landau:
    r"""The Landau coefficients of a fixed point along a direction, by repeated differentiation of the denoiser.

    With $D$ the denoiser and u the unit vector, $\kappa_{k+1} = v^k\, u \cdot \partial_u^k D$, and by the reduction of
    Lyapunov and Schmidt

    $$ \kappa_4^{\mathrm{eff}} = \kappa_4 + 3 v^3\, u \cdot D''[u, w], \qquad
       (I - J)\, w = D''[u, u] \ \text{ off the critical directions.} $$

    Args:
        denoise: any denoiser that JAX can differentiate three times.
        point: where to expand: the fixed point, with the external field added if there is one.
        variance: the noise variance, v > 0; that of the critical point for the coefficients of the transition.
        direction: the critical eigenvector, of any length.

    Returns:
        The coefficients. A negative quartic one means a transition of second order, a positive one of first order
        (the branches bend the other way, and end in folds), and so does a third cumulant.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), section on symmetry
        breaking, which calls the transition of second order; that holds only for a negative fourth cumulant.
    """
    point, variance = placed(denoise, point, variance, "point")
    along = unit_vector(direction, point)

    def first(x: Data) -> Data:
        return jax.jvp(lambda x: denoise(x, variance), (x,), (along,))[1]

    def second(x: Data) -> Data:
        return jax.jvp(first, (x,), (along,))[1]

    slope, (bend, third) = first(point), jax.jvp(second, (point,), (along,))
    follow = _response(denoise, point, variance, bend)
    coupling = jnp.dot(along, jax.jvp(first, (point,), (follow,))[1])
    fourth = variance**3 * jnp.dot(along, third)
    return Landau(
        variance,
        variance * jnp.dot(along, slope),
        variance**2 * jnp.dot(along, bend),
        fourth,
        fourth + 3 * variance**3 * coupling,
    )


expand = eqx.filter_jit(landau)
"""The same, compiled once for each denoiser: for loops on the host."""


def _response(denoise: Denoiser, point: Data, variance: Float[Array, ""], force: Data) -> Data:
    """How the stable directions answer to a force: the pseudo-inverse of `I - J`, without the critical ones."""
    matrix = jax.jacfwd(lambda x: denoise(x, variance))(point)
    values, vectors = jnp.linalg.eigh(jnp.eye(point.size, dtype=point.dtype) - 0.5 * (matrix + matrix.T))
    # Nearer to critical than this counts as critical: the reduction would divide by what is left of zero.
    soft = jnp.abs(values) < 1e-3
    stiffness = jnp.where(soft, jnp.inf, values)
    return vectors @ ((vectors.T @ force) / stiffness)
