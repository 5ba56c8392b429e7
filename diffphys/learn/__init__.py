"""Learned denoisers: networks of any kind, adapted."""

from .adapters import (
    AdaptedDenoiser as AdaptedDenoiser,
    AdaptedNetwork as AdaptedNetwork,
    from_network as from_network,
    to_network as to_network,
)
from .continuous import (
    CosineSchedule as CosineSchedule,
    EDMSchedule as EDMSchedule,
    ExplodingSchedule as ExplodingSchedule,
    StraightSchedule as StraightSchedule,
    VariancePreservingSchedule as VariancePreservingSchedule,
)
from .frameworks import linen_network as linen_network, nnx_network as nnx_network
from .outputs import (
    AbstractOutput as AbstractOutput,
    AngularVelocityOutput as AngularVelocityOutput,
    DataOutput as DataOutput,
    FlowVelocityOutput as FlowVelocityOutput,
    NoiseOutput as NoiseOutput,
    ResidualOutput as ResidualOutput,
    ScoreOutput as ScoreOutput,
)
from .schedules import (
    AbstractNetworkSchedule as AbstractNetworkSchedule,
    DiscreteSchedule as DiscreteSchedule,
    Level as Level,
)
