"""Euler-Maruyama on the family of reverse diffusions that share the marginals of a process."""

import equinox as eqx
import numpy as np

from .. import _block as block
from .._types import Denoiser
from ..processes import AbstractProcess
from .combination import Combination
from .table import AbstractTableSampler, Step


class ReverseSDE(AbstractTableSampler):
    r"""Euler-Maruyama for $dz = [F z - \tfrac{1 + \lambda^2}{2} G G^\top \nabla\log p_t]\,dt + \lambda\,G\,d\bar W$.

    All members of the family have the same marginals. $\lambda = 1$, the default, is Anderson's reverse SDE, the only
    one whose paths are the forward paths reversed; $\lambda = 0$ is the probability-flow ODE by Euler steps.
    Weak order 1.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.
        noise_level: $\lambda \ge 0$.

    Raises:
        ValueError: if `noise_level` is negative or not finite.

    Reference:
        Anderson, "Reverse-time diffusion equation models" (1982); Song et al., "Score-based generative modeling
        through stochastic differential equations" (2021), eqs. 6 and 13.
    """

    process: AbstractProcess
    denoise: Denoiser
    noise_level: float = eqx.field(static=True, default=1.0)
    evaluations = 1
    history = 0

    def __check_init__(self):
        if not 0 <= self.noise_level < np.inf:
            raise ValueError(f"`ReverseSDE` needs a finite `noise_level >= 0`. Got {self.noise_level}.")

    @property
    def is_time_reversal(self) -> bool:
        return self.noise_level == 1

    @property
    def draws(self) -> int:
        return 0 if self.noise_level == 0 else 1

    def compose(self, step: Step) -> Combination:
        h, (drift, noise) = step.t - step.s, step.process.coefficients(step.t)
        force = 0.5 * (1 + self.noise_level**2) * block.outer(noise)
        end = step.z - h * (drift @ step.z) + h * (force @ step.score(step.z, step.t))
        return end + self.noise_level * np.sqrt(h) * (noise @ step.noise()) if self.draws else end
