"""The refusal of what is not one typed key."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np


def check_key(key: Any) -> None:
    """Refuses raw uint32 keys, which hide their misuse, and batches of keys."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        found = f"an array of {key.dtype}" if isinstance(key, jax.Array) else f"{type(key).__name__} {key!r}"
        raise ValueError(f"`key` needs a typed key. Got {found}. Make one with `jax.random.key(seed)`.")
    if key.shape:
        raise ValueError(f"`key` needs one key. Got shape {key.shape}. Map over many with `jax.vmap`.")


def root_of(seed: Any) -> jax.Array:
    """The root of a seed, of a kind whose numbers are the same in every batch, whatever kind JAX makes by default."""
    return jr.key(seed, impl="threefry2x32")


def check_root(key: Any) -> None:
    """Refuses what cannot be the root of addressed noise: also keys that draw other numbers in another batch.

    Of a batch of keys of `rbg`, JAX draws by the first: the noise of a sample would hang on its chunk and its device.
    """
    check_key(key)
    try:
        np.asarray(jr.key_data(key))
    except jax.errors.TracerArrayConversionError:
        raise ValueError(
            "`key` needs a known key: an experiment runs from the host, in chunks. Got a traced one. "
            "Do call it outside of `jit`, `vmap` and `grad`, once for each seed."
        ) from None
    kind = str(jr.key_impl(key))
    if "rbg" in kind:
        raise ValueError(
            f"`key` needs a kind whose numbers are the same in every batch. Got {kind}. "
            'Do make it with `jax.random.key(seed, impl="threefry2x32")`.'
        )
