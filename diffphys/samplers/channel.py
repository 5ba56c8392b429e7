r"""Samplers of overdamped processes, written in the units of the data, where all such processes are one."""

import abc

import numpy as np

from ._checks import check_overdamped
from .combination import Combination
from .table import AbstractTableSampler, Step


class ChannelStep:
    r"""A step in the observation $y = z / m_t = a + \rho_t\,\varepsilon$, whose noise level is $\rho_t = \sqrt{v_t}$.

    In y there is no drift: the reverse diffusions of any overdamped process are, with $\hat a$ the estimate of the
    data and $\hat\varepsilon = (y - \hat a) / \rho$ that of the noise,

    $$ dy = (1 + \tau^2)\,\hat\varepsilon\,d\rho + \tau \sqrt{d\rho^2}\,\xi , $$

    and the logarithm $\lambda = -\log\rho$, half the log-SNR of unit data, is the time of the fast samplers.

    Attributes:
        i: the number of the step.
        steps: how many the grid has.
        t: when it starts.
        y: the observation then.
        rho: its noise level, and `rho_s` that at the end.
        h: $\lambda_s - \lambda_t > 0$.
    """

    def __init__(self, step: Step):
        self.i, self.steps, self.t = step.i, len(step.ts) - 1, step.t
        self.step, self.y = step, step.z / step.kernel(step.t).mean
        self.rho, self.rho_s = self.level(0), self.level(-1)
        self.h = np.log(self.rho / self.rho_s)

    def level(self, back: int) -> float:
        r"""The noise level $\rho$ so many steps ago; now for 0, at the end of the step for -1."""
        return float(np.sqrt(self.step.kernel(self.time(back)).variance))

    def time(self, back: int) -> float:
        """The time so many steps ago."""
        return float(self.step.ts[self.i - back])

    def log_snr(self, back: int) -> float:
        r"""$\lambda$ so many steps ago."""
        return -np.log(self.level(back))

    def data(self, y: Combination | None = None, rho: float | None = None) -> Combination:
        r"""The estimate of the data by one evaluation: of y and at rho, unless others are given."""
        y, rho = self.y if y is None else y, self.rho if rho is None else rho
        return 1.0 * self.step.ask(y.terms, np.square(rho))

    def noise(self, y: Combination | None = None, rho: float | None = None) -> Combination:
        r"""The estimate $\hat\varepsilon$ of the noise by one evaluation: of y and at rho, unless others are given."""
        y, rho = self.y if y is None else y, self.rho if rho is None else rho
        return (y - self.data(y, rho)) / rho

    def draw(self, j: int = 0) -> Combination:
        """The standard normal noise number j of the step."""
        return self.step.noise(j)

    def recall(self, prediction: Combination, count: int) -> list[Combination]:
        """This prediction, which is remembered, and those before it: `count` in all, or as many as there are."""
        self.step.remember(prediction)
        return [prediction, *(self.step.past(k) for k in range(1, min(count, self.i + 1)))]


class AbstractChannelSampler(AbstractTableSampler):
    """A sampler for overdamped processes given by `advance` alone: one step written down in the units of the data."""

    def __check_init__(self):
        check_overdamped(self, self.process)

    @abc.abstractmethod
    def advance(self, step: ChannelStep) -> Combination:
        """The observation y at the end of the step."""

    def compose(self, step: Step) -> Combination:
        return step.kernel(step.s).mean * self.advance(ChannelStep(step))


def weigh(weights: np.ndarray, predictions: list[Combination]) -> Combination:
    """The sum of predictions with weights."""
    total = weights[0] * predictions[0]
    for weight, prediction in zip(weights[1:], predictions[1:], strict=True):
        total = total + weight * prediction
    return total
