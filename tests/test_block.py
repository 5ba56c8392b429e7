"""The algebra of blocks against dense NumPy, each row to its own scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import diffphys._block as block

exactly = settings(derandomize=True, deadline=None, max_examples=60)
sizes, seeds = st.integers(1, 4), st.integers(0, 10_000)
exponents = st.lists(st.integers(-60, 20), min_size=4, max_size=4)


def rows_scaled(k, exponents):
    """A matrix that scales rows by powers of two, which rounds nothing."""
    return np.diag(2.0 ** np.array(exponents[:k]))


@exactly
@given(sizes, st.integers(1, 3), seeds, exponents)
def test_join_is_the_factor_of_the_sum_to_the_scale_of_each_row(k, count, seed, exponents):
    factors = np.random.default_rng(seed).normal(size=(count, k, k))
    scale = rows_scaled(k, exponents)
    joined = block.join(*[scale @ factor for factor in factors])
    unscaled = np.linalg.solve(scale, joined)
    wanted = sum(factor @ factor.T for factor in factors)
    assert np.all(np.triu(joined, 1) == 0)
    assert np.all(np.diag(joined) > 0)
    np.testing.assert_allclose(unscaled @ unscaled.T, wanted, rtol=0, atol=1e-13 * np.abs(wanted).max())
    plain = block.join(*factors)
    np.testing.assert_allclose(unscaled, plain, rtol=0, atol=1e-12 * np.linalg.cond(plain) * np.abs(plain).max())


def test_join_keeps_what_forming_the_sum_would_lose():
    nearly_dependent = np.array([[1.0, 0.0], [1.0, 1e-9]])
    np.testing.assert_allclose(block.join(nearly_dependent, 0 * nearly_dependent)[1, 1], 1e-9, rtol=1e-6)
    assert np.linalg.eigvalsh(nearly_dependent @ nearly_dependent.T)[0] < 1e-19


@exactly
@given(sizes, seeds, exponents)
def test_inverse_lower_is_the_inverse_to_the_scale_of_each_column(k, seed, exponents):
    rng = np.random.default_rng(seed)
    factor = np.tril(rng.normal(size=(k, k)), -1) + np.diag(rng.uniform(0.5, 2.0, k))
    scale = rows_scaled(k, exponents)
    wanted = np.linalg.inv(factor)
    np.testing.assert_allclose(block.inverse_lower(scale @ factor) @ scale, wanted, rtol=1e-12, atol=1e-13)


@exactly
@given(sizes, seeds, exponents)
def test_normal_to_is_an_orthonormal_basis_of_the_complement(k, seed, exponents):
    lift = rows_scaled(k, exponents) @ np.random.default_rng(seed).normal(size=k)
    normal = block.normal_to(lift)
    assert normal.shape == (k, k - 1)
    np.testing.assert_allclose(normal.T @ normal, np.eye(k - 1), atol=1e-14)
    np.testing.assert_allclose(normal.T @ lift / np.linalg.norm(lift), np.zeros(k - 1), atol=1e-15)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_blocks_act_on_states_as_kronecker_products(k):
    rng, d = np.random.default_rng(0), 5
    a, m, z, x = rng.normal(size=(k, k)), rng.normal(size=k), rng.normal(size=(k, d)), rng.normal(size=d)
    dense = np.kron(a, np.eye(d)) @ z.ravel()
    np.testing.assert_allclose(block.apply(a, jnp.asarray(z)).ravel(), dense, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(block.apply(m, jnp.asarray(z)), block.apply(np.diag(m), jnp.asarray(z)))
    np.testing.assert_allclose(block.lift(m, jnp.asarray(x)).ravel(), np.kron(m, x), rtol=1e-14)
    np.testing.assert_allclose(block.project(m, jnp.asarray(z)), m @ z, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(block.project(m, jnp.asarray(z)) @ x, np.sum(z * block.lift(m, jnp.asarray(x))))


def test_a_scalar_block_is_a_one_by_one_block():
    x = jnp.array([0.3, -2.0])
    for operation in (block.apply, block.lift, block.project):
        np.testing.assert_array_equal(operation(1.7, x), 1.7 * x)
    assert block.join(3.0, 4.0) == 5.0
    assert block.outer(3.0) == 9.0
    assert block.inverse_lower(4.0) == 0.25
    assert block.identity_like(np.float64(7.0)) == 1.0
    np.testing.assert_array_equal(block.join(np.array([[3.0]]), np.array([[4.0]])), [[5.0]])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_blocks_of_jax_arrays_are_those_of_numpy_and_keep_their_dtype(dtype):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3, 3))
    x, y, m = (jnp.asarray(value, dtype) for value in (a, b, a[0]))
    lower = block.join(a, b)
    pairs = (
        (block.join(x, y), lower),
        (block.inverse_lower(jnp.asarray(lower, dtype)), block.inverse_lower(lower)),
        (block.normal_to(m), block.normal_to(a[0])),
        (block.identity_like(x), np.eye(3)),
        (block.outer(x), a @ a.T),
        (block.matmul(x, m), a @ a[0]),
        (block.transpose(x), a.T),
    )
    for got, wanted in pairs:
        assert got.dtype == dtype
        np.testing.assert_allclose(got, wanted, rtol=200 * jnp.finfo(dtype).eps, atol=20 * jnp.finfo(dtype).eps)


def test_numbers_become_the_arrays_of_the_library_of_one_of_them():
    library, (t, parameter) = block.scalars(np.float32(0.25), 2)
    assert library is np
    assert t.dtype == parameter.dtype == np.float64
    library, (t, parameter) = block.scalars(jnp.float32(0.25), np.float64(2.0))
    assert library is jnp
    assert t.dtype == parameter.dtype == jnp.float32


def test_a_whole_number_is_a_real_number():
    with jax.numpy_dtype_promotion("standard"):
        _, (t, parameter) = block.scalars(jnp.asarray(1), 0.5)
    assert jnp.issubdtype(t.dtype, jnp.floating)
    assert parameter == 0.5


def test_a_traced_condition_does_not_fail():
    assert block.fails(jnp.asarray(-1.0) > 0)
    assert not jax.jit(lambda x: jnp.asarray(block.fails(x > 0)))(-1.0)


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 4), (1, 4)])
def test_a_state_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"`z` needs shape \(2, d\)"):
        block.apply(np.eye(2), jnp.ones(shape))
    with pytest.raises(ValueError, match=r"`z` needs shape \(2, d\)"):
        block.project(np.ones(2), jnp.ones(shape))
