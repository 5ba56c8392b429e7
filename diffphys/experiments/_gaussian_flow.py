"""Gaussian laws through samplers, exactly: with a linear denoiser a step is affine, and no sample is drawn."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..samplers.affine import Coordinates, LinearDenoiser, affine_steps, in_one
from ..samplers.table import AbstractTableSampler


class GaussianLaw(NamedTuple):
    """Independent normal coordinates."""

    mean: Coordinates
    variance: Coordinates


def push(
    sampler: AbstractTableSampler, denoise: LinearDenoiser, start: GaussianLaw, ts: Float[np.ndarray, " n"]
) -> GaussianLaw:
    """The law at the end of the grid of what is `start` at its beginning, in float64.

    Args:
        sampler: of an overdamped process; its own denoiser is not asked.
        denoise: the linear denoiser in its place.
        start: the law at `ts[0]`.
        ts: decreasing times.

    Raises:
        ValueError: if the steps of the sampler are no table, or its states no vectors.
    """
    if not isinstance(sampler, AbstractTableSampler) or np.ndim(sampler.process.start()[0]):
        raise ValueError(
            "An exact Gaussian law needs an overdamped sampler whose steps are linear in state and estimates, an "
            f"`AbstractTableSampler`. Got `{type(sampler).__name__}` of `{type(sampler.process).__name__}`. "
            "Use `ReverseSDE`, `Bridge` or `DDIM`."
        )
    run = in_one(affine_steps(sampler, np.asarray(ts, float), denoise), 1)
    factor, spread = run.matrix[:, 0, 0], run.factor[:, 0, 0]
    return GaussianLaw(factor * start.mean + run.offset[:, 0], factor**2 * start.variance + spread**2)
