r"""Modified Bessel functions of one half-integer or integer order, at any argument: what a sphere needs of them.

With $\nu = d/2 - 1$ and $\kappa$ the strength of a field on the unit sphere of $\mathbb{R}^d$,

$$ A(\kappa) = \frac{I_{\nu+1}(\kappa)}{I_\nu(\kappa)}, \qquad
   \log Z(\kappa) = \log \Gamma(\nu + 1) \Big(\frac{2}{\kappa}\Big)^{\nu} I_\nu(\kappa), \qquad (\log Z)' = A . $$

At an order of at least 40 the uniform (Debye) expansion gives them to the last digits, from $\kappa = 0$ to any
size; recurrences, of terms that all have one sign, lead down to smaller orders and lose none. Functions of
$\kappa^2$, so that all is smooth at $\kappa = 0$.

Reference:
    DLMF 10.41(ii) for the expansions and their coefficients, 10.29.1 for the recurrence; here rearranged so that
    what cancels is left out beforehand.
"""

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from numpy.polynomial import Polynomial

# With this many terms the expansion is right to 1e-15 from this order on.
_ORDER = 40
_TERMS = 9


class BesselRatio(NamedTuple):
    """What the order `nu` knows of the field."""

    slope: Float[Array, ""]
    r"""$A(\kappa) / \kappa$, from $1/d$ on down."""
    derivative: Float[Array, ""]
    r"""$A'(\kappa)$, from $1/d$ on down."""
    log_partition: Float[Array, ""]
    r"""$\log Z(\kappa) - \kappa$."""
    slope_rate: Float[Array, ""]
    r"""The derivative of the slope with respect to $\kappa^2$, which is $(A' - A / \kappa) / 2\kappa^2$."""


@functools.lru_cache
def _series(order: float) -> Float[np.ndarray, "4 terms"]:
    """The expansion at one order: coefficients of polynomials in `p = order / sqrt(order^2 + kappa^2)`.

    They are the sum of `u_k / order^k`; its derivative; the sum of `(u_k - v_k) / order^k`, over `p (1 - p^2)`; and
    the derivative of that.
    """
    p = Polynomial([0.0, 1.0])
    u, total, defect = Polynomial([1.0]), Polynomial([1.0]), Polynomial([0.0])
    for k in range(1, _TERMS + 1):
        defect += (u / 2 + p * u.deriv()) / order**k
        u = p**2 * (1 - p**2) * u.deriv() / 2 + ((1 - 5 * p**2) * u).integ() / 8
        total += u / order**k
    rows = [series.coef for series in (total, total.deriv(), defect, defect.deriv())]
    return np.stack([np.pad(row, (0, len(rows[0]) - len(row))) for row in rows])


def bessel_ratio(dim: int, squared: Float[Array, ""]) -> BesselRatio:
    r"""The Bessel functions of order $d/2 - 1$ at the field whose square is given.

    Args:
        dim: the dimension `d` of the space about the sphere.
        squared: $\kappa^2 \ge 0$.

    Returns:
        The ratio over $\kappa$, its derivative, and the log-partition function, each to its last digits.
    """
    order = dim / 2 - 1
    steps = max(1, math.ceil(_ORDER - order))

    def down(above: BesselRatio, ends: Float[Array, ""]) -> tuple[BesselRatio, None]:
        slope = 1 / (ends + squared * above.slope)
        derivative = slope**2 * (ends - squared * above.derivative)
        log_partition = above.log_partition + jnp.log1p(squared * above.slope / ends)
        return BesselRatio(slope, derivative, log_partition, -0.5 * slope**2 * (above.slope + above.derivative)), None

    ends = jnp.asarray(dim + 2.0 * np.arange(steps)[::-1], squared.dtype)
    ratio, _ = lax.scan(down, _uniform(order + steps, squared), ends)
    if dim > 1:
        return ratio
    # A' = 1 - tanh^2 falls exponentially, but the last step of the recurrence takes it from 1.
    decay = jnp.exp(-2 * jnp.sqrt(jnp.maximum(squared, 1)))
    return ratio._replace(derivative=jnp.where(squared < 1, ratio.derivative, 4 * decay / (1 + decay) ** 2))


def _uniform(order: float, squared: Float[Array, ""]) -> BesselRatio:
    """The expansion at a large order."""
    width = jnp.sqrt(order**2 + squared)
    p = order / width
    powers = p ** jnp.arange(_series(order).shape[1], dtype=squared.dtype)
    total, total_rate, defect, defect_rate = jnp.matmul(
        jnp.asarray(_series(order), squared.dtype), powers, precision=lax.Precision.HIGHEST
    )
    # The part of A beyond its leading order is -kappa / width times this.
    beyond = p * defect / total
    rate = (defect + p * defect_rate - beyond * total_rate) / total
    field = jnp.sqrt(squared)
    excess = squared / (width + order)
    leading = -order * (excess + field) / (width + field) - order * jnp.log1p(excess / (2 * order))
    ends = jnp.log(total) - math.log(_series(order)[0].sum())
    return BesselRatio(
        slope=1 / (width + order) - beyond / width,
        derivative=(order / (width + order) + p * (squared / width**2 * rate - p * beyond)) / width,
        log_partition=leading - 0.25 * jnp.log1p(squared / order**2) + ends,
        # Only asked for below, where a step of the recurrence gives it.
        slope_rate=jnp.zeros_like(squared),
    )
