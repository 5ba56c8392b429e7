"""Solutions of the self-consistency equation `m = <a>_{m + h}` at one variance."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse.linalg import gmres

from .._types import Denoiser, Scalar
from ._host import on_host
from ._points import HostData, placed
from .stability import image, jacobian, linear_operator, product

# Up to this dimension a step solves with the whole matrix.
_DENSE = 256
# Newton's steps, at most.
_STEPS = 60
# A residual of this many roundings is all that arithmetic gives.
_ROUNDINGS = 256


class FixedPoint(NamedTuple):
    """A solution of the self-consistency equation, or the nearest that was found.

    Attributes:
        magnetisation: m, in the units of the data.
        residual: the norm of `<a>_{m + h} - m`.
        converged: whether the residual is down to rounding.
    """

    magnetisation: Float[np.ndarray, " d"]
    residual: float
    converged: bool


@on_host
def fixed_point(
    denoise: Denoiser,
    guess: HostData,
    variance: Scalar,
    field: HostData | None = None,
    *,
    descents: int = 0,
) -> FixedPoint:
    r"""The magnetisation near a guess that reproduces itself, $m = \langle a \rangle_{m + h}$, by Newton's method.

    The Jacobian `I - J` is that of the denoiser, so that convergence stays quadratic where plain iteration slows down
    critically, as $\lambda_{max}(J)^k$; and unstable fixed points are found as well as stable ones. Above 256
    dimensions the steps are solved by GMRES on products with `J`.

    Args:
        denoise: any denoiser that JAX can differentiate.
        guess: where to begin, in the units of the data.
        variance: the noise variance, v > 0.
        field: the external field h, in the units of the data; none by default.
        descents: how many iterations `m <- <a>_{m + h}` to make first: unit gradient steps of the free energy, which
            lead to the stable fixed point downhill.

    Returns:
        The fixed point, to rounding.

    Raises:
        ValueError: if the residual does not go down to rounding; it says where the search ended.
    """
    found = search_fixed_point(denoise, guess, variance, field, descents=descents)
    if not found.converged:
        raise ValueError(
            f"`fixed_point` needs a guess from which Newton's method converges. Got a residual of {found.residual:.2e} "
            f"at variance {float(variance):.6g}, magnetisation {found.magnetisation[:8]}. "
            "Do start nearer, or add `descents`."
        )
    return found


def search_fixed_point(
    denoise: Denoiser,
    guess: HostData,
    variance: Scalar,
    field: HostData | None = None,
    *,
    descents: int = 0,
) -> FixedPoint:
    """As `fixed_point`, but returns the last iterate, marked, where there is no convergence."""
    y, variance = placed(denoise, guess, variance, "guess")
    shift = jnp.zeros_like(y) if field is None else jnp.asarray(field, y.dtype)
    eps = float(jnp.finfo(y.dtype).eps)

    def residual(m: np.ndarray) -> np.ndarray:
        return np.asarray(image(denoise, jnp.asarray(m, y.dtype) + shift, variance), np.float64) - m

    m = np.asarray(y, np.float64)
    for _ in range(descents):
        m = m + residual(m)
    gap = residual(m)
    for _ in range(_STEPS):
        step = _newton_step(denoise, jnp.asarray(m, y.dtype) + shift, variance, gap, eps)
        lower = _lower(residual, m, step, np.linalg.norm(gap))
        if lower is None:
            break
        m, gap = lower
    size = float(np.linalg.norm(gap))
    scale = max(float(np.linalg.norm(m)), float(variance) ** 0.5)
    return FixedPoint(m.astype(y.dtype), size, bool(size <= _ROUNDINGS * eps * scale))


def _newton_step(denoise: Denoiser, x: Array, variance: Array, gap: np.ndarray, eps: float) -> np.ndarray:
    if x.size <= _DENSE:
        matrix = np.eye(x.size) - np.asarray(jacobian(denoise, x, variance), np.float64)
        # Least squares: a continuous symmetry makes I - J singular along its orbit, where nothing need move. Zero there
        # is up to rounding of I, not of the difference, all of which is small near a critical point.
        largest = np.linalg.norm(matrix, 2)
        return np.linalg.lstsq(matrix, gap, rcond=eps**0.7 / min(1.0, max(largest, eps)))[0]

    def times(vector: np.ndarray) -> np.ndarray:
        return vector - np.asarray(product(denoise, x, variance, jnp.asarray(vector.ravel(), x.dtype)), np.float64)

    operator = linear_operator(x.size, times)
    return gmres(operator, gap, rtol=1e-3, restart=50, maxiter=2)[0]


def _lower(residual, m: np.ndarray, step: np.ndarray, size) -> tuple[np.ndarray, np.ndarray] | None:
    """The first of ever shorter steps that lowers the residual; None when rounding or a fold lets none do so."""
    for halvings in range(12):
        trial = m + step * 0.5**halvings
        gap = residual(trial)
        if np.linalg.norm(gap) < size:
            return trial, gap
    return None
