"""The probability flow, by Heun's rule."""

from .. import _block as block
from .._types import Denoiser
from ..processes import AbstractProcess
from .combination import Combination
from .table import AbstractTableSampler, Step


class ProbabilityFlow(AbstractTableSampler):
    r"""The flow $\dot z = F z - \tfrac12 G G^\top \nabla\log p_t(z)$ by Heun's rule: order 2, two evaluations a step.

    It has the marginals of the process and none of its noise: a deterministic map from noise to data.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eq. 13.
    """

    process: AbstractProcess
    denoise: Denoiser
    is_time_reversal = False
    draws = 0
    evaluations = 2
    history = 0

    def compose(self, step: Step) -> Combination:
        h = step.s - step.t
        first = flow_velocity(step, step.z, step.t)
        return step.z + 0.5 * h * (first + flow_velocity(step, step.z + h * first, step.s))


def flow_velocity(step: Step, z: Combination, t: float) -> Combination:
    """The velocity of the probability flow, by one evaluation."""
    drift, noise = step.process.coefficients(t)
    return drift @ z - 0.5 * (block.outer(noise) @ step.score(z, t))
