"""The uniform law on a sphere: the simplest target with a continuous symmetry."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, concrete, floating, observation
from ._bessel import bessel_ratio
from .shell import AbstractShell


class Sphere(AbstractShell):
    r"""The uniform law on the sphere of radius $R$ about the origin of $\mathbb{R}^d$.

    With $\kappa = R |y| / v$ and $A(\kappa) = I_{d/2}(\kappa) / I_{d/2 - 1}(\kappa)$,

    $$ E[a \mid y] = R\, A(\kappa)\, \frac{y}{|y|}, \qquad
       \mathrm{Cov}[a \mid y] = R^2 \Big( A'(\kappa)\, P_\parallel + \frac{A(\kappa)}{\kappa}\, P_\perp \Big) $$

    along `y` and across it. The symmetry breaks at $v = R^2 / d$; in the broken phase the covariance over `v` across
    the magnetisation is exactly one (Goldstone). In one dimension it is two points, $A = \tanh$.

    Exact for any `d` and field. There is no derivative of the evidence with respect to the radius.

    Attributes:
        radius: `R`.
        dim: the dimension `d` of the space.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), section on the
        hyper-spherical model; there for R = 1.
    """

    radius: Float[Array, ""]
    dim: int = eqx.field(static=True)

    def __init__(self, dim: int, radius: Values = 1.0):
        """Builds the law.

        Args:
            dim: the dimension `d` of the space; the sphere has one less.
            radius: `R > 0`, in the units of the data.

        Raises:
            ValueError: if there is no dimension, or the radius is not positive.
        """
        self.radius = floating(radius)
        self.dim = dim
        known = concrete(self.radius)
        whole = isinstance(dim, int | np.integer) and dim >= 1
        if not whole or (known is not None and not (known.shape == () and 0 < known < float("inf"))):
            raise ValueError(
                f"`Sphere` needs a whole `dim` >= 1 and one finite `radius` > 0. Got {dim!r} and {radius}. "
                "Do use `deltas` for a point."
            )

    def sample(self, key: PRNGKey) -> Data:
        check_key(key)
        direction = jr.normal(key, (self.dim,), self.radius.dtype)
        return self.radius * direction / jnp.linalg.norm(direction)

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        return _mean(*observation(self.dim, y, variance), self.radius)

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        y, variance = observation(self.dim, y, variance)
        return variance * jax.vmap(lambda e: _response(y, variance, self.radius, e))(jnp.eye(self.dim, dtype=y.dtype))

    def smoothed(self, y: Data, variance: Scalar) -> Scalar:
        off_shell = -0.5 * (jnp.linalg.norm(y) - self.radius) ** 2 / variance
        on_shell = bessel_ratio(self.dim, _squared_field(y, variance, self.radius)).log_partition
        return off_shell + on_shell - 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)

    def squared_distance(self, y: Data, mean: Data, variance: Scalar) -> Scalar:
        """With $1 - A = (A' + (d - 1) A / kappa) / (1 + A)$ nothing cancels in a strong field."""
        squared = _squared_field(y, variance, self.radius)
        ratio = bessel_ratio(self.dim, squared)
        magnetisation = jnp.sqrt(squared) * ratio.slope
        deficit = (ratio.derivative + (self.dim - 1) * ratio.slope) / (1 + magnetisation)
        norm = jnp.linalg.norm(y)
        return (norm - self.radius) ** 2 + 2 * self.radius * norm * deficit


def _squared_field(y: Data, variance: Scalar, radius: Scalar) -> Float[Array, ""]:
    return jnp.sum((radius * y / variance) ** 2)


def _response(y: Data, variance: Scalar, radius: Scalar, along: Data) -> Data:
    """The derivative of the posterior mean in a direction: the covariance over the variance, times it."""
    squared = _squared_field(y, variance, radius)
    ratio = bessel_ratio(y.size, squared)
    # Near the origin as a smooth function of y; in a strong field by parts along and across, as their difference
    # would be lost.
    smooth = ratio.slope * along + 2 * ratio.slope_rate * (radius / variance) ** 2 * jnp.sum(y * along) * y
    norm_squared = jnp.sum(y**2)
    forward = jnp.sum(y * along) / jnp.where(norm_squared > 0, norm_squared, 1) * y
    by_parts = ratio.slope * (along - forward) + ratio.derivative * forward
    return jnp.where(squared < 1, smooth, by_parts) * radius**2 / variance


@jax.custom_jvp
def _mean(y: Data, variance: Scalar, radius: Scalar) -> Data:
    return bessel_ratio(y.size, _squared_field(y, variance, radius)).slope * y * radius**2 / variance


@_mean.defjvp
def _mean_jvp(primals, tangents):
    y, variance, radius = primals
    along, warming, growing = tangents
    mean, own = _mean(y, variance, radius), _response(y, variance, radius, y)
    # The noise weakens the field. The radius scales the mean, and the field on it.
    tangent = _response(y, variance, radius, along) - own / variance * warming + (mean + own) / radius * growing
    return mean, tangent
