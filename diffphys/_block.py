"""Linear algebra on the phase-space axis, for scalars and for k x k blocks alike.

The only place that asks which of the two it has. Coefficients are made on the host in NumPy float64 (or in
`jax.numpy`, when a parameter is traced); on the device a block only ever multiplies a state, by explicit sums, since
LAPACK calls on thousands of small matrices are what makes phase-space samplers slow.
"""

import functools
import operator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._types import Data, State


def scalars(*values: Any) -> tuple[ModuleType, tuple[Any, ...]]:
    """The array library that fits `values`, and the values as its arrays of one dtype.

    NumPy float64 unless one of them is a jax array or a tracer, whose floating dtype then decides for all.
    """
    arrays = [value for value in values if isinstance(value, jax.Array)]
    if not arrays:
        return np, tuple(np.asarray(value, np.float64) for value in values)
    dtype = jnp.result_type(float, *arrays)
    return jnp, tuple(jnp.asarray(value, dtype) for value in values)


def parameter(value: Any) -> Any:
    """A physical parameter as an array leaf: differentiable and vmappable if it is a jax array."""
    return value if isinstance(value, jax.Array) else np.asarray(value, np.float64)


def fails(condition: Any) -> bool:
    """Whether a concrete condition is false. A traced one cannot be known, and is let through."""
    try:
        return not bool(condition)
    except jax.errors.ConcretizationTypeError:
        return False


def matrix(xp: ModuleType, rows: list[list[Any]]) -> Any:
    """A block from its entries, row by row."""
    return xp.stack([xp.stack(row) for row in rows])


def matmul(a: Any, b: Any) -> Any:
    """The product of two blocks, or of a block and a lift."""
    return a * b if np.ndim(a) == 0 else a @ b


def transpose(a: Any) -> Any:
    """The transpose of a block."""
    return a if np.ndim(a) == 0 else a.T


def trace(a: Any) -> Any:
    """The trace of a block."""
    return a if np.ndim(a) == 0 else a.trace()


def outer(factor: Any) -> Any:
    """`L L'`: the covariance with the factor `L`."""
    return factor * factor if np.ndim(factor) == 0 else factor @ factor.T


def identity_like(a: Any) -> Any:
    """The block that leaves a state as it is."""
    if np.ndim(a) == 0:
        return a * 0 + 1
    return (jnp if isinstance(a, jax.Array) else np).eye(a.shape[0], dtype=a.dtype)


def join(*factors: Any) -> Any:
    """The lower triangular `L` with `L L' = sum_i B_i B_i'`, of blocks `B_i`, without forming the sum.

    By orthogonal rotation, so that each row keeps its own relative accuracy, however small it is.
    """
    xp: Any = jnp if any(isinstance(factor, jax.Array) for factor in factors) else np
    if np.ndim(factors[0]) == 0:
        return xp.sqrt(sum(factor * factor for factor in factors))
    upper = xp.linalg.qr(xp.concatenate([factor.T for factor in factors]), mode="r")
    return upper.T * xp.where(xp.diagonal(upper) < 0, -1.0, 1.0).astype(upper.dtype)[None]


def inverse_lower(factor: Any) -> Any:
    """The inverse of a lower triangular block, by forward substitution."""
    if np.ndim(factor) == 0:
        return 1 / factor
    xp = jnp if isinstance(factor, jax.Array) else np
    rows: list[Any] = []
    for i, row in enumerate(xp.eye(factor.shape[0], dtype=factor.dtype)):
        for j in range(i):
            row = row - factor[i, j] * rows[j]
        rows.append(row / factor[i, i])
    return xp.stack(rows)


def normal_to(m: Any) -> Any:
    """An orthonormal basis, k x (k - 1), of the directions normal to the lift `m`: by one reflection."""
    xp = jnp if isinstance(m, jax.Array) else np
    identity = xp.eye(m.shape[0], dtype=m.dtype)
    # Away from the first axis, so that nothing cancels in the sum.
    mirror = m + identity[0] * xp.where(m[0] < 0, -1.0, 1.0).astype(m.dtype) * xp.sqrt(m @ m)
    return (identity - 2 * mirror[:, None] * mirror[None] / (mirror @ mirror))[:, 1:]


def apply(a: Any, z: State) -> State:
    """The block `a`, or the diagonal of one, on the state `z`: explicit sums, never a call to LAPACK."""
    a = jnp.asarray(a, z.dtype)
    if a.ndim == 0:
        return a * z
    _check_state(z, a.shape[-1])
    if a.ndim == 1:
        return a[:, None] * z
    # By columns. Rows would have to be stacked, and of a random z XLA would draw the numbers again for each row.
    return functools.reduce(operator.add, (a[:, j, None] * z[j][None] for j in range(a.shape[1])))


def lift(m: Any, a: Data) -> State:
    """`m (x) a`: the data `a` placed in a state."""
    m = jnp.asarray(m, a.dtype)
    return m * a if m.ndim == 0 else m[:, None] * a[None]


def project(m: Any, z: State) -> Data:
    """The transpose of `lift`: `sum_i m_i z_i`."""
    m = jnp.asarray(m, z.dtype)
    if m.ndim == 0:
        return m * z
    _check_state(z, m.shape[0])
    return functools.reduce(operator.add, (m[i] * z[i] for i in range(m.shape[0])))


def _check_state(z: State, k: int) -> None:
    # A state that is too short would be read as numbers, one that is too long in part: both without an error.
    if z.ndim != 2 or z.shape[0] != k:
        raise ValueError(f"`z` needs shape ({k}, d): {k} variables on axis 0. Got {z.shape}. Do stack them.")
