"""How far the end of a sampler is from the truth: in moments, in law, and from the exact flow."""

from typing import NamedTuple

import numpy as np


class Sketch(NamedTuple):
    """A large exact sample, projected on fixed directions and sorted: what laws are compared with.

    Args:
        directions: unit vectors, one a column.
        centres: means of blocks of sorted projections, one a trajectory to be compared; a direction a column.
        spread: mean square distance of the projections to those means.
        scale: the root mean square standard deviation of the projections.
    """

    directions: np.ndarray
    centres: np.ndarray
    spread: float
    scale: float


def sketch(exact: np.ndarray, size: int, directions: int, seed: int = 0) -> Sketch:
    """The exact sample on random directions, to be compared with samples of a size that divides its own."""
    if len(exact) % size:
        raise ValueError(f"`exact` needs a multiple of the {size} values it is to be compared with. Got {len(exact)}.")
    raw = np.random.default_rng(seed).normal(size=(exact.shape[1], directions))
    unit = raw / np.linalg.norm(raw, axis=0)
    projected = np.sort(exact.astype(np.float64) @ unit, axis=0)
    blocks = projected.reshape(size, -1, directions)
    scale = float(np.sqrt(np.mean(np.var(projected, axis=0))))
    return Sketch(unit, blocks.mean(1), float(np.mean(blocks.var(1))), scale)


def sliced_wasserstein(ends: np.ndarray, against: Sketch) -> float:
    """The sliced 2-Wasserstein distance to the exact sample, over its scale: 1 is an error of one deviation.

    In one dimension the optimal plan is monotone: each end, sorted, is matched with its block of sorted exact values.
    """
    if not np.isfinite(ends).all():
        return float("inf")
    projected = np.sort(ends.astype(np.float64) @ against.directions, axis=0)
    return float(np.sqrt(np.mean((against.centres - projected) ** 2) + against.spread) / against.scale)


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
