from .affine import Bridge as Bridge, ReverseSDE as ReverseSDE
from .base import AbstractSampler as AbstractSampler, simulate as simulate
from .flow import ProbabilityFlow as ProbabilityFlow
