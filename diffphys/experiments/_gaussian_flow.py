"""Gaussian laws through samplers, exactly: with a linear denoiser a step is affine, and no sample is drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..samplers.combination import Terms
from ..samplers.table import AbstractTableSampler

Coordinates = Float[np.ndarray, " N"]


class GaussianLaw(NamedTuple):
    """Independent normal coordinates."""

    mean: Coordinates
    variance: Coordinates


LinearDenoiser = Callable[[float, float], tuple[Coordinates, Coordinates]]
"""`denoise(v, t)`: the slope and the offset of the estimate in each coordinate, at noise variance v, from time t."""


def push(
    sampler: AbstractTableSampler, denoise: LinearDenoiser, start: GaussianLaw, ts: Float[np.ndarray, " n"]
) -> GaussianLaw:
    """The law at the end of the grid of what is `start` at its beginning, in float64.

    Args:
        sampler: of an overdamped process, that remembers no earlier prediction; its own denoiser is not asked.
        denoise: the linear denoiser in its place.
        start: the law at `ts[0]`.
        ts: decreasing times.

    Raises:
        ValueError: if the sampler has a memory or its states are no vectors.
    """
    if sampler.history or np.ndim(sampler.process.start()[0]):
        raise ValueError(
            f"`{type(sampler).__name__}` needs to be an overdamped sampler without memory for an exact Gaussian law. "
            "Use `ReverseSDE`, `Bridge` or `DDIM`."
        )
    table = sampler.table(np.asarray(ts, float))
    mean, variance = start
    for i, t in enumerate(np.asarray(ts, float)[:-1]):
        # Every operand as numbers in front of the state, of each noise, and alone.
        basis = np.eye(sampler.draws + 2)[:, :, None] * np.ones(len(mean))
        operands = {"state": [basis[0]], "noise": list(basis[1:-1]), "data": []}
        for stage in table.stages:
            slope, offset = denoise(float(stage.variance[i]), float(t))
            estimate = slope * _combine(stage.channel, operands, i)
            estimate[-1] += offset
            operands["data"].append(estimate)
        end = _combine(table.state, operands, i)
        mean = end[0] * mean + end[-1]
        variance = end[0] ** 2 * variance + np.sum(end[1:-1] ** 2, axis=0)
    return GaussianLaw(mean, variance)


def _combine(terms: Terms, operands: dict[str, list], i: int) -> Float[np.ndarray, "parts N"]:
    """One combination of row i."""
    total = sum(float(coefficient[i]) * operands[kind][j] for (kind, j), coefficient in terms.items())
    return np.asarray(total)
