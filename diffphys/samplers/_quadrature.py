"""Integrals of the polynomials of multistep methods, on the host."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_rule = functools.cache(np.polynomial.legendre.leggauss)


def gauss_legendre(
    start: float, end: float, *, points: int = 20, panels: int = 1
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Points and weights for an integral from `start` to `end`, `points` of them in each of `panels` equal parts."""
    at, weights = _rule(points)
    edges = np.linspace(start, end, panels + 1)
    middles, halves = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    return (middles[:, None] + halves[:, None] * at).ravel(), (halves[:, None] * weights).ravel()


def lagrange_integrals(
    knots: Sequence[float], points: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """The integral of each Lagrange polynomial of the knots, by a rule given by points and weights."""
    rows = []
    for i, knot in enumerate(knots):
        others = np.array([other for j, other in enumerate(knots) if j != i])
        rows.append(weights @ np.prod((points[:, None] - others) / (knot - others), axis=1))
    return np.array(rows)


def exponential_integrals(knots: Sequence[float], start: float, end: float, rate: float) -> Float[np.ndarray, " k"]:
    r"""$\int_{start}^{end} r\,e^{-r (end - x)} \ell_i(x)\,dx$ of each Lagrange polynomial of the knots."""
    points, weights = gauss_legendre(start, end)
    return lagrange_integrals(knots, points, weights * rate * np.exp(-rate * (end - points)))
