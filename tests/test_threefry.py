"""Random words: those that the authors of the cipher publish, and one loop for all of it."""

import jax.numpy as jnp
import numpy as np
import pytest

from diffphys._threefry import threefry4x32

# Of the file `kat_vectors` of Random123 1.14: rounds, counter, key, words.
ONES, PI = (0xFFFFFFFF,) * 4, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
E = (0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89)
KNOWN = [
    (13, (0,) * 4, (0,) * 4, (0x531C7E4F, 0x39491EE5, 0x2C855A92, 0x3D6ABF9A)),
    (13, ONES, ONES, (0xC4189358, 0x1C9CC83A, 0xD5881C67, 0x6A0A89E0)),
    (13, PI, E, (0x4AA71D8F, 0x734738C2, 0x431FC6A8, 0xAE6DEBF1)),
    (20, (0,) * 4, (0,) * 4, (0x9C6CA96A, 0xE17EAE66, 0xFC10ECD4, 0x5256A7D8)),
    (20, ONES, ONES, (0x2A881696, 0x57012287, 0xF6C7446E, 0xA16A6732)),
    (20, PI, E, (0x59CD1DBB, 0xB8879579, 0x86B5D00C, 0xAC8B6D84)),
]


@pytest.mark.parametrize(("rounds", "counter", "key", "wanted"), KNOWN)
def test_words_are_those_that_the_authors_publish(rounds, counter, key, wanted):
    found = threefry4x32(tuple(map(jnp.uint32, key)), tuple(map(jnp.uint32, counter)), rounds)
    assert tuple(map(int, found)) == wanted


def test_words_of_an_array_of_counters_are_those_of_each():
    key = tuple(map(jnp.uint32, E))
    counters = np.random.default_rng(0).integers(2**32, size=(4, 3), dtype=np.uint32)
    together = np.array(threefry4x32(key, tuple(jnp.asarray(counters))))
    for j in range(3):
        alone = threefry4x32(key, tuple(map(jnp.uint32, counters[:, j])))
        np.testing.assert_array_equal(together[:, j], np.array(alone))
