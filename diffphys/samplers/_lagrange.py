"""Integrals of the polynomials of multistep methods, on the host."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .._quadrature import gauss_legendre


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
