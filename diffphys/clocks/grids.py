"""Grids of decreasing times: where a sampler steps."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from .maps import Given, Number, log_snr, time_of_variance, variance_of_time

Knots: TypeAlias = Float64[np.ndarray, "{steps}+1"]
"""The times of a grid of so many steps, strictly decreasing."""


def check_grid(ts: Given, *, zero: bool = False) -> Float64[np.ndarray, " knots"]:
    """The times of a grid in float64, if a sampler can walk it.

    Args:
        ts: diffusion times, from the noisiest to the cleanest.
        zero: whether the last time may be 0, the data themselves.

    Raises:
        ValueError: unless there are at least two finite, strictly decreasing times, the last above zero.
    """
    grid = np.asarray(ts, np.float64)
    needs = "`ts` needs at least two finite, strictly decreasing times"
    if grid.ndim != 1 or grid.size < 2:
        raise ValueError(f"{needs}. Got an array of shape {grid.shape}. Give a list of times.")
    if not np.isfinite(grid).all():
        raise ValueError(f"{needs}. Got {grid[~np.isfinite(grid)][0]} among them. Give finite times.")
    rising = np.flatnonzero(np.diff(grid) >= 0)
    if rising.size:
        i = rising[0]
        raise ValueError(
            f"{needs}. Got ts[{i}] = {grid[i]:g} and ts[{i + 1}] = {grid[i + 1]:g}. "
            "Time runs from noise down to data: reverse or sort the grid."
        )
    if grid[-1] < 0 or (grid[-1] == 0 and not zero):
        bound = "at least 0" if zero else "above 0"
        raise ValueError(f"`ts` needs a last time {bound}. Got {grid[-1]:g}. Stop the grid earlier.")
    return grid


def uniform_grid(t: Number, s: Number, steps: int) -> Knots:
    """Equal steps of time from `t` down to `s`.

    Args:
        t: the first time.
        s: the last time, 0 <= s < t.
        steps: how many steps; there is one knot more.

    Raises:
        ValueError: if the times do not decrease or there is no step.
    """
    _check_ends(t, s, steps)
    return _pinned(np.linspace(t, s, steps + 1), t, s)


def quadratic_grid(t: Number, s: Number, steps: int) -> Knots:
    r"""Steps that shrink towards the data: $t_k = s + (t - s)(1 - k/N)^2$.

    Args:
        t: the first time.
        s: the last time, 0 <= s < t.
        steps: how many steps, N.

    Raises:
        ValueError: if the times do not decrease or there is no step.

    Reference:
        Pandey and Mandt, "A complete recipe for diffusion generative models" (2023), the quadratic stride.
    """
    _check_ends(t, s, steps)
    return _pinned(s + (t - s) * np.linspace(1.0, 0.0, steps + 1) ** 2, t, s)


def log_snr_grid(t: Number, s: Number, steps: int) -> Knots:
    r"""Equal steps of $\log v = \log T (e^{2t} - 1)$, at any temperature $T$: it only moves $\log v$.

    Args:
        t: the first time.
        s: the last time, 0 < s < t.
        steps: how many steps.

    Raises:
        ValueError: if the times do not decrease, `s` is 0, or there is no step.
    """
    _check_ends(t, s, steps)
    if s == 0:
        raise ValueError("`s` needs to be above 0: data are infinitely far in log SNR. Got 0. Raise it.")
    # -log expm1(2t) would overflow late; log_snr does not.
    falling = np.linspace(-log_snr(t), -log_snr(s), steps + 1)
    return _pinned(0.5 * np.logaddexp(0.0, falling), t, s)


def karras_grid(t: Number, s: Number, steps: int, rho: Number = 7.0) -> Knots:
    r"""Equal steps of $\sigma_v^{1/\rho}$, $\sigma_v = \sqrt v$, at any temperature: it scales $\sigma_v$.

    Args:
        t: the first time.
        s: the last time, 0 <= s < t.
        steps: how many steps.
        rho: 1 is uniform in the noise level; larger values spend more steps near the data.

    Raises:
        ValueError: if the times do not decrease, there is no step, or `rho` is not positive.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), eq. 5.
    """
    _check_ends(t, s, steps)
    if not (np.isfinite(rho) and rho > 0):
        raise ValueError(f"`rho` needs a positive number. Got {rho}. The paper takes 7.")
    first, last = (np.sqrt(variance_of_time(end)) ** (1.0 / rho) for end in (t, s))
    variances = np.linspace(first, last, steps + 1) ** (2.0 * rho)
    return _pinned(np.asarray(time_of_variance(variances)), t, s)


def _check_ends(t: Number, s: Number, steps: int) -> None:
    if not (np.isfinite(t) and 0 <= s < t):
        raise ValueError(f"`t` and `s` need 0 <= s < t: time runs down to data. Got {t} and {s}. Swap them.")
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"`steps` needs a whole number, at least one. Got {steps!r}.")


def _pinned(grid: np.ndarray, t: Number, s: Number) -> np.ndarray:
    """The grid with its ends free of rounding."""
    grid[0], grid[-1] = t, s
    return check_grid(grid, zero=True)
