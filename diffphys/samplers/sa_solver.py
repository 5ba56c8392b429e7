"""SA-Solver: stochastic Adams, a multistep predictor and corrector for reverse diffusions."""

from collections.abc import Callable

import equinox as eqx
import numpy as np

from .._types import Denoiser
from ..processes import AbstractProcess
from ._checks import check_whole
from ._lagrange import exponential_integrals
from .channel import AbstractChannelSampler, ChannelStep, weigh
from .combination import Combination


class SASolver(AbstractChannelSampler):
    r"""Stochastic Adams on the prediction of the data, for the reverse diffusion of noise level $\tau$.

    $$ y_s = e^{-\kappa h} y + \sum_i c_i\,\hat a_i + \rho_s \sqrt{1 - e^{-2 \tau^2 h}}\;\xi, \qquad
       c_i = \int_{\lambda_t}^{\lambda_s} \kappa\,e^{-\kappa (\lambda_s - \lambda)}\,\ell_i(\lambda)\,d\lambda,
       \qquad \kappa = 1 + \tau^2, $$

    $h = \lambda_s - \lambda_t$, $\lambda = -\log\rho$, and $\ell_i$ the Lagrange polynomials: for the predictor of t
    and of knots before it, for the corrector of s besides, with the same noise. The corrector takes the prediction made
    where the predictor ends (PEC). That one is wanted by the next step anyway, so the correction is made there, at one
    evaluation a step, and the last step of a run stays uncorrected: a further step of next to no length corrects it
    too. With noise the weak order is 2, however many predictions are used, and 1 if the corrector (or the predictor,
    where there is none) uses but one. The first steps are of lower order.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        predictor: how many predictions the predictor uses, 1 to 4.
        corrector: how many the corrector uses, the new one among them, 0 to 4; 0 is no corrector.
        noise_level: $\tau \ge 0$, or a function of the time at which a step starts.

    Reference:
        Xue et al., "SA-Solver: stochastic Adams solver for fast sampling of diffusion models" (2023).
        Predictions are counted as in its code, which adds a term of third order to weights of two; ours are plain.
    """

    process: AbstractProcess
    denoise: Denoiser
    predictor: int = eqx.field(static=True, default=2)
    corrector: int = eqx.field(static=True, default=2)
    noise_level: float | Callable[[float], float] = eqx.field(static=True, default=1.0)
    evaluations = 1

    def __check_init__(self):
        check_whole("SASolver", "predictor", self.predictor, 1, 4)
        check_whole("SASolver", "corrector", self.corrector, 0, 4)
        if not callable(self.noise_level):
            _check_level(self.noise_level)

    @property
    def is_time_reversal(self) -> bool:
        return self.noise_level == 1

    @property
    def draws(self) -> int:
        return 0 if self.noise_level == 0 else 1

    @property
    def history(self) -> int:
        return max(self.predictor, self.corrector - 1) if self.corrector else self.predictor - 1

    def advance(self, step: ChannelStep) -> Combination:
        predictions = step.recall(step.data(), self.history + 1)
        knots = [step.log_snr(k) for k in range(-1, len(predictions))]
        y, level = step.y, self.level(step.t)
        if step.i and self.corrector:
            before = self.level(step.time(1))
            count = min(self.predictor, step.i)
            predicted = exponential_integrals(knots[2 : count + 2], knots[2], knots[1], 1 + before**2)
            corrected = exponential_integrals(knots[1 : self.corrector + 1], knots[2], knots[1], 1 + before**2)
            change = np.zeros(max(count + 1, corrected.size))
            change[: corrected.size] += corrected
            change[1 : count + 1] -= predicted
            y = y + weigh(change, predictions[: change.size])
        count = min(self.predictor, step.i + 1)
        weights = exponential_integrals(knots[1 : count + 1], knots[1], knots[0], 1 + level**2)
        end = np.exp(-(1 + level**2) * step.h) * y + weigh(weights, predictions[:count])
        noise = step.rho_s * np.sqrt(-np.expm1(-2 * level**2 * step.h)) * step.draw()
        return end + noise if self.draws else end

    def level(self, t: float) -> float:
        r"""$\tau$ of the step that starts at t."""
        return _check_level(self.noise_level(t)) if callable(self.noise_level) else self.noise_level


def _check_level(level: float) -> float:
    if not 0 <= level < np.inf:
        raise ValueError(f"`SASolver` needs a finite `noise_level >= 0`, at every time. Got {level}.")
    return level
