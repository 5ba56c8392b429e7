"""The landscape of the regularised free energy: on a plane, along a segment, and its barriers."""

from collections.abc import Callable
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from scipy.optimize import brentq

from .._quadrature import gauss_legendre
from .._types import Data, Denoiser, Scalar
from ..targets import AbstractTarget
from ._host import on_host
from ._points import HostData, placed
from .free_energy import regularised_free_energy

# Of the line integral: Gauss-Legendre nodes of a panel, and the most panels.
_NODES = 8
_MOST_PANELS = 2**11
# Places on a segment that are evaluated at once.
_BLOCK = 256


@on_host
def landscape(
    target: AbstractTarget,
    variance: Scalar,
    corners: Float[Array | np.ndarray, "3 d"],
    *,
    resolution: int = 101,
    margin: float = 0.25,
) -> xr.Dataset:
    r"""The regularised free energy on the plane through three points.

    The plane has the first point for its origin, the first axis towards the second point, and the second axis
    orthogonal to it on the side of the third; both in the units of the data. For the plane of two axes through a
    point, pass the point and the two sums of it with an axis.

    Args:
        target: the law of the clean configurations.
        variance: the noise variance, v > 0.
        corners: the three points: class means, data, or fixed points.
        resolution: points along an axis.
        margin: how far beyond the points to go, relative to their extent.

    Returns:
        A dataset on `(second, first)`: `free_energy`; on `corner`: where the three points lie in the plane,
        `corner_first` and `corner_second`, and their `corner_free_energy`.

    Raises:
        ValueError: if the points lie on a line, or the resolution is below two.
    """
    if resolution < 2:
        raise ValueError(f"`landscape` needs `resolution` of 2 or more. Got {resolution}. Do raise it.")
    origin, axes, inside = _plane(np.asarray(corners, np.float64))
    low, high = inside.min(0), inside.max(0)
    reach = margin * (high - low).max()
    first, second = (np.linspace(low[i] - reach, high[i] + reach, resolution) for i in (0, 1))
    corners = jnp.asarray(corners)
    dtype = corners.dtype
    at = jnp.asarray(variance, dtype)
    rows = [origin + first[:, None] * axes[0] + up * axes[1] for up in second]
    values = [np.asarray(_energies(target, jnp.asarray(row, dtype), at)) for row in rows]
    own = np.asarray(_energies(target, corners, at))
    return xr.Dataset(
        {
            "free_energy": (("second", "first"), np.stack(values)),
            "corner_first": ("corner", inside[:, 0]),
            "corner_second": ("corner", inside[:, 1]),
            "corner_free_energy": ("corner", own),
        },
        {"first": first, "second": second},
        {"variance": float(at), "target": type(target).__name__},
    )


@eqx.filter_jit
def _energies(target: AbstractTarget, ys: Float[Array, "n d"], variance: Array) -> Float[Array, " n"]:
    return jnp.asarray(jax.vmap(lambda y: regularised_free_energy(target, y, variance))(ys))


def _plane(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The origin, two orthonormal axes in rows, and the corners in these axes."""
    origin, one, other = corners
    first = one - origin
    first = first / max(np.linalg.norm(first), np.finfo(float).tiny)
    second = other - origin - first * (first @ (other - origin))
    width, extent = np.linalg.norm(second), np.linalg.norm(corners[1:] - origin, axis=1)
    if not width > 1e-9 * extent.max() or not extent.min() > 0:
        raise ValueError("`landscape` needs three points that span a plane. Got three on a line. Do move one aside.")
    axes = np.stack([first, second / width])
    return origin, axes, (corners - origin) @ axes.T


@on_host
def profile(
    denoise: Denoiser, start: HostData, end: HostData, variance: Scalar, *, count: int = 65, tolerance: float = 1e-7
) -> xr.Dataset:
    r"""The regularised free energy along a segment, relative to its start, by the line integral of the score.

    $$ \tilde F(y_s) - \tilde F(y_0) = \int_0^s (y_r - \langle a \rangle_{y_r}) \cdot (y_1 - y_0)\, dr $$

    So it needs a denoiser only, and no density. Gauss-Legendre rules on ever smaller panels, until the profile stands
    still. For a learned denoiser, whose score is not a gradient, it depends on the path.

    Args:
        denoise: any denoiser.
        start: one end, in the units of the data.
        end: the other end.
        variance: the noise variance, v > 0.
        count: points of the profile, the ends included.
        tolerance: the largest change that counts as standing still, in units of the largest value, or of a thousandth
            of the squared distance of the ends where that is larger; not below 100 roundings.

    Returns:
        A dataset on `share`, the fraction of the way: `free_energy` and `slope`, its derivative.

    Raises:
        ValueError: if `count` is below two, the ends are the same, or the integral does not settle.
    """
    start, at = placed(denoise, start, variance, "start")
    end, _ = placed(denoise, end, variance, "end")
    distance = float(jnp.linalg.norm(end - start))
    if count < 2 or not distance > 0:
        raise ValueError(
            f"`profile` needs `count` >= 2 and two different ends. Got {count} and a distance of {distance}. "
            "Do move one of them."
        )
    tolerance = max(tolerance, 100 * float(jnp.finfo(start.dtype).eps))
    share = np.linspace(0.0, 1.0, count)
    pieces, previous = 1, None
    while pieces * (count - 1) <= _MOST_PANELS:
        panels = pieces * (count - 1)
        nodes, weights = gauss_legendre(0.0, 1.0, points=_NODES, panels=panels)
        parts = weights * slopes(denoise, start, end, at, nodes)
        found = np.append(0.0, np.cumsum(parts.reshape(count - 1, -1).sum(1)))
        unit = max(np.abs(found).max(), 1e-3 * distance**2)
        if previous is not None and np.abs(found - previous).max() <= tolerance * unit:
            attrs = {"variance": float(at), "panels": panels}
            variables = {"free_energy": ("share", found), "slope": ("share", slopes(denoise, start, end, at, share))}
            return xr.Dataset(variables, {"share": share}, attrs)
        pieces, previous = 2 * pieces, found
    raise ValueError(
        f"`profile` needs an integral that settles. Got changes above {tolerance:g} with {pieces * (count - 1) // 2} "
        "panels. Do raise `tolerance` or the variance."
    )


@on_host
def barrier_variance(
    denoise: Denoiser, start: HostData, end: HostData, bounds: tuple[float, float], *, count: int = 129
) -> float:
    """The largest variance at which a barrier stands on the segment between two points.

    A barrier is a maximum of the free energy within the segment: the slope crosses zero downwards. Between two points
    of equal weight it appears at the critical variance of `score_zero`; between unequal ones at a smaller one, where
    a maximum and a minimum are born together.

    Args:
        denoise: any denoiser that JAX can differentiate.
        start: one end, in the units of the data.
        end: the other end.
        bounds: a variance with a barrier, and a larger one without.
        count: points at which the slope is looked at: features narrower than their spacing may be missed.

    Returns:
        The variance, to a relative 1e-8 in float64. `clocks.time_of_variance` gives the time.

    Raises:
        ValueError: if there is no barrier at the lower bound, or still one at the upper.
    """
    (low, high), grid = bounds, np.linspace(0.0, 1.0, count)
    start, _ = placed(denoise, start, 1.0, "start")
    end, _ = placed(denoise, end, 1.0, "end")

    def excess(variance: float) -> float:
        return _barrier(denoise, start, end, jnp.asarray(variance, start.dtype), grid)

    if not 0 < low < high or excess(low) <= 0 or excess(high) >= 0:
        raise ValueError(
            "`barrier_variance` needs `bounds` from a variance with a barrier to a larger one without. "
            f"Got {bounds}. Do widen them, or check the two points."
        )
    # A barrier of a relative height below rounding is none: nothing finer can be said.
    return cast(float, brentq(excess, low, high, xtol=1e-10 * low, rtol=np.float64(1e-10)))


def slopes(denoise: Denoiser, start: Data, end: Data, variance: Array, shares: np.ndarray) -> np.ndarray:
    """The derivative of the free energy along a segment, at fractions of the way."""
    return _in_blocks(_slopes, denoise, start, end, variance, shares)


def _slope(denoise: Denoiser, start: Data, end: Data, variance: Array, share: Array) -> Array:
    y = start + share * (end - start)
    return jnp.dot(y - denoise(y, variance), end - start, precision=jax.lax.Precision.HIGHEST)


@eqx.filter_jit
def _slopes(denoise, start, end, variance, shares):
    return jax.vmap(lambda share: _slope(denoise, start, end, variance, share))(shares)


@eqx.filter_jit
def _curvatures(denoise, start, end, variance, shares):
    def curvature(share):
        return jax.jvp(lambda s: _slope(denoise, start, end, variance, s), (share,), (jnp.ones_like(share),))[1]

    return jax.vmap(curvature)(shares)


def _in_blocks(function, denoise: Denoiser, start: Data, end: Data, variance: Array, shares: np.ndarray) -> np.ndarray:
    """A function of fractions of the way, a block at a time: one compiled program for any number of them."""
    padded = np.append(shares, np.full(-len(shares) % _BLOCK, shares[-1]))
    blocks = jnp.asarray(padded.reshape(-1, _BLOCK), start.dtype)
    found = [np.asarray(function(denoise, start, end, variance, block), np.float64) for block in blocks]
    return np.concatenate(found)[: len(shares)]


def _barrier(denoise: Denoiser, start: Data, end: Data, variance: Array, grid: np.ndarray) -> float:
    """Positive if the slope crosses zero downwards; its sign changes where a barrier appears.

    Where the slope falls, it has a maximum before and a minimum behind: a barrier stands if these have the signs + and
    -. Where it falls nowhere, minus the least curvature says how far it is from doing so.
    """

    def curvatures(shares: np.ndarray) -> np.ndarray:
        return _in_blocks(_curvatures, denoise, start, end, variance, shares)

    along = curvatures(grid)
    valleys = _valleys(along)
    if not (along < 0).any():
        i = int(valleys[np.argmin(along[valleys])])
        share, least = _least(curvatures, grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)])
        if least >= 0:
            return -least
        places = [share]
    else:
        places = grid[valleys[along[valleys] < 0]].tolist()
    best = -np.inf
    for share in places:
        ends = [_turn(curvatures, grid, along, share, side) for side in (-1, 1)]
        before, behind = slopes(denoise, start, end, variance, np.array(ends))
        best = max(best, min(float(before), -float(behind)))
    return best


def _valleys(values: np.ndarray) -> np.ndarray:
    """Indices of the local minima."""
    padded = np.concatenate([[np.inf], values, [np.inf]])
    return np.flatnonzero((padded[1:-1] <= padded[:-2]) & (padded[1:-1] < padded[2:]))


def _least(function: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> tuple[float, float]:
    """The least value between two points, by grids ever finer about it."""
    share, least = low, np.inf
    for _ in range(3):
        grid = np.linspace(low, high, _BLOCK)
        values = function(grid)
        i = int(np.argmin(values))
        share, least = float(grid[i]), float(values[i])
        low, high = float(grid[max(i - 1, 0)]), float(grid[min(i + 1, _BLOCK - 1)])
    return share, least


def _turn(function: Callable[[np.ndarray], np.ndarray], grid: np.ndarray, along: np.ndarray, share: float, side: int):
    """Where a function passes zero, to one side of a point where it is negative; the end if nowhere."""
    beyond = np.flatnonzero((grid > share if side > 0 else grid < share) & (along > 0))
    if not beyond.size:
        return float(grid[-1] if side > 0 else grid[0])
    other = float(grid[beyond[0] if side > 0 else beyond[-1]])
    for _ in range(5):
        between = np.linspace(share, other, _BLOCK)
        i = int(np.argmax(function(between) > 0)) or _BLOCK - 1
        share, other = float(between[i - 1]), float(between[i])
    return 0.5 * (share + other)
