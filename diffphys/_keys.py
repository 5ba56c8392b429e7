"""The refusal of what is not one typed key."""

from typing import Any

import jax
import jax.numpy as jnp


def check_key(key: Any) -> None:
    """Refuses raw uint32 keys, which hide their misuse, and batches of keys."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        found = f"an array of {key.dtype}" if isinstance(key, jax.Array) else f"{type(key).__name__} {key!r}"
        raise ValueError(f"`key` needs a typed key. Got {found}. Make one with `jax.random.key(seed)`.")
    if key.shape:
        raise ValueError(f"`key` needs one key. Got shape {key.shape}. Map over many with `jax.vmap`.")
