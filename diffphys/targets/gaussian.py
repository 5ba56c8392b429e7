"""The Gaussian: the one target whose every quantity is linear algebra."""

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, floating, observation, require_finite
from ._spectrum import dense, from_basis, spectrum, to_basis
from .base import AbstractTarget


class Gaussian(AbstractTarget):
    r"""The normal law $p_0 = \mathcal{N}(\mu, C)$.

    With $\lambda_i$ the eigenvalues of $C$ and $z_i$ the coordinates of $y - \mu$ along its eigenvectors,

    $$ \log p(y) = -\tfrac12 \sum_i \Big[\frac{z_i^2}{\lambda_i + v} + \log 2\pi(\lambda_i + v)\Big],
       \qquad E[a \mid y]_i = \mu_i + \frac{\lambda_i}{\lambda_i + v} z_i . $$

    Attributes:
        mean: the mean.
        eigenvalues: the variances along the eigenvectors of the covariance.
        basis: the eigenvectors, in columns; None when the covariance is diagonal.
    """

    mean: Float[Array, " d"]
    eigenvalues: Float[Array, " d"]
    basis: Float[Array, "d d"] | None

    def __init__(self, mean: Values, covariance: Values = 1.0):
        """Builds the law; a full covariance is diagonalised on the host, in float64.

        Args:
            mean: the mean, of shape (d,).
            covariance: a variance (scalar), variances (d,), or a symmetric matrix (d, d), which may be
                singular.

        Raises:
            ValueError: if a shape does not fit, or a value is not finite, or `covariance` is no covariance.
        """
        self.mean = floating(mean)
        if self.mean.ndim != 1 or self.mean.size == 0:
            raise ValueError(f"`mean` needs shape (d,). Got {self.mean.shape}. Do pass one vector.")
        require_finite("mean", self.mean)
        self.eigenvalues, self.basis = spectrum(covariance, self.mean.size, self.mean.dtype)

    @property
    def dim(self) -> int:
        return self.mean.size

    def sample(self, key: PRNGKey) -> Data:
        check_key(key)
        noise = jr.normal(key, (self.dim,), self.mean.dtype)
        return self.mean + from_basis(self.basis, jnp.sqrt(self.eigenvalues) * noise)

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        y, variance = observation(self.dim, y, variance)
        total = self.eigenvalues + variance
        along = to_basis(self.basis, y - self.mean)
        return -0.5 * jnp.sum(along**2 / total + jnp.log(2 * jnp.pi * total))

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        y, variance = observation(self.dim, y, variance)
        total = self.eigenvalues + variance
        along = to_basis(self.basis, y - self.mean)
        return self.mean + from_basis(self.basis, self.eigenvalues / total * along)

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        y, variance = observation(self.dim, y, variance)
        return dense(self.basis, self.eigenvalues * (variance / (self.eigenvalues + variance)))
