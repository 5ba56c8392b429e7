"""Does the compiler itself compute? Some releases do not (jax-ml/jax#39103)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

MATRIX = np.array([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-0.3, 0.7, 1.5]])

SPELLINGS = {"M @ x": lambda matrix, x: matrix @ x, "x @ M.T": lambda matrix, x: x @ matrix.T}
REDUCTIONS = {
    "sum of squares": (lambda y: jnp.sum(y**2), lambda y: (y**2).sum(axis=1)),
    "max": (jnp.max, lambda y: y.max(axis=1)),
}


@pytest.mark.parametrize("n", [33_000, 40_000])  # Wrong releases are wrong for some sizes only.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_compiled_reduction_of_a_small_product_matches_numpy(spelling, reduction, dtype, n):
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(dtype)
    matrix = MATRIX.astype(dtype)
    product, (reduce, reference) = SPELLINGS[spelling], REDUCTIONS[reduction]
    with jax.default_device(jax.devices("cpu")[0]):  # The fault is of the CPU; accelerators round products.
        compiled = jax.jit(jax.vmap(lambda row: reduce(product(jnp.asarray(matrix), row))))(jnp.asarray(x))
    wanted = reference(x.astype(np.float64) @ matrix.astype(np.float64).T)
    # A few units in the last place of the largest terms; wrong releases are wrong in the first digit.
    np.testing.assert_allclose(compiled, wanted, atol=50 * np.finfo(dtype).eps, rtol=50 * np.finfo(dtype).eps)
