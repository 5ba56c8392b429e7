"""SEEDS-2: an exponential step of the reversed diffusion with a middle evaluation."""

from typing import Literal

import equinox as eqx
import numpy as np

from .._types import Denoiser
from ..processes import AbstractProcess
from .channel import AbstractChannelSampler, ChannelStep
from .combination import Combination


class SEEDS2(AbstractChannelSampler):
    r"""The exponential step on the data for the time-reversed diffusion, with a middle evaluation and two noises.

    At $\rho_u = \rho_t e^{-r h}$, between $\rho_t$ and $\rho_s = \rho_t e^{-h}$, by DDPM's step:

    $$ y_u = e^{-2 r h} y + (1 - e^{-2 r h})\,\hat a_t + \rho_u \sqrt{1 - e^{-2 r h}}\;\xi_1 , $$

    $$ y_s = e^{-2 h} y + (1 - e^{-2 h})\,\hat a_t + \frac{b}{r} (\hat a_u - \hat a_t) + \rho_s \left[
       e^{-(1 - r) h} \sqrt{1 - e^{-2 r h}}\;\xi_1 + \sqrt{1 - e^{-2 (1 - r) h}}\;\xi_2 \right] , $$

    $b = \frac12 (1 - e^{-2h})$ in the variant "phi1"; in "phi2" $b = 1 - (1 - e^{-2h}) / 2h$, exact for an estimate
    linear in $\lambda$. Weak order 2 on Gaussian data, two evaluations a step.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        r: where the middle evaluation is, in (0, 1).
        variant: "phi1" or "phi2", after the functions of the exponential that weigh the middle estimate.

    Raises:
        ValueError: if `r` is outside (0, 1), `variant` is none of these, or the process is not overdamped.

    Reference:
        Gonzalez et al., "SEEDS: exponential SDE solvers for fast high-quality sampling from diffusion models" (2023);
        here on the data in place of the noise.
    """

    process: AbstractProcess
    denoise: Denoiser
    r: float = eqx.field(static=True, default=0.5)
    variant: Literal["phi1", "phi2"] = eqx.field(static=True, default="phi1")
    is_time_reversal = True
    draws = 2
    evaluations = 2
    history = 0

    def __check_init__(self):
        if not 0 < self.r < 1:
            raise ValueError(f"`SEEDS2` needs `r` in (0, 1). Got {self.r}. The usual one is 0.5.")
        if self.variant not in ("phi1", "phi2"):
            raise ValueError(f'`SEEDS2` needs `variant` to be "phi1" or "phi2". Got {self.variant!r}.')

    def advance(self, step: ChannelStep) -> Combination:
        h, a = step.h, step.data()
        kept, new, rest = (np.sqrt(-np.expm1(-2 * part * h)) for part in (1.0, self.r, 1 - self.r))
        rho = step.rho ** (1 - self.r) * step.rho_s**self.r
        middle = step.data(step.y + new**2 * (a - step.y) + rho * new * step.draw(0), rho)
        slope = 0.5 * kept**2 if self.variant == "phi1" else 1 - kept**2 / (2 * h)
        noise = np.exp(-(1 - self.r) * h) * new * step.draw(0) + rest * step.draw(1)
        return step.y + kept**2 * (a - step.y) + slope / self.r * (middle - a) + step.rho_s * noise
