from ._assemble import CRITERIA as CRITERIA
from ._theory import default_times as default_times
from .collapse import collapse as collapse
from .diagram import diagram as diagram
from .error_bound import error_bound as error_bound
from .gaussian_regimes import ESTIMATORS as ESTIMATORS, gaussian_regimes as gaussian_regimes
from .path_divergence import path_divergence as path_divergence
from .prior_mismatch import prior_mismatch as prior_mismatch
from .regimes import regimes as regimes
from .speciation import speciation as speciation
