"""A block of any length has its largest number and its sum, alone and in a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffphys.targets._lanes import max_of, sum_of


@pytest.mark.parametrize("size", [1, 7, 16, 48, 1024])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_lanes_leave_no_number_out(size, dtype):
    values = np.random.default_rng(size).integers(-1000, 1000, (5, size)).astype(dtype)
    # Whole numbers are only looked through: their sums would be of a wider type.
    for of, plain in ((max_of, np.max), (sum_of, np.sum))[: 1 if dtype == np.int32 else 2]:
        found = jax.vmap(of)(jnp.asarray(values))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, plain(values, axis=1))
        np.testing.assert_array_equal(of(jnp.asarray(values[0])), plain(values[0]))


def test_the_largest_of_nothing_but_padding_is_minus_infinity():
    assert max_of(jnp.full((32,), -jnp.inf)) == -jnp.inf


def test_derivatives_are_those_of_a_sum():
    np.testing.assert_array_equal(jax.grad(lambda x: sum_of(x**2))(jnp.arange(48.0)), 2 * np.arange(48.0))
