from . import clocks as clocks, plots as plots, results as results, thermo as thermo
from .data import LabelledData as LabelledData, load as load
from .diffused import Diffused as Diffused
from .experiments import (
    collapse as collapse,
    default_times as default_times,
    diagram as diagram,
    regimes as regimes,
    speciation as speciation,
)
from .processes import (
    AbstractProcess as AbstractProcess,
    AbstractStationaryProcess as AbstractStationaryProcess,
    Brownian as Brownian,
    Kernel as Kernel,
    LinearProcess as LinearProcess,
    OrnsteinUhlenbeck as OrnsteinUhlenbeck,
    PhaseSpaceLangevin as PhaseSpaceLangevin,
    complete_recipe as complete_recipe,
    third_order_langevin as third_order_langevin,
)
from .samplers import (
    AbstractSampler as AbstractSampler,
    AbstractTableSampler as AbstractTableSampler,
    Bridge as Bridge,
    ProbabilityFlow as ProbabilityFlow,
    ReverseSDE as ReverseSDE,
    Stability as Stability,
    Step as Step,
    rademacher as rademacher,
    simulate as simulate,
    stability as stability,
    three_point as three_point,
)
from .targets import (
    AbstractLabelledTarget as AbstractLabelledTarget,
    AbstractTarget as AbstractTarget,
    Empirical as Empirical,
    Gaussian as Gaussian,
    IsotropicMixture as IsotropicMixture,
    SharedCovarianceMixture as SharedCovarianceMixture,
    hierarchical_mixture as hierarchical_mixture,
    mixture as mixture,
    symmetric_mixture as symmetric_mixture,
)
