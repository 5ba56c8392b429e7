"""Where a curve bends most: the second derivative of a smoothing spline, with its bootstrap interval."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_smoothing_spline
from scipy.special import ndtri, stdtrit

# The fewest times of a smoothing spline, draws of the bootstrap, and its 95 % interval.
_FEWEST, _DRAWS, _TAILS = 5, 400, (0.025, 0.975)


def _widening(repeats: int) -> float:
    """By what the bootstrap of a mean of few repeats falls short of Student's interval: with four it covers 78 %."""
    return float(stdtrit(repeats - 1, _TAILS[1]) / ndtri(_TAILS[1]) * np.sqrt(repeats / (repeats - 1)))


def bifurcation(
    times: Float[np.ndarray, " times"], curves: Float[np.ndarray, "curves repeats times"], width: float
) -> tuple[Float[np.ndarray, "curves times"], Float[np.ndarray, "curves 3"]]:
    """The curvature of mean curves, and the time at which it is largest with its bootstrap interval over repeats.

    The spline is linear in the values: its second derivative is one matrix. That is linear between times, so its top is
    that of the parabola through the largest and its neighbours. All is nan with fewer than five times. A time is nan
    where the curve bends most at one of the first or last two times: the spline is straight beyond the ends, so that
    the curve may well bend more there. An interval is nan if more than its tails of the bootstrapped curves do so.
    """
    count, repeats, number = curves.shape
    if number < _FEWEST:
        return np.full((count, number), np.nan), np.full((count, 3), np.nan)
    order = np.argsort(times)
    knots = times[order]
    # The kernel of a smoothing spline is as wide as the fourth root of its penalty over the density of points.
    penalty = width**4 * (number - 1) / (knots[-1] - knots[0])
    matrix = np.stack([make_smoothing_spline(knots, one, lam=penalty).derivative(2)(knots) for one in np.eye(number)])
    means = curves[..., order].mean(1)
    picks = np.random.default_rng(0).integers(repeats, size=(_DRAWS, repeats))
    tops = _tops(knots, means @ matrix)
    # Bootstrapped means about that of all, as far apart as means of so few repeats are.
    wide = _widening(repeats)
    drawn = np.stack([
        _tops(knots, (mean + wide * (own[picks].mean(1) - mean)) @ matrix)
        for own, mean in zip(curves[..., order], means, strict=True)
    ])  # fmt: skip
    ends = np.full((count, 2), np.nan)
    sound = np.isfinite(tops) & (np.mean(np.isnan(drawn), axis=1) <= 2 * _TAILS[0])
    if sound.any():
        ends[sound] = np.nanquantile(drawn[sound], _TAILS, axis=1).T
    return (means @ matrix)[:, np.argsort(order)], np.column_stack([tops, ends])


def _tops(knots: Float[np.ndarray, " times"], bends: Float[np.ndarray, "rows times"]) -> Float[np.ndarray, " rows"]:
    """Where each row is largest, by parabolas; nan at the ends and next to them."""
    place = np.argmax(bends, axis=1)
    inside = np.clip(place, 1, len(knots) - 2)
    rows = np.arange(len(bends))
    here, left, right = knots[inside], knots[inside - 1], knots[inside + 1]
    rise = (bends[rows, inside] - bends[rows, inside - 1]) / (here - left)
    fall = (bends[rows, inside + 1] - bends[rows, inside]) / (right - here)
    # The slope goes from one to the other between the middles of the two gaps.
    bend = np.where(fall < rise, fall - rise, -1.0)
    found = 0.5 * (left + here) - rise * 0.5 * (right - left) / bend
    return np.where((place > 1) & (place < len(knots) - 2), found, np.nan)
