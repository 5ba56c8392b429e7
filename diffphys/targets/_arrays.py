"""Arrays at the door of a target: their type, and the refusal of bad values when these are known."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._types import Data, Scalar

Values: TypeAlias = ArrayLike | Sequence
"""Numbers as an array, or in lists."""

_ROWS = 4096


def floating(value: Values, dtype=None) -> Float[Array, "..."]:
    """The value as a floating-point array: in `dtype`, else its own, else the default one."""
    if dtype is None:
        # float32 stays float32 under x64; lists, Python numbers and integers take the default type.
        dtype = getattr(value, "dtype", float)
        dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else float
    # float64 where there is no such type is float32 without a word, as in all of jax.
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    # Host numbers are placed as they are: what is wrong with them is for the caller to say, not for `jax_debug_nans`.
    known = None if isinstance(value, jax.Array) else concrete(value)
    return jnp.asarray(value if known is None else known.astype(dtype), dtype)


def concrete(value: Values) -> np.ndarray | None:
    """The values on the host, or None while JAX traces: values can be refused only where they are known."""
    try:
        return np.asarray(value)
    except jax.errors.TracerArrayConversionError:
        return None


def observation(dim: int, y: Data, variance: Scalar, name: str = "y") -> tuple[Data, Float[Array, ""]]:
    """One noisy observation of a target, and its variance in the type of it.

    Shapes are known to JAX as it traces, and cost nothing as it runs. So is a variance of Python or NumPy; one on a
    device is not looked at, as the program would have to wait for it.

    Raises:
        ValueError: if it is not one observation of `dim` coordinates, or a known variance is not positive.
    """
    y = floating(y)
    if y.shape != (dim,):
        raise ValueError(
            f"`{name}` needs one observation of shape ({dim},). Got {y.shape}. Map over many with `jax.vmap`."
        )
    if np.shape(variance):
        raise ValueError(f"`variance` needs one number. Got shape {np.shape(variance)}. Map over many with `jax.vmap`.")
    if not (isinstance(variance, jax.Array) or 0 < variance < math.inf):
        raise ValueError(f"`variance` needs a finite number > 0. Got {variance}. Do pass that of the noise.")
    return y, jnp.asarray(variance, y.dtype)


def require_finite(name: str, value: Array | np.ndarray) -> None:
    """Raises ValueError if some known value is infinite or NaN."""
    known = concrete(value)
    if known is not None and not np.all(np.isfinite(known)):
        bad = int(np.sum(~np.isfinite(known)))
        raise ValueError(f"`{name}` needs finite values. Got {bad} that are not. Do check the data before.")


def require_variances(name: str, value: Array | np.ndarray) -> None:
    """Raises ValueError if some known value cannot be a variance: negative, infinite or NaN."""
    require_finite(name, value)
    known = concrete(value)
    if known is not None and np.any(known < 0):
        raise ValueError(
            f"`{name}` needs variances, which are not negative. Got {known.min():g}. Do pass squares of deviations."
        )


def positive_log_weights(weights: Values | None, count: int, dtype) -> Float[Array, "..."]:
    """Logarithms of weights, equal ones by default; not normalised.

    Raises:
        ValueError: if there are not `count` of them, or some known weight is not positive.
    """
    weights = jnp.ones((count,), dtype) if weights is None else floating(weights, dtype)
    if weights.shape != (count,):
        raise ValueError(
            f"`weights` needs shape ({count},), one for each component. Got {weights.shape}. Do pass one for each."
        )
    known = concrete(weights)
    if known is not None and not np.all(known > 0):
        raise ValueError(f"`weights` needs positive numbers. Got {known.min():g}. Do leave out empty components.")
    return jnp.log(weights)


def checked_data(points: Values, labels: Values | None, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The data and their classes on the host, in their own types; ValueError if they are none."""
    points = _checked_points(points)
    if block < 1:
        raise ValueError(f"`block` needs a positive number of data. Got {block}. Do use 1024.")
    return points, _checked_labels(labels, len(points))


def _checked_points(points: Values) -> np.ndarray:
    """The data on the host, where they are; ValueError if they are none."""
    points = np.asarray(points)
    if points.ndim == 2 and 0 in points.shape:
        raise ValueError(
            f"`points` needs one datum or more, of one coordinate or more. Got {points.shape}. Do check them."
        )
    if points.ndim != 2:
        raise ValueError(f"`points` needs shape (n, d). Got {points.shape}. Do flatten each datum to a row.")
    if points.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"`points` needs float32 or float64. Got {points.dtype}. "
            "Do scale it: pixels from uint8 to [0, 1] by `points.astype(np.float32) / 255`."
        )
    # In parts: a mask of all of a large data set is a quarter of its size.
    parts = [points[i : i + _ROWS] for i in range(0, len(points), _ROWS)]
    if not all(np.all(np.isfinite(part)) for part in parts):
        raise ValueError("`points` needs finite values. Got infinite ones or NaN. Do drop those data.")
    if len(points) > 1 and all(np.all(part == points[:1]) for part in parts):
        raise ValueError(
            f"`points` needs at least two different data. Got {len(points)} times the same. Do check them."
        )
    return points


def _checked_labels(labels: Values | None, count: int) -> np.ndarray:
    """The labels on the host; ValueError if they are not classes 0, 1, .. of the data."""
    labels = np.zeros(count, np.int32) if labels is None else np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(f"`labels` needs shape ({count},), one for each datum. Got {labels.shape}. Do match `points`.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"`labels` needs integers. Got {labels.dtype}. Do number the classes from 0.")
    found = np.unique(labels)
    if not np.array_equal(found, np.arange(len(found))):
        raise ValueError(
            f"`labels` needs classes 0, 1, .., each of them used. Got {found[:10].tolist()}. "
            "Do renumber by `np.unique(labels, return_inverse=True)[1]`."
        )
    return labels
