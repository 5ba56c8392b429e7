from .._box_muller import box_muller as box_muller
from ._conjugate import ConjugateTable as ConjugateTable, conjugate_steps as conjugate_steps
from ._parameterisations import (
    AbstractParameterisation as AbstractParameterisation,
    DataPrediction as DataPrediction,
    NoisePrediction as NoisePrediction,
    ResidualPrediction as ResidualPrediction,
)
from .adams import DEIS as DEIS, FlowAdams as FlowAdams
from .adaptive import AdaptiveStatistics as AdaptiveStatistics, simulate_adaptive as simulate_adaptive
from .analytic import AnalyticDDPM as AnalyticDDPM, mean_square_score as mean_square_score
from .base import AbstractSampler as AbstractSampler, simulate as simulate
from .bridge import Bridge as Bridge
from .channel import AbstractChannelSampler as AbstractChannelSampler, ChannelStep as ChannelStep
from .combination import Combination as Combination
from .conjugate import Conjugate as Conjugate
from .conjugate_splitting import (
    ConjugateSymplecticEuler as ConjugateSymplecticEuler,
    ConjugateVelocityVerlet as ConjugateVelocityVerlet,
)
from .dpm import DPMSolver2 as DPMSolver2, DPMSolverMultistep as DPMSolverMultistep
from .edm import EDM as EDM
from .euler import ReverseSDE as ReverseSDE
from .exponential import DDIM as DDIM, ExponentialSDE as ExponentialSDE
from .flow import ProbabilityFlow as ProbabilityFlow
from .increments import rademacher as rademacher, three_point as three_point
from .langevin import (
    AnnealedLangevin as AnnealedLangevin,
    Langevin as Langevin,
    PredictorCorrector as PredictorCorrector,
)
from .pndm import PNDM as PNDM
from .sa_solver import SASolver as SASolver
from .seeds import SEEDS2 as SEEDS2
from .splitting import SymplecticEuler as SymplecticEuler, VelocityVerlet as VelocityVerlet
from .sscs import SSCS as SSCS
from .stability import Stability as Stability, stability as stability
from .stochastic_splitting import OBA as OBA, OBAB as OBAB, NoiseControl as NoiseControl
from .table import AbstractTableSampler as AbstractTableSampler, Step as Step
from .unipc import UniPC as UniPC
