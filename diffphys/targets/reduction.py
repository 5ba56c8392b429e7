"""Exact reduction of mixtures to the few coordinates that tell their components apart."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arrays import concrete
from .base import AbstractTarget
from .mixture import AbstractMixture, IsotropicMixture, SharedCovarianceMixture

# Eigenvalues closer than this share, and directions shorter than that of the longest, are told apart by rounding alone.
_ROUNDING = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}


class Rest(NamedTuple):
    """The law of all other coordinates: a Gaussian, whatever the label."""

    mean: Float[Array, " d"]
    """A mean of which their part is theirs, that of the first component."""
    eigenvalues: Float[np.ndarray, " n"]
    """Of the covariance, on the host in float64; one number if all are the same."""
    rotation: Float[Array, "d d"] | None
    """Their eigenvectors, in columns; None for the coordinates as they are."""


class Reduction(NamedTuple):
    """A mixture on the few directions that its labels depend on."""

    target: SharedCovarianceMixture
    """The law of the coordinates along them, with the same labels."""
    basis: Float[Array, "d r"]
    """The directions, orthonormal, in columns."""
    rest: Rest
    """The law of what is orthogonal to them; see `simulate_reduced`."""

    def project(self, x: Float[Array, "*k d"]) -> Float[Array, "*k r"]:
        """The coordinates along them, of a point, of a state of any process, or of a noise: $x Q$.

        Raises:
            ValueError: if it has another number of coordinates.
        """
        if x.shape[-1:] != self.basis.shape[:1]:
            raise ValueError(
                f"`x` needs {len(self.basis)} coordinates along its last axis, as the mixture. Got shape {x.shape}. "
                "Do pass points of the target that was reduced."
            )
        return jnp.matmul(x, self.basis, precision="highest")


def reduce(target: AbstractTarget) -> Reduction:
    r"""The law of the coordinates on which the labels of a mixture depend, and nothing else of it.

    Where all components share a covariance C, the label posterior is a function of $m_k' (C + v)^{-1} y$ alone, and so
    of the projections of y on the parts of $m_k - m_0$ in each eigenspace of C. With Q an orthonormal basis of these,

    $$ P(k \mid y) = P_Q(k \mid y Q), \qquad E[a \mid y]\, Q = E_Q[a \mid y Q], $$

    at every noise level. So a reverse trajectory of the full mixture, projected, is a trajectory of the reduced one
    under the projected noise, for every sampler on a grid of times, step by step; the coordinates that are left out
    stay Gaussian and say nothing. Two Gaussians in any dimension become two in one dimension: what is measured of their
    labels, by the identities and by clones, has the same law at 1/d of the work, and nothing is compiled anew for
    another d.

    Args:
        target: a mixture with one covariance for all components, its values known.

    Returns:
        The reduced target, the directions, and the law of the rest.

    Raises:
        ValueError: for any other target, means that are all the same, or traced values.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), supplement: projection on
        the axis of two classes. Several classes and eigenspaces are ours.
    """
    if not isinstance(target, AbstractMixture):
        raise ValueError(
            "`target` needs a mixture of Gaussians: the labels of others depend on every coordinate. "
            f"Got `{type(target).__name__}`. Do run it as it is."
        )
    means, spectrum = concrete(target.means), _common_spectrum(target)
    if means is None or spectrum is None:
        raise ValueError("`target` needs known values. Got traced ones. Do reduce it outside of `jit` and `vmap`.")
    eigenvalues, basis = spectrum
    along = means.astype(np.float64) @ basis if basis is not None else means.astype(np.float64)
    directions, variances = _directions(along - along[:1], eigenvalues, _ROUNDING[means.dtype])
    if not len(variances):
        raise ValueError("`target` needs components with different means. Got the same ones. Do merge them.")
    directions = directions if basis is None else basis @ directions
    small = SharedCovarianceMixture(
        target.log_weights, jnp.asarray(means.astype(np.float64) @ directions, means.dtype),
        jnp.asarray(variances, means.dtype), target.hierarchy,
    )  # fmt: skip
    one = np.all(eigenvalues == eigenvalues[0])
    rest = Rest(
        target.means[0], eigenvalues[:1] if one else eigenvalues,
        None if one or basis is None else jnp.asarray(basis, means.dtype),
    )  # fmt: skip
    return Reduction(small, jnp.asarray(directions, means.dtype), rest)


def _common_spectrum(target: AbstractMixture) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Eigenvalues and eigenvectors of the covariance that all components share; None if they are traced."""
    if isinstance(target, SharedCovarianceMixture):
        eigenvalues = concrete(target.eigenvalues)
        basis = None if target.basis is None else np.asarray(target.basis, np.float64)
        return None if eigenvalues is None else (eigenvalues.astype(np.float64), basis)
    assert isinstance(target, IsotropicMixture)
    variances = concrete(target.variances)
    if variances is None:
        return None
    if np.any(variances != variances[0]):
        raise ValueError(
            f"`target` needs one covariance for all components. Got variances {np.unique(variances).tolist()}: "
            "the labels then depend on the length of an observation too. Do run it as it is."
        )
    return np.full(target.dim, variances[0], np.float64), None


def _directions(
    arms: Float[np.ndarray, "k d"], eigenvalues: Float[np.ndarray, " d"], rounding: float
) -> tuple[Float[np.ndarray, "d r"], Float[np.ndarray, " r"]]:
    """An orthonormal basis of the parts of `arms` in each eigenspace, and the eigenvalue of each direction."""
    order, starts = np.argsort(eigenvalues), [0]
    for i in range(1, len(order)):
        # By the width of a space, not by gaps: a dense tail of small eigenvalues is not one of them. A space too many
        # costs a coordinate, and is exact too.
        value = eigenvalues[order[i]]
        if value - eigenvalues[order[starts[-1]]] > rounding * value + 1e-3 * rounding * eigenvalues.max():
            starts.append(i)
    shortest = rounding * np.linalg.norm(arms)
    columns, variances = [], []
    for space in np.split(order, starts[1:]):
        _, lengths, rows = np.linalg.svd(arms[:, space], full_matrices=False)
        for row in rows[lengths > shortest]:
            column = np.zeros(arms.shape[1])
            column[space] = row
            columns.append(column)
            variances.append(float(np.mean(eigenvalues[space])))
    return np.reshape(columns, (-1, arms.shape[1])).T, np.array(variances)
