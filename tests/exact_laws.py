"""The processes that every test of the corridor runs over, and their laws in decimal arithmetic of 160 digits."""

import functools
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

from diffphys.processes import (
    Brownian,
    LinearProcess,
    OrnsteinUhlenbeck,
    PhaseSpaceLangevin,
    complete_recipe,
    third_order_langevin,
)

_DIGITS, _SMALL = 160, Decimal(10) ** -120


def _recipe(seed: int = 3) -> LinearProcess:
    """A stationary process of no symmetry, whose data enter both variables."""
    a, b, c = 0.7 * np.random.default_rng(seed).normal(size=(3, 2, 2))
    process = complete_recipe(a @ a.T + 0.3 * np.eye(2), b - b.T, c @ c.T + np.eye(2))
    return LinearProcess(process.drift, process.noise, np.array([0.8, -0.5]), np.array([[0.3, 0.0], [0.1, 0.2]]))


PROCESSES = {
    "ou": OrnsteinUhlenbeck(),
    "ou-warm": OrnsteinUhlenbeck(2.0),
    "brownian": Brownian(1.3),
    "psld": PhaseSpaceLangevin(),
    "cld": PhaseSpaceLangevin(0.0, 4.0),
    "cld-at-rest": PhaseSpaceLangevin(0.0, 4.0, kappa=0.0),
    "psld-mirrored": PhaseSpaceLangevin(4.01, 0.01),
    "psld-mirrored-at-rest": PhaseSpaceLangevin(4.0, 0.0, kappa=0.0),
    "third-order": third_order_langevin(),
    "one-by-one": LinearProcess(np.array([[-0.7]]), np.array([[1.1]])),
    "recipe": _recipe(),
}


class Law(NamedTuple):
    """The law over a time: of the transition, and of the state given the data with its channel."""

    propagator: np.ndarray
    transition_factor: np.ndarray
    mean: np.ndarray
    cov: np.ndarray
    factor: np.ndarray
    variance: float
    gain: np.ndarray


@functools.cache
def exact_law(name: str, t: float) -> Law:
    """The law of a process of the table, of its coefficients (which do not depend on time) and its start alone.

    The covariance of the noise is the Taylor series of dS/dt = F S + S F' + G G'.
    """
    drift, noise = PROCESSES[name].coefficients(0.0)
    lift, spread = PROCESSES[name].start()
    with localcontext() as context:
        context.prec = _DIGITS
        F, G, start = (_decimals(np.atleast_2d(value)) for value in (drift, noise, spread))
        lift, h = _decimals(np.atleast_1d(lift)), Decimal(float(t))
        propagator = term = _decimals(np.eye(len(F)))
        added = covariance = G @ G.T * h
        n = 0
        while max(np.abs(term).max(), np.abs(added).max()) > _SMALL:
            n += 1
            term = F @ term * (h / n)
            added = (F @ added + added @ F.T) * (h / (n + 1))
            propagator, covariance = propagator + term, covariance + added
        mean = propagator @ lift
        cov = propagator @ start @ start.T @ propagator.T + covariance
        factor = _cholesky(cov)
        whitened = _solved(factor, mean)
        variance = 1 / (whitened @ whitened)
        gain = variance * _solved(factor.T[::-1, ::-1], whitened[::-1])[::-1]
        arrays = (propagator, _cholesky(covariance), mean, cov, factor)
        return Law(*(array.astype(float) for array in arrays), float(variance), gain.astype(float))


def _decimals(values) -> np.ndarray:
    return np.vectorize(lambda value: Decimal(float(value)), otypes=[object])(values)


def _cholesky(a: np.ndarray) -> np.ndarray:
    factor = _decimals(np.zeros(a.shape))
    for i in range(len(a)):
        for j in range(i):
            factor[i, j] = (a[i, j] - factor[i, :j] @ factor[j, :j]) / factor[j, j]
        factor[i, i] = (a[i, i] - factor[i, :i] @ factor[i, :i]).sqrt()
    return factor


def _solved(lower: np.ndarray, b: np.ndarray) -> np.ndarray:
    x = _decimals(np.zeros(b.shape))
    for i in range(len(b)):
        x[i] = (b[i] - lower[i, :i] @ x[:i]) / lower[i, i]
    return x


def assert_close_by_rows(got, wanted, tolerance: float) -> None:
    """Each row to its own scale: an error in a small row is not forgiven for the size of another."""
    got, wanted = np.atleast_2d(np.asarray(got, np.float64)), np.atleast_2d(np.asarray(wanted, np.float64))
    error = np.abs(got - wanted).max(axis=1) / np.abs(wanted).max(axis=1)
    assert (error <= tolerance).all(), f"relative errors of rows {error} above {tolerance}:\n{got}\n{wanted}"
