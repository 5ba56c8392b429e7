from .levels import (
    AbstractContinuousLevels as AbstractContinuousLevels,
    AbstractLevels as AbstractLevels,
    FlowTimeLevels as FlowTimeLevels,
    GeometricLevels as GeometricLevels,
    LogNormalLevels as LogNormalLevels,
    LogUniformLevels as LogUniformLevels,
    ProcessLevels as ProcessLevels,
    stratified_levels as stratified_levels,
)
from .objectives import (
    AbstractChannelObjective as AbstractChannelObjective,
    AbstractObjective as AbstractObjective,
    DenoisingScoreMatching as DenoisingScoreMatching,
    FlowMatching as FlowMatching,
    denoising_autoencoder as denoising_autoencoder,
)
from .phase_space import (
    AbstractPhaseSpaceObjective as AbstractPhaseSpaceObjective,
    FullScoreMatching as FullScoreMatching,
    HybridScoreMatching as HybridScoreMatching,
)
from .score_matching import (
    AbstractProbes as AbstractProbes,
    ImplicitScoreMatching as ImplicitScoreMatching,
    NormalProbes as NormalProbes,
    SignProbes as SignProbes,
    SlicedScoreMatching as SlicedScoreMatching,
)
from .weights import (
    LikelihoodWeight as LikelihoodWeight,
    ResidualWeight as ResidualWeight,
    data_weight as data_weight,
    flow_matching_weight as flow_matching_weight,
    multiscale_weight as multiscale_weight,
    noise_weight as noise_weight,
    score_weight as score_weight,
    velocity_weight as velocity_weight,
)
