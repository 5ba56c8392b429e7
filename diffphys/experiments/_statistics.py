"""Means, standard errors and crossings from chunk sums: nothing here grows with the number of samples."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression
from scipy.special import ndtri, stdtrit

from .._root import root

# A bootstrap wants this many blocks of samples at least.
_BLOCKS = 16
# What lies on either side of a 95 % interval.
_TAIL = 0.025
# How near to its limits a share is still told from them.
_LEAST_SHARE = 1e-6


class Moments(NamedTuple):
    """Count, sum and centred sum of squares of a quantity, a block of samples and a group, at each time."""

    count: Float[np.ndarray, "blocks groups times"]
    total: Float[np.ndarray, "blocks groups times"]
    squares: Float[np.ndarray, "blocks groups times"]

    def pooled(self) -> tuple[Float[np.ndarray, " times"], Float[np.ndarray, " times"]]:
        """Mean and standard error over everything."""
        return _combine(*(part.reshape(-1, part.shape[-1]) for part in self))

    def by_group(self) -> tuple[Float[np.ndarray, "groups times"], Float[np.ndarray, "groups times"]]:
        """Mean and standard error of each group; nan where a group has fewer than two samples."""
        groups = [_combine(*(part[:, g] for part in self)) for g in range(self.count.shape[1])]
        means, errors = zip(*groups, strict=True)
        return np.stack(means), np.stack(errors)


def chunk_moments(
    results: dict[str, np.ndarray],
    groups: np.ndarray,
    number: int,
    chunk: int,
    chunks: int,
    measured: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Sums of one chunk of results, a row a sample: by block of samples and by group.

    Args:
        results: by name, a row a sample and a column a time.
        groups: the group of each sample.
        number: how many groups there are.
        chunk: samples of a chunk that is full.
        chunks: how many chunks there are.
        measured: where the results count; everywhere by default.
    """
    blocks = min(chunk, -(-_BLOCKS // chunks))
    shape = next(iter(results.values())).shape
    measured = np.ones(shape, bool) if measured is None else measured
    parts = ("count", *(f"{name}.{part}" for name in results for part in ("total", "squares")))
    sums = {part: np.zeros((blocks, number, shape[1])) for part in parts}
    block = np.arange(len(groups)) * blocks // chunk
    for cell in {*zip(block.tolist(), groups.tolist(), strict=True)}:
        members = (block == cell[0]) & (groups == cell[1])
        counted = measured[members]
        count = sums["count"][cell] = counted.sum(0)
        for name, values in results.items():
            own = np.where(counted, values[members].astype(np.float64), 0.0)
            total = sums[f"{name}.total"][cell] = own.sum(0)
            sums[f"{name}.squares"][cell] = np.where(counted, (own - total / np.maximum(count, 1)) ** 2, 0.0).sum(0)
    return sums


def stacked_moments(stacked: dict[str, np.ndarray], kind: str = "") -> dict[str, Moments]:
    """The moments of every quantity from the sums of all chunks; empty blocks are those of padding.

    Args:
        stacked: the sums by name.
        kind: what the names of the sums begin with; it is cut off.

    Returns:
        The moments by name; empty if there are none of the kind.
    """
    sums = {name.removeprefix(kind): array for name, array in stacked.items() if name.startswith(kind)}
    if not sums:
        return {}
    flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in sums.items()}
    full = flat["count"].any((1, 2))
    names = [name.removesuffix(".total") for name in flat if name.endswith(".total")]
    return {n: Moments(*(flat[part][full] for part in ("count", f"{n}.total", f"{n}.squares"))) for n in names}


def joined_moments(parts: list[dict[str, Moments]]) -> dict[str, Moments]:
    """The moments of several runs of different samples as one."""
    return {n: Moments(*map(np.concatenate, zip(*(part[n] for part in parts), strict=True))) for n in parts[0]}


def _combine(count, total, squares):
    """Chan's parallel formula for the mean and its standard error; nan below two samples."""
    number = count.sum(0)
    mean = total.sum(0) / np.maximum(number, 1)
    own = total / np.maximum(count, 1)
    spread = squares.sum(0) + (count * (own - mean) ** 2).sum(0)
    error = np.sqrt(spread / np.maximum(number - 1, 1) / np.maximum(number, 1))
    return np.where(number < 2, np.nan, mean), np.where(number < 2, np.nan, error)


def mean_and_stderr(values: Float[np.ndarray, "n ..."]) -> tuple[Any, Any]:
    """Means over independent rows, with their standard errors."""
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))


def crossing(
    times: np.ndarray,
    values: np.ndarray,
    level: float,
    *,
    rising: bool = False,
    limits: tuple[float, float] | None = None,
    smooth: bool = True,
) -> float:
    """The time at which a monotone curve passes a level: isotonic regression, then monotone interpolation.

    Args:
        times: in any order.
        values: of the curve at them.
        level: what it passes.
        rising: whether it rises with time.
        limits: the least and the largest value that it could have. Then it is the probit of its place between them
            that is interpolated, which for the agreement of classes is far less curved.
        smooth: whether to interpolate by cubics, otherwise by lines.

    Returns:
        The time; nan if it does not pass within the times.
    """
    if not np.isfinite(level) or (limits is not None and not limits[0] < level < limits[1]):
        return float("nan")
    order = np.argsort(times)
    times, values = np.asarray(times)[order], np.asarray(values)[order]
    values = isotonic_regression(values, increasing=rising).x
    if limits is not None:
        shares = (np.append(values, level) - limits[0]) / (limits[1] - limits[0])
        probits = ndtri(np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE))
        values, level = probits[:-1], float(probits[-1])
    above = values > level
    if above.all() or not above.any():
        return float("nan")
    i = int(np.flatnonzero(above[1:] != above[:-1])[0])
    if not smooth:
        return float(times[i] + (level - values[i]) * (times[i + 1] - times[i]) / (values[i + 1] - values[i]))
    curve = PchipInterpolator(times, values - level)
    return root(lambda t: float(curve(t)), times[i], times[i + 1])


def crossing_interval(
    times: np.ndarray,
    moments: Moments,
    level: float,
    *,
    rising: bool = False,
    limits: tuple[float, float] | None = None,
    draws: int = 200,
) -> tuple[float, float, float]:
    """A crossing and its 95 % interval, by bootstrap over blocks of samples, joint over times; see `crossing`.

    Returns:
        The crossing of the mean curve, and the ends of the interval of bootstrapped crossings; nan if more than
        the excluded tail of them do not cross, or if some time has samples in fewer than 8 blocks.
    """
    mean, _ = moments.pooled()
    value = crossing(times, mean, level, rising=rising, limits=limits)
    total, count = moments.total.sum(1), moments.count.sum(1)
    total, count = total[count.any(1)], count[count.any(1)]
    blocks = len(count)
    if np.min((count > 0).sum(0)) < 8 or not np.isfinite(value):
        return value, float("nan"), float("nan")
    rng = np.random.default_rng(0)

    def drawn(picks: np.ndarray) -> float:
        """The crossing in some of the blocks, by lines; nan if none of them has a sample at some time."""
        number = count[picks].sum(0)
        if not number.all():
            return float("nan")
        return crossing(times, total[picks].sum(0) / number, level, rising=rising, limits=limits, smooth=False)

    line = drawn(np.arange(blocks))
    moved = np.array([drawn(picks) - line for picks in rng.integers(blocks, size=(draws, blocks))])
    if np.mean(~np.isfinite(moved)) > _TAIL:
        return value, float("nan"), float("nan")
    # Of few blocks: the spread of their draws falls short, and they know it no better than Student's t allows for.
    fewest = int(np.min((count > 0).sum(0)))
    widened = np.sqrt(fewest / (fewest - 1)) * stdtrit(fewest - 1, _TAIL) / ndtri(_TAIL)
    low, high = value + widened * np.nanquantile(moved, [_TAIL, 1 - _TAIL])
    return value, float(low), float(high)
