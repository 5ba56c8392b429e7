"""Where a curve bends most: the second derivative of a smoothing spline, with its bootstrap interval."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_smoothing_spline

# The fewest times of a smoothing spline, points of the search, draws of the bootstrap, and its 95 % interval.
_FEWEST, _FINE, _DRAWS, _TAILS = 5, 1001, 400, (0.025, 0.975)


def bifurcation(
    times: Float[np.ndarray, " times"], curves: Float[np.ndarray, "curves repeats times"], width: float
) -> tuple[Float[np.ndarray, "curves times"], Float[np.ndarray, "curves 3"]]:
    """The curvature of mean curves, and the time at which it is largest with its bootstrap interval over repeats.

    The spline is linear in the values: its second derivative is one matrix. All is nan with fewer than five times. A
    time is nan where the curve bends most within the first or the last gap: the spline is straight beyond the ends, so
    that the curve may well bend more there. An interval is nan if more than its tails of the bootstrapped curves do so.
    """
    count, repeats, _ = curves.shape
    if len(times) < _FEWEST:
        return np.full((count, len(times)), np.nan), np.full((count, 3), np.nan)
    order = np.argsort(times)
    knots = times[order]
    # The kernel of a smoothing spline is as wide as the fourth root of its penalty over the density of points.
    penalty = width**4 * (len(times) - 1) / (knots[-1] - knots[0])
    bends = [make_smoothing_spline(knots, one, lam=penalty).derivative(2) for one in np.eye(len(times))[:, order]]
    fine = np.linspace(knots[0], knots[-1], _FINE)
    matrix = np.stack([bend(fine) for bend in bends])

    def tops(means: np.ndarray) -> np.ndarray:
        found = fine[np.argmax(means @ matrix, axis=-1)]
        return np.where((knots[1] <= found) & (found <= knots[-2]), found, np.nan)

    means = curves.mean(1)
    picks = np.random.default_rng(0).integers(repeats, size=(_DRAWS, repeats))
    drawn = np.stack([tops(own[picks].mean(1)) for own in curves])
    ends = np.full((count, 2), np.nan)
    sound = np.isfinite(tops(means)) & (np.mean(np.isnan(drawn), axis=1) <= 2 * _TAILS[0])
    ends[sound] = np.nanquantile(drawn[sound], _TAILS, axis=1).T
    return means @ np.stack([bend(times) for bend in bends]), np.column_stack([tops(means), ends])
