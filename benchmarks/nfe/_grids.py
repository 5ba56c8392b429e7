"""Grids of noise levels that every sampler walks, and the times at which a process has them."""

import functools

import numpy as np
from scipy.interpolate import CubicSpline

import diffphys as dp
from diffphys.clocks import quadratic_grid

SIGMA_MAX, SIGMA_MIN = 80.0, 0.002
"""Noise of the channel y = a + sigma eps that everything starts from, and goes down to."""

LEVELS = {
    "log": lambda high, low, steps: np.geomspace(high, low, steps + 1),
    "karras": lambda high, low, steps: np.linspace(high ** (1 / 7), low ** (1 / 7), steps + 1) ** 7,
}
"""Equal steps of log sigma, and of sigma^(1/7): (sigma_max, sigma_min, steps) -> knots."""

QUADRATIC = "quadratic"
"""Equal steps of the root of time, as the papers on phase space take."""

_KNOTS = 400


def levels(grid: str, steps: int) -> np.ndarray:
    """The noise levels of a grid, falling, with exact ends."""
    knots = LEVELS[grid](SIGMA_MAX, SIGMA_MIN, steps)
    knots[0], knots[-1] = SIGMA_MAX, SIGMA_MIN
    return knots


class Clock:
    """The times at which a process has given noise levels, and its grids.

    Args:
        process: the forward process.
    """

    def __init__(self, process: dp.AbstractProcess):
        self.ends = tuple(process.time_of_variance(sigma**2) for sigma in (SIGMA_MAX, SIGMA_MIN))
        logs = np.linspace(np.log(self.ends[1]), np.log(self.ends[0]), _KNOTS)
        shown = 0.5 * np.log([float(process.kernel(t).variance) for t in np.exp(logs)])
        self._log_time = CubicSpline(shown, logs)

    @functools.cache  # noqa: B019 - a clock lives as long as the program
    def times(self, grid: str, steps: int) -> tuple[float, ...]:
        """The times of a grid, falling. Between its ends they are interpolated: a knot is exact where it is."""
        if grid == QUADRATIC:
            return tuple(quadratic_grid(self.ends[0], self.ends[1], steps))
        times = np.exp(self._log_time(np.log(levels(grid, steps))))
        times[0], times[-1] = self.ends
        return tuple(times)
