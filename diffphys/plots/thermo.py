"""Figures of the thermodynamics: branches of fixed points, landscapes of the free energy, power laws."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..thermo import PowerLaw
from ._style import BLUE, ORANGE, RED, SPECIALS, STYLE

_ORDERS = (("o", "white", "minimum"), ("X", ORANGE, "saddle"), ("^", RED, "maximum"))


def branches(
    found: Sequence[xr.Dataset],
    along: Sequence[float] | Float[Array | np.ndarray, " d"] | None = None,
    *,
    axes: Axes | None = None,
    colour: str = BLUE,
    label: str | None = None,
) -> Figure:
    """Branches of fixed points against the variance: stable ones solid, unstable ones dashed, special points marked.

    Args:
        found: what `continue_branch` returns, for any number of branches.
        along: the direction of which the component of the magnetisation is shown; its norm by default.
        axes: where to draw; a figure of its own by default.
        colour: that of all the branches.
        label: their name in the legend.
    """
    with plt.rc_context(STYLE):
        axes = _axes(axes)
        for i, ds in enumerate(found):
            _branch(axes, ds, along, colour, label if i == 0 else None)
        axes.set_xlabel(r"variance $v = \tau$")
        axes.set_ylabel("magnetisation $|m|$" if along is None else "magnetisation $m$")
    return _figure(axes)


def landscape(
    ds: xr.Dataset,
    points: Float[Array | np.ndarray, "n 2"] | None = None,
    unstable: Integer[Array | np.ndarray, " n"] | None = None,
    *,
    axes: Axes | None = None,
) -> Figure:
    """Contours of the free energy on a plane, closer in the valleys; fixed points by what they are.

    Args:
        ds: what `landscape` of the thermodynamics returns.
        points: points to mark, in the two axes of the plane; its three corners by default.
        unstable: if they are fixed points, in how many directions of the plane each is unstable: 0, 1 or 2.
        axes: where to draw; a figure of its own by default.
    """
    with plt.rc_context(STYLE):
        axes = _axes(axes)
        values = ds.free_energy.values - ds.free_energy.values.min()
        # Equal steps of the square root: a quadratic valley then has rings at equal distances.
        levels = values.max() * np.linspace(0, 1, 25) ** 2
        axes.contourf(ds["first"], ds["second"], values, levels, cmap="Blues_r")
        axes.contour(ds["first"], ds["second"], values, levels, colors="white", linewidths=0.4)
        corners = np.stack([ds.corner_first.values, ds.corner_second.values], axis=1)
        _points(axes, corners if points is None else np.asarray(points), unstable)
        axes.set_aspect("equal")
        axes.set_title(f"$v = {ds.attrs['variance']:.3g}$")
    return _figure(axes)


def power_law(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    fit: PowerLaw,
    *,
    axes: Axes | None = None,
    colour: str = BLUE,
    label: str = "exponent",
) -> Figure:
    """Points on two logarithmic axes, and the power law fitted to some of them or to others.

    Args:
        x: abscissae, > 0.
        y: ordinates, > 0.
        fit: the power law.
        axes: where to draw; a figure of its own by default.
        colour: that of points and line.
        label: the name of the exponent in the legend, where its value and interval stand.
    """
    with plt.rc_context(STYLE):
        axes = _axes(axes)
        half = 0.5 * (fit.high - fit.low)
        text = f"{label} = {fit.exponent:.4f} $\\pm$ {half:.4f}"
        axes.plot(x, y, "o", ms=3, mfc="white", color=colour)
        # With its sign: susceptibilities fall as a positive exponent grows.
        rises = np.log(y[-1] / y[0]) * np.log(x[-1] / x[0]) > 0
        power = abs(fit.exponent) if rises else -abs(fit.exponent)
        axes.plot(x, fit.amplitude * x**power, color=colour, lw=1.2, label=text)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.legend()
    return _figure(axes)


def _axes(axes: Axes | None) -> Axes:
    return plt.subplots(figsize=(4.8, 3.2), layout="constrained")[1] if axes is None else axes


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _branch(axes: Axes, ds: xr.Dataset, along, colour: str, label: str | None) -> None:
    curve = np.stack([ds.variance.values, _component(ds.magnetisation.values, along)], axis=1)
    special = np.stack([ds.special_variance.values, _component(ds.special_magnetisation.values, along)], axis=1)
    stable = ds.stable.values
    cuts = np.flatnonzero(stable[1:] != stable[:-1]) + 1
    start = curve[:0]
    for first, last in zip([0, *cuts], [*cuts, len(curve)], strict=True):
        # Stability changes at a special point, between two points of the curve: up to there goes each part.
        end = _nearest(special, curve[last - 1 : last + 1]) if last < len(curve) else curve[:0]
        part = np.concatenate([start, curve[first:last], end])
        axes.plot(*part.T, color=colour, ls="-" if stable[first] else "--", lw=1.4, label=label)
        start, label = end, None
    for kind, marker in SPECIALS.items():
        chosen = special[ds.kind.values == kind]
        if len(chosen):
            known = kind in axes.get_legend_handles_labels()[1]
            axes.plot(*chosen.T, marker, ms=4.5, mfc="white", color="black", ls="", zorder=3,
                      label=None if known else kind)  # fmt: skip


def _component(points: Float[np.ndarray, "n d"], along) -> Float[np.ndarray, " n"]:
    if along is None:
        return np.linalg.norm(points, axis=1)
    return points @ (np.asarray(along) / np.linalg.norm(along))


def _nearest(special: Float[np.ndarray, "k 2"], ends: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "_ 2"]:
    """The special point nearest to the middle of a piece of curve; none if there is none."""
    distances = np.linalg.norm(special - ends.mean(0)[None], axis=1)
    return special[distances == distances.min()][:1] if len(special) else special


def _points(axes: Axes, points: np.ndarray, unstable) -> None:
    if unstable is None:
        axes.plot(*points.T, "+", color="black", ms=7)
        return
    for order, (marker, colour, label) in enumerate(_ORDERS):
        chosen = points[np.asarray(unstable) == order]
        if len(chosen):
            axes.plot(*chosen.T, marker, ms=6, mfc=colour, color="black", mew=0.8, ls="", label=label)
