"""Where the information that a denoiser finds is log n: the collapse time of a population."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from .._root import root
from ..processes import AbstractProcess

# A 95 % interval.
_SIGMAS = 1.96

Levels = Float[np.ndarray, " levels"]
Times = Float[np.ndarray, " times"]


def population_collapse(
    process: AbstractProcess,
    variances: Times,
    information: tuple[Times, Times],
    rate: tuple[Levels, Levels],
    linear: Callable[[Times], Times],
    count: int,
) -> dict[str, float]:
    """The collapse time by a denoiser with its 95 % interval, and that by the linear one.

    Interpolated is only the difference from the linear denoiser, whose information is known at all noises.

    Args:
        process: the forward process.
        variances: the noise variances of its times.
        information: in nats at each of them, and its standard error.
        rate: noise variances, increasing, and what the information falls by there, a unit of log v.
        linear: the information by the linear denoiser, a decreasing function of the variances.
        count: the number n of data.
    """

    def lack(u: float) -> float:
        return float(np.log(count) - linear(np.exp([u]))[0])

    order = np.argsort(variances)
    knots, (mean, error) = np.log(variances)[order], (part[order] for part in information)
    low, high = knots[0], knots[-1]
    while lack(low) > 0:
        low -= 1.0
    while lack(high) < 0:
        high += 1.0
    attrs = {"collapse_time_linear": process.time_of_variance(float(np.exp(root(lack, low, high))))}
    ends = dict.fromkeys(("collapse_time", "collapse_time_low", "collapse_time_high"), np.nan)
    if mean[0] <= np.log(count) or mean[-1] >= np.log(count):
        return attrs | ends
    difference = PchipInterpolator(knots, mean - linear(np.exp(knots)))
    at = root(lambda u: lack(u) - float(difference(u)), knots[0], knots[-1])
    slope = np.interp(at, np.log(rate[0]), rate[1])
    reach = _SIGMAS * np.interp(at, knots, error) / slope
    values = np.exp(at + reach * np.array([0, -1, 1]))
    return attrs | {name: process.time_of_variance(float(v)) for name, v in zip(ends, values, strict=True)}
