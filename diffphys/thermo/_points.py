"""A point and a noise variance at the door of thermodynamics, with the denoiser or the target they are given to."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._describe import kind_of
from .._types import Data, Denoiser, Scalar
from ..targets import AbstractTarget
from ..targets._arrays import concrete, floating, observation

HostData = Float[Array | np.ndarray, " d"]
"""A configuration, on the device or on the host."""


def placed(denoise: Denoiser, y: HostData, variance: Scalar, name: str = "y") -> tuple[Data, Float[Array, ""]]:
    """A point and a noise variance, in the floating-point type of the point: lists and integers have the default one.

    A point of float32 is taken to float64 where the denoiser answers in that: its derivatives would be of two types.

    Raises:
        ValueError: if the denoiser is no function, a target for one; the point is no vector; or a variance of Python or
            NumPy is not positive.
    """
    if not callable(denoise):
        raise ValueError(
            f"`denoise` needs to be a function `(y, v) -> E[a | y]`. Got {kind_of(denoise)}. "
            "Of a target do give its `posterior_mean`, of a trained model its `denoiser`."
        )
    y = floating(y)
    if y.ndim != 1:
        raise ValueError(f"`{name}` needs one point of shape (d,). Got {y.shape}. Map over many with `jax.vmap`.")
    if np.shape(variance) or not (isinstance(variance, jax.Array) or 0 < variance < math.inf):
        raise ValueError(f"`variance` needs one finite number > 0. Got {variance}. Do pass that of the noise.")
    if y.dtype != jnp.result_type(float):
        of_denoiser = eqx.filter_eval_shape(denoise, y, jax.ShapeDtypeStruct((), y.dtype)).dtype
        y = y.astype(jnp.promote_types(y.dtype, of_denoiser))
    return y, jnp.asarray(variance, y.dtype)


def observed(function: str, target: AbstractTarget, y: Data, variance: Scalar) -> tuple[Data, Float[Array, ""]]:
    """As `placed`, of a target: an observation of its dimension.

    Raises:
        ValueError: for what is no target, a denoiser for one; and as `targets` do.
    """
    if not isinstance(target, AbstractTarget):
        raise ValueError(
            f"`{function}` needs a target, which has a density. Got {kind_of(target)}. "
            "Of a denoiser do take `profile`, which integrates its score."
        )
    return observation(target.dim, y, variance)


def unit_vector(direction: HostData, point: Data) -> Data:
    """A direction at a point, of length 1 and of its type.

    Raises:
        ValueError: for another shape, or a known one that is zero or not finite.
    """
    direction = floating(direction, point.dtype)
    known = concrete(direction)
    length = 1.0 if known is None else float(np.linalg.norm(known))
    if direction.shape != point.shape or not 0 < length < math.inf:
        raise ValueError(
            f"`direction` needs a vector of shape {point.shape} that is not zero. Got one of shape {direction.shape} "
            f"and length {length}. Do take an eigenvector, from `leading_modes`."
        )
    return direction / jnp.linalg.norm(direction)
