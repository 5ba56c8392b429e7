"""The figure of the switch: what is kept of a class that was guided to for part of the time."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ._style import GREY, STYLE, gradation, points, span


def switch(ds: xr.Dataset) -> Figure:
    """The probability of ending in the class that was guided to above t, a curve for each guidance."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 3.4))
        for i, colour in enumerate(gradation(ds.sizes["guidance"])):
            part = ds.isel(guidance=i)
            drawn = points(axes, ds.t, part.kept, part.kept_stderr, colour, f"$w = {float(part.guidance):g}$", "o-")
            # The first and the last lie on the edge of the axes.
            for artist in drawn.get_children():
                artist.set_clip_on(False)
        for name, style, label in (("phi", "--", "posterior identity"), ("phi_theory", ":", "theory")):
            if name in ds:
                reference = ", for reference" if name == "phi" and ds.attrs["score"] == "given" else ""
                axes.plot(ds.t, ds[name], color="black", lw=1, ls=style, label=rf"$\phi$, {label}{reference}")
        for level, words in ((ds.attrs["floor"], r"$\sum_k w_k^2$"), (ds.attrs["threshold"], "threshold")):
            if np.isfinite(level):
                axes.axhline(level, color=GREY, lw=0.6)
                axes.text(float(ds.t.max()), level, f" {words}", color=GREY, va="center", fontsize=7)
        span(axes, ds.t)
        axes.set_ylim(max(0.0, ds.attrs["floor"] - 0.12), 1.03)
        axes.set_xlabel("diffusion time $t$ below which the class is not told")
        axes.set_ylabel("probability of ending in the class")
        axes.set_title("Switch")
        # Beside the axes: curves fill them, and the names of the levels are at their edge.
        axes.legend(loc="upper left", bbox_to_anchor=(1.16, 1.0), fontsize=7)
        figure.tight_layout()
    return figure
