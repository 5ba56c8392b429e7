"""Figures of what a denoiser knows: information, what its errors cost, late starts, copies."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, REGIMES, STYLE, mark, span

_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE)


def information(ds: xr.Dataset) -> Figure:
    """Information against time with log n and the collapse time; with training points, the gap resolved in noise."""
    with plt.rc_context(STYLE):
        number = 2 if "generalisation_gap" in ds else 1
        figure, panels = plt.subplots(1, number, figsize=(4.8 * number, 3.2), squeeze=False)
        axes = panels[0, 0]
        for suffix, colour, label in (("", BLUE, "new points"), ("_training", ORANGE, "training points")):
            if f"information{suffix}" in ds:
                error = np.hypot(ds[f"information{suffix}_stderr"], ds[f"information{suffix}_stderr_data"])
                _band(axes, ds.t, ds[f"information{suffix}"], error, colour, label)
        axes.plot(ds.t, ds.information_linear, color="black", lw=1, ls=":", label="linear denoiser")
        axes.axhline(np.log(ds.attrs["count"]), color=GREY, lw=0.6)
        axes.text(float(ds.t.max()), np.log(ds.attrs["count"]), r" $\log n$", color=GREY, va="center", fontsize=7)
        # Where the information is that of all data and more, its size says nothing.
        axes.set_ylim(0, min(3 * np.log(ds.attrs["count"]), 1.05 * float(ds.information_linear.max())))
        span(axes, ds.t)
        # Of points that were trained on, which bound no collapse, there is neither.
        mark(axes, ds.attrs.get("collapse_time", np.nan), "$t_C$", RED)
        mark(axes, ds.attrs.get("collapse_time_linear", np.nan), "linear", GREY, ":", height=1.07)
        axes.set_xlabel("diffusion time $t$")
        axes.set_ylabel(r"$\frac{1}{2} \int_v^\infty \mathrm{mse}\, dv'/v'^2$ [nats]")
        axes.set_title("Information", pad=30)
        axes.legend(loc="center right")
        if number == 2:
            _gap(panels[0, 1], ds)
        figure.tight_layout()
    return figure


def path_divergence(ds: xr.Dataset) -> Figure:
    """Relative entropy a unit of log v, with the share of each regime."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
        _band(axes, ds["variance"], ds.integrand, 0.5 * ds.gap_stderr / ds["variance"], BLUE, None)
        for name in ds.regime.values if "regime" in ds else ():
            part = ds.sel(regime=name)
            axes.axvspan(float(part.regime_low), float(part.regime_high), color=REGIMES[str(name)], zorder=0, lw=0)
            middle = float(np.sqrt(part.regime_low * part.regime_high))
            axes.text(
                middle, 1.02, f"{name}: {float(part.path_kl_regime):.3g}", ha="center", color=GREY, fontsize=8,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.set_xscale("log")
        span(axes, ds["variance"])
        axes.set_ylim(0, None)
        axes.set_xlabel("noise variance $v$")
        axes.set_ylabel(r"relative entropy a unit of $\log v$")
        axes.set_title(f"Cost of the error: {ds.attrs['path_kl']:.3g} nats", pad=18)
    return figure


def gaussian_start(ds: xr.Dataset, measure: str | None = None) -> Figure:
    """Quality against the time of the start: solid from the Gaussian, dashed from the prior; a panel for each sampler.

    Args:
        ds: what `gaussian_start` of the experiments returns.
        measure: the quality to show; the first by default.
    """
    with plt.rc_context(STYLE):
        shown = ds.sel(measure=measure) if measure is not None else ds.isel(measure=0)
        figure, panels = plt.subplots(
            1, ds.sizes["sampler"], figsize=(3.6 * ds.sizes["sampler"], 3.2), sharey=True, squeeze=False
        )
        for axes, name in zip(panels[0], ds.sampler.values, strict=True):
            for i, steps in enumerate(ds.steps.values):
                for start, style in (("gaussian", "-"), ("prior", "--")):
                    own = shown.sel(start=start, sampler=name, steps=steps)
                    label = f"{steps} steps" if start == "gaussian" else None
                    _band(axes, ds.t, own.quality, own.quality_stderr, _COLOURS[i % 5], label, style)
                    if start == "gaussian" and np.isfinite(own.bifurcation_time):
                        rising = own.quality.sortby("t")
                        height = float(np.interp(own.bifurcation_time, rising.t, rising))
                        time = float(own.bifurcation_time)
                        ends = np.array([[own.bifurcation_time_low], [own.bifurcation_time_high]])
                        axes.errorbar(
                            time, height, xerr=np.nan_to_num(np.abs(ends - time)), fmt="o", ms=4, mfc="white",
                            color=_COLOURS[i % 5], capsize=2,
                        )  # fmt: skip
            axes.plot([], [], "--", color=GREY, label="from the prior")
            axes.set_yscale("log")
            span(axes, ds.t)
            mark(axes, ds.attrs.get("critical_time_score_zero", np.nan), "score zero", PURPLE)
            mark(axes, ds.attrs.get("critical_time_drift", np.nan), "drift", GREY, ":", height=1.07)
            axes.set_xlabel("time of the start $t$")
            axes.set_title(str(name), pad=30)
        panels[0, 0].set_ylabel(str(shown.measure.values))
        panels[0, 0].legend()
        figure.tight_layout()
    return figure


def memorisation(ds: xr.Dataset) -> Figure:
    """Nearest distances of generated and of new points, and the ratio that counts copies; or their share on an axis."""
    with plt.rc_context(STYLE):
        if "nearest" not in ds:
            return _memorisation_curve(ds)
        figure, panels = plt.subplots(1, 2, figsize=(9.0, 3.2))
        for axes, name in zip(panels, ("nearest_distance", "ratio"), strict=True):
            own = [s for s in ("", "_held_out") if f"{name}{s}" in ds]
            every = np.concatenate([ds[f"{name}{s}"].values for s in own])
            # Of exact copies alone all distances are 0.
            top = 1.0 if name == "ratio" else 1.02 * float(every.max()) or 1.0
            bins = np.linspace(0, top, 41)
            for suffix, colour, label in (("", BLUE, "generated"), ("_held_out", ORANGE, "new points")):
                if suffix in own:
                    values = ds[f"{name}{suffix}"].values
                    axes.hist(values, bins, density=True, histtype="stepfilled", alpha=0.3, color=colour)
                    axes.hist(values, bins, density=True, histtype="step", color=colour, lw=1.2, label=label)
            axes.set_ylabel("density")
        panels[0].set_xlabel("distance to the nearest training point")
        panels[0].set_title(f"$P$(nearer) = {float(ds.nearer):.3f}" if "nearer" in ds else "Nearest training points")
        panels[1].set_xlabel("nearest over second nearest")
        panels[1].axvline(ds.attrs["threshold"], color=RED, ls="--", lw=1)
        panels[1].set_title(f"Memorised: {100 * float(ds.fraction):.1f} %")
        panels[0].legend(loc="upper right")
        figure.tight_layout()
    return figure


def _memorisation_curve(ds: xr.Dataset) -> Figure:
    along = str(ds.fraction.dims[0])
    figure, axes = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
    axes.fill_between(ds[along], ds.fraction_low, ds.fraction_high, color=RED, alpha=0.2, lw=0)
    axes.plot(ds[along], ds.fraction, "o-", ms=3.5, color=RED, label="memorised")
    if "nearer" in ds:
        _band(axes, ds[along], ds.nearer, ds.nearer_stderr, BLUE, "nearer than new points")
        axes.axhline(0.5, color=GREY, lw=0.6)
    axes.set_xscale("symlog" if float(ds[along].min()) <= 0 else "log")
    span(axes, ds[along])
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel({"n": "training data $n$", "training_step": "training step"}.get(along, along))
    axes.set_ylabel("share of generated points")
    axes.set_title("Memorisation")
    axes.legend()
    return figure


def _gap(axes: Axes, ds: xr.Dataset) -> None:
    """The errors on new points less those on training points, by noise."""
    _band(axes, ds["variance"], ds.generalisation_gap, ds.generalisation_gap_stderr, PURPLE, None)
    axes.axhline(0, color=GREY, lw=0.6)
    axes.set_xscale("log")
    span(axes, ds["variance"])
    axes.set_xlabel("noise variance $v$")
    axes.set_ylabel(r"nats a unit of $\log v$")
    axes.set_title("Generalisation gap", pad=30)


def _band(axes: Axes, x, mean, stderr, colour: str, label: str | None, style: str = "-") -> None:
    """A curve with two standard errors."""
    axes.fill_between(x, mean - 2 * stderr, mean + 2 * stderr, color=colour, alpha=0.2, lw=0)
    axes.plot(x, mean, color=colour, ls=style, label=label, lw=1.6)
