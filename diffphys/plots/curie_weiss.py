"""The figure of the magnet as a diffusion model."""

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STYLE, gradation, mark, points

_LEARNERS, _MARKERS = (GREEN, RED, BLUE, ORANGE), ("o", "s", "^", "D")


def curie_weiss(ds: xr.Dataset) -> Figure:
    """Clone agreement, potential, weights after late starts, weights from data, and weights from few steps."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(2, 3, figsize=(12.6, 6.6))
        _agreement(panels[0, 0], ds)
        _potential(panels[0, 1], ds)
        _late(panels[0, 2], ds)
        _learned(panels[1, 0], ds)
        _steps(panels[1, 1], ds)
        _grids(panels[1, 2], ds)
        figure.tight_layout()
    return figure


def _agreement(axes: Axes, ds: xr.Dataset) -> None:
    axes.plot(ds.t, ds.phi, color=BLUE, label="posterior identity")
    axes.plot(ds.t, ds.phi_theory, color="black", ls=":", lw=1, label="theory, Gaussian states")
    if "phi_clones" in ds:
        points(axes, ds.t, ds.phi_clones, ds.phi_clones_stderr, BLUE, "clones")
    axes.axhline(ds.attrs["threshold"], color=GREY, lw=0.6)
    axes.set_xlabel("diffusion time $t$")
    axes.set_ylabel(r"state agreement $\phi(t)$")
    axes.set_title(f"Symmetry breaking, N = {ds.attrs['N']}", pad=18)
    mark(axes, ds.attrs["speciation_time"], "$t_S$", GREY)
    axes.legend()


def _potential(axes: Axes, ds: xr.Dataset) -> None:
    for kappa, colour in zip(ds.kappa.values, gradation(ds.sizes["kappa"]), strict=True):
        curve = ds.potential.sel(kappa=kappa)
        axes.plot(ds.mu, curve - curve.min(), color=colour, lw=1.4, label=rf"$\kappa = {kappa:g}$")
    axes.set_ylim(0, 12)
    axes.set_xlabel(r"magnetisation $\mu$")
    axes.set_ylabel(r"$V(\mu) - \min V$")
    axes.set_title(r"Potential at $\kappa = \sqrt{N} e^{-t}$", pad=18)
    axes.legend(loc="upper center")


def _late(axes: Axes, ds: xr.Dataset) -> None:
    up = ds.isel(label=0)
    axes.plot(ds.t, up.label_weight, color=BLUE, label="identity")
    if "label_weight_sampler" in ds:
        points(axes, ds.t, up.label_weight_sampler, up.label_weight_sampler_stderr, BLUE, "trajectories")
    axes.axhline(ds.attrs["up_weight"], color="black", lw=1, ls=":", label="true")
    axes.set_xlabel("start of the dynamics $t$")
    axes.set_ylabel("weight $W_+$ generated")
    axes.set_title("Late start from the prior", pad=18)
    mark(axes, ds.attrs["speciation_time"], "$t_S$", GREY)
    axes.legend(loc="lower right")


def _learned(axes: Axes, ds: xr.Dataset) -> None:
    sizes = list(zip(ds["dim"].values.tolist(), _MARKERS, strict=False))
    for i, (learner, colour) in enumerate(zip(ds.learner.values, _LEARNERS, strict=False)):
        # Side by side: learners of equal error would hide one another.
        places = ds.ratio * 1.12 ** (i - 0.5 * (ds.sizes["learner"] - 1))
        axes.plot([], [], "o", ms=4, color=colour, label=str(learner).replace("_", " "))
        for dim, marker in sizes:
            part = ds.sel(learner=learner, dim=dim)
            points(axes, places, part.error, part.error_stderr, colour, marker=marker)
    for dim, marker in sizes:
        axes.plot([], [], marker, ms=4, mfc="white", color=GREY, label=f"N = {dim}")
    axes.plot(ds.ratio, ds.error_local_theory[0], color=RED, lw=1.2)
    axes.plot([], [], color=RED, lw=1.2, label="theory, local")
    for i in range(ds.sizes["dim"]):
        axes.plot(ds.ratio, ds.error_counting[i], color=GREEN, lw=1.2, label=None if i else "counting states")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("data a spin, $P / N$")
    axes.set_ylabel("root mean square error of $W_+$")
    axes.set_title("Score estimated from P data", pad=18)
    axes.set_ylim(bottom=0.06 * float(ds.error_counting.min()))
    axes.legend(fontsize=7, loc="lower left", ncols=2)


def _steps(axes: Axes, ds: xr.Dataset) -> None:
    points(axes, ds.inside, ds.critical_deficit, ds.critical_deficit_stderr, RED, "steps moved into the window")
    axes.axhline(ds.attrs["critical_deficit_uniform"], color=GREY, ls="--", lw=1,
                 label=f"uniform grid ({ds.attrs['critical_inside_uniform']} inside)")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"steps near $t_S$, of {ds.attrs['critical_steps']}")
    axes.set_ylabel(r"$|W_+ - W_+^{\mathrm{true}}|$")
    axes.set_title("Few steps: error of the weights", pad=18)
    axes.legend()


def _grids(axes: Axes, ds: xr.Dataset) -> None:
    points(axes, ds.inside, ds.critical_diversity, ds.critical_diversity_stderr, PURPLE, "generated")
    axes.axhline(ds.attrs["critical_diversity_true"], color="black", ls=":", lw=1, label="true")
    axes.axhline(ds.attrs["critical_diversity_uniform"], color=GREY, ls="--", lw=1, label="uniform grid")
    axes.set_xlabel(f"steps near $t_S$, of {ds.attrs['critical_steps']}")
    axes.set_ylabel("entropy of the weights (nats)")
    axes.set_title("Few steps: diversity", pad=18)
    axes.legend()
