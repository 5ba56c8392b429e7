"""How a denoiser answers to its input: the stability matrix, its leading modes, the susceptibility."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, eigsh

from .._types import Data, Denoiser, Scalar
from ._host import on_host
from ._points import HostData, placed

# Up to this dimension the whole matrix costs less than the iteration.
_DENSE = 64


class Modes(NamedTuple):
    """Leading eigenvalues and eigenvectors of the stability matrix, the largest real part first.

    Attributes:
        eigenvalues: those of `J`; real for a symmetric matrix.
        vectors: the unit eigenvectors, in rows.
    """

    eigenvalues: Inexact[np.ndarray, " count"]
    vectors: Inexact[np.ndarray, "count d"]

    @property
    def susceptibilities(self) -> Inexact[np.ndarray, " count"]:
        """Those of the susceptibility along the same vectors, `j / (1 - j)`: infinite at a critical point."""
        with np.errstate(divide="ignore"):
            return self.eigenvalues / (1 - self.eigenvalues)


def stability_matrix(denoise: Denoiser, y: Data, variance: Scalar) -> Float[Array, "d d"]:
    r"""The Jacobian of a denoiser, $J = \partial \langle a \rangle_y / \partial y = \mathrm{Cov}(a | y) / v$.

    The Hessian of the regularised free energy is `I - J`: a fixed point is stable while every eigenvalue of `J` is
    below 1, and critical where one of them is 1.

    Args:
        denoise: any denoiser that JAX can differentiate.
        y: the noisy observation, in the units of the data.
        variance: the noise variance, v > 0.

    Returns:
        The matrix, without unit; symmetric for an exact denoiser, not so for a learned one.
    """
    y, variance = placed(denoise, y, variance)
    return jax.jacfwd(lambda x: denoise(x, variance))(y)


def susceptibility(denoise: Denoiser, y: Data, variance: Scalar) -> Float[Array, "d d"]:
    r"""The response of a self-consistent magnetisation to an external field, $\chi = \partial m / \partial h$.

    $$ m = \langle a \rangle_{m + h} \quad\Longrightarrow\quad \chi = (I - J)^{-1} J $$

    It is not the Hessian of the free energy, `I - J`, which vanishes where the susceptibility diverges.

    Args:
        denoise: any denoiser that JAX can differentiate.
        y: where `J` is taken: `m + h` with m a fixed point in the field h.
        variance: the noise variance, v > 0.

    Returns:
        The matrix, without unit. Near a critical point `I - J` has the rounding error of 1: in float32 a
        susceptibility of 100 is good to five digits, one of 10^5 to two.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), eqs. 27 and 28, where the
        power is that of |tau - tau_c|.
    """
    y, variance = placed(denoise, y, variance)
    matrix = stability_matrix(denoise, y, variance)
    return jnp.linalg.solve(jnp.eye(y.size, dtype=y.dtype) - matrix, matrix)


@on_host
def leading_modes(denoise: Denoiser, y: HostData, variance: Scalar, count: int = 1, *, symmetric: bool = True) -> Modes:
    """Leading eigenpairs of the stability matrix by Lanczos iteration on its products, without the matrix.

    A product costs two evaluations of the denoiser; some thirty of them give the first pair in any dimension. Up to
    64 dimensions the whole matrix is diagonalised.

    Args:
        denoise: any denoiser that JAX can differentiate in forward mode; passed as a method of a module, its arrays
            are not compiled in.
        y: the noisy observation, in the units of the data; the products are made in its precision.
        variance: the noise variance, v > 0.
        count: how many pairs, fewer than the dimension.
        symmetric: whether `J` is symmetric, as it is for an exact denoiser: Lanczos iteration. Otherwise Arnoldi
            iteration for the eigenvalues of largest real part, which are complex numbers.

    Returns:
        The eigenvalues and eigenvectors, the largest first.

    Raises:
        ValueError: if `count` does not fit, JAX cannot differentiate the denoiser, `J` has an entry that is not
            finite, it is not symmetric though said to be, or the iteration does not converge.
    """
    y, variance = placed(denoise, y, variance)
    if not 1 <= count < max(y.size, 2):
        raise ValueError(
            f"`leading_modes` needs `count` from 1 to d - 1 = {y.size - 1}. Got {count}. Do ask for fewer."
        )
    if y.size <= max(_DENSE, 2 * count + 1):
        return _dense_modes(jacobian(denoise, y, variance), count, symmetric)

    def times(vector: np.ndarray) -> np.ndarray:
        found = product(denoise, y, variance, jnp.asarray(vector.ravel(), y.dtype))
        return _finite(np.asarray(found, np.float64))

    rng, eps = np.random.default_rng(0), float(jnp.finfo(y.dtype).eps)
    one, other = rng.standard_normal((2, y.size))
    of_one = times(one)
    if symmetric:
        of_other = times(other)
        # Of the size of the antisymmetric part, where the norms are of that of the whole matrix.
        _require_symmetric(other @ of_one - one @ of_other, max(map(np.linalg.norm, (of_one, of_other))), eps)
    # A matrix that is zero has no direction to iterate in: then that of `I + J`, shifted back.
    shift = 0.0 if np.linalg.norm(of_one) > eps * np.linalg.norm(one) else 1.0
    operator = linear_operator(y.size, lambda x: times(x) + shift * x.ravel())
    solve: Any = eigsh if symmetric else eigs
    which = "LA" if symmetric else "LR"
    try:
        values, vectors = solve(operator, count, which=which, v0=one, tol=50 * eps)
    except ArpackNoConvergence as error:
        raise ValueError(
            f"`leading_modes` needs an iteration that converges. Got {len(error.eigenvalues)} of {count} pairs. "
            "Do ask for fewer, or for a larger variance."
        ) from error
    return _sorted(values - shift, vectors, count)


@eqx.filter_jit
def image(denoise: Denoiser, y: Data, variance: Scalar) -> Data:
    """The denoiser itself, compiled once."""
    return denoise(y, variance)


def jacobian(denoise: Denoiser, y: Data, variance: Scalar) -> Float[Array, "d d"]:
    """`stability_matrix`, compiled once for each denoiser; ValueError if JAX cannot differentiate it."""
    with _derivative():
        return _jacobian(denoise, y, variance)


def product(denoise: Denoiser, y: Data, variance: Scalar, vector: Data) -> Data:
    """The stability matrix times a vector, compiled once; ValueError if JAX cannot differentiate the denoiser."""
    with _derivative():
        return _product(denoise, y, variance, vector)


@eqx.filter_jit
def _jacobian(denoise: Denoiser, y: Data, variance: Scalar) -> Float[Array, "d d"]:
    return stability_matrix(denoise, y, variance)


@eqx.filter_jit
def _product(denoise: Denoiser, y: Data, variance: Scalar, vector: Data) -> Data:
    return jax.jvp(lambda x: denoise(x, variance), (y,), (vector,))[1]


def linear_operator(size: int, times: Callable[[np.ndarray], np.ndarray]) -> LinearOperator:
    """A square matrix by its products."""
    make: Any = LinearOperator  # Its types are those of the class that one would derive from it.
    return make((size, size), matvec=times, dtype=np.float64)


@contextmanager
def _derivative() -> Iterator[None]:
    """Says what is wrong where JAX cannot differentiate a denoiser in forward mode."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            "`denoise` needs a function that JAX can differentiate in forward mode. "
            f"Got {type(error).__name__}: {str(error).splitlines()[0]} Do write it in `jax.numpy`."
        ) from error


def symmetric_matrix(denoise: Denoiser, y: Data, variance: Scalar) -> Float[np.ndarray, "d d"]:
    """The stability matrix on the host in float64; ValueError unless it is finite and symmetric."""
    matrix = _finite(np.asarray(jacobian(denoise, y, variance), np.float64))
    _require_symmetric(np.linalg.norm(matrix - matrix.T), np.linalg.norm(matrix), float(jnp.finfo(y.dtype).eps))
    return 0.5 * (matrix + matrix.T)


def _dense_modes(matrix: Array, count: int, symmetric: bool) -> Modes:
    host = _finite(np.asarray(matrix, np.float64))
    if not symmetric:
        return _sorted(*np.linalg.eig(host), count)
    _require_symmetric(np.linalg.norm(host - host.T), np.linalg.norm(host), float(jnp.finfo(matrix.dtype).eps))
    return _sorted(*np.linalg.eigh(0.5 * (host + host.T)), count)


def _sorted(values: np.ndarray, vectors: np.ndarray, count: int) -> Modes:
    order = np.argsort(-np.real(values), kind="stable")[:count]
    return Modes(values[order], vectors.T[order])


def _finite(array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise ValueError(
            "The stability matrix needs finite entries. Got some that are infinite or NaN. "
            "Do check the denoiser at this point and variance."
        )
    return array


def _require_symmetric(difference: float | np.floating, size: float | np.floating, eps: float) -> None:
    # Ten times the square root of eps: far above rounding, far below what a learned denoiser shows. Relative to the
    # critical value, one, where J itself is no more than rounding.
    if abs(difference) > 10 * np.sqrt(eps) * max(size, 1.0):
        raise ValueError(
            f"The stability matrix needs symmetry here. Got a relative asymmetry of {abs(difference) / size:.1e}, "
            "which an exact denoiser has not. Do pass `symmetric=False` where there is such a choice."
        )
