"""Figures of the results, as one would put in a paper.

A function has the name of the experiment whose result it draws, and returns a `matplotlib.figure.Figure`.
"""

from ._style import BLUE as BLUE, GREEN as GREEN, GREY as GREY, ORANGE as ORANGE, PURPLE as PURPLE, RED as RED
from .curie_weiss import curie_weiss as curie_weiss
from .diagram import diagram as diagram
from .gaussian import error_bound as error_bound, gaussian_regimes as gaussian_regimes
from .images import image_grid as image_grid, point_cloud as point_cloud, training_history as training_history
from .knowledge import (
    gaussian_start as gaussian_start,
    information as information,
    memorisation as memorisation,
    path_divergence as path_divergence,
)
from .regimes import collapse as collapse, regimes as regimes, speciation as speciation
from .stability import stability as stability
from .switch import switch as switch
from .thermo import branches as branches, landscape as landscape, power_law as power_law
from .thermodynamics import thermodynamics as thermodynamics

# Without it `help` shows none of them.
__all__ = [
    "BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "RED", "branches", "collapse", "curie_weiss", "diagram",
    "error_bound", "gaussian_regimes", "gaussian_start", "image_grid", "information", "landscape", "memorisation",
    "path_divergence", "point_cloud", "power_law", "regimes", "speciation", "stability", "switch", "thermodynamics",
    "training_history",
]  # fmt: skip
