"""How far the end of a sampler is from the truth: in moments, in law, and from the exact flow."""

from typing import NamedTuple

import numpy as np


class Sketch(NamedTuple):
    """A large exact sample, projected on fixed directions and sorted: what laws are compared with.

    Args:
        directions: unit vectors, one a column.
        quantiles: the sorted projections of the sample, one direction a column.
        scale: the root mean square standard deviation of the projections.
    """

    directions: np.ndarray
    quantiles: np.ndarray
    scale: float


def sketch(exact: np.ndarray, directions: int, seed: int = 0) -> Sketch:
    """The exact sample on random directions."""
    raw = np.random.default_rng(seed).normal(size=(exact.shape[1], directions))
    unit = raw / np.linalg.norm(raw, axis=0)
    projected = np.sort(exact.astype(np.float64) @ unit, axis=0)
    return Sketch(unit, projected, float(np.sqrt(np.mean(np.var(projected, axis=0)))))


def sliced_wasserstein(ends: np.ndarray, against: Sketch) -> float:
    """The sliced 2-Wasserstein distance to the exact sample, over its scale: 1 is an error of one deviation.

    In one dimension the optimal plan is monotone, so each end is matched with its share of sorted exact values, of
    which there must be a whole number.
    """
    if not np.isfinite(ends).all():
        return float("inf")
    count, total = len(ends), len(against.quantiles)
    if total % count:
        raise ValueError(f"`ends` needs a size that divides the {total} exact values. Got {count}.")
    projected = np.sort(ends.astype(np.float64) @ against.directions, axis=0)
    share = against.quantiles.reshape(count, total // count, -1)
    return float(np.sqrt(np.mean((share - projected[:, None]) ** 2)) / against.scale)


def moment_error(ends: np.ndarray, variances: np.ndarray) -> float:
    """The relative error of the variances, root mean square over coordinates: from ends of unit inputs, exact.

    With a linear denoiser the end is linear in independent inputs of variance 1, so its variance is the sum of the
    squares of what each input alone ends in.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.sum(ends.astype(np.float64) ** 2, axis=0)
        error = float(np.sqrt(np.mean((found / variances - 1) ** 2)))
    return error if np.isfinite(error) else float("inf")


def flow_error(ends: np.ndarray, exact: np.ndarray, scale: float) -> float:
    """The root mean square distance of a coordinate to the exact flow from the same start, over `scale`."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.sqrt(np.mean((ends.astype(np.float64) - exact) ** 2)) / scale)
    return error if np.isfinite(error) else float("inf")
