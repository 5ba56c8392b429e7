"""Random words that are a function of their address alone, all of it in one loop."""

import jax.numpy as jnp
from jaxtyping import Array, UInt

Words = tuple[UInt[Array, "..."], UInt[Array, "..."], UInt[Array, "..."], UInt[Array, "..."]]

# By how many bits the second and the fourth word of a round turn, of eight rounds in turn.
_TURNS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
_PARITY = 0x1BD11BDA


def threefry4x32(key: Words, counter: Words, rounds: int = 20) -> Words:
    """Threefry4x32: four random words of each counter, by additions, turns and exclusive ors.

    Those of `jax.random` are Threefry2x32, whose rounds XLA runs as a loop over whole arrays on a CPU. Written out,
    the compiler makes one vectorised loop of the words and of all that is made of them, and no word goes through
    memory. Two pairs of words that mix side by side keep more of a core busy than the one pair of Threefry2x32. Philox
    asks for products of 64 bits, which need x64; of halves of words they make it take twice as long.

    Args:
        key: four words.
        counter: four arrays of words, of shapes that broadcast.
        rounds: how often words are mixed; 20 is its authors' choice, 12 pass all of their tests.

    Reference:
        Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011), section 4.
    """
    whole = (*key, key[0] ^ key[1] ^ key[2] ^ key[3] ^ jnp.uint32(_PARITY))
    x = [word + part for word, part in zip(counter, key, strict=True)]
    for i in range(rounds):
        pairs = ((0, 3), (2, 1)) if i % 2 else ((0, 1), (2, 3))
        for (a, b), turn in zip(pairs, _TURNS[i % 8], strict=True):
            x[a] = x[a] + x[b]
            x[b] = (x[b] << turn | x[b] >> (32 - turn)) ^ x[a]
        if i % 4 == 3:
            turn = i // 4 + 1
            x = [word + whole[(turn + j) % 5] for j, word in enumerate(x)]
            x[3] = x[3] + jnp.uint32(turn)
    return x[0], x[1], x[2], x[3]
