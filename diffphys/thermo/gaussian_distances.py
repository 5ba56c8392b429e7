r"""Distances between Gaussian laws: Wasserstein, Kullback-Leibler, and the total variation exactly.

The total variation has no closed form, but it is the difference of two tail probabilities of one quadratic form in
normal numbers, and those are contour integrals that the trapezoid rule does to rounding.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar

from ._host import on_host
from ._types import ArrayLike

# Relative to the largest: below it an eigenvalue of a covariance is a zero.
_ZERO = 1e-13
# A tail probability is wanted to this, with no finer steps than this, on a contour that reaches e^64 times its width:
# where the level is 0 the integrand of a form of one variable falls as e^{-u / 2} only.
_PRECISION, _FINEST, _REACH = 1e-13, 2e-3, 64.0
# The logarithm of an integrand that adds nothing any more.
_SPENT = -45.0


class _Form(NamedTuple):
    """The quadratic form `sum_i w_i z_i^2 + 2 b_i z_i` of standard normal numbers, plus `b_i^2 / w_i` if a square."""

    weights: Float[np.ndarray, " d"]
    slopes: Float[np.ndarray, " d"]
    squares: Bool[np.ndarray, " d"]
    """Where the square is completed, `w (z + b / w)^2`: else a narrow law far off is a difference of large numbers."""

    def completions(self, where: Bool[np.ndarray, " d"]) -> float:
        """What completing squares adds."""
        return float(np.sum(self.slopes[where] ** 2 / self.weights[where]))

    def log_moment(self, s: np.ndarray) -> Any:
        """`log E exp(s Q)`, at real or complex s."""
        s, squares = s[..., None], self.squares
        gap = 1 - 2 * s * self.weights
        whole = s * self.slopes[squares] ** 2 / self.weights[squares] / gap[..., squares]
        rest = 2 * (s * self.slopes[~squares]) ** 2 / gap[..., ~squares]
        return np.sum(whole, axis=-1) + np.sum(rest, axis=-1) - 0.5 * np.sum(np.log(gap), axis=-1)


@on_host
def wasserstein(first: ArrayLike, second: ArrayLike, shift: ArrayLike = 0.0) -> float:
    r"""Squared 2-Wasserstein distance between `N(m, A)` and `N(m + shift, B)`, Bures' formula.

    $$ W_2^2 = |m_1 - m_2|^2 + \mathrm{tr}\big(A + B - 2 (A^{1/2} B A^{1/2})^{1/2}\big) $$

    Args:
        first: the covariance A, of shape (d, d), or its eigenvalues (d,) where both are diagonal; may be singular.
        second: the covariance B, of the same shape.
        shift: the difference of the means, a number or of shape (d,).

    Returns:
        The squared distance, in the units of the data squared.

    Raises:
        ValueError: if a matrix is no covariance, or the shapes differ.
    """
    a, b = _pair(first, second)
    apart = float(np.sum(np.broadcast_to(np.asarray(shift, float), len(a)) ** 2))
    if a.ndim == 1:
        # What `_pair` lets pass below zero is rounding.
        return apart + float(np.sum((np.sqrt(np.maximum(a, 0.0)) - np.sqrt(np.maximum(b, 0.0))) ** 2))
    # Factors in place of square roots: the singular values of F' G are the eigenvalues of (A^1/2 B A^1/2)^1/2.
    overlap = np.linalg.svd(_factor(a).T @ _factor(b), compute_uv=False).sum()
    return apart + max(float(np.trace(a) + np.trace(b) - 2 * overlap), 0.0)


@on_host
def kullback_leibler(first: ArrayLike, second: ArrayLike, shift: ArrayLike = 0.0) -> float:
    r"""Relative entropy of `N(m + shift, A)` with respect to `N(m, B)`, in nats.

    $$ \mathrm{KL} = \tfrac12 \sum_i (\lambda_i - 1 - \log\lambda_i) + \tfrac12 |B^{-1/2}\,\mathrm{shift}|^2, $$

    with $\lambda_i$ the eigenvalues of $B^{-1} A$.

    Args:
        first: the covariance A, of shape (d, d), or its eigenvalues (d,) where both are diagonal.
        second: the covariance B, of the same shape.
        shift: the difference of the means, a number or of shape (d,).

    Returns:
        The relative entropy; infinite where one law is singular with respect to the other.

    Raises:
        ValueError: if a matrix is no covariance, or the shapes differ.
    """
    ratios, moved = _relative(first, second, shift)
    if ratios is None:
        return np.inf
    return float(0.5 * np.sum((ratios - 1) - np.log(ratios)) + 0.5 * np.sum(moved**2))


@on_host
def total_variation(first: ArrayLike, second: ArrayLike, shift: ArrayLike = 0.0) -> float:
    r"""Total variation distance between `N(m + shift, A)` and `N(m, B)`: in [0, 1], exact to about 1e-12.

    $$ \mathrm{TV} = P_A(L > 0) - P_B(L > 0), \qquad L = \log \frac{dP_A}{dP_B}, $$

    where, along the eigenvectors of $B^{-1} A$, the log-ratio L is a quadratic form in independent normal numbers
    under either law.

    Args:
        first: the covariance A, of shape (d, d), or its eigenvalues (d,) where both are diagonal.
        second: the covariance B, of the same shape.
        shift: the difference of the means, a number or of shape (d,).

    Returns:
        The distance; 1 where one law is singular with respect to the other.

    Raises:
        ValueError: if a matrix is no covariance, or the shapes differ.
    """
    ratios, moved = _relative(first, second, shift)
    if ratios is None:
        return 1.0
    # 2 L = (1 - 1/r) u^2 - log r + ..., with u the whitened coordinate: N(moved, r) under A and N(0, 1) under B.
    excess = ratios - 1
    far = np.abs(excess) > 0.5
    under_first = _Form(excess, np.sqrt(ratios) * moved, far)
    under_second = _Form(excess / ratios, moved / ratios, far)
    # Squares completed, the level is the same under both laws.
    level = float(np.sum(np.log(ratios)) + np.sum(moved[far] ** 2 / excess[far]))
    first = _tail(under_first, level - float(np.sum(moved[~far] ** 2)))
    second = _tail(under_second, level + float(np.sum(moved[~far] ** 2 / ratios[~far])))
    return float(np.clip(first - second, 0.0, 1.0))


def _tail(form: _Form, level: float) -> float:
    r"""`P(Q > level)`, by the inversion of its Laplace transform.

    $$ P(Q > q) = \frac{1}{2\pi i} \int_{s_0 - i\infty}^{s_0 + i\infty} E[e^{s (Q - q)}] \frac{ds}{s}, \quad s_0 > 0; $$

    the line goes through the saddle point and its ends are bent into a hyperbola, towards the side where
    $e^{-s q}$ falls, so that the integrand decays doubly exponentially along it.
    """
    keep = (form.weights != 0) | (form.slopes != 0)
    if not keep.any():
        return float(level < 0)
    form = _Form(form.weights[keep], form.slopes[keep], form.squares[keep])
    spread = np.sqrt(2 * np.sum(form.weights**2) + 4 * np.sum(form.slopes**2))
    # To the right of 0 for the upper tail, to the left for the lower one: whichever is the smaller.
    side = 1.0 if level >= float(np.sum(form.weights)) + form.completions(form.squares) else -1.0
    most = np.max(side * form.weights, initial=0.0)
    end = 0.5 / most if most > 0 else 1e3 * (1 + abs(level) / spread) / spread

    def height(s: float) -> float:
        return float(form.log_moment(np.array(side * s)) - side * s * level - np.log(s))

    options = {"xatol": 1e-3 * min(end, 1 / spread)}
    found: Any = minimize_scalar(height, bounds=(0.0, end), method="bounded", options=options)
    top = found.x
    width = min(top, 1 / spread, end - top) if most > 0 else min(top, 1 / spread)
    bend, reach = _contour(form, level, side * top, width)
    total, previous, step = 0.0, np.inf, 0.25
    while abs(total - previous) > _PRECISION and step > _FINEST:
        previous = total
        log_values = _log_integrand(form, level, side * top, width, bend, np.arange(0.5 * step, reach, step))
        total = float(step * np.sum(np.imag(np.exp(log_values))) / np.pi)
        step /= 2
    return total if side > 0 else 1 + total


def _log_integrand(form: _Form, level: float, start: float, width: float, bend: float, u: np.ndarray) -> Any:
    """The logarithm of the integrand of `_tail` along a hyperbola from the real axis, with the velocity in u."""
    s = start + width * (bend * (np.cosh(u) - 1) + 1j * np.sinh(u))
    velocity = width * (bend * np.sinh(u) + 1j * np.cosh(u))
    return form.log_moment(s) - s * level + np.log(velocity) - np.log(s)


def _contour(form: _Form, level: float, start: float, width: float) -> tuple[float, float]:
    """The bend of the hyperbola on which the integrand is first spent without having grown, and where that is.

    Far out the form is that of its squares completed, and before that each direction of little curvature is a linear
    one: so the side to which the integrand falls can change on the way. What is spent may grow again: the contour is
    then left for a line parallel to the imaginary axis, on which it does not. Without bend nothing grows.
    """
    u = np.arange(0.0, _REACH, 1 / 16)
    found = []
    for bend in (0.0, 0.5, -0.5):
        sizes = np.real(_log_integrand(form, level, start, width, bend, u))
        end = np.argmax(sizes < _SPENT) if np.any(sizes < _SPENT) else len(u) - 1
        if bend == 0 or np.max(sizes[: end + 1]) < max(sizes[0], 0.0) + 1:
            found.append((u[end], bend))
    reach, bend = min(found)
    return float(bend), float(reach)


def _relative(
    first: ArrayLike, second: ArrayLike, shift: ArrayLike
) -> tuple[Float[np.ndarray, " d"] | None, Float[np.ndarray, " d"]]:
    """Eigenvalues of `B^-1 A` and the shift along its eigenvectors, B being whitened; None where one is singular."""
    a, b = _pair(first, second)
    moved = np.broadcast_to(np.asarray(shift, float), len(a))
    if a.ndim == 1:
        if min(a.min(), b.min()) <= 0:
            return None, moved
        return a / b, moved / np.sqrt(b)
    scale = np.linalg.eigvalsh(b)
    if scale[0] <= _ZERO * scale[-1]:
        return None, moved
    # eigh normalises the vectors so that V' B V = 1.
    ratios, vectors = eigh(a, b)
    if ratios[0] <= _ZERO * ratios[-1]:
        return None, moved
    return ratios, moved @ vectors


def _factor(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both covariances as arrays of one shape, (d,) or (d, d)."""
    a, b = (np.asarray(x, float) for x in (first, second))
    if a.shape != b.shape or a.ndim not in (1, 2) or a.shape[0] != a.shape[-1]:
        raise ValueError(
            "A distance needs two covariances of one shape, (d,) or (d, d). "
            f"Got {a.shape} and {b.shape}. Write diagonal ones as `numpy.diag` if the other is full."
        )
    for x in (a, b):
        values = np.linalg.eigvalsh(x) if x.ndim == 2 and np.allclose(x, x.T, atol=1e-10 * np.abs(x).max()) else x
        if values.ndim != 1 or not np.all(values >= -1e-10 * np.abs(x).max()):
            raise ValueError(
                "A distance needs covariances: symmetric, with no negative eigenvalue. "
                f"Got {np.min(values)} as the least. Symmetrise it, or check its sign."
            )
    return a, b
