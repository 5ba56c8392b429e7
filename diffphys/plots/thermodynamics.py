"""The figure of the thermodynamics of one target."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import BLUE, GREY, ORANGE, PURPLE, SPECIALS, STYLE, mark


def thermodynamics(ds: xr.Dataset) -> Figure:
    """Magnetisation, leading eigenvalue and free energy along the branches; dashed where they are unstable."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 3, figsize=(12.6, 3.5))
        norm = np.linalg.norm(ds.magnetisation.values, axis=1)
        spread = ds.attrs["eigenvalue"] ** 0.5
        _branches(panels[0], ds, norm / spread)
        panels[0].set_ylabel(r"$|m| / \sqrt{\Lambda}$")
        panels[0].set_title("Branches of $m = \\langle a \\rangle_m$", pad=18)
        _specials(panels[0], ds, spread)
        _branches(panels[1], ds, ds.lambda_max.values)
        panels[1].axhline(1, color=GREY, lw=0.8, ls=":")
        panels[1].set_ylim(0, min(3.0, 1.05 * float(ds.lambda_max.max())))
        panels[1].set_ylabel(r"largest eigenvalue of $J$")
        panels[1].set_title("Stability", pad=18)
        _branches(panels[2], ds, ds.free_energy.values / ds.attrs["d"])
        panels[2].set_ylabel(r"$\tilde F / d$")
        panels[2].set_title("Regularised free energy", pad=18)
        for axes in panels:
            axes.set_xscale("log")
            axes.set_xlabel("noise variance $v$")
            if "critical_variance" in ds:
                critical = float(ds.critical_variance.sel(criterion="score_zero"))
                mark(axes, critical, "$v_c$", PURPLE)
        panels[0].legend()
        figure.tight_layout()
    return figure


def _branches(axes: Axes, ds: xr.Dataset, values: np.ndarray) -> None:
    """Each branch as a line, in pieces of one stability."""
    stable = np.asarray(ds.stable.values, bool)
    for number, colour in enumerate((BLUE, ORANGE)):
        own = np.flatnonzero(ds.branch.values == number)
        # A piece ends where the stability changes, and takes the next point with it so that no gap is left.
        cuts = np.flatnonzero(np.diff(stable[own].astype(int))) + 1
        for piece in np.split(np.arange(len(own)), cuts):
            shown = own[piece[0] : piece[-1] + 2] if len(piece) else own[:0]
            style = "-" if stable[own[piece[0]]] else "--"
            axes.plot(ds.variance.values[shown], values[shown], style, color=colour, lw=1.6)
        axes.plot([], [], color=colour, label=str(ds.branch_name.values[number]))
    axes.plot([], [], "--", color=GREY, label="unstable")


def _specials(axes: Axes, ds: xr.Dataset, spread: float) -> None:
    """The folds, pitchforks and crossings, each kind with its marker."""
    norm = np.linalg.norm(ds.special_magnetisation.values, axis=1) / spread
    for kind, marker in SPECIALS.items():
        own = ds.kind.values == kind
        if own.any():
            axes.plot(ds.special_variance.values[own], norm[own], marker, ms=5, mfc="white", color="black", label=kind)
