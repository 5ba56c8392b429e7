"""Means over normal numbers without sampling: rules of points and weights."""

import itertools

import numpy as np


def degree_three(n):
    """Points and weights in n dimensions, exact for polynomials of degree 3: of a square of a linear map, say."""
    points = np.sqrt(n) * np.concatenate([np.eye(n), -np.eye(n)])
    return points, np.full(2 * n, 0.5 / n)


def hermite(n, order):
    """The product of n Gauss-Hermite rules, exact for polynomials of degree 2 order - 1 in each variable."""
    at, weights = np.polynomial.hermite_e.hermegauss(order)
    weights = weights / weights.sum()
    points = np.array(list(itertools.product(at, repeat=n)))
    return points, np.prod(list(itertools.product(weights, repeat=n)), axis=1)


def signs(n):
    """All vectors of n signs."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
