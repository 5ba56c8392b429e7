"""Figures of the results, as one would put in a paper."""

from .regimes import collapse as collapse, diagram as diagram, regimes as regimes, speciation as speciation
from .stability import stability as stability
