"""Grids for clones: most steps where the class of a trajectory is decided."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

from ..clocks import check_grid, log_snr, time_of_variance

# Points on which the density of steps is integrated.
_FINE = 4001


def focused_grid(ds: xr.Dataset, share: float = 0.75) -> Callable[[float, float, int], Float[np.ndarray, " knots"]]:
    r"""A rule for grids, `grid(t, s, steps)`, from the class information $I(t)$ that `speciation` has measured.

    The density of steps in $\lambda = \log v$ is

    $$ \rho(\lambda) = c \, \frac{\sqrt{-I'(\lambda)}}{\int \sqrt{-I'}} + \frac{1 - c}{\lambda_t - \lambda_s} . $$

    Far above the speciation time a reverse step is exact however long it is, and far below it the class is fixed. What
    a step of length h does wrong to the class is about $h^2$ times a rate that goes with $|I'|$; the root spreads it
    evenly. Of two Gaussian classes in 4096 dimensions, clones from t = 4 in 8 steps of
    `DPMSolverMultistep(stochastic=True)` have a bias of phi of 0.004, where the steps of `log_snr_grid` give 0.049.

    Args:
        ds: a result of `speciation` or `regimes` with `class_information`; its times cover the drop.
        share: c, from 0 (`log_snr_grid`) to 1, excluded.

    Returns:
        The rule, to be given as `grid` to the experiments.

    Raises:
        ValueError: if the information was not measured at three times or more, or `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"`share` needs a number within [0, 1): some steps must go elsewhere. Got {share}.")
    if "class_information" not in ds or ds.sizes["t"] < 3:
        raise ValueError(
            "`ds` needs `class_information` at three times or more. "
            f"Got {[str(name) for name in ds][:5]} at {ds.sizes.get('t', 0)}. Do run `speciation` with `samples`."
        )
    ds = ds.sortby("t")
    # Of an Ornstein-Uhlenbeck process, whose temperature only moves log v; of others, a coordinate of time like any.
    levels, information = -np.asarray(log_snr(ds.t.values)), ds.class_information.values
    slope = PchipInterpolator(levels, isotonic_regression(information, increasing=False).x).derivative()

    def grid(t: float, s: float, steps: int) -> Float[np.ndarray, " knots"]:
        ends = check_grid([t, s])
        low, high = (-float(log_snr(end)) for end in ends[::-1])
        fine = np.linspace(low, high, _FINE)
        within = (fine >= levels[0]) & (fine <= levels[-1])
        density = np.where(within, np.sqrt(np.maximum(-slope(fine), 0.0)), 0.0)
        below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
        part = below / below[-1] if below[-1] > 0 else np.linspace(0.0, 1.0, _FINE)
        mass = share * part + (1 - share) * np.linspace(0.0, 1.0, _FINE)
        variances = np.exp(np.interp(np.linspace(1.0, 0.0, steps + 1), mass, fine))
        knots = np.asarray(time_of_variance(variances), np.float64)
        knots[0], knots[-1] = ends
        return check_grid(knots)

    return grid
