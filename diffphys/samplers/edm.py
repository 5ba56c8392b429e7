"""The sampler of Karras et al.: Heun's rule in the noise level, with churn."""

import equinox as eqx
import numpy as np

from .._types import Denoiser
from ..processes import AbstractProcess
from .channel import AbstractChannelSampler, ChannelStep
from .combination import Combination


class EDM(AbstractChannelSampler):
    r"""Heun's rule for the probability flow in the noise level, $dy / d\rho = \hat\varepsilon$, after a churn.

    The churn first goes back up, from $\rho_t$ to $\hat\rho = (1 + \gamma) \rho_t$,

    $$ \hat y = y + \sqrt{\hat\rho^2 - \rho_t^2}\; S_{noise}\,\xi, \qquad
       \gamma = \min(S_{churn} / N,\ \sqrt2 - 1) \text{ for } \rho_t \in [S_{min}, S_{max}], \text{ else } 0, $$

    with N the number of steps of the grid; then

    $$ y' = \hat y + (\rho_s - \hat\rho)\,\hat\varepsilon(\hat y, \hat\rho), \qquad
       y_s = \hat y + \tfrac12 (\rho_s - \hat\rho)
       \left[\hat\varepsilon(\hat y, \hat\rho) + \hat\varepsilon(y', \rho_s)\right] . $$

    Order 2, two evaluations a step. The grid of the paper is `clocks.karras_grid`. Churn has the marginals of the
    process, not its paths.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        churn: $S_{churn} \ge 0$; 0, the default, is deterministic.
        noise_range: $S_{min}$ and $S_{max}$, the noise levels $\rho$ in data units between which there is churn.
        noise_factor: $S_{noise} > 0$; a little above 1 makes up for what a learned denoiser removes too much.

    Raises:
        ValueError: if a setting is out of its range, or the process is not overdamped.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), algorithms 1 and 2.
    """

    process: AbstractProcess
    denoise: Denoiser
    churn: float = eqx.field(static=True, default=0.0)
    noise_range: tuple[float, float] = eqx.field(static=True, default=(0.0, np.inf))
    noise_factor: float = eqx.field(static=True, default=1.0)
    is_time_reversal = False
    evaluations = 2
    history = 0

    def __check_init__(self):
        if not 0 <= self.churn < np.inf:
            raise ValueError(f"`EDM` needs a finite `churn >= 0`. Got {self.churn}. 0 is none.")
        if np.shape(self.noise_range) != (2,) or not 0 <= self.noise_range[0] <= self.noise_range[1]:
            raise ValueError(f"`EDM` needs a `noise_range` with 0 <= low <= high, a pair. Got {self.noise_range}.")
        if not 0 < self.noise_factor < np.inf:
            raise ValueError(f"`EDM` needs a finite `noise_factor > 0`. Got {self.noise_factor}. 1 is exact.")

    @property
    def draws(self) -> int:
        return 0 if self.churn == 0 else 1

    def advance(self, step: ChannelStep) -> Combination:
        y, rho = step.y, step.rho
        if self.draws:
            inside = self.noise_range[0] <= rho <= self.noise_range[1]
            gamma = min(self.churn / step.steps, np.sqrt(2) - 1) if inside else 0.0
            y = y + self.noise_factor * rho * np.sqrt(gamma * (2 + gamma)) * step.draw()
            rho = (1 + gamma) * rho
        first = step.noise(y, rho)
        last = step.noise(y + (step.rho_s - rho) * first, step.rho_s)
        return y + 0.5 * (step.rho_s - rho) * (first + last)
