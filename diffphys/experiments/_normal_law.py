"""The Gaussian with the moments of a data set or of a law, and the exact errors of its denoiser: the linear one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from .._types import Data, Scalar
from ..targets import AbstractDataSet, AbstractTarget, Gaussian, IsotropicMixture, SharedCovarianceMixture
from ..thermo.row_sums import DataRows, Rows, mean_of, scatter_of
from ._theory import between_classes, draws_of, within_covariance

# Relative to the largest: below it an eigenvalue of a covariance is the rounding of a zero.
_ZERO = 1e-12

Points = Real[Array | np.ndarray, "_ d"]


class NormalLaw(NamedTuple):
    """A Gaussian on the directions in which it varies: NumPy float64 on the host, a pytree for the device."""

    mean: Float[Any, " d"]
    eigenvalues: Float[Any, " r"]
    """The variances along the basis, descending, all > 0."""
    basis: Float[Any, "d r"]
    """Orthonormal directions, in columns."""

    def placed(self, dtype: Any) -> "NormalLaw":
        """On the device, in the dtype of the states."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self)

    def denoise(self, y: Data, variance: Scalar) -> Data:
        """The linear denoiser: the posterior mean of this law, on the device."""
        slope = self.eigenvalues / (self.eigenvalues + jnp.asarray(variance, y.dtype))
        along = jnp.matmul(y - self.mean, self.basis, precision="highest")
        return self.mean + jnp.matmul(self.basis, slope * along, precision="highest")

    def draw(self, noise: Float[Array, " r"]) -> Data:
        """The draw that standard normal numbers make, one for each direction; on the device."""
        return self.mean + jnp.matmul(self.basis, jnp.sqrt(self.eigenvalues) * noise, precision="highest")

    def squares(self, points: Points) -> tuple[Float[np.ndarray, "_ r"], Float[np.ndarray, " _"]]:
        """The squared coordinates of points along the basis, and what of their square lies outside it."""
        centred = np.asarray(points, np.float64) - self.mean
        along = centred @ self.basis
        return along**2, np.sum((centred - along @ self.basis.T) ** 2, axis=1)

    def errors(self, points: Points, variances: Float[np.ndarray, " v"]) -> Float[np.ndarray, "_ v"]:
        r"""Mean square error of the linear denoiser at each point, the noise averaged out.

        $$ E_\varepsilon |a - \hat a(a + \sqrt v \varepsilon)|^2 = |a_\perp|^2
           + \sum_j \frac{v^2 z_j^2 + \lambda_j^2 v}{(\lambda_j + v)^2} $$
        """
        squares, outside = self.squares(points)
        share = variances / (self.eigenvalues[:, None] + variances)
        kept = np.sum(self.eigenvalues[:, None] ** 2 / (self.eigenvalues[:, None] + variances) ** 2, axis=0) * variances
        return squares @ share**2 + kept + outside[:, None]

    def integrals(self, points: Points, variances: Float[np.ndarray, " v"]) -> Float[np.ndarray, "_ v"]:
        r"""Half the integral of `errors` over $dv / v^2$ from each variance to infinity, exactly.

        $$ \tfrac12 \sum_j \Big[\log(1 + \lambda_j / v) + \frac{z_j^2 - \lambda_j}{\lambda_j + v}\Big]
           + \frac{|a_\perp|^2}{2 v} $$
        """
        return self._integrals(*self.squares(points), variances)

    def mean_integrals(self, points: Points) -> Callable[[Float[np.ndarray, " v"]], Float[np.ndarray, " v"]]:
        """The mean of `integrals` over points, as a function of the variances, which meets the points but once."""
        squares, outside = (part.mean(0, keepdims=True) for part in self.squares(points))
        return lambda variances: self._integrals(squares, outside, variances)[0]

    def _integrals(
        self, squares: Float[np.ndarray, "_ r"], outside: Float[np.ndarray, " _"], variances: Float[np.ndarray, " v"]
    ) -> Float[np.ndarray, "_ v"]:
        values = self.eigenvalues[:, None]
        excess = (squares - self.eigenvalues) @ (1 / (values + variances))
        return 0.5 * (np.log1p(values / variances).sum(0) + excess + outside[:, None] / variances)


def normal_law(data: Points | AbstractTarget) -> NormalLaw:
    """The Gaussian with the mean and the covariance of points (divisor n) or of a law.

    Those of Gaussians, of mixtures and of data sets are exact; of other laws, those of draws.
    """
    if isinstance(data, AbstractDataSet):
        return _of_points(DataRows.of(data))
    if isinstance(data, Gaussian):
        basis = np.eye(data.dim) if data.basis is None else np.asarray(data.basis, np.float64)
        return _sorted(np.asarray(data.mean, np.float64), np.asarray(data.eigenvalues, np.float64), basis)
    if isinstance(data, IsotropicMixture | SharedCovarianceMixture):
        mean, spread = between_classes(data)
        return _sorted(mean, *np.linalg.eigh(within_covariance(data) + spread.T @ spread))
    return _of_points(draws_of(data) if isinstance(data, AbstractTarget) else data)


def _of_points(points: Rows) -> NormalLaw:
    """Through the smaller of the two Gram matrices."""
    count, dim = points.shape
    mean = mean_of(points)
    if count <= dim:
        _, singular, right = np.linalg.svd(np.asarray(points[:], np.float64) - mean, full_matrices=False)
        return _sorted(mean, singular**2 / count, right.T)
    return _sorted(mean, *np.linalg.eigh(scatter_of(points, mean) / count))


def _sorted(mean: np.ndarray, values: np.ndarray, basis: np.ndarray) -> NormalLaw:
    order = np.argsort(values)[::-1]
    order = order[values[order] > _ZERO * max(float(values.max()), 0.0)]
    return NormalLaw(mean, values[order], basis[:, order])
