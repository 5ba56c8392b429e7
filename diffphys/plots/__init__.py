"""Figures of the results, as one would put in a paper."""

from .curie_weiss import curie_weiss as curie_weiss
from .gaussian import error_bound as error_bound, gaussian_regimes as gaussian_regimes
from .regimes import collapse as collapse, diagram as diagram, regimes as regimes, speciation as speciation
from .stability import stability as stability
from .thermodynamics import thermodynamics as thermodynamics
