from ._assemble import CRITERIA as CRITERIA
from ._theory import default_times as default_times
from .capacity import retrieval_curve as retrieval_curve
from .collapse import collapse as collapse
from .critical_steps import critical_steps as critical_steps
from .curie_weiss import curie_weiss as curie_weiss
from .denoising_errors import denoising_errors as denoising_errors
from .diagram import diagram as diagram
from .error_bound import error_bound as error_bound
from .focused_grid import focused_grid as focused_grid
from .frechet import frechet_distance as frechet_distance
from .gaussian_regimes import ESTIMATORS as ESTIMATORS, gaussian_regimes as gaussian_regimes
from .gaussian_start import SAMPLERS as SAMPLERS, gaussian_start as gaussian_start
from .generate import generate as generate
from .information import information as information
from .late_start import late_start as late_start
from .memorisation import memorisation as memorisation, memorisation_curve as memorisation_curve
from .path_divergence import path_divergence as path_divergence
from .prior_mismatch import prior_mismatch as prior_mismatch
from .reduced import simulate_reduced as simulate_reduced
from .regimes import regimes as regimes
from .speciation import speciation as speciation
from .switch import switch as switch
from .thermodynamics import thermodynamics as thermodynamics
from .weights_from_data import LEARNERS as LEARNERS, weights_from_data as weights_from_data
