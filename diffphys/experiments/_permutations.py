"""Random permutations whose programs do not depend on the number of things that are permuted."""

import functools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key, Shaped, UInt32


def permutations(values: Shaped[np.ndarray, " n"], keys: Key[Array, " g"], places: int) -> Shaped[np.ndarray, "g n"]:
    """A permutation of some values for each key, those of `jax.random.permutation`.

    As there, values are sorted by random words, in so many rounds that two of them hardly ever have the same words;
    but that compiles a program for each number of values, which takes longer than the rest.

    Args:
        values: what is permuted.
        keys: typed keys, of threefry for the permutations to be those of JAX.
        places: words that are drawn a round, at least `n`; the first `n` do not depend on it.
    """
    found = np.broadcast_to(values, (len(keys), len(values)))
    rounds = math.ceil(3 * math.log(len(values)) / math.log(2**32 - 1))
    for _ in range(rounds):
        keys, words = _words(keys, places)
        order = np.argsort(np.asarray(words)[:, : len(values)], axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
    return found


@functools.partial(jax.jit, static_argnums=1)
def _words(keys: Key[Array, " g"], places: int) -> tuple[Key[Array, " g"], UInt32[Array, "g places"]]:
    """The keys of the next round, and the words of this one."""

    def one(key):
        key, word_key = jr.split(key)
        return key, jr.bits(word_key, (places,), jnp.uint32)

    return jax.vmap(one)(keys)
