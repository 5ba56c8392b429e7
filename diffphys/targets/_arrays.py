"""Arrays at the door of a target: their type, and the refusal of bad values when these are known."""

from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

Values: TypeAlias = ArrayLike | Sequence
"""Numbers as an array, or in lists."""


def floating(value: Values, dtype=None) -> Float[Array, "..."]:
    """The value as a floating-point array: in `dtype`, else its own, else the default one."""
    if dtype is None:
        # float32 stays float32 under x64; lists, Python numbers and integers take the default type.
        dtype = getattr(value, "dtype", float)
        dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else float
    return jnp.asarray(value, dtype)


def concrete(value: Array | np.ndarray) -> np.ndarray | None:
    """The values on the host, or None while JAX traces: values can be refused only where they are known."""
    try:
        return np.asarray(value)
    except jax.errors.TracerArrayConversionError:
        return None


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
        ValueError: if some known weight is not positive. Their number is for the caller to check.
    """
    weights = jnp.ones((count,), dtype) if weights is None else floating(weights, dtype)
    known = concrete(weights)
    if known is not None and not np.all(known > 0):
        raise ValueError(f"`weights` needs positive numbers. Got {known.min():g}. Do leave out empty components.")
    return jnp.log(weights)
