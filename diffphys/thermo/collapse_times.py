r"""Collapse in theory: when the data set runs out of entropy to hide its points.

A Gaussian law of covariance eigenvalues `lambda_i` gives the channel `y = a + sqrt(v) eps` the capacity
`1/2 sum log(1 + lambda_i / v)`; where `log n` exceeds it the `n` data points overlap, and where it falls
short the exact score of the data set leads back to single points. The channel of the Ornstein-Uhlenbeck
process at temperature `T` has `v = T (e^{2t} - 1)`.
"""

import numpy as np

from .._root import root
from ._host import on_host
from ._types import ArrayLike, Values


@on_host
def log_capacity(variance: ArrayLike, spectrum: ArrayLike) -> Values:
    r"""Information that the channel carries of one Gaussian draw: the `log n` whose collapse noise is `v`.

    $$ \tfrac12 \sum_i \log(1 + \lambda_i / v) $$

    Args:
        variance: the noise variances v, > 0, of any shape.
        spectrum: the eigenvalues of the covariance within a class, with their multiplicity; zeros do not matter.

    Returns:
        The capacity at each variance, in nats, summed over coordinates.

    Raises:
        ValueError: if a variance is not positive, or an eigenvalue is negative.
    """
    noise, eigenvalues = _noise(variance), _eigenvalues(spectrum)
    return 0.5 * np.log1p(eigenvalues / noise[..., None]).sum(-1)


@on_host
def excess_entropy(
    variance: ArrayLike, spectrum: ArrayLike, n: ArrayLike, class_information: ArrayLike = 0.0
) -> Values:
    r"""Population excess entropy per coordinate, f: positive above the collapse, zero at it.

    $$ f = \frac1d \Big[\log n - \tfrac12 \sum_i \log(1 + \lambda_i/v) - I(C; Y)\Big] $$

    The curve of a data set, the mean entropy of the posterior weights per coordinate, tends to `max(f, 0)` in
    high dimension.

    Args:
        variance: the noise variances v, > 0, of any shape.
        spectrum: all d eigenvalues of the covariance within a class; isotropic: `np.full(d, variance)`.
        n: the numbers of data points in all classes together, like `variance`.
        class_information: what the observation says of the class, in nats, like `variance`. The paper leaves
            it out; its share of `log n`, log 2 / log n for two classes, is not small (7 % at n = 20000).

    Returns:
        f at each variance, between minus infinity and `log(n) / d`.

    Raises:
        ValueError: if a variance is not positive, an eigenvalue is negative or `n` < 1.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), eq. 5.
    """
    counts = np.asarray(n, float)
    if not (counts >= 1).all():
        raise ValueError(f"`excess_entropy` needs `n` >= 1. Got {n}. Pass the number of data points.")
    known = log_capacity(variance, spectrum) + np.asarray(class_information, float)
    return (np.log(counts) - known) / _eigenvalues(spectrum).size


@on_host
def effective_dimension(variance: ArrayLike, spectrum: ArrayLike) -> Values:
    r"""Number of directions that the noise has not yet drowned.

    $$ d_{eff}(v) = \sum_i \frac{\lambda_i}{\lambda_i + v}
       = -2\, \frac{\partial\, \text{capacity}}{\partial \log v} $$

    Args:
        variance: the noise variances v, > 0, of any shape.
        spectrum: the eigenvalues of the covariance within a class.

    Returns:
        The effective dimension at each variance, between 0 and the number of nonzero eigenvalues.

    Raises:
        ValueError: if a variance is not positive, or an eigenvalue is negative.
    """
    noise, eigenvalues = _noise(variance), _eigenvalues(spectrum)
    return (eigenvalues / (eigenvalues + noise[..., None])).sum(-1)


@on_host
def collapse_width(variance: ArrayLike, spectrum: ArrayLike) -> Values:
    r"""Width of the collapse in `log v`: `2 / sqrt(d_eff)`, so that it is sharp only if `d_eff` is large.

    The log-weight of the generating point against all others has variance `d_eff` and slope `d_eff / 2` in
    `log v`.

    Args:
        variance: the noise variances v, > 0, of any shape; that of the collapse is `collapse_variance`.
        spectrum: the eigenvalues of the covariance within a class, not all zero.

    Returns:
        The width at each variance, in units of `log v`.

    Raises:
        ValueError: if a variance is not positive, or an eigenvalue is negative.
    """
    return 2 / np.sqrt(effective_dimension(variance, spectrum))


@on_host
def collapse_variance(n: ArrayLike, spectrum: ArrayLike) -> Values:
    r"""Noise variance at which a data set of size `n` collapses, the root of `log_capacity = log n`.

    Args:
        n: numbers of data points, > 1, of any shape; for separated classes the number in one class.
        spectrum: the eigenvalues of the covariance within a class, not all zero.

    Returns:
        The variance for each `n`, decreasing in it.

    Raises:
        ValueError: if some `n` <= 1 (one point is collapsed at any noise), or the spectrum has no positive entry.
    """
    counts, eigenvalues = _counts(n), np.sort(_eigenvalues(spectrum))[::-1]
    eigenvalues = eigenvalues[eigenvalues > 0]
    if not eigenvalues.size:
        raise ValueError("`spectrum` needs a positive eigenvalue. Got none. Identical points have no collapse.")
    return np.vectorize(lambda log_n: _noise_at(log_n, eigenvalues), otypes=[float])(np.log(counts))[()]


@on_host
def collapse_time(n: ArrayLike, spectrum: ArrayLike, temperature: float = 1.0) -> Values:
    r"""Time of the collapse of a data set of size `n`: `1/2 log(1 + v_C / T)`.

    Args:
        n: numbers of data points, > 1, of any shape; for separated classes the number in one class.
        spectrum: the eigenvalues of the covariance within a class, not all zero.
        temperature: T of the Ornstein-Uhlenbeck process, > 0.

    Returns:
        The time for each `n`, decreasing in it; v_C is `collapse_variance(n, spectrum)`.

    Raises:
        ValueError: if some `n` <= 1, the spectrum has no positive entry, or the temperature is not positive.
    """
    return 0.5 * np.log1p(collapse_variance(n, spectrum) / _bath(temperature))


@on_host
def collapse_time_isotropic(
    n: ArrayLike, dim: ArrayLike, variance: ArrayLike = 1.0, temperature: float = 1.0
) -> Values:
    r"""Time of the collapse of isotropic Gaussian data.

    $$ t_C = \tfrac12 \log\Big(1 + \frac{\sigma^2 / T}{n^{2/d} - 1}\Big) $$

    Args:
        n: numbers of data points, > 1; for separated classes the number in one class.
        dim: numbers of dimensions d, or the rank of the data where that is lower.
        variance: `sigma^2` within a class.
        temperature: T of the process.

    Returns:
        The time, broadcast over the arguments.

    Raises:
        ValueError: if some `n` <= 1, or another argument is not positive.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard (2024), the collapse time of the Gaussian mixture; there
        at T = 1.
    """
    size, width = np.asarray(dim, float), np.asarray(variance, float)
    if not ((size > 0).all() and (width > 0).all()):
        raise ValueError(
            f"`collapse_time_isotropic` needs `dim` > 0 and `variance` > 0. Got {dim} and {variance}. "
            "Leave out dimensions without variance."
        )
    load = 2 * np.log(_counts(n)) / size
    # e^{-load} / (1 - e^{-load}) is 1 / expm1(load) without overflow.
    return 0.5 * np.log1p(width / _bath(temperature) * np.exp(-load) / -np.expm1(-load))


def _noise_at(log_n: float, descending: np.ndarray) -> float:
    # The r largest eigenvalues carry at least r times the r-th, and all of them at most their trace over 2v.
    logarithms = np.log(descending)
    load = 2 * log_n / np.arange(1, descending.size + 1)
    low = np.max(logarithms - load - np.log(-np.expm1(-load)))
    high = np.log(descending.sum() / (2 * log_n))

    def missing(log_v: float) -> float:
        return float(0.5 * np.logaddexp(0.0, logarithms - log_v).sum() / log_n - 1)

    return float(np.exp(root(missing, low - 1e-9, high + 1e-9)))


def _counts(n: ArrayLike) -> np.ndarray:
    counts = np.asarray(n, float)
    if not (counts > 1).all():
        raise ValueError(f"`n` needs to be > 1. Got {np.min(counts)}. A single point is collapsed at any noise.")
    return counts


def _bath(temperature: float) -> float:
    if not temperature > 0:
        raise ValueError(f"`temperature` needs to be > 0. Got {temperature}. Pass that of the process.")
    return temperature


def _noise(variance: ArrayLike) -> np.ndarray:
    noise = np.asarray(variance, float)
    if not (noise > 0).all():
        raise ValueError(f"`variance` needs to be > 0. Got {np.min(noise)}. Leave out the noiseless point.")
    return noise


def _eigenvalues(spectrum: ArrayLike) -> np.ndarray:
    eigenvalues = np.atleast_1d(np.asarray(spectrum, float))
    if eigenvalues.ndim != 1 or not (eigenvalues >= 0).all():
        raise ValueError(
            f"`spectrum` needs one row of eigenvalues >= 0. Got shape {eigenvalues.shape}, "
            f"least {np.min(eigenvalues)}. Pass all of them, zeros included."
        )
    return eigenvalues
