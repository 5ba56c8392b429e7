"""Refusals that experiments on points and their denoisers share."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from .._types import Denoiser
from ..samplers._checks import check_estimate
from ..targets import AbstractTarget, shape_of


def checked_points(name: str, points: Any) -> Float[np.ndarray, "n d"]:
    """Two finite points or more, of floating-point numbers that JAX has: float64 is float32 where there is no other.

    Raises:
        ValueError: for anything else.
    """
    points = np.asarray(points)
    if points.ndim != 2 or len(points) < 2 or points.dtype.kind != "f" or not np.isfinite(points).all():
        raise ValueError(
            f"`{name}` needs two finite points or more, floating-point numbers of shape (n, d). "
            f"Got {points.dtype} of shape {points.shape}. Flatten and scale images first."
        )
    return points.astype(jax.dtypes.canonicalize_dtype(points.dtype), copy=False)


def check_denoiser_of(
    data: Float[np.ndarray, "n d"] | AbstractTarget,
    denoise: Denoiser,
    name: str = "denoise",
    arguments: str = "y, v",
) -> None:
    """Refuses a denoiser whose estimates are not of the shape of the data: they would be broadcast without a word.

    Raises:
        ValueError: with what it returned, or with what it raised.
    """
    if isinstance(data, AbstractTarget):
        one = shape_of(data)
    else:
        one = jax.ShapeDtypeStruct(data.shape[1:], jax.dtypes.canonicalize_dtype(data.dtype))
    check_estimate(denoise, one, name, arguments)
