from ._assemble import CRITERIA as CRITERIA
from ._theory import default_times as default_times
from .capacity import retrieval_curve as retrieval_curve
from .collapse import collapse as collapse
from .diagram import diagram as diagram
from .regimes import regimes as regimes
from .speciation import speciation as speciation
