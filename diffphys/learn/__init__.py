"""Learned scores: networks, objectives, training, and networks of others as denoisers."""

from .adapters import (
    AdaptedDenoiser as AdaptedDenoiser,
    AdaptedNetwork as AdaptedNetwork,
    from_network as from_network,
    to_network as to_network,
)
from .classifier import (
    Classifier as Classifier,
    ClassifierConfig as ClassifierConfig,
    TrainedClassifier as TrainedClassifier,
    train_classifier as train_classifier,
)
from .configs import MLPConfig as MLPConfig, TrainingConfig as TrainingConfig, UNetConfig as UNetConfig
from .continuous import (
    CosineSchedule as CosineSchedule,
    EDMSchedule as EDMSchedule,
    ExplodingSchedule as ExplodingSchedule,
    StraightSchedule as StraightSchedule,
    VariancePreservingSchedule as VariancePreservingSchedule,
)
from .denoiser import NetworkDenoiser as NetworkDenoiser
from .frameworks import linen_network as linen_network, nnx_network as nnx_network
from .guidance import ClassifierFreeGuidance as ClassifierFreeGuidance
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
from .networks import MLP as MLP, UNet as UNet
from .objectives import (
    AbstractChannelObjective as AbstractChannelObjective,
    AbstractObjective as AbstractObjective,
    DenoisingScoreMatching as DenoisingScoreMatching,
    FlowMatching as FlowMatching,
    denoising_autoencoder as denoising_autoencoder,
)
from .outputs import (
    AbstractOutput as AbstractOutput,
    AngularVelocityOutput as AngularVelocityOutput,
    DataOutput as DataOutput,
    FlowVelocityOutput as FlowVelocityOutput,
    NoiseOutput as NoiseOutput,
    ResidualOutput as ResidualOutput,
    ScoreOutput as ScoreOutput,
)
from .phase_space import (
    AbstractPhaseSpaceObjective as AbstractPhaseSpaceObjective,
    FullScoreMatching as FullScoreMatching,
    HybridScoreMatching as HybridScoreMatching,
)
from .preconditioning import GaussianPreconditioning as GaussianPreconditioning
from .schedules import (
    AbstractNetworkSchedule as AbstractNetworkSchedule,
    DiscreteSchedule as DiscreteSchedule,
    Level as Level,
)
from .score_matching import (
    AbstractProbes as AbstractProbes,
    ImplicitScoreMatching as ImplicitScoreMatching,
    NormalProbes as NormalProbes,
    SignProbes as SignProbes,
    SlicedScoreMatching as SlicedScoreMatching,
)
from .training import TrainedModel as TrainedModel, load as load, train as train
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

# Without it `help` shows none of them.
__all__ = [
    "MLP", "AbstractChannelObjective", "AbstractContinuousLevels", "AbstractLevels", "AbstractNetworkSchedule",
    "AbstractObjective", "AbstractOutput", "AbstractPhaseSpaceObjective", "AbstractProbes", "AdaptedDenoiser",
    "AdaptedNetwork", "AngularVelocityOutput", "Classifier", "ClassifierConfig", "ClassifierFreeGuidance",
    "CosineSchedule", "DataOutput", "DenoisingScoreMatching", "DiscreteSchedule", "EDMSchedule", "ExplodingSchedule",
    "FlowMatching", "FlowTimeLevels", "FlowVelocityOutput", "FullScoreMatching", "GaussianPreconditioning",
    "GeometricLevels", "HybridScoreMatching", "ImplicitScoreMatching", "Level", "LikelihoodWeight", "LogNormalLevels",
    "LogUniformLevels", "MLPConfig", "NetworkDenoiser", "NoiseOutput", "NormalProbes", "ProcessLevels",
    "ResidualOutput", "ResidualWeight", "ScoreOutput", "SignProbes", "SlicedScoreMatching", "StraightSchedule",
    "TrainedClassifier", "TrainedModel", "TrainingConfig", "UNet", "UNetConfig", "VariancePreservingSchedule",
    "data_weight", "denoising_autoencoder", "flow_matching_weight", "from_network", "linen_network", "load",
    "multiscale_weight", "nnx_network", "noise_weight", "score_weight", "stratified_levels", "to_network", "train",
    "train_classifier", "velocity_weight",
]  # fmt: skip
