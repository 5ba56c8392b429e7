"""The figure of the stability of a sampler."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ..samplers import Stability
from ._style import STYLE, gradation


def stability(found: Stability, *, title: str = "Stability") -> Figure:
    """The growth of errors in every step, a curve for each slope of the denoiser; above 1 they are amplified."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
        for slope, growth, colour in zip(found.slopes, found.growth, gradation(len(found.slopes)), strict=True):
            axes.step(
                found.ts, np.append(growth, growth[-1]), where="post", color=colour, lw=1.4, label=f"$j = {slope:g}$"
            )
        axes.axhline(1, color="black", lw=0.8, ls=":")
        axes.set_xscale("log")
        if found.growth.max() > 3:
            axes.set_yscale("log")
        axes.set_xlabel("diffusion time $t$")
        axes.set_ylabel("largest growth factor in a step")
        axes.set_title(title)
        axes.legend(title="slope of the denoiser", title_fontsize=8)
    return figure
