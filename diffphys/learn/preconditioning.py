"""What a network has to learn: what the best linear denoiser leaves."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse.linalg import eigsh, svds

from .. import _block as block
from .._types import Data, Scalar
from ..targets._arrays import require_variances
from ..thermo.row_sums import mean_of, scatter_of

# What float32 holds.
_LEAST, _MOST = (float(end) for end in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
_HIGHEST = jax.lax.Precision.HIGHEST


class GaussianPreconditioning(eqx.Module):
    r"""The best linear denoiser of the data, and a network f of what is left.

    $$ \hat a(y, v) = \hat a_{lin} + c_{out}\, f\big(c_{in} (y - \mu),\, c_{lin} (\hat a_{lin} - \mu),\,
       \tfrac14 \log v \big), \qquad \hat a_{lin} = \mu + \Sigma (\Sigma + v)^{-1} (y - \mu). $$

    With f = 0, where training starts, this is the linear denoiser at every noise level: exact for Gaussian data, and
    right to first order in 1/v for any. What is left falls as $v^{-2}$ (squared) at large v, where it comes from the
    third cumulant, and as v at small v; so does

    $$ c_{out}^2 = \epsilon_{lin}(v) \Big(\frac{\Lambda}{\Lambda + v}\Big)^{p}, \qquad
       \epsilon_{lin}(v) = \frac{v}{d} \operatorname{tr} \Sigma (\Sigma + v)^{-1}, $$

    with p = 2, $\Lambda$ the largest eigenvalue and $\epsilon_{lin}$ the error a coordinate of the linear denoiser.
    Inputs have unit variance a coordinate. The covariance is that of the leading eigenvectors, and a multiple of
    the identity in all other directions.

    Args:
        mean: of the data.
        basis: orthonormal leading eigenvectors of the covariance, as columns; none for an isotropic Gaussian.
        eigenvalues: theirs.
        rest: the eigenvalue of all other directions.
        decay: p; 0 gives the preconditioning of EDM for an isotropic Gaussian.

    Raises:
        ValueError: if the shapes do not fit each other, or known eigenvalues are negative or not finite, or all zero.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), section 5, for
        an isotropic Gaussian; the matched Gaussian and the decay of what it leaves are ours.
    """

    mean: Float[Array, " d"]
    basis: Float[Array, "d r"]
    eigenvalues: Float[Array, " r"]
    rest: Float[Array, ""]
    decay: float = eqx.field(static=True, default=2.0)

    def __check_init__(self):
        shapes = [np.shape(array) for array in (self.mean, self.basis, self.eigenvalues, self.rest)]
        if len(shapes[0]) != 1 or shapes[1:] != [(*shapes[0], *shapes[2]), shapes[2], ()] or len(shapes[2]) != 1:
            raise ValueError(
                "`GaussianPreconditioning` needs a mean (d,), a basis (d, r), eigenvalues (r,) and one number for the "
                f"rest. Got {', '.join(map(str, shapes))}. Do fit it to data."
            )
        for name in ("eigenvalues", "rest"):
            require_variances(name, getattr(self, name))
        if block.fails(self.scale > 0):
            raise ValueError("`GaussianPreconditioning` needs an eigenvalue above 0. Got none. Do fit it to data.")

    @classmethod
    def fit(cls, points: Float[Any, "n d"], rank: int | None = None, decay: float = 2.0) -> "GaussianPreconditioning":
        """That of data: their mean, and the leading `rank` eigenvectors of their covariance; all by default.

        Fewer points than `rank` span fewer directions: then all these are kept.

        Raises:
            ValueError: for fewer than two points, a rank beyond the dimension, or data that do not vary, or so much
                or so little that float32 cannot hold their variance.
        """
        points = np.asarray(points)
        if points.ndim != 2 or len(points) < 2:
            raise ValueError(f"`points` needs at least two points, (n, d). Got {points.shape}.")
        count, dim = points.shape
        if rank is not None and not 0 <= rank <= dim:
            raise ValueError(f"`rank` needs a number up to the dimension, {dim}. Got {rank}.")
        mean = mean_of(points)
        kept = min(dim if rank is None else rank, count, dim)
        if count > dim:
            covariance = scatter_of(points, mean) / count
            total = float(np.trace(covariance))
            eigenvalues, basis = _leading_of_covariance(covariance, kept)
        else:
            rows = (points.astype(np.float64) - mean) / np.sqrt(count)
            total = float(np.sum(rows**2))
            eigenvalues, basis = _leading_of_rows(rows, kept)
        if total == 0:
            raise ValueError("`points` needs data that vary. Got the same point throughout.")
        # Noise is up to 400 times the largest eigenvalue, and the least a thousandth of the mean one.
        if not _LEAST < 1e-6 * total / dim < 1e6 * total < _MOST:
            raise ValueError(
                f"`points` needs data of a variance that float32 can hold. Got {total / dim:.3g} a coordinate. "
                "Do measure them in another unit."
            )
        rest = max(0.0, total - float(eigenvalues.sum())) / max(1, dim - kept)
        return cls.of(mean, basis, eigenvalues, rest, decay)

    @classmethod
    def isotropic(cls, dim: int, variance: float, decay: float = 2.0) -> "GaussianPreconditioning":
        """That of a Gaussian of mean zero and covariance `variance` times the identity."""
        return cls.of(np.zeros(dim), np.zeros((dim, 0)), np.zeros(0), variance, decay)

    @classmethod
    def of(cls, mean: Any, basis: Any, eigenvalues: Any, rest: Any, decay: float = 2.0) -> "GaussianPreconditioning":
        """That of a Gaussian given by arrays, in float32."""
        arrays = (jnp.asarray(value, jnp.float32) for value in (mean, basis, eigenvalues, rest))
        return cls(*arrays, decay=decay)

    @property
    def dim(self) -> int:
        """The dimension of the data."""
        return self.mean.shape[0]

    @property
    def scale(self) -> Scalar:
        """The largest eigenvalue of the covariance."""
        return jnp.max(jnp.append(self.eigenvalues, self.rest))

    @property
    def variance(self) -> Scalar:
        """The variance of a coordinate, on average: the mean eigenvalue."""
        return self._mean(lambda eigenvalue: eigenvalue)

    def linear(self, y: Data, variance: Scalar) -> Data:
        """The best linear denoiser, of observations of the dtype of `y`."""
        centred = y - self.mean.astype(y.dtype)
        eigenvalues, rest = self.eigenvalues.astype(y.dtype), self.rest.astype(y.dtype)
        basis = self.basis.astype(y.dtype)
        gain = eigenvalues / (eigenvalues + variance)
        other = rest / (rest + variance)
        weights = jnp.matmul(basis.T, centred, precision=_HIGHEST)
        shrunk = other * centred + jnp.matmul(basis, (gain - other) * weights, precision=_HIGHEST)
        return self.mean.astype(y.dtype) + shrunk

    def linear_error(self, variance: Scalar) -> Scalar:
        """The mean square error a coordinate of the linear denoiser on data of this covariance."""
        return self._mean(lambda eigenvalue: eigenvalue * (variance / (eigenvalue + variance)))

    def relative_weight(self, variance: Scalar) -> Scalar:
        """The weight of a square error that makes that of the linear denoiser one at every noise level."""
        return 1 / (self.dim * self.linear_error(variance))

    def _mean(self, function: Any) -> Scalar:
        """The mean of a function of the eigenvalues over all directions."""
        rank = self.eigenvalues.shape[0]
        return (jnp.sum(function(self.eigenvalues)) + (self.dim - rank) * function(self.rest)) / self.dim

    def inputs(self, y: Data, linear: Data, variance: Scalar) -> Float[Array, "d 2"]:
        """What the network is shown: the observation and its linear estimate, each of unit variance."""
        # Ratios first, here and elsewhere: squares of large data would leave float32.
        signal = self._mean(lambda eigenvalue: eigenvalue * (eigenvalue / (eigenvalue + variance)))
        observed = (y - self.mean) / jnp.sqrt(self.variance + variance)
        return jnp.stack([observed, (linear - self.mean) / jnp.sqrt(signal)], -1)

    def output_scale(self, variance: Scalar) -> Scalar:
        """The factor $c_{out}$ of the network."""
        # The ratio first: v and the powers of it would leave float32.
        return jnp.sqrt(self.linear_error(variance)) * (self.scale / (self.scale + variance)) ** (self.decay / 2)


def _leading_of_covariance(covariance: Float[np.ndarray, "d d"], rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The leading eigenvalues, descending, and the eigenvectors, by the cheapest way."""
    dim = len(covariance)
    if 0 < rank <= dim // 4:
        values, basis = eigsh(covariance, rank, v0=_start(dim))
    else:
        values, basis = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][:rank]
    return np.clip(values[order], 0, None), basis[:, order]


def _leading_of_rows(rows: Float[np.ndarray, "n d"], rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of `rows' rows`, of fewer rows than dimensions: without that matrix, which is larger."""
    if 0 < rank <= len(rows) // 4:
        found: Any = svds(rows, rank, v0=_start(len(rows)))
        return found[1][::-1] ** 2, found[2][::-1].T
    _, singular, right = np.linalg.svd(rows, full_matrices=False)
    return singular[:rank] ** 2, right[:rank].T


def _start(size: int) -> Float[np.ndarray, " size"]:
    """Where to look for them first. Not equal numbers: centred rows have a sum of zero."""
    return np.random.default_rng(0).normal(size=size)
