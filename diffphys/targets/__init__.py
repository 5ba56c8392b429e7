"""Distributions whose Gaussian smoothing is known exactly."""

from .base import (
    AbstractLabelledTarget as AbstractLabelledTarget,
    AbstractTarget as AbstractTarget,
    shape_of as shape_of,
)
from .curie_weiss import CurieWeiss as CurieWeiss
from .data_set import AbstractDataSet as AbstractDataSet
from .empirical import Empirical as Empirical
from .gaussian import Gaussian as Gaussian
from .ising import Ising as Ising, curie_weiss_couplings as curie_weiss_couplings, ring_couplings as ring_couplings
from .mixture import (
    AbstractMixture as AbstractMixture,
    IsotropicMixture as IsotropicMixture,
    SharedCovarianceMixture as SharedCovarianceMixture,
)
from .placed import (
    AbstractPlaced as AbstractPlaced,
    LabelledPlaced as LabelledPlaced,
    Placed as Placed,
    Placement as Placement,
    embedded as embedded,
    scaled as scaled,
    shifted as shifted,
)
from .product_states import (
    ProductStates as ProductStates,
    low_load_hopfield as low_load_hopfield,
    potts_mean_field as potts_mean_field,
    pure_states as pure_states,
)
from .pruned import Certified as Certified, PrunedPosteriorMean as PrunedPosteriorMean
from .recipes import (
    deltas as deltas,
    hierarchical_mixture as hierarchical_mixture,
    mixture as mixture,
    symmetric_mixture as symmetric_mixture,
)
from .reduction import Reduction as Reduction, reduce as reduce
from .sharded import ShardedEmpirical as ShardedEmpirical, is_divided as is_divided, without_places as without_places
from .shell import AbstractShell as AbstractShell
from .sphere import Sphere as Sphere
from .target_mixture import TargetMixture as TargetMixture, mixture_of as mixture_of
from .weights import Labelings as Labelings, WeightsSummary as WeightsSummary
