"""One exponential step: what is known of the reverse diffusion integrated exactly, a prediction held constant."""

from typing import Literal

import equinox as eqx
import numpy as np
from scipy.integrate import quad

from .._types import Denoiser
from ..processes import AbstractProcess
from .channel import AbstractChannelSampler, ChannelStep
from .combination import Combination


class DDIM(AbstractChannelSampler):
    r"""The implicit sampler: noise that is kept as far as `eta` lets it, and the rest drawn anew.

    $$ y_s = \hat a + \sqrt{\rho_s^2 - c^2}\;\hat\varepsilon + c\,\xi, \qquad
       c = \eta\,\rho_s \sqrt{1 - \rho_s^2 / \rho_t^2} . $$

    $\eta = 0$, the default, is deterministic: the probability flow by one step of Euler in $\rho$. $\eta = 1$ is DDPM's
    ancestral step, `Bridge`. Order 1, weak order 1 with noise.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        eta: how much of the noise is drawn anew, in [0, 1].

    Raises:
        ValueError: if `eta` is outside [0, 1], or the process is not overdamped.

    Reference:
        Song, Meng, Ermon, "Denoising diffusion implicit models" (2021), eqs. 12 and 16.
    """

    process: AbstractProcess
    denoise: Denoiser
    eta: float = eqx.field(static=True, default=0.0)
    evaluations = 1
    history = 0

    def __check_init__(self):
        if not 0 <= self.eta <= 1:
            raise ValueError(f"`DDIM` needs `eta` in [0, 1]. Got {self.eta}. 0 is the flow, 1 is DDPM.")

    @property
    def is_time_reversal(self) -> bool:
        return self.eta == 1

    @property
    def draws(self) -> int:
        return 0 if self.eta == 0 else 1

    def advance(self, step: ChannelStep) -> Combination:
        a = step.data()
        fresh = self.eta * np.sqrt(-np.expm1(-2 * step.h))
        end = a + np.sqrt(1 - fresh**2) * step.rho_s / step.rho * (step.y - a)
        return end + fresh * step.rho_s * step.draw() if self.draws else end


class ExponentialSDE(AbstractChannelSampler):
    r"""The exponential step on a reverse diffusion of noise level $\tau$, with one prediction held constant.

    On the data, the default:

    $$ y_s = k\,y + (1 - k)\,\hat a + \rho_s \sqrt{1 - e^{-2 \tau^2 h}}\;\xi, \qquad
       k = e^{-(1 + \tau^2) h}, \quad h = \log(\rho_t / \rho_s) ; $$

    $\tau = 1$ is DDPM, `Bridge`; $\tau = 0$ is `DDIM`. Exact for a single datum. On the noise:

    $$ y_s = y + (1 + \tau^2)(\rho_s - \rho_t)\,\hat\varepsilon + \tau \sqrt{\rho_t^2 - \rho_s^2}\;\xi ; $$

    $\tau = 1$ is SEEDS-1, $\tau = 0$ again `DDIM`. On the score $s(x)$ of the state x itself, of mean factor m and
    $dx = f x\,dt + g\,dW$, with the same noise,

    $$ y_s = y + \tfrac12 (1 + \tau^2)\,s(x_t) \int_s^t \frac{g_u^2}{m_u}\,du
           + \tau \sqrt{\rho_t^2 - \rho_s^2}\;\xi , $$

    for Ornstein-Uhlenbeck at $T = \tau = 1$ and $\delta = t - s$ the step $e^\delta x + 2 (e^\delta - 1)\,s(x)$ with
    noise of variance $e^{2\delta} - 1$: what convergence theorems are about. It needs steps far below v near the data.

    Weak order 1 all. All noise levels have the marginals of the process, $\tau = 1$ alone its paths reversed.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        noise_level: $\tau \ge 0$. The `eta` of k-diffusion is its square.
        prediction: what is held constant, "data", "noise" or "score".

    Raises:
        ValueError: if `noise_level` is negative or not finite, `prediction` is none of these, or the process is not
            overdamped.

    Reference:
        Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models" (2023), for the
        data; Gonzalez et al., "SEEDS: exponential SDE solvers for fast high-quality sampling from diffusion models"
        (2023), for the noise at $\tau = 1$. Its other levels follow from the same integral. For the score, Chen et al.,
        "Sampling is as easy as learning the score: theory for diffusion models with minimal data assumptions" (2023).
    """

    process: AbstractProcess
    denoise: Denoiser
    noise_level: float = eqx.field(static=True, default=1.0)
    prediction: Literal["data", "noise", "score"] = eqx.field(static=True, default="data")
    evaluations = 1
    history = 0

    def __check_init__(self):
        if not 0 <= self.noise_level < np.inf:
            raise ValueError(f"`ExponentialSDE` needs a finite `noise_level >= 0`. Got {self.noise_level}.")
        if self.prediction not in ("data", "noise", "score"):
            raise ValueError(
                f'`ExponentialSDE` needs `prediction` to be "data", "noise" or "score". Got {self.prediction!r}.'
            )

    @property
    def is_time_reversal(self) -> bool:
        return self.noise_level == 1

    @property
    def draws(self) -> int:
        return 0 if self.noise_level == 0 else 1

    def advance(self, step: ChannelStep) -> Combination:
        if self.prediction == "data":
            end, spread = held_data(step, step.data(), self.noise_level)
        else:
            length = step.rho - step.rho_s if self.prediction == "noise" else _length_of_score(step)
            end = step.y - (1 + self.noise_level**2) * length * step.noise()
            spread = self.noise_level * step.rho_s * np.sqrt(np.expm1(2 * step.h))
        return end + spread * step.draw() if self.draws else end


def held_data(step: ChannelStep, a: Combination, noise_level: float) -> tuple[Combination, float]:
    """The exponential step with a prediction of the data held constant: where it ends, and the noise to be added."""
    rate = 1 + noise_level**2
    end = np.exp(-rate * step.h) * step.y - np.expm1(-rate * step.h) * a
    return end, step.rho_s * np.sqrt(-np.expm1(-2 * noise_level**2 * step.h))


def _length_of_score(step: ChannelStep) -> float:
    r"""The length in $\rho$ of a step that holds the score of the state, $-\hat\varepsilon / (m \rho)$."""
    process = step.step.process

    def pull(u: float) -> float:
        return float(process.coefficients(u)[1] ** 2 / process.kernel(u).mean)

    total, _ = quad(pull, step.time(-1), step.t, epsabs=0, epsrel=1e-10)
    return total / (2 * step.rho * float(step.step.kernel(step.t).mean))
