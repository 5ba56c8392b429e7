"""Means, standard errors and crossings from chunk sums: nothing here grows with the number of samples."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from sklearn.isotonic import IsotonicRegression


class Moments(NamedTuple):
    """Count, sum and centred sum of squares of a quantity, a chunk and a group."""

    count: Float[np.ndarray, "chunks groups 1"]
    total: Float[np.ndarray, "chunks groups times"]
    squares: Float[np.ndarray, "chunks groups times"]

    def pooled(self) -> tuple[Float[np.ndarray, " times"], Float[np.ndarray, " times"]]:
        """Mean and standard error over everything."""
        return _combine(*(part.reshape(-1, part.shape[-1]) for part in self))

    def by_group(self) -> tuple[Float[np.ndarray, "groups times"], Float[np.ndarray, "groups times"]]:
        """Mean and standard error of each group; nan where a group has no sample."""
        groups = [_combine(*(part[:, g] for part in self)) for g in range(self.count.shape[1])]
        means, errors = zip(*groups, strict=True)
        return np.stack(means), np.stack(errors)

    def chunk_means(self) -> Float[np.ndarray, "chunks times"]:
        """The mean of each chunk."""
        return self.total.sum(1) / self.count.sum(1)


def moments_of(values: Float[np.ndarray, "samples times"], groups: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Sum and centred sum of squares of one chunk of values, by group."""
    total = np.zeros((number, values.shape[1]))
    squares = np.zeros_like(total)
    for g in np.unique(groups):
        members = values[groups == g].astype(np.float64)
        total[g] = members.sum(0)
        squares[g] = ((members - members.mean(0)) ** 2).sum(0)
    return {"total": total, "squares": squares}


def _combine(count, total, squares):
    """Chan's parallel formula for the mean and its standard error; nan below two samples."""
    number = count.sum(0)
    if number[0] < 2:
        return np.full(total.shape[-1], np.nan), np.full(total.shape[-1], np.nan)
    mean = total.sum(0) / number
    own = total / np.maximum(count, 1)
    spread = squares.sum(0) + (count * (own - mean) ** 2).sum(0)
    return mean, np.sqrt(spread / (number - 1) / number)


def crossing(times: np.ndarray, values: np.ndarray, level: float, *, rising: bool = False) -> float:
    """The time at which a monotone curve passes a level: isotonic regression, then monotone interpolation.

    Returns nan if it does not pass within the times.
    """
    order = np.argsort(times)
    times, values = np.asarray(times)[order], np.asarray(values)[order]
    values = IsotonicRegression(increasing=rising).fit_transform(np.arange(len(times)), values)
    above = values > level
    if above.all() or not above.any():
        return float("nan")
    curve = PchipInterpolator(times, values - level)
    first = int(np.flatnonzero(above[1:] != above[:-1])[0])
    return float(brentq(curve, times[first], times[first + 1], xtol=1e-12))


def crossing_interval(
    times: np.ndarray,
    moments: Moments,
    level: float,
    *,
    rising: bool = False,
    confidence: float = 0.95,
    draws: int = 400,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A crossing and its interval, by bootstrap over chunks, joint over times.

    Returns:
        The crossing of the mean curve, and the ends of the interval of bootstrapped crossings; nan if more than
        the excluded tail of them do not cross, or if there are fewer than 8 chunks.
    """
    mean, _ = moments.pooled()
    value = crossing(times, mean, level, rising=rising)
    chunks = len(moments.count)
    if chunks < 8 or not np.isfinite(value):
        return value, float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    total, count = moments.total.sum(1), moments.count.sum(1)
    picks = rng.integers(chunks, size=(draws, chunks))
    crossings = np.array([crossing(times, total[p].sum(0) / count[p].sum(), level, rising=rising) for p in picks])
    tail = 0.5 * (1 - confidence)
    if np.mean(~np.isfinite(crossings)) > tail:
        return value, float("nan"), float("nan")
    low, high = np.nanquantile(crossings, [tail, 1 - tail])
    return value, float(low), float(high)
