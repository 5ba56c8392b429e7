"""Figures of Gaussian laws learned from data, and of the errors of a generated law."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STYLE, gradation, mark, points

_COLOURS = (BLUE, RED, ORANGE, PURPLE)


def _measured(axes: Axes, ds: xr.Dataset, name: str, colour: str, label: str) -> None:
    """Points with two standard errors, and the theory as a line."""
    points(axes, ds["count"], ds[name], ds[f"{name}_stderr"].fillna(0), colour, label)
    axes.plot(ds["count"], ds[f"{name}_theory"], color=colour, lw=1.2)


def _regimes(axes: Axes, ds: xr.Dataset) -> None:
    """Logarithmic numbers of data, with the ends of the regimes."""
    axes.set_xscale("log")
    axes.set_xlabel("number of data $P$")
    mark(axes, ds.attrs["regime_two_from"], "$N$", GREY, ":")
    mark(axes, ds.attrs["regime_three_from"], "$N^2$", GREY, ":")


def _spectra(axes: Axes, ds: xr.Dataset) -> None:
    """Eigenvalues within the first regime, past it and at the end of the second."""
    two, three = ds.attrs["regime_two_from"], ds.attrs["regime_three_from"]
    chosen = np.unique([int(np.abs(np.log(ds["count"].values / end)).argmin()) for end in (two / 4, two * 4, three)])
    levels = (ds.mode + 0.5) / ds.attrs["N"]
    for i, colour in zip(chosen, _COLOURS, strict=False):
        part = ds.isel(count=i)
        label = f"$P = {int(part['count'])}$"
        axes.plot(part.eigenvalues, levels, "o", ms=3, mfc="white", color=colour, label=label)
        axes.plot(part.eigenvalues_theory, levels, color=colour, lw=1.2)
    axes.plot(ds.true_eigenvalue, levels, color="black", lw=1, ls=":", label="true")
    axes.set_xlabel("eigenvalue")
    axes.set_ylabel("part of eigenvalues below")
    axes.set_title("Spectrum of the generated covariance", pad=18)
    axes.legend()


def _wasserstein(axes: Axes, ds: xr.Dataset) -> None:
    _measured(axes, ds, "wasserstein", BLUE, "$W_2^2 / N$")
    part = ds.where(ds["count"] < ds.attrs["regime_three_from"])
    _measured(axes, part, "spectral_distance", GREEN, "by the spectra alone")
    axes.set_yscale("log")
    axes.set_ylabel("squared distance a coordinate")
    axes.set_title("Wasserstein distance", pad=18)
    axes.legend()


def _eigenvectors(axes: Axes, ds: xr.Dataset) -> None:
    _measured(axes, ds, "total_variation", RED, "total variation")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("total variation distance")
    axes.set_title("Total variation and eigenvectors", pad=18)
    right = axes.twinx()
    _measured(right, ds, "participation", PURPLE, "participation of eigenvectors")
    right.set_ylim(0, None)
    right.set_ylabel("participation number", color=PURPLE)
    right.spines["right"].set_visible(True)
    (handles, labels), (more, words) = (each.get_legend_handles_labels() for each in (axes, right))
    axes.legend(handles + more, labels + words, loc="lower left")


def _estimators(axes: Axes, ds: xr.Dataset) -> None:
    for name, colour in zip(ds.estimator.values, _COLOURS, strict=False):
        axes.plot(ds["count"], ds.wasserstein_estimator.sel(estimator=name), "o-", ms=3.5, mfc="white", lw=1,
                  color=colour, label=str(name))  # fmt: skip
    axes.set_yscale("log")
    low = float(ds.wasserstein_estimator.min())
    axes.set_ylim(0.5 * low, max(10 * float(ds.wasserstein.max()), 10 * low))
    axes.set_ylabel("$W_2^2 / N$")
    axes.set_title("What estimates of the score generate", pad=18)
    axes.legend()


def gaussian_regimes(ds: xr.Dataset) -> Figure:
    """Spectrum, distances, eigenvectors and estimators of a Gaussian law learned from P data."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(2, 2, figsize=(9.2, 6.4))
        for axes, draw in zip(panels.ravel(), (_spectra, _wasserstein, _eigenvectors, _estimators), strict=True):
            draw(axes, ds)
        for axes in panels.ravel()[1:]:
            _regimes(axes, ds)
        figure.tight_layout()
    return figure


def error_bound(ds: xr.Dataset) -> Figure:
    """The distance of the generated law against the horizon, for errors of the score and for steps, with its bound."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(9.2, 3.4), sharey=True)
        finest = int(ds.steps.max())
        for error, colour in zip(ds.score_error.values, gradation(ds.sizes["score_error"]), strict=True):
            part = ds.sel(score_error=error)
            made = part.total_variation.sel(steps=finest)
            panels[0].plot(
                ds.horizon, made, "o-", ms=3.5, mfc="white", lw=1.2, color=colour, label=rf"$\epsilon = {error:g}$"
            )
            panels[0].plot(ds.horizon, part.bound, color=colour, lw=0.9, ls=":")
        panels[0].plot([], [], color=GREY, lw=0.9, ls=":", label="bound")
        panels[0].set_title(f"Error of the score, {finest} steps")
        for steps, colour in zip(ds.steps.values, gradation(ds.sizes["steps"], "plasma"), strict=True):
            part = ds.total_variation.isel(score_error=0).sel(steps=steps)
            panels[1].plot(
                ds.horizon, part, "o-", ms=3.5, mfc="white", lw=1.2, color=colour, label=f"{int(steps)} steps"
            )
        panels[1].plot(ds.horizon, ds.prior_mismatch, color="black", lw=1, ls=":", label="prior alone")
        panels[1].set_title(rf"Steps, $\epsilon = {float(ds.score_error[0]):g}$")
        for axes in panels:
            axes.set_yscale("log")
            axes.set_xlabel("horizon $t_f$")
            axes.legend(fontsize=7, loc="lower left", ncols=2)
        # Room for the legends below the curves.
        panels[0].set_ylim(bottom=0.05 * min(float(ds.prior_mismatch.min()), float(ds.total_variation.min())))
        panels[0].set_ylabel("total variation to the data's law")
        figure.tight_layout()
    return figure
