"""The largest number and the sum of a block, in lanes.

XLA reduces the last axis of a batch number by number on a CPU: a pass over the numbers of a block would cost a good
part of the matrix product that they come from.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Real

# A power of two: numbers that are taken side by side.
_LANES = 32


def max_of(values: Real[Array, " s"]) -> Real[Array, ""]:
    """The largest of the numbers of a block."""
    return _in_lanes(values, jnp.max, jnp.maximum)


def sum_of(values: Real[Array, " s"]) -> Real[Array, ""]:
    """The sum of the numbers of a block."""
    return _in_lanes(values, jnp.sum, jnp.add)


def _in_lanes(values: Real[Array, " s"], reduce: Callable, pair: Callable) -> Real[Array, ""]:
    """All lanes side by side, and then these by halves: XLA would make one reduction of two."""
    lanes = jnp.asarray(reduce(values.reshape(-1, math.gcd(values.size, _LANES)), axis=0))
    while lanes.size > 1:
        lanes = pair(*jnp.split(lanes, 2))
    return lanes[0]
