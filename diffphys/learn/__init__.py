"""Learned scores: networks, objectives, training, and networks of others as denoisers."""

from .configs import MLPConfig as MLPConfig, TrainingConfig as TrainingConfig, UNetConfig as UNetConfig
from .denoiser import NetworkDenoiser as NetworkDenoiser
from .networks import MLP as MLP, UNet as UNet
from .preconditioning import GaussianPreconditioning as GaussianPreconditioning
from .training import TrainedModel as TrainedModel, load as load, train as train
