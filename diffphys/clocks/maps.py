"""The time of the Ornstein-Uhlenbeck process, and what the clocks of other papers show then."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Float64, Int64, Real

Number: TypeAlias = float | int | np.number
"""One real number."""

Given: TypeAlias = Real[Array | np.ndarray, "..."] | Sequence[Any] | Number
"""Real numbers as a caller has them; nothing is traced."""

Times: TypeAlias = Float64[np.ndarray, "..."] | np.float64
"""Times, or what a clock shows then: float64 on the host, of the shape of the argument."""


def variance_of_time(t: Given, temperature: Number = 1.0) -> Times:
    r"""Noise variance of the channel at time `t`, in data units squared.

    $$ v = T (e^{2t} - 1) $$

    It is also the temperature `tau` of the variance-exploding process.

    Args:
        t: times, >= 0.
        temperature: T of the bath, > 0.

    Raises:
        ValueError: if a time is negative or not finite, or the temperature is not positive.
    """
    return _positive(temperature) * np.expm1(2.0 * _times(t))


def time_of_variance(variance: Given, temperature: Number = 1.0) -> Times:
    r"""The time at which the channel has a noise variance v: $t = \frac12 \log(1 + v / T)$.

    Args:
        variance: noise variances v >= 0, in data units squared.
        temperature: T of the bath, > 0.

    Raises:
        ValueError: if a variance is negative or not finite, or the temperature is not positive.
    """
    return 0.5 * np.log1p(_times(variance, "variance") / _positive(temperature))


def log_snr(t: Given, temperature: Number = 1.0) -> Times:
    r"""Logarithm of signal over noise variance, $-\log v = -\log T(e^{2t} - 1)$, for unit data; infinite at time 0.

    Args:
        t: times, >= 0.
        temperature: T of the bath, > 0.

    Raises:
        ValueError: if a time is negative or not finite, or the temperature is not positive.
    """
    times = _times(t)
    with np.errstate(divide="ignore"):
        return -(2.0 * times + np.log(-np.expm1(-2.0 * times))) - np.log(_positive(temperature))


def linear_betas(n: int = 1000, low: Number = 1e-4, high: Number = 2e-2) -> Float64[np.ndarray, " {n}"]:
    """The schedule of DDPM: `n` betas from `low` to `high` in equal steps.

    Args:
        n: how many noising steps, 2 or more.
        low: the first beta.
        high: the last beta.

    Raises:
        ValueError: unless n >= 2 and 0 < low <= high < 1.

    Reference:
        Ho, Jain and Abbeel, "Denoising diffusion probabilistic models" (2020), section 4.
    """
    if n < 2 or not 0 < low <= high < 1:
        raise ValueError(f"`linear_betas` needs n >= 2, 0 < low <= high < 1. Got {n}, {low}, {high}.")
    return np.linspace(low, high, n)


def ddpm_times(betas: Given) -> Float64[np.ndarray, " n"]:
    r"""The times of a discrete schedule, $t_i = -\frac12 \sum_{j \le i} \log(1 - \beta_j)$.

    Index 0 has already seen one noising step, so its time is not 0.

    Args:
        betas: the variances of the noising steps, each in (0, 1).

    Raises:
        ValueError: unless there are at least two betas, all in (0, 1).
    """
    values = np.asarray(betas, np.float64)
    if values.ndim != 1 or values.size < 2 or not ((values > 0) & (values < 1)).all():
        raise ValueError(f"`betas` needs two or more variances in (0, 1). Got {betas}. Check the schedule.")
    return -0.5 * np.cumsum(np.log1p(-values))


def ddpm_index(t: Given, betas: Given) -> Times:
    """The index, from 0, at which a discrete schedule reaches `t`: linear between its times, nan outside.

    Args:
        t: Ornstein-Uhlenbeck times at temperature 1, >= 0.
        betas: the variances of the noising steps, as `linear_betas` makes them.

    Raises:
        ValueError: if a time is negative or not finite, or the betas are none.
    """
    times = ddpm_times(betas)
    index = np.interp(_times(t), times, np.arange(times.size, dtype=np.float64), left=np.nan, right=np.nan)
    return np.asarray(index)[()]


def nearest_ddpm_index(t: Given, betas: Given) -> Int64[np.ndarray, "..."] | np.int64:
    """The index, from 0, whose time is nearest to `t`: what a network trained on the schedule takes.

    Args:
        t: Ornstein-Uhlenbeck times at temperature 1.
        betas: the variances of the noising steps, as `linear_betas` makes them.

    Raises:
        ValueError: for a time further than half a step outside the schedule.
    """
    times, wanted = ddpm_times(betas), _times(t)
    middles = 0.5 * (times[1:] + times[:-1])
    low, high = times[0] - (middles[0] - times[0]), times[-1] + (times[-1] - middles[-1])
    if not ((wanted >= low) & (wanted <= high)).all():
        raise ValueError(
            f"`t` needs times of the schedule, {times[0]:.6g} to {times[-1]:.6g}. Got "
            f"{np.min(wanted):.6g} to {np.max(wanted):.6g}. Stay inside, or take a longer schedule."
        )
    return np.searchsorted(middles, wanted)


def vp_time(u: Given, beta_min: Number = 0.1, beta_max: Number = 20.0) -> Times:
    r"""The time at `u` of the continuous linear schedule, $\beta(u) = \beta_0 + (\beta_1 - \beta_0) u$.

    $$ t = \frac12 \int_0^u \beta = \frac12 \left( \beta_0 u + \frac12 (\beta_1 - \beta_0) u^2 \right) $$

    Args:
        u: times of the schedule, >= 0; it ends at 1.
        beta_min: $\beta_0$.
        beta_max: $\beta_1$.

    Raises:
        ValueError: if a time is negative or not finite.

    Reference:
        Song et al., "Score-based generative modeling through SDEs" (2021), eq. 32.
    """
    path = _times(u, "u")
    return path * (0.5 * beta_min + 0.25 * (beta_max - beta_min) * path)


def vp_clock(t: Given, beta_min: Number = 0.1, beta_max: Number = 20.0) -> Times:
    r"""The `u` at which the continuous linear schedule reaches time `t`; above 1 after its end.

    $$ u = \frac{2 b}{\beta_0 + \sqrt{\beta_0^2 + 2 (\beta_1 - \beta_0) b}}, \quad b = 2 t $$

    This form of the root cancels nothing, and holds for a constant schedule.

    Args:
        t: Ornstein-Uhlenbeck times at temperature 1, >= 0.
        beta_min: $\beta_0$.
        beta_max: $\beta_1$.

    Raises:
        ValueError: if a time is negative or not finite.
    """
    integral = 2.0 * _times(t)
    return 2.0 * integral / (beta_min + np.sqrt(beta_min**2 + 2.0 * (beta_max - beta_min) * integral))


def flow_matching_time(u: Given) -> Times:
    r"""The time of the straight path `(1 - u) a + u noise`, $e^{2t} = 1 + (u / (1 - u))^2$, u in [0, 1).

    Here u = 0 is data; many papers run it the other way.

    Args:
        u: places on the path, within [0, 1).

    Raises:
        ValueError: if one is outside.
    """
    path = _times(u, "u")
    if not (path < 1).all():
        raise ValueError(f"`u` needs to be below 1, which is infinite time. Got {np.max(path)}. Lower it.")
    return time_of_variance((path / (1.0 - path)) ** 2)


def flow_matching_clock(t: Given) -> Times:
    r"""The `u` at which the straight path is as noisy as time `t`: $u = \sigma_v / (1 + \sigma_v)$.

    Args:
        t: Ornstein-Uhlenbeck times at temperature 1, >= 0.

    Raises:
        ValueError: if a time is negative or not finite.
    """
    # Times e^{-t}, above and below: sigma_v itself overflows at late times.
    times = _times(t)
    noise = np.sqrt(-np.expm1(-2.0 * times))
    return noise / (np.exp(-times) + noise)


def clocks(t: Given, temperature: Number = 1.0) -> dict[str, Times]:
    """What every clock shows at Ornstein-Uhlenbeck times: coordinates for results.

    The last three are clocks of schedules at temperature 1; at another temperature they show the moment of
    equal noise variance in data units, where the same denoiser is asked the same question.

    Args:
        t: diffusion times, >= 0.
        temperature: of the bath.

    Returns:
        `sigma_v`, the noise level in data units; `log_snr`; `ddpm_index`, of the linear schedule of 1000
        steps, nan outside it; `vp_linear`, the continuous one; `flow_matching`, with 0 at the data.
    """
    times = _times(t)
    unit = times if temperature == 1.0 else time_of_variance(variance_of_time(times, temperature))
    return {
        "sigma_v": np.sqrt(variance_of_time(times, temperature)),
        "log_snr": log_snr(times, temperature),
        "ddpm_index": ddpm_index(unit, linear_betas()),
        "vp_linear": vp_clock(unit),
        "flow_matching": flow_matching_clock(unit),
    }


def _times(t: Given, name: str = "t") -> Times:
    """The argument of a clock in float64, which must not be negative."""
    times = np.asarray(t, np.float64)[()]
    if not (np.isfinite(times) & (times >= 0)).all():
        raise ValueError(f"`{name}` needs finite numbers >= 0. Got {np.min(times)} to {np.max(times)}.")
    return times


def _positive(temperature: Number) -> Number:
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"`temperature` needs a finite number above 0. Got {temperature}. Raise it.")
    return temperature
