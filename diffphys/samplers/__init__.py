from ._parameterisations import (
    AbstractParameterisation as AbstractParameterisation,
    DataPrediction as DataPrediction,
    NoisePrediction as NoisePrediction,
    ResidualPrediction as ResidualPrediction,
)
from .base import AbstractSampler as AbstractSampler, simulate as simulate
from .bridge import Bridge as Bridge
from .conjugate import Conjugate as Conjugate
from .euler import ReverseSDE as ReverseSDE
from .flow import ProbabilityFlow as ProbabilityFlow
from .increments import rademacher as rademacher, three_point as three_point
from .stability import Stability as Stability, stability as stability
from .table import AbstractTableSampler as AbstractTableSampler, Step as Step
