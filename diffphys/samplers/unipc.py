"""UniPC: a multistep predictor, and a corrector that costs no evaluation."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._quadrature import gauss_legendre
from .._types import Denoiser
from ..processes import AbstractProcess
from ._checks import check_whole
from .channel import AbstractChannelSampler, ChannelStep, weigh
from .combination import Combination


class UniPC(AbstractChannelSampler):
    r"""UniPC of order p on the prediction of the data, at one evaluation a step.

    With $h = \lambda_s - \lambda_t$, $\lambda = -\log\rho$, and $r_j = (\lambda_j - \lambda_t) / h$ for other knots,

    $$ y_s = e^{-h} y + (1 - e^{-h})\,\hat a_t - B \sum_j \frac{a_j}{r_j} (\hat a_j - \hat a_t), \qquad
       \sum_j a_j r_j^{k - 1} = - h\,k!\,\varphi_{k + 1}(-h) / B , $$

    over p - 1 earlier knots for the predictor (p = 2: $a = \frac12$), and over s besides for the corrector (p = 1:
    $a = \frac12$), which takes the prediction made where the predictor ends. That one is wanted by the next step
    anyway, so the correction is made there: the last step of a run stays uncorrected, as in the official code, unless a
    further step of next to no length follows. Order p + 1. The first steps are of lower order, and so are the last ones
    if `final_order` says so. With p = 3 and only four steps a `final_order` of 1 is far better for Gaussians and
    mixtures, and one of 2 for images; with many steps it is of no use.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        order: p, 1 to 3.
        variant: $B = e^{-h} - 1$ for "bh2", -h for "bh1". It matters where $a = \frac12$.
        final_order: that of the last step, 1 to 3; a step before it may be of one more for each after it. 1 is
            `lower_order_final` of the authors' code, 2 that of diffusers, where the final denoising counts as a step.

    Raises:
        ValueError: if an order or `variant` is none of these, or the process is not overdamped.

    Reference:
        Zhao et al., "UniPC: a unified predictor-corrector framework for fast sampling of diffusion models" (2023).
    """

    process: AbstractProcess
    denoise: Denoiser
    order: int = eqx.field(static=True, default=3)
    variant: Literal["bh1", "bh2"] = eqx.field(static=True, default="bh2")
    final_order: int = eqx.field(static=True, default=3)
    is_time_reversal = False
    draws = 0
    evaluations = 1

    def __check_init__(self):
        check_whole("UniPC", "order", self.order, 1, 3)
        check_whole("UniPC", "final_order", self.final_order, 1, 3)
        if self.variant not in ("bh1", "bh2"):
            raise ValueError(f'`UniPC` needs `variant` to be "bh1" or "bh2". Got {self.variant!r}.')

    @property
    def history(self) -> int:
        return self.order

    def advance(self, step: ChannelStep) -> Combination:
        predictions = step.recall(step.data(), self.order + 1)
        knots = [step.log_snr(k) for k in range(-1, len(predictions))]
        y = step.y
        if step.i:
            # The predictor that ended here used the predictions after the first, which now comes to correct it.
            order = self._order(step.i - 1, step.steps)
            before = knots[2 : order + 2]
            change = self.weights(before, knots[1], corrected=True) - [0.0, *self.weights(before, knots[1])]
            y = y + weigh(change, predictions[: order + 1])
        order = self._order(step.i, step.steps)
        return np.exp(-step.h) * y + weigh(self.weights(knots[1 : order + 1], knots[0]), predictions[:order])

    def _order(self, i: int, steps: int) -> int:
        """How many predictions the predictor of step i uses."""
        return min(self.order, i + 1, self.final_order + steps - 1 - i)

    def weights(self, knots: Sequence[float], end: float, *, corrected: bool = False) -> Float[np.ndarray, " k"]:
        """Of the predictions at the knots, the latest first; before them that at the end, if `corrected`."""
        now, h = knots[0], end - knots[0]
        others = np.array([end, *knots[1:]] if corrected else knots[1:])
        scale = np.expm1(-h) if self.variant == "bh2" else -h
        slopes = scale * _coefficients((others - now) / h, h, scale) * h / (others - now)
        first = -np.expm1(-h) + slopes.sum()
        return np.array([-slopes[0], first, *-slopes[1:]] if corrected else [first, *-slopes])


def _coefficients(ratios: Float[np.ndarray, " k"], h: float, scale: float) -> Float[np.ndarray, " k"]:
    """The a of the docstring: one is 1/2 whatever h, more fit as many moments."""
    if ratios.size < 2:
        return 0.5 * np.ones(ratios.size)
    powers = np.arange(ratios.size)[:, None]
    points, weights = gauss_legendre(0.0, 1.0)
    # k! phi_{k + 1}(z) as the integral of e^{(1 - x) z} x^k: the recursion would cancel for short steps.
    moments = points ** (powers + 1) @ (weights * np.exp(-h * (1 - points)))
    return np.linalg.solve(ratios**powers, -h / scale * moments)
