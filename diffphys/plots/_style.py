"""What all figures have in common: colours, sizes, and marks at times."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

# A palette that is told apart in print and by the colour-blind (Okabe, Ito).
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#666666"
STYLE: Any = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "axes.titlelocation": "left",
    "font.size": 9, "legend.framealpha": 0.85, "legend.edgecolor": "none", "legend.fontsize": 8, "figure.dpi": 150,
    "savefig.bbox": "tight",
}  # fmt: skip


def span(axes: Axes, values: Any) -> None:
    """Limits of the horizontal axis at the ends of some values; those of the axis for a single one."""
    low, high = float(np.min(values)), float(np.max(values))
    if low < high:
        axes.set_xlim(low, high)


def mark(axes: Axes, time: float, label: str, colour: str, style: str = "--", height: float = 1.01) -> None:
    """A vertical line at a time, named above the axes; nothing for nan or a time outside them."""
    low, high = sorted(axes.get_xlim())
    if np.isfinite(time) and low < time < high:
        axes.axvline(time, color=colour, ls=style, lw=1)
        axes.text(time, height, label, color=colour, ha="center", va="bottom", transform=axes.get_xaxis_transform())
