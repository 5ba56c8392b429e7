"""Which directions a step of a sampler makes grow: the eigenvalues of its matrix."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from ..clocks import check_grid
from .affine import affine_steps
from .table import AbstractTableSampler


class Stability(NamedTuple):
    """The eigenvalues of every step of a sampler, for every slope of the denoiser; see `stability`."""

    ts: Float[np.ndarray, " knots"]
    slopes: Float[np.ndarray, " slopes"]
    eigenvalues: Complex[np.ndarray, "slopes steps modes"]

    def __repr__(self) -> str:
        """A summary, in place of all the numbers."""
        growth, steps = self.growth, self.eigenvalues.shape[1]
        slope, step = np.unravel_index(growth.argmax(), growth.shape)
        return (
            f"Stability({steps} steps from t = {self.ts[0]:.4g} to {self.ts[-1]:.4g}, {len(self.unstable)} of them "
            f"unstable: the largest growth is {growth.max():.6g}, from t = {self.ts[step]:.4g} at j = "
            f"{self.slopes[slope]:.4g})"
        )

    @property
    def growth(self) -> Float[np.ndarray, "slopes steps"]:
        """The largest modulus: above 1 a step amplifies errors."""
        return np.abs(self.eigenvalues).max(axis=-1)

    @property
    def unstable(self) -> Float[np.ndarray, " _"]:
        """The times from which a step makes some direction grow, whatever the slope, beyond rounding."""
        return self.ts[:-1][(self.growth > 1 + 1e-9).any(axis=0)]


def stability(
    sampler: AbstractTableSampler,
    ts: Float[np.ndarray, " n"],
    slopes: Float[np.ndarray, " s"] | tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0),
) -> Stability:
    r"""The eigenvalues of each step where the denoiser is linear, $D(y, v) = j\,y$.

    Along an eigenvector of $\partial D / \partial y = \mathrm{Cov}(a | y) / v$ of eigenvalue j the step is a matrix M
    on the variables of one coordinate and on the predictions that the sampler remembers. Data that spread by c
    in a direction have $j = c / (c + v)$, from 1 in noise-free directions to 0; between two modes j is above 1. What
    is given is the spectrum of

    $$ A_s M A_t^{-1}, \qquad \dot A = A (B - F), $$

    the step in the coordinates $\hat z = A z$, B the damping of a `Conjugate` sampler and 0 for any other. At B = 0
    A undoes the drift of the forward process: there the exact flow holds still what the denoiser knows (j = 1) and
    contracts the rest. A step of length $h = t - s$ of the probability flow has the eigenvalues

    $$ 1 + h\,\mathrm{eig}\big(\tfrac12 G G^\top \partial_z \nabla\log p_t - B\big) + O(h^2), $$

    whatever is predicted; where that is the noise, $\partial_z \nabla\log p_t = C_{out}\,\partial_z f$. So B moves the
    multipliers of the coordinates; those of z itself are multiplied by $A_s^{-1} A_t$ besides, which takes B out again
    but for $O(h^2)$. Noise is left out: it adds to errors but does not amplify them.

    Args:
        sampler: one whose steps are a table.
        ts: strictly decreasing times, the last above 0.
        slopes: values of j.

    Raises:
        ValueError: for a sampler without a table, slopes that are no row of finite numbers, and for grids that do not
            decrease.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024), section 3.2.
    """
    if not isinstance(sampler, AbstractTableSampler):
        raise ValueError(
            "`stability` needs a sampler whose steps are linear in state and estimates, an `AbstractTableSampler`. "
            f"Got `{type(sampler).__name__}`."
        )
    ts, given = check_grid(ts), slopes
    slopes = np.asarray(given, np.float64)
    if slopes.ndim != 1 or slopes.size == 0 or not np.isfinite(slopes).all():
        raise ValueError(f"`stability` needs `slopes` in a row, one or more finite numbers. Got {given!r}.")
    back = sampler.coordinates(ts)
    k = back.shape[-1]
    steps = affine_steps(sampler, ts, lambda v, t: (slopes, np.zeros_like(slopes)))
    matrices = np.stack([step.matrix for step in steps], axis=1)
    matrices[:, :, :k] = back @ matrices[:, :, :k]
    return Stability(ts, slopes, np.linalg.eigvals(matrices).astype(complex))
