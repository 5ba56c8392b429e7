"""Integrals on the host, by Gauss-Legendre rules."""

import functools

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
