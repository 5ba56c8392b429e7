"""The figure of the regime diagram: collapse and speciation in the plane of data size and noise."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import BLUE, GREY, PURPLE, RED, STYLE


def diagram(ds: xr.Dataset) -> Figure:
    """Speciation and collapse in the plane of data size and noise, and the collapse of the same law at other d."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
        axes.fill_between(
            ds.log_n, ds.variance_low, ds.variance_high, color=RED, alpha=0.2, lw=0, label="width of the collapse"
        )
        axes.plot(ds.log_n, ds.variance_collapse, color=RED, label="$v_C(n)$, theory")
        axes.set_yscale("log")
        axes.set_ylim(axes.get_ylim())
        v_s = ds.attrs["variance_speciation"]
        if np.isfinite(v_s):
            axes.axhline(v_s, color=PURPLE, ls="--", lw=1, label=r"$v_S = \Lambda - T$")
        star = ds.attrs["log_n_star"]
        if np.isfinite(star) and star < float(ds.log_n.max()):
            axes.plot(star, v_s, "*", ms=10, color="black", label=f"$n^* = {np.exp(star):.3g}$")
        others = ds.dim.values[ds.dim.values != ds.attrs["d"]]
        for dim in others:
            axes.plot(ds.log_n, ds.variance_collapse_of_dim.sel(dim=dim), color=GREY, lw=0.8, ls=":")
            _name_at_the_end(axes, ds, int(dim))
        if len(others):
            axes.plot([], [], color=GREY, lw=0.8, ls=":", label="$v_C(n)$ at other $d$")
        if "n_measured" in ds:
            _draw_measured(axes, ds)
        axes.set_xlabel(r"$\log n$")
        axes.set_ylabel(r"noise variance $v$ in data units")
        axes.set_title("Regime diagram")
        axes.legend(loc="best")
    return figure


def _name_at_the_end(axes: Axes, ds: xr.Dataset, dim: int) -> None:
    """The dimension of a curve, where it leaves the axes: on the right, or below."""
    values = ds.variance_collapse_of_dim.sel(dim=dim).values
    low, high = axes.get_ylim()
    seen = np.flatnonzero((low < values) & (values < high))
    if len(seen):
        va = "center" if seen[-1] == len(values) - 1 else "bottom"
        axes.text(float(ds.log_n[seen[-1]]), values[seen[-1]], f" $d = {dim}$", color=GREY, va=va, fontsize=7)


def _draw_measured(axes: Axes, ds: xr.Dataset) -> None:
    """The measured points with their intervals; they end where a bootstrap found none."""
    log_n = np.log(ds.n_measured)
    sound = ds.verdict_speciation.values == 1
    for name, chosen, marker, colour, label in (
        ("measured", np.full(len(sound), True), "o", RED, "$E[L] = 0$, measured"),
        ("label", sound, "s", BLUE, "labels decided"),
        ("label", ~sound, "x", BLUE, "labels: by collapse"),
    ):
        if chosen.any():
            value, low, high = (ds[f"variance_{name}{end}"].values[chosen] for end in ("", "_low", "_high"))
            sizes = np.nan_to_num(np.clip([value - low, high - value], 0, None))
            axes.errorbar(
                log_n[chosen], value, sizes, fmt=marker, ms=4, mfc="white", color=colour, capsize=2, lw=1, label=label
            )
