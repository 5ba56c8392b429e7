"""DPM-Solver: exponential steps of order 2 and 3, by a middle evaluation or by those before."""

import equinox as eqx

from .._types import Denoiser
from ..processes import AbstractProcess
from ._checks import check_whole
from ._lagrange import exponential_integrals
from .channel import AbstractChannelSampler, ChannelStep, weigh
from .combination import Combination
from .exponential import held_data


class DPMSolver2(AbstractChannelSampler):
    r"""DPM-Solver-2: the probability flow with the prediction of the noise linear in $\lambda = -\log\rho$.

    From an evaluation at $\rho_u = \rho_t e^{-r h}$, between $\rho_t$ and $\rho_s = \rho_t e^{-h}$:

    $$ y_u = y + (\rho_u - \rho_t)\,\hat\varepsilon_t, \qquad y_s = y + (\rho_s - \rho_t)
       \left[\hat\varepsilon_t + \tfrac{1}{2r}(\hat\varepsilon_u - \hat\varepsilon_t)\right] . $$

    Order 2, two evaluations a step.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        r: where the middle evaluation is, in (0, 1].

    Raises:
        ValueError: if `r` is outside (0, 1], or the process is not overdamped.

    Reference:
        Lu et al., "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling in around 10 steps"
        (2022), algorithms 1 and 4.
    """

    process: AbstractProcess
    denoise: Denoiser
    r: float = eqx.field(static=True, default=0.5)
    is_time_reversal = False
    draws = 0
    evaluations = 2
    history = 0

    def __check_init__(self):
        if not 0 < self.r <= 1:
            raise ValueError(f"`DPMSolver2` needs `r` in (0, 1]. Got {self.r}. The paper takes 0.5.")

    def advance(self, step: ChannelStep) -> Combination:
        first = step.noise()
        rho = step.rho ** (1 - self.r) * step.rho_s**self.r
        middle = step.noise(step.y + (rho - step.rho) * first, rho)
        return step.y + (step.rho_s - step.rho) * (first + (0.5 / self.r) * (middle - first))


class DPMSolverMultistep(AbstractChannelSampler):
    r"""DPM-Solver++(2M) and (3M): the exponential step on the data, extrapolated from the steps before.

    $$ y_s = k\,y + (1 - k) \left[\hat a_t + \frac{\hat a_t - \hat a_{prev}}{2 r}\right] + c\,\xi,
       \qquad r = h_{prev} / h, \quad h = \log(\rho_t / \rho_s) . $$

    $k = e^{-h}$ and no noise for the probability flow, of order 2; $k = e^{-2h}$, $c = \rho_s \sqrt{1 - e^{-2h}}$ if
    `stochastic`, SDE-DPM-Solver++(2M), of weak order 2 on Gaussian data. At order 3 the bracket is the mean of the
    parabola through three predictions, weighted as the step weighs them: order 3, and weak order 2. At order 1 it
    is $\hat a_t$: `DDIM`, or `Bridge` if stochastic. One evaluation a step; the first steps are of orders 1 and 2. Made
    for grids nearly uniform in $\lambda$ (`clocks.log_snr_grid`); on one uniform in time the stochastic one is useless.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        stochastic: whether to follow the time-reversed diffusion in place of the probability flow.
        order: how many predictions are used, 1 to 3.

    Reference:
        Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models" (2023),
        algorithm 2 and section 5. The code of its authors, and those that follow it, count the second derivative of 3M
        by half, which leaves order 2; ours is the whole parabola. The drop to order 1 in the last step is for grids
        that end in the data; ours do not.
    """

    process: AbstractProcess
    denoise: Denoiser
    stochastic: bool = eqx.field(static=True, default=False)
    order: int = eqx.field(static=True, default=2)
    evaluations = 1

    def __check_init__(self):
        check_whole("DPMSolverMultistep", "order", self.order, 1, 3)

    @property
    def history(self) -> int:
        return self.order - 1

    @property
    def is_time_reversal(self) -> bool:
        return self.stochastic

    @property
    def draws(self) -> int:
        return 1 if self.stochastic else 0

    def advance(self, step: ChannelStep) -> Combination:
        level = 1.0 if self.stochastic else 0.0
        end, spread = held_data(step, self._mean(step, 1 + level**2), level)
        return end + spread * step.draw() if self.draws else end

    def _mean(self, step: ChannelStep, rate: float) -> Combination:
        """The prediction to be held: the mean over the step of one that is a polynomial."""
        a, *before = predictions = step.recall(step.data(), self.order)
        if len(before) == 1:
            return a + 0.5 * step.h / (step.log_snr(0) - step.log_snr(1)) * (a - before[0])
        knots = [step.log_snr(k) for k in range(len(predictions))]
        weights = exponential_integrals(knots, step.log_snr(0), step.log_snr(-1), rate)
        return weigh(weights / weights.sum(), predictions)
