"""A covariance as eigenvalues and eigenvectors: found once on the host, the device only multiplies."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arrays import Values, concrete, floating, require_finite, require_variances

_PRECISION = jax.lax.Precision.HIGHEST
# Rounding leaves the null directions of a data covariance at about -1e-16 of the largest eigenvalue in
# float64 and -1e-7 in float32; anything beyond is a mistake.
_NEGATIVE_PART = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-10}


def spectrum(covariance: Values, dim: int, dtype) -> tuple[Float[Array, " {dim}"], Float[Array, "{dim} {dim}"] | None]:
    """Eigenvalues and eigenvectors (in columns) of a covariance; no eigenvectors when it is diagonal.

    Args:
        covariance: a variance for every coordinate (scalar), one each (d,), or a symmetric matrix (d, d) with
            values known at construction. Directions of zero variance are allowed.
        dim: the dimension `d`.
        dtype: the type of the results.

    Returns:
        The eigenvalues, and the basis or None.

    Raises:
        ValueError: if the shape is another, or a value is not finite, or the matrix is not symmetric, or a
            variance is negative.
    """
    covariance = covariance if isinstance(covariance, jax.Array) else np.asarray(covariance)
    if covariance.shape in ((), (dim,)):
        eigenvalues = jnp.broadcast_to(floating(covariance, dtype), (dim,))
        require_variances("covariance", eigenvalues)
        return eigenvalues, None
    if covariance.shape != (dim, dim):
        raise ValueError(
            f"`covariance` needs shape (), ({dim},) or ({dim}, {dim}). Got {covariance.shape}. "
            f"Do match the dimension of the means, {dim}."
        )
    eigenvalues, basis = _decompose(covariance)
    return jnp.asarray(eigenvalues, dtype), jnp.asarray(basis, dtype)


def _decompose(covariance) -> tuple[np.ndarray, np.ndarray]:
    """Eigendecomposition in float64 on the host."""
    known = concrete(covariance)
    if known is None:
        raise ValueError(
            "`covariance` needs known values when it is a matrix: it is diagonalised on the host. "
            "Got a traced array. Do build the target outside of `jit` and `vmap`, or trace its eigenvalues."
        )
    require_finite("covariance", covariance)
    tolerance = _NEGATIVE_PART.get(known.dtype, 1e-10)
    matrix = known.astype(np.float64)
    scale = np.max(np.abs(matrix))
    skew = np.max(np.abs(matrix - matrix.T))
    if skew > tolerance * scale:
        raise ValueError(
            f"`covariance` needs a symmetric matrix. Got one that differs from its transpose by {skew:g}. "
            "Do pass (C + C.T) / 2 if that is what is meant."
        )
    eigenvalues, basis = np.linalg.eigh((matrix + matrix.T) / 2)
    if eigenvalues[0] < -tolerance * scale:
        raise ValueError(
            f"`covariance` needs eigenvalues that are not negative. Got {eigenvalues[0]:g}. "
            "Do check that it is a covariance."
        )
    return np.maximum(eigenvalues, 0.0), basis


def to_basis(basis: Float[Array, "d d"] | None, x: Float[Array, "*k d"]) -> Float[Array, "*k d"]:
    """Coordinates of `x` along the eigenvectors."""
    return x if basis is None else jnp.matmul(x, basis, precision=_PRECISION)


def from_basis(basis: Float[Array, "d d"] | None, x: Float[Array, "*k d"]) -> Float[Array, "*k d"]:
    """The vector with coordinates `x` along the eigenvectors."""
    return x if basis is None else jnp.matmul(x, basis.T, precision=_PRECISION)


def dense(basis: Float[Array, "d d"] | None, eigenvalues: Float[Array, " d"]) -> Float[Array, "d d"]:
    """The symmetric matrix with these eigenvalues."""
    return jnp.diag(eigenvalues) if basis is None else from_basis(basis, basis * eigenvalues[None])
