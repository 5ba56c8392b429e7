"""Distributions whose Gaussian smoothing is known exactly."""

from .base import AbstractLabelledTarget as AbstractLabelledTarget, AbstractTarget as AbstractTarget
from .empirical import Empirical as Empirical
from .gaussian import Gaussian as Gaussian
from .mixture import (
    AbstractMixture as AbstractMixture,
    IsotropicMixture as IsotropicMixture,
    SharedCovarianceMixture as SharedCovarianceMixture,
)
from .recipes import (
    hierarchical_mixture as hierarchical_mixture,
    mixture as mixture,
    symmetric_mixture as symmetric_mixture,
)
from .weights import WeightsSummary as WeightsSummary
