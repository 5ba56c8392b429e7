"""Figures of speciation and collapse: curves with error bands, theory lines, and the regimes shaded."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    REGIMES,
    STYLE,
    check_result,
    mark,
    points,
    settle_titles,
    span,
)


def _band(axes: Axes, ds: xr.Dataset, name: str, colour: str, label: str, width: float = 1.6) -> None:
    """A curve with two standard errors, those over data sets included where they are known."""
    mean, stderr = ds[name], ds[f"{name}_stderr"]
    if f"{name}_stderr_data" in ds:
        stderr = np.hypot(stderr, ds[f"{name}_stderr_data"])
    axes.fill_between(ds.t, mean - 2 * stderr, mean + 2 * stderr, color=colour, alpha=0.2, lw=0)
    axes.plot(ds.t, mean, color=colour, label=label, lw=width)


def _clones(axes: Axes, ds: xr.Dataset, name: str, colour: str, label: str, marker: str = "o") -> None:
    """Simulated points with two standard errors, under the name their sampler deserves."""
    for kind in ("clones", "sampler"):
        if f"{name}_{kind}" in ds:
            part = ds[[f"{name}_{kind}", f"{name}_{kind}_stderr"]].dropna("t")
            what = kind
            if _of_a_model(ds):
                what = "clones of the model" if kind == "clones" else "a sampler of the model"
            mean, stderr = part[f"{name}_{kind}"], part[f"{name}_{kind}_stderr"]
            drawn = points(axes, part.t, mean, stderr, colour, f"{label}, {what}", marker)
            # The first and the last lie on the edge of the axes.
            for artist in drawn.get_children():
                artist.set_clip_on(False)


def _of_a_model(ds: xr.Dataset) -> bool:
    """Whether clones moved by a score of their own, so that the identity is another model's."""
    return ds.attrs.get("score") == "given"


def _curve_of_the_model(ds: xr.Dataset) -> str:
    """Which curve of clones is the model's: that of the classifier, if there is one."""
    kind = "clones" if "phi_clones" in ds else "sampler"
    return f"_hard_{kind}" if ds.attrs["labelled_by"] == "classifier" else f"_{kind}"


def _identity(ds: xr.Dataset, symbol: str, name: str = "posterior identity") -> str:
    """The name of an identity in a legend."""
    if not _of_a_model(ds):
        return f"{symbol}, {name}"
    return f"{symbol} of the exact {'empirical ' if 'n' in ds.attrs else ''}score, for reference"


def _kind(ds: xr.Dataset, name: str) -> str:
    """What the simulated points of a curve are called."""
    return "sampler" if f"{name}_sampler" in ds else "clones"


def _has_no_speciation(ds: xr.Dataset) -> bool:
    """Whether labels are decided by collapse, or there is one: then the spectrum tells no transition of this score."""
    verdict = ds.attrs.get("verdict_model" if _of_a_model(ds) else "verdict", "")
    return verdict.startswith(("collapse", "one class"))


def _mark_speciation(axes: Axes, ds: xr.Dataset) -> None:
    """The spectral time, where there is a transition at it."""
    if not _has_no_speciation(ds):
        mark(axes, ds.attrs["spectral_time"], "$t_S$", PURPLE)


def _mark_crossing(axes: Axes, ds: xr.Dataset) -> None:
    """Where the best curve there is crosses the threshold, if it is speciation that is crossed.

    That of the model, if there is one; else of the identity, else of clones, else of theory.
    """
    simulated = f"crossing_time_{_kind(ds, 'phi')}"
    if _of_a_model(ds):
        which, colour = _curve_of_the_model(ds), ORANGE if ds.attrs["labelled_by"] == "classifier" else BLUE
        mark(axes, ds.attrs[f"crossing_time{which}"], "crossing of the model", colour, ":", height=1.08)
    elif "verdict" in ds.attrs:
        if ds.attrs["verdict"] == "speciation":
            mark(axes, ds.attrs["crossing_time"], "crossing", BLUE, ":", height=1.08)
    elif simulated in ds.attrs:
        mark(axes, ds.attrs[simulated], "crossing", BLUE, ":", height=1.08)
    else:
        mark(axes, ds.attrs.get("theory_crossing_time", np.nan), "theory", GREY, ":", height=1.08)


def _mark_collapse(axes: Axes, ds: xr.Dataset) -> bool:
    """The measured collapse: E[L] = 0, or without the identity where half the clones meet; whether it was measured.

    Of a model it is where half of its clones meet, by the nearest datum.
    """
    half = f"phi_c_half_time{'_hard' if _of_a_model(ds) else ''}_{_kind(ds, 'phi_c')}"
    if "collapse_time" in ds and not _of_a_model(ds):
        mark(axes, float(ds.collapse_time[0, 0]), "$t_C$", RED)
    elif half in ds.attrs:
        mark(axes, ds.attrs[half], r"$\phi_C = 1/2$", RED)
    return "collapse_time" in ds or half in ds.attrs


def _threshold(ds: xr.Dataset) -> float:
    """The level that the marked curve crosses; nan where there is none."""
    if _of_a_model(ds):
        return ds.attrs[f"threshold{_curve_of_the_model(ds)}"]
    simulated = f"threshold_{_kind(ds, 'phi')}"
    if "phi" not in ds and simulated in ds.attrs:
        return ds.attrs[simulated]
    return ds.attrs.get("threshold", np.nan)


def _shade(axes: Axes, ds: xr.Dataset, *, named: bool) -> None:
    """Shades the regimes that the run found, and names them; none where it measured none."""
    if "regimes" not in ds.attrs:
        return
    low, high = sorted(axes.get_xlim())
    t_s, t_c = ds.attrs.get("spectral_time", np.nan), ds.attrs.get("t_C", np.nan)
    spans = {}
    if np.isfinite(t_s) and not _has_no_speciation(ds):
        spans["I"] = (np.fmax(t_s, t_c), high)
    if ds.attrs.get("has_regime_two", 0):
        spans["II"] = (np.fmax(low, t_c), t_s)
    if np.isfinite(t_c):
        spans["III"] = (low, t_c)
    if ds.attrs.get("collapsed_throughout", 0):
        spans = {"III": (low, high)}
    for name, (left, right) in spans.items():
        left, right = max(left, low), min(right, high)
        if left < right:
            axes.axvspan(left, right, color=REGIMES[name], zorder=0, lw=0)
            if named:
                middle = 0.5 * (left + right)
                axes.text(middle, 0.05, name, ha="center", color=GREY, transform=axes.get_xaxis_transform())


def _finish(axes: Axes, ds: xr.Dataset, title: str, ylabel: str) -> None:
    span(axes, ds.t)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("diffusion time $t$")
    axes.set_ylabel(ylabel)
    axes.set_title(title)


def _legend(axes: Axes, ds: xr.Dataset, **usual: Any) -> None:
    """A legend where there is room; that of a model has longer names, and goes below the axes."""
    below = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.2), "fontsize": 7}
    axes.legend(**(below if _of_a_model(ds) else usual))


def _draw_speciation(axes: Axes, ds: xr.Dataset) -> None:
    if "phi" in ds:
        _band(axes, ds, "phi", BLUE, _identity(ds, r"$\phi$"))
    if "phi_theory" in ds:
        label = "theory" if "of its classes" in ds.phi_theory.attrs["long_name"] else "theory, Gaussian classes"
        axes.plot(ds.t, ds.phi_theory, color="black", lw=1, ls=":", label=label)
    if "phi_permuted" in ds:
        _band(axes, ds, "phi_permuted", GREY, "labels permuted", width=1)
        _band(axes, ds, "phi_left_out", GREEN, "datum left out", width=1)
    for j in ds.get("level", ()):
        axes.plot(ds.t, ds.phi_level.isel(level=int(j)), lw=1, ls="-.", label=f"level {int(j)}")
    _clones(axes, ds, "phi", BLUE, r"$\phi$")
    if ds.attrs.get("labelled_by") == "classifier":
        _clones(axes, ds, "phi_hard", ORANGE, r"$\phi$ by the classifier", "s")
    _finish(axes, ds, "Speciation", r"class agreement $\phi(t)$")
    threshold = _threshold(ds)
    if np.isfinite(threshold):
        axes.axhline(threshold, color=GREY, lw=0.6)
        axes.text(axes.get_xlim()[1], threshold, f" {threshold:.3f}", color=GREY, va="center", fontsize=7)


def _draw_collapse(axes: Axes, ds: xr.Dataset) -> None:
    if "excess_entropy" in ds:
        _band(axes, ds, "excess_entropy", ORANGE, _identity(ds, r"$f_e/\alpha$", "weight entropy"))
        _band(axes, ds, "phi_c", RED, _identity(ds, r"$\phi_C$"))
    axes.plot(ds.t, ds.excess_entropy_theory, color="black", lw=1, ls=":", label="theory")
    if _of_a_model(ds):
        # What a network generates is no datum and some noise: the nearest datum tells, and not the weights.
        _clones(axes, ds, "phi_c_hard", RED, r"$\phi_C$ by the nearest datum")
    else:
        _clones(axes, ds, "phi_c", RED, r"$\phi_C$")
    _finish(axes, ds, "Collapse", r"$f_e(t)/\alpha$ and datum agreement $\phi_C(t)$")


def speciation(ds: xr.Dataset) -> Figure:
    """The class agreement phi(t) of a run, with its critical times."""
    check_result(ds, "speciation", "t", "eigenvalue")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.8, 4.2 if _of_a_model(ds) else 3.2), layout="constrained")
        _draw_speciation(axes, ds)
        _mark_speciation(axes, ds)
        _mark_crossing(axes, ds)
        _legend(axes, ds, loc="best")
        settle_titles([axes])
    return figure


def collapse(ds: xr.Dataset) -> Figure:
    """The excess entropy and the datum agreement of a run, with its collapse times."""
    check_result(ds, "collapse", "excess_entropy_theory", "collapse_time_theory")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.8, 4.2 if _of_a_model(ds) else 3.2), layout="constrained")
        _draw_collapse(axes, ds)
        _mark_collapse(axes, ds)
        mark(axes, ds.attrs["collapse_time_theory"], "theory", GREY, ":", height=1.07)
        _legend(axes, ds, loc="best")
        settle_titles([axes])
    return figure


def regimes(ds: xr.Dataset) -> Figure:
    """Both transitions side by side, the three regimes shaded where they exist."""
    check_result(ds, "regimes", "eigenvalue", "excess_entropy_theory", "collapse_time_theory")
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(9.2, 4.8 if _of_a_model(ds) else 3.4), sharex=True)
        _draw_speciation(panels[0], ds)
        _draw_collapse(panels[1], ds)
        for axes in panels:
            _shade(axes, ds, named=axes is panels[0])
            _mark_speciation(axes, ds)
            if not _mark_collapse(axes, ds):
                mark(axes, ds.attrs["collapse_time_theory"], "$t_C$, theory", RED)
        # Below the curves, which tend to sum_k w_k^2, and above the names of the regimes.
        _legend(panels[0], ds, loc="lower right", bbox_to_anchor=(1.0, 0.07), fontsize=7, labelspacing=0.25)
        _legend(panels[1], ds, loc="best")
        _mark_crossing(panels[0], ds)
        settle_titles(panels)
        words = "regimes" in ds.attrs and not ds.attrs["has_regime_two"]
        if words:
            said = ds.attrs["regimes"].replace("t_S", "$t_S$").replace("t_C", "$t_C$")
            figure.text(0.5, 0.02, f"Regimes: {said}", ha="center", color=GREY, fontsize=8)
        figure.tight_layout(rect=(0, 0.06 if words else 0, 1, 1))
    return figure
