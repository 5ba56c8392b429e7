"""What all figures have in common: colours, markers, sizes, points with errors, and marks at times."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from .._describe import kind_of

# A palette that is told apart in print and by the colour-blind (Okabe, Ito).
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#666666"
REGIMES = {"I": "#eef3f8", "II": "#fdf3e1", "III": "#f9e6e0"}
"""Behind the curves, where each regime is."""
SPECIALS = {"pitchfork": "s", "transcritical": "D", "fold": "o"}
"""Markers of the special points of a branch."""
STYLE: Any = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "axes.titlelocation": "left",
    "font.size": 9, "legend.framealpha": 0.85, "legend.edgecolor": "none", "legend.fontsize": 8, "figure.dpi": 150,
    "savefig.bbox": "tight",
}  # fmt: skip


def gradation(number: int, name: str = "viridis") -> np.ndarray:
    """The colours of so many curves in order, from dark to light, none too light for white paper."""
    return plt.get_cmap(name)(np.linspace(0.05, 0.85, number))


def points(
    axes: Axes, x: Any, mean: Any, stderr: Any, colour: Any, label: str | None = None, marker: str = "o"
) -> ErrorbarContainer:
    """Points with two standard errors; a `marker` such as `o-` joins them."""
    return axes.errorbar(
        x, mean, 2 * stderr, fmt=marker, ms=3.5, mfc="white", capsize=2, lw=1, color=colour, label=label
    )


def span(axes: Axes, values: Any) -> None:
    """Limits of the horizontal axis at the ends of some values; those of the axis for a single one."""
    low, high = float(np.min(values)), float(np.max(values))
    if low < high:
        axes.set_xlim(low, high)


def check_result(ds: xr.Dataset, figure: str, *needed: str) -> None:
    """Refuses a result of another experiment, and what is none.

    Raises:
        ValueError: unless the result has what the figure shows, with the experiments of both by name.
    """
    if not isinstance(ds, xr.Dataset):
        raise ValueError(
            f"`plots.{figure}` needs a result of `{figure}`. Got {kind_of(ds)}. "
            "Do open one that was saved with `diffphys.results.load`."
        )
    if not all(name in ds or name in ds.attrs for name in needed):
        raise ValueError(
            f"`plots.{figure}` needs a result of `{figure}`. Got one of `{ds.attrs.get('experiment')}`, without "
            f"{', '.join(name for name in needed if name not in ds and name not in ds.attrs)}. "
            "Do draw it by the function of its own name."
        )


def settle_titles(panels: Iterable[Axes]) -> None:
    """Titles of a row just above what is marked over its axes, and no higher where nothing is."""
    panels = list(panels)
    highest = max((text.get_position()[1] for axes in panels for text in axes.texts), default=0.0)
    for axes in panels:
        axes.set_title(axes.get_title(loc="left"), pad=6 if highest <= 1 else 18 if highest < 1.05 else 32)


def mark(axes: Axes, time: float, label: str, colour: str, style: str = "--", height: float = 1.01) -> None:
    """A vertical line at a time, named above the axes; nothing for nan or a time outside them."""
    low, high = sorted(axes.get_xlim())
    if np.isfinite(time) and low < time < high:
        axes.axvline(time, color=colour, ls=style, lw=1)
        axes.text(time, height, label, color=colour, ha="center", va="bottom", transform=axes.get_xaxis_transform())
