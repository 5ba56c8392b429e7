"""Small targets whose thermodynamics is known, shared by the tests of this room."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from diffphys.targets import AbstractTarget, IsotropicMixture


def points(rows, weights=None):
    """Point masses."""
    rows = np.asarray(rows, float)
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights)
    return IsotropicMixture(np.log(weights), rows, np.zeros(len(rows)))


TWO = points([[1.0], [-1.0]])
FOUR = points([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
LOPSIDED = points([[1.0], [-1.0]], [0.55, 0.45])
# The first point twice, with half the weight: of the shape of four points, so that nothing is compiled anew.
CORNERS = [[np.cos(angle), np.sin(angle)] for angle in 2 * np.pi * np.arange(3) / 3]
THREE = points([CORNERS[0], *CORNERS], [0.5, 0.5, 1.0, 1.0])
PATTERNS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, -0.8]])
MEMORY = points(PATTERNS)
# So many points on the circle are the circle, to rounding, at the variances of interest.
RING = points([[np.cos(angle), np.sin(angle)] for angle in 2 * np.pi * np.arange(48) / 48])


class CurieWeiss(AbstractTarget):
    """Spins of coupling `b / d` between all pairs, by a Gaussian field in place of the pairs."""

    coupling: Float[Array, ""]
    dim: int = eqx.field(static=True)

    def sample(self, key):
        return jr.rademacher(key, (self.dim,), jnp.float64)

    def log_evidence(self, y, variance):
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        fields = (y / variance)[None] + nodes[:, None] * jnp.sqrt(self.coupling / self.dim)
        spins = jnp.sum(jnp.logaddexp(fields, -fields), axis=1)
        total = jax.nn.logsumexp(spins + np.log(weights))
        nothing = jax.nn.logsumexp(
            self.dim * jnp.log(2 * jnp.cosh(nodes * jnp.sqrt(self.coupling / self.dim))) + np.log(weights)
        )
        square = (jnp.sum(y**2) + self.dim) / (2 * variance)
        return total - nothing - square - 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)
