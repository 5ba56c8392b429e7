"""Permutations: those of JAX, without a program for each number of values."""

import jax
import jax.random as jr
import numpy as np
import pytest

from diffphys.experiments._permutations import permutations


# From 1626 values on there are two rounds.
@pytest.mark.parametrize(("count", "places"), [(1, 1), (2, 16), (353, 368), (1625, 1664), (1626, 1664)])
def test_permutations_are_those_of_jax(count, places):
    keys, values = jr.split(jr.key(count), 3), np.arange(count, dtype=np.int32)
    found = permutations(values, jr.clone(keys), places)
    np.testing.assert_array_equal(found, jax.vmap(lambda key: jr.permutation(key, values))(keys))


def test_other_numbers_of_values_in_the_same_places_compile_nothing(caplog):
    compiled = []
    for count in (300, 289, 304):
        caplog.clear()
        with jax.log_compiles():
            permutations(np.arange(count), jr.split(jr.key(0), 4), 304)
        compiled.append(sum("Compiling" in line for line in caplog.messages))
    assert compiled[0] >= 1
    assert compiled[1:] == [0, 0]
