"""Pseudo-arclength: steps along a curve of fixed points in the space of `(m / length, log v)`."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import linear_sum_assignment

from .._types import Data, Denoiser
from .stability import symmetric_matrix

_CORRECTIONS = 10


class Place(NamedTuple):
    """A fixed point on the curve."""

    x: Float[np.ndarray, " joint"]
    """`(m / length, log v)`."""
    tangent: Float[np.ndarray, " joint"]
    """The unit tangent."""
    eigenvalues: Float[np.ndarray, " d"]
    """Those of `J`, falling."""
    vectors: Float[np.ndarray, "d d"]
    """The eigenvectors, in rows."""
    corrections: int
    """How many Newton steps it took."""


class Curve(NamedTuple):
    """The equation `(m - <a>_{m + h}) / length = 0`, in the precision of the field."""

    denoise: Denoiser
    field: Float[Array, " d"]
    length: float

    def split(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        """The magnetisation and the variance of a place."""
        return x[:-1] * self.length, float(np.exp(x[-1]))

    def join(self, m: np.ndarray, variance: float) -> np.ndarray:
        """The place of a magnetisation and a variance."""
        return np.append(np.asarray(m, np.float64) / self.length, np.log(variance))

    @property
    def rounding(self) -> float:
        """The relative rounding error of the residual."""
        return float(jnp.finfo(self.field.dtype).eps)

    @property
    def margin(self) -> float:
        """By how much an eigenvalue exceeds 1 before it counts: 4e-10, in float32 7e-5. Orbits of a symmetry have 1."""
        return self.rounding**0.6

    def equation(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The residual and its d x (d + 1) Jacobian, on the host."""
        value, slope = _equation(self.denoise, self.field, jnp.asarray(self.length, self.field.dtype),
                                 jnp.asarray(x, self.field.dtype))  # fmt: skip
        m = np.asarray(value, np.float64)
        jacobian = np.asarray(slope, np.float64)
        return x[:-1] - m, np.hstack([np.eye(len(m)), np.zeros((len(m), 1))]) - jacobian

    def correct(self, guess: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, int] | None:
        """The point of the curve on the plane through `guess` across `normal`, and the steps; None if not found.

        Newton's method, until the residual stops falling: then it must be down to rounding.
        """
        x, best = guess, np.inf
        for step in range(_CORRECTIONS):
            value, slope = self.equation(x)
            size = float(np.linalg.norm(value))
            if not np.isfinite(size):
                return None
            tolerance = 512 * self.rounding * max(1.0, float(np.linalg.norm(x[:-1])))
            if size <= tolerance and (size >= 0.5 * best or size <= tolerance / 64):
                return x, step
            best = min(best, size)
            matrix = np.vstack([slope, normal])
            right = np.append(value, normal @ (x - guess))
            # Least squares: along the orbit of a continuous symmetry nothing need move.
            x = x - np.linalg.lstsq(matrix, right, rcond=self.rounding**0.7)[0]
        return None

    def place(self, x: np.ndarray, tangent: np.ndarray, corrections: int = 0) -> Place:
        """What is to be known of a point of the curve; the tangent continues the given one."""
        _, slope = self.equation(x)
        _, values, rows = np.linalg.svd(slope)
        # At a bifurcation two curves cross, and a symmetry adds its orbit: go on straight ahead.
        soft = np.append(values < 1e4 * self.rounding * max(1.0, values[0]), True)
        kernel = rows[soft]
        ahead = kernel.T @ (kernel @ tangent)
        m, variance = self.split(x)
        y = jnp.asarray(m, self.field.dtype) + self.field
        matrix = symmetric_matrix(self.denoise, y, jnp.asarray(variance, y.dtype))
        eigenvalues, vectors = np.linalg.eigh(matrix)
        return Place(x, ahead / np.linalg.norm(ahead), eigenvalues[::-1], vectors.T[::-1], corrections)

    def advance(self, start: Place, step: float) -> Place | None:
        """The place a step along the curve from another; None where the corrector fails or the curve kinks."""
        guess = start.x + step * start.tangent
        corrected = self.correct(guess, start.tangent)
        # Far from the tangent lies another branch, or the other side of a jump.
        if corrected is None or np.linalg.norm(corrected[0] - guess) > 0.5 * step:
            return None
        place = self.place(corrected[0], start.tangent, corrected[1])
        return place if place.tangent @ start.tangent > 0.9 else None

    def crossings(self, here: Place, there: Place) -> np.ndarray:
        """Indices of the eigenvalues of one place that have passed one at the other, each followed by its vector."""
        _, matches = linear_sum_assignment(-np.abs(here.vectors @ there.vectors.T))
        before, behind = (values > 1 + self.margin for values in (here.eigenvalues, there.eigenvalues[matches]))
        return np.flatnonzero(before != behind)

    def unstable(self, place: Place) -> int:
        """In how many directions a fixed point is unstable."""
        return int(np.sum(place.eigenvalues > 1 + self.margin))


@eqx.filter_jit
def _equation(denoise: Denoiser, field: Data, length: Array, x: Float[Array, " joint"]) -> tuple[Data, Array]:
    """What a magnetisation is mapped to, in units of `length`, and its derivative."""

    def image(x: Float[Array, " joint"]) -> Data:
        return denoise(x[:-1] * length + field, jnp.exp(x[-1])) / length

    return image(x), jax.jacfwd(image)(x)
