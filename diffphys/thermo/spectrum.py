"""The covariance spectrum of a data set, and the spectral speciation time with its error.

The largest sample eigenvalue overestimates that of the population: noise directions lean on it. The
correction and the error here are those of a spike above an arbitrary bulk, and need no resampling: a
percentile bootstrap of the eigenvalue repeats the overestimate instead of showing it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from ._host import on_host
from .row_sums import Rows, blocks_of, mean_of, products_of, rows_of, scatter_of


class SpectralTime(NamedTuple):
    """The spectral speciation time of a data set, `1/2 log(Lambda / T)`, and its confidence interval.

    `eigenvalue` and `time` are those of the data set as it is, which is what the papers quote and what its
    exact empirical score obeys. The interval is for the population the data were drawn from. It is centred
    (in the logarithm) on `corrected` and, where d/n is not small, need not contain `eigenvalue`.

    Attributes:
        eigenvalue: Lambda, the largest eigenvalue of the sample covariance.
        eigenvalue_low: lower end of the interval for the population eigenvalue.
        eigenvalue_high: its upper end.
        time: `1/2 log(eigenvalue / T)`; NaN where Lambda <= T: no speciation by the spectral criterion.
        time_low: the time of `eigenvalue_low`; NaN where that is <= T.
        time_high: the time of `eigenvalue_high`; NaN where that is <= T.
        corrected: estimate of the population eigenvalue, without the bias of order d/n.
        spectrum: all eigenvalues of the sample covariance, as `covariance_spectrum` gives them.
    """

    eigenvalue: float
    eigenvalue_low: float
    eigenvalue_high: float
    time: float
    time_low: float
    time_high: float
    corrected: float
    spectrum: Float[np.ndarray, " rank"]

    def at(self, temperature: float) -> "SpectralTime":
        """The times of a process at another temperature T > 0."""
        values = (self.eigenvalue, self.eigenvalue_low, self.eigenvalue_high)
        time, low, high = (_time(value, temperature) for value in values)
        return self._replace(time=time, time_low=low, time_high=high)


@on_host
def covariance_spectrum(points: Rows | Sequence, centre: bool = True) -> Float[np.ndarray, " rank"]:
    """Eigenvalues of the sample covariance, descending, through the smaller of the two Gram matrices.

    Args:
        points: the data, one point a row, of any real dtype, in a file too (`np.load(.., mmap_mode="r")`); taken to
            float64 a block at a time.
        centre: subtract the mean and divide by n - 1; otherwise the second moments, divided by n.

    Returns:
        The min(n, d) leading eigenvalues; those beyond are zero.

    Raises:
        ValueError: if there are fewer than two points, or an entry is not finite.
    """
    gram, _ = _gram(rows_of(points), centre)
    # The Gram matrix has no negative eigenvalue; rounding may show one in place of a zero.
    return np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)


@on_host
def spectral_time(
    points: Rows | Sequence,
    *,
    temperature: float = 1.0,
    centre: bool = True,
    confidence: float = 0.95,
) -> SpectralTime:
    r"""Spectral speciation time of a data set, with an interval that holds in high dimension.

    The sample eigenvalues `L_1 > L_2 >= ...` of n points give the population eigenvalue of the spike as

    $$ \hat\lambda = \frac{L_1}{1 + S}, \qquad S = \frac1n \sum_{j \ge 2} \frac{L_j}{L_1 - L_j}, $$

    which is `1/lambda = (1 - gamma) / L_1 + gamma mean_j 1 / (L_1 - L_j)` with the zero eigenvalues summed.
    With `D = d lambda / d L_1` (fixed bulk) and `kappa` the excess kurtosis of the projections on the top
    eigenvector,

    $$ \mathrm{Var} \log\hat\lambda = \frac{\kappa D^2 + 2 D}{n}. $$

    Where d/n is small D = 1 and this is the delta method, the variance of the squared projections over n. In
    high dimension the projections on the fitted direction are themselves distorted: their kurtosis is that
    along the true direction divided by `D^2`, and the Gaussian part of the variance grows as D. The interval
    is symmetric in the logarithm, that is in the time.

    Args:
        points: the data, one point a row, of any real dtype.
        temperature: T of the process.
        centre: whether the covariance is about the mean (divisor n - 1) or about zero (divisor n).
        confidence: the probability that the interval covers the population eigenvalue.

    Returns:
        The eigenvalue, its correction, the time and the intervals. The coverage holds where the top
        eigenvalue stands above the bulk. Where the population has no such spike the interval lies too high:
        what the data cannot tell from the edge of the noise, it cannot correct either.

    Raises:
        ValueError: if there are fewer than two distinct points, an entry is not finite, `temperature` is not
            positive or `confidence` lies outside (0, 1).

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard (2024), eq. 4, for the criterion; Bai and Yao, "On sample
        eigenvalues in a generalized spiked population model" (2012), for the bulk and the error.
    """
    if not (temperature > 0 and 0 < confidence < 1):
        raise ValueError(
            "`spectral_time` needs `temperature` > 0 and `confidence` in (0, 1). "
            f"Got {temperature} and {confidence}. Pass 0.95 for a 95 % interval."
        )
    points = rows_of(points)
    gram, mean = _gram(points, centre)
    values, vectors = np.linalg.eigh(gram)
    top, bulk = float(values[-1]), np.maximum(values[-2::-1], 0.0)
    if not top > 0:
        raise ValueError("`points` needs two distinct rows. Got a covariance of zero. Pass data that vary.")
    count = _degrees(points, centre)
    scores = _projections(points, mean, vectors[:, -1])
    kurtosis = np.mean(scores**4) / np.mean(scores**2) ** 2 - 3
    lean, steep = _leaning(top, bulk, count)
    corrected = top / (1 + lean)
    slope = (1 + lean + steep) / (1 + lean) ** 2
    # No law has an excess kurtosis below -2; the estimate of that along the true direction may.
    deviation = np.sqrt((max(kurtosis * slope**2, -2.0) + 2 * slope) / count)
    factor = float(np.exp(ndtri(0.5 + 0.5 * confidence) * deviation))
    low, high = corrected / factor, corrected * factor
    spectrum = np.append(top, bulk)
    return SpectralTime(top, low, high, np.nan, np.nan, np.nan, corrected, spectrum).at(temperature)


def _leaning(top: float, bulk: np.ndarray, count: int) -> tuple[float, float]:
    """How much the bulk lifts the top eigenvalue, S, and `-L_1 dS/dL_1`."""
    # Two eigenvalues closer than the sampling error are one to perturbation theory, and its terms would
    # diverge.
    gap = np.maximum(top - bulk, top / np.sqrt(count))
    return float((bulk / gap).sum() / count), float((bulk / gap * (top / gap)).sum() / count)


def _time(eigenvalue: float, temperature: float) -> float:
    return float(0.5 * np.log(eigenvalue / temperature)) if eigenvalue > temperature else np.nan


def _degrees(points: Rows, centre: bool) -> int:
    return points.shape[0] - 1 if centre else points.shape[0]


def _gram(points: Rows, centre: bool) -> tuple[np.ndarray, np.ndarray]:
    """The covariance, or for n < d the Gram matrix of the same nonzero eigenvalues; and the mean."""
    n, d = points.shape
    if n < 2:
        raise ValueError(f"`points` needs two rows or more. Got {n}. Pass one point a row.")
    mean = mean_of(points) if centre else np.zeros(d)
    total = scatter_of(points, mean) if n >= d else products_of(points, mean)
    if not np.isfinite(np.trace(total)):
        raise ValueError("`points` needs finite entries. Got some that are not. Drop the rows that hold them.")
    return total / _degrees(points, centre), mean


def _projections(points: Rows, mean: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The centred points along the top direction, up to a factor; `vector` is that of `_gram`."""
    n, d = points.shape
    if n < d:
        return vector
    return np.concatenate([(block - mean) @ vector for block in blocks_of(points)])
