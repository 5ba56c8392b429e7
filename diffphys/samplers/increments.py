r"""Noise with the moments of normals and fewer random bits: what a weak approximation needs, and no more.

A step of weak order p is right in law, to that order, for any increments whose moments agree with those of a normal up
to the order 2p + 1 (Kloeden & Platen (1992), section 14.1): the paths differ, the averages do not. So Euler-Maruyama
and the bridge may use signs, one random bit a number, and methods of weak order 2 three points, eight bits; a normal
takes 32 bits and half of a logarithm, a root and a sine. Where random numbers are the cost of a step, as with exact
scores, a step with signs is four times faster; three points gain little.

What that costs at a given step depends on how many numbers an average mixes. Of two Gaussian classes in d = 256 only
the sum of a step's noise along their axis counts, and signs add next to nothing to the error of phi = .7752 at their
speciation time, which is that of the steps. In 8, 16 and 32 steps down to t = 1e-3, for normals, signs within 1e-5:

* `ReverseSDE`, uniform in t: -.0050, -.0001, +.0007; uniform in log-SNR: -.0280 (signs -.0281), -.0058, -.0003;
* `Bridge`, uniform in t: +.0500, +.0270, +.0142; uniform in log-SNR: +.0935, +.0522, +.0283.

On one coordinate alone, that of `reduce`, nothing is mixed: there signs move phi by .001 to .003 in 32 steps.

Each has the signature of `jax.random.normal`, to be given as `increments` to `simulate` and to the experiments.
"""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt

from .._types import PRNGKey


def rademacher(key: PRNGKey, shape: tuple[int, ...] = (), dtype: DTypeLike = float) -> Float[Array, "..."]:
    """Signs: +1 or -1, each with probability 1/2, 32 to a random word. For steps of weak order 1.

    Moments 0, 1, 0, 1 (a normal: 0, 1, 0, 3).

    Args:
        key: a typed key.
        shape: of the result.
        dtype: of the result.
    """
    # A random sign bit on the float32 number 1: no arithmetic at all.
    ones = _unpack(key, shape, 1) << 31 | jnp.uint32(0x3F800000)
    return jax.lax.bitcast_convert_type(ones, jnp.float32).astype(dtype)


# Of 256 values of a byte, those that give each of the two outer points: the nearest to 1/6.
_OUTER = 43


def three_point(key: PRNGKey, shape: tuple[int, ...] = (), dtype: DTypeLike = float) -> Float[Array, "..."]:
    r"""Values $-c, 0, c$ with probabilities p, 1 - 2p, p; 8 random bits each. For steps of weak order 2.

    With p = 43/256, the nearest to 1/6 that a byte has, and $c = 1/\sqrt{2p}$: moments 0, 1, 0, 2.977, 0
    (a normal: 0, 1, 0, 3, 0).

    Args:
        key: a typed key.
        shape: of the result.
        dtype: of the result.
    """
    byte = _unpack(key, shape, 8)
    signs = (byte < _OUTER).astype(dtype) - (byte >= 256 - _OUTER).astype(dtype)
    return signs * math.sqrt(128 / _OUTER)


def _unpack(key: PRNGKey, shape: tuple[int, ...], width: int) -> UInt[Array, "..."]:
    """Random integers of `width` bits, as many to a word as it holds."""
    size, each = math.prod(shape), 32 // width
    words = jr.bits(key, (-(-size // each),), jnp.uint32)
    # The numbers of a word side by side: the other way round is half as fast on a CPU.
    fields = words[:, None] >> jnp.arange(0, 32, width, dtype=jnp.uint32)[None]
    return (fields & jnp.uint32(2**width - 1)).reshape(-1)[:size].reshape(shape)
