"""Steps of a sampler where the denoiser is linear: affine maps of state, memory and noise, in float64 on the host."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .combination import Term, Terms
from .table import AbstractTableSampler

Coordinates = Float[np.ndarray, " N"]

LinearDenoiser = Callable[[float, float], tuple[Coordinates, Coordinates]]
"""`denoise(v, t)`: the slope and the offset of the estimate in each coordinate, at noise variance v, from time t."""


class AffineStep(NamedTuple):
    """One step `x -> M x + R noise + c`, in each of N coordinates of the data.

    x holds the k variables of a coordinate and, below them, its predictions that the sampler remembers, the latest
    first; the noise has k numbers a draw.
    """

    matrix: Float[np.ndarray, "N w w"]
    noise: Float[np.ndarray, "N w q"]
    offset: Float[np.ndarray, "N w"]


class AffineRun(NamedTuple):
    """All steps of a run in one, `z -> A z + L noise + c` with standard normal noise, in each of N coordinates."""

    matrix: Float[np.ndarray, "N k k"]
    factor: Float[np.ndarray, "N k k"]
    """L, lower triangular."""
    offset: Float[np.ndarray, "N k"]


def affine_steps(
    sampler: AbstractTableSampler, ts: Float[np.ndarray, " n"], denoise: LinearDenoiser
) -> Iterator[AffineStep]:
    """The steps of a sampler on a grid, one after the other, with a linear denoiser in place of its own."""
    row = sampler.table(ts)
    k, draws = np.size(sampler.process.start()[0]), sampler.draws
    width, new = (1 + sampler.history) * k, len(row.memory) * k
    columns = width + draws * k + 1

    def place(term: Term) -> slice:
        kind, j = term
        start = {"state": 0, "past": (1 + j) * k, "noise": width + j * k}[kind]
        return slice(start, start + k)

    def combined(terms: Terms, i: int, estimates: list[np.ndarray], rows: int) -> np.ndarray:
        """A combination of row i, `rows` numbers a coordinate, as weights of x, of the noise and of 1."""
        total = np.zeros((1, rows, columns))
        for term, coefficients in terms.items():
            if term[0] == "data":
                total = total + np.reshape(coefficients[i], (rows, 1)) * estimates[term[1]]
            else:
                total[:, :, place(term)] += np.reshape(coefficients[i], (rows, k))
        return total

    for i, t in enumerate(ts[:-1]):
        estimates: list[np.ndarray] = []
        for stage in row.stages:
            slope, offset = denoise(float(stage.variance[i]), float(t))
            estimate = slope[:, None, None] * combined(stage.channel, i, estimates, 1)
            estimate[:, 0, -1] += offset
            estimates.append(estimate)
        end = np.zeros((len(estimates[0]), width, columns))
        end[:, :k] = combined(row.state, i, estimates, k)
        for j, terms in enumerate(row.memory):
            end[:, (1 + j) * k : (2 + j) * k] = combined(terms, i, estimates, k)
        end[:, k + new :, k : width - new] = np.eye(width - k - new)
        yield AffineStep(end[:, :, :width], end[:, :, width:-1], end[:, :, -1])


def in_one(steps: Iterable[AffineStep], k: int) -> AffineRun:
    """The steps of a run that starts with k variables a coordinate and nothing remembered, composed."""
    # One at a time: of thousands of coordinates and steps, not all are held.
    others = iter(steps)
    first = next(others)
    matrix, factor, offset = first.matrix[:, :, :k], _lower(first.noise), first.offset
    for step in others:
        matrix, offset = step.matrix @ matrix, (step.matrix @ offset[..., None])[..., 0] + step.offset
        factor = _lower(np.concatenate([step.matrix @ factor, step.noise], axis=-1))
    return AffineRun(matrix[:, :k], _lower(factor[:, :k]), offset[:, :k])


def _lower(a: Float[np.ndarray, "N w q"]) -> Float[np.ndarray, "N w w"]:
    """The lower triangular L with `L L' = a a'` of each coordinate; not by that product, in which small rows drown."""
    rows = a.shape[1]
    if rows == 1:
        return np.sqrt(np.sum(a**2, axis=-1, keepdims=True))
    square = np.concatenate([a, np.zeros((*a.shape[:2], max(0, rows - a.shape[2])))], axis=-1)
    return np.swapaxes(np.linalg.qr(np.swapaxes(square, 1, 2), mode="r"), 1, 2)
