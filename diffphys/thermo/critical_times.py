r"""Critical times of two classes: the crossing of a level, and the three criteria that share the name.

All are times of the Ornstein-Uhlenbeck process at temperature `T`, whose channel has `v = T (e^{2t} - 1)`.
"""

from typing import NamedTuple

import numpy as np

from .._root import root
from ._host import on_host
from ._types import ArrayLike, Values
from .two_classes import _half_log_odds, _modes, agreement, separation

# The agreement is 1 to the last bit from far below this separation on.
_SEPARATED = 40.0


class CriticalTimes(NamedTuple):
    """Three times at which the symmetry of two Gaussian classes breaks, by three criteria.

    They grow alike, as half the logarithm of the dimension, and differ at finite dimension: by `1/2 log 2`
    between the drift and the others at unit variance and temperature. NaN where the criterion is met at no t
    >= 0.

    Attributes:
        spectral: the largest eigenvalue of the noised data covariance, without its noise, meets the
            temperature: `Lambda e^{-2t} = T` with `Lambda = |m|^2 + sigma^2`. The only one that needs no
            model of the classes.
        score_zero: the zero of the score at the origin turns from a maximum of the density into a saddle:
            `|m|^2 e^{-2t} = Gamma_t`, `Gamma_t = T (1 - e^{-2t}) + sigma^2 e^{-2t}`. Here the separation is
            one and the agreement of clones exactly 0.7752.
        drift: the origin loses stability in the drift of the reverse process, `x + 2 T score`:
            `1 - 2T / Gamma_t + 2T |m|^2 e^{-2t} / Gamma_t^2 = 0`. It depends on the process, not on the data
            alone, and a broad single Gaussian (m = 0, sigma^2 > 2T) meets it too.
    """

    spectral: Values
    score_zero: Values
    drift: Values


@on_host
def critical_times(mean_norm_squared: ArrayLike, variance: ArrayLike, temperature: ArrayLike = 1.0) -> CriticalTimes:
    r"""The three critical times of the mixture of `N(m, sigma^2 I)` and `N(-m, sigma^2 I)`, each by its name.

    $$ e^{2t} = \frac{|m|^2 + \sigma^2}{T}, \qquad 1 + \frac{|m|^2 - \sigma^2}{T}, \qquad
       \frac{|m|^2 + \sqrt{|m|^4 + (\sigma^2 - T)^2}}{T} $$

    The first two agree where `T = 2 sigma^2`, and only there.

    Args:
        mean_norm_squared: `|m|^2`, of any shape.
        variance: `sigma^2` of each class, zero for point masses.
        temperature: T of the process.

    Returns:
        The times, by name; NaN where a criterion is met at no t >= 0.

    Raises:
        ValueError: if an argument is negative, or `temperature` is zero.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard (2024), eq. 4, for the spectral time; Ambrogioni (2023) for the
        zero of the score; Raya and Ambrogioni (2023) for the drift of two point masses; here at any variance
        and temperature.
    """
    norm, within, bath = (np.asarray(x, float) for x in (mean_norm_squared, variance, temperature))
    if not ((norm >= 0).all() and (within >= 0).all() and (bath > 0).all()):
        raise ValueError(
            "`critical_times` needs `mean_norm_squared` >= 0, `variance` >= 0 and `temperature` > 0. "
            f"Got {mean_norm_squared}, {variance} and {temperature}. Pass squares, not norms or deviations."
        )
    return CriticalTimes(
        spectral=_time((norm + within) / bath),
        score_zero=_time(1 + (norm - within) / bath),
        drift=_time((norm + np.hypot(norm, within - bath)) / bath),
    )


def _time(growth: ArrayLike) -> Values:
    """The time at which `e^{2t}` has a value: NaN where that is below one."""
    return 0.5 * np.log(np.where(np.greater_equal(growth, 1), growth, np.nan))


@on_host
def crossing_time(
    half_difference: ArrayLike,
    covariance: ArrayLike,
    level: float | None = None,
    p: float = 0.5,
    temperature: float = 1.0,
) -> float:
    r"""Time of the Ornstein-Uhlenbeck process at which the agreement of two classes crosses a level.

    The agreement fixes the separation, the separation the variance v, and `t = 1/2 log(1 + v / T)`.

    Args:
        half_difference: `m`, half the difference of the two class means.
        covariance: the covariance within each class: a number (isotropic), `(d,)` (diagonal) or `(d, d)`.
        level: the agreement to cross, in [0, 1]; by default `threshold(p)`, that is separation one.
        p: the weight of one of the classes, in (0, 1).
        temperature: T of the process.

    Returns:
        The time, or NaN where there is no crossing: the level lies at or below `p^2 + (1-p)^2`, the agreement
        of pure noise, or at or above the agreement without noise, where overlapping classes already disagree.

    Raises:
        ValueError: if the level is no probability, `p` lies outside (0, 1) or `temperature` is not positive.
    """
    if level is not None and not 0 <= level <= 1:
        raise ValueError(f"`crossing_time` needs `level` in [0, 1]. Got {level}. Leave it out for `threshold(p)`.")
    if not temperature > 0:
        raise ValueError(f"`crossing_time` needs `temperature` > 0. Got {temperature}. Pass that of the bath.")
    _half_log_odds(p)
    wanted = 1.0 if level is None else _separation_at(level, p)
    weights, spectrum = _modes(half_difference, covariance)
    if wanted == 0 or separation(half_difference, covariance, 0.0) <= wanted:
        return np.nan

    def excess(v: float) -> float:
        return float((weights / (spectrum + v)).sum() / wanted**2 - 1)

    # Every mode alone, and all of them at the largest eigenvalue, bound the separation from below.
    total = weights.sum() / wanted**2
    low = max(0.0, total - spectrum.max(), *(weights / wanted**2 - spectrum))
    high = (total - spectrum.min()) * (1 + 1e-9)
    variance = low if excess(low) <= 0 else root(excess, low, high)
    return float(0.5 * np.log1p(variance / temperature))


def _separation_at(level: float, p: float) -> float:
    """The separation of an agreement: zero below that of pure noise, infinite from the limit on."""
    if level <= agreement(0.0, p):
        return 0.0
    if level >= agreement(_SEPARATED, p):
        return np.inf
    return root(lambda delta: float(agreement(delta, p)) - level, 0.0, _SEPARATED)
