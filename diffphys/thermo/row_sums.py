"""Sums over the rows of many points, in float64, a block of them at a time: no copy of all in that type, or at all."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Float, Int, Real

from ..targets import AbstractDataSet

# Rows of a block: long products with little memory.
_ROWS = 1024
# Columns of a block, where the products of all rows are wanted.
_COLUMNS = 2048


@dataclasses.dataclass(frozen=True)
class DataRows:
    """Some of the data of a target, a row each, read when they are asked for.

    Args:
        data: the data set.
        members: which of its data, by their indices.
    """

    data: AbstractDataSet
    members: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, data: AbstractDataSet) -> "DataRows":
        """All of them."""
        return cls(data, np.arange(data.num_points))

    @property
    def shape(self) -> tuple[int, int]:
        """How many, and their dimension."""
        return len(self.members), self.data.dim

    def __getitem__(self, rows: slice) -> Float[np.ndarray, "_ d"]:
        return self.data.rows(self.members[rows])


Rows: TypeAlias = Real[Array | np.ndarray, "n d"] | DataRows
"""Points, one a row: an array of any real dtype, in a file too, or data of a target."""


def rows_of(points: Rows | Sequence) -> Rows:
    """Points as they are, those in lists as an array.

    Raises:
        ValueError: if they are not one point a row.
    """
    rows = points if isinstance(points, DataRows) else np.asarray(points)
    if len(rows.shape) != 2:
        raise ValueError(f"`points` needs one point a row, (n, d). Got shape {rows.shape}. Do flatten each of them.")
    return rows


def blocks_of(points: Rows) -> Iterator[Float[np.ndarray, "_ d"]]:
    """The points in their order, a block of rows at a time, in float64; each block is a copy."""
    for start in range(0, points.shape[0], _ROWS):
        yield np.array(points[start : start + _ROWS], np.float64)


def mean_of(points: Rows) -> Float[np.ndarray, " d"]:
    r"""The mean $\bar a = \frac1n \sum_\mu a_\mu$."""
    total = np.zeros(points.shape[1])
    for block in blocks_of(points):
        total += block.sum(0)
    return total / points.shape[0]


def scatter_of(points: Rows, centre: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d d"]:
    r"""The scatter matrix $\sum_\mu (a_\mu - c)(a_\mu - c)^T$ about a centre c."""
    total = np.zeros((points.shape[1],) * 2)
    for block in blocks_of(points):
        block -= centre
        total += block.T @ block
    return total


def products_of(points: Rows, centre: Float[np.ndarray, " d"]) -> Float[np.ndarray, "n n"]:
    r"""The inner products $(a_\mu - c) \cdot (a_\nu - c)$ about a centre c: for n < d fewer than the scatter has."""
    n, d = points.shape
    # All of them, in their own type: their products need every pair of rows.
    points, total = points[:], np.zeros((n, n))
    for start in range(0, d, _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        block = np.array(points[:, columns], np.float64)
        block -= centre[columns]
        total += block @ block.T
    return total
