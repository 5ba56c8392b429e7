"""Langevin dynamics at fixed noise, annealed over noise levels, and as the corrector of any other sampler."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .. import _block as block
from .._types import Denoiser, Draws, State
from ..processes import AbstractProcess, Kernel
from ._checks import check_overdamped, check_whole
from .base import AbstractSampler, check_sampler, made_once
from .combination import Combination
from .table import AbstractTableSampler, Step


class Langevin(AbstractTableSampler):
    r"""Unadjusted Langevin dynamics on the law of the state at one time.

    $$ z \leftarrow z + h\,\nabla\log p_t(z) + \sqrt{2 T h}\,\varepsilon, \qquad t = $$ `time` fixed.

    The grid that it is run on is not one of diffusion times: only its differences count, and they are the steps h. For
    100 steps of h = 0.01 pass `np.linspace(1.01, 0.01, 101)`. At temperature 1 the chain relaxes to $p_t$, up to a bias
    of order h: of a Gaussian of variance V it has the variance $V / (1 - h / 2V)$. At 0 it is gradient ascent, which
    stops at the modes and knows nothing of their weights. Positions and momenta, where there are both, move alike.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.
        time: the diffusion time of the law.
        temperature: T >= 0 of the chain, which relaxes to $p_t^{1/T}$.

    Raises:
        ValueError: unless `time` is positive and `temperature` >= 0, both finite.

    Reference:
        Roberts, Tweedie, "Exponential convergence of Langevin distributions and their discrete approximations" (1996).
    """

    process: AbstractProcess
    denoise: Denoiser
    time: float = eqx.field(static=True, converter=float)
    temperature: float = eqx.field(static=True, default=1.0, converter=float)
    is_time_reversal = False
    evaluations = 1
    history = 0

    def __check_init__(self):
        if not 0 < self.time < np.inf:
            raise ValueError(f"`Langevin` needs a finite diffusion time `time > 0`. Got {self.time}.")
        if not 0 <= self.temperature < np.inf:
            raise ValueError(f"`Langevin` needs a finite `temperature >= 0`. Got {self.temperature}.")

    @property
    def draws(self) -> int:
        return 0 if self.temperature == 0 else 1

    def compose(self, step: Step) -> Combination:
        h = step.t - step.s
        end = step.z + h * step.score(step.z, self.time)
        return end + np.sqrt(2 * self.temperature * h) * step.noise() if self.draws else end


class _Level(NamedTuple):
    """A noise level: into its channel from the level before, its variance, and back."""

    gain: Any
    variance: Any
    mean: Any


class AnnealedLangevin(AbstractSampler):
    r"""Langevin dynamics at one noise level after another: the sampler of noise-conditional score networks.

    At each time `ts[i + 1]`, of channel variance v, so many steps of size $\alpha = \epsilon v$ in the channel y:

    $$ y \leftarrow y + \tfrac{\alpha}{2} \nabla\log p(y) + \sqrt{\alpha}\,\xi
       = y + \tfrac{\epsilon}{2} (\hat a - y) + \sqrt{\epsilon v}\,\xi. $$

    The paper's $\alpha_i = \epsilon' \sigma_i^2 / \sigma_L^2$ is $\epsilon = \epsilon' / \sigma_L^2$: 0.2 in its
    experiments. `ts[0]` is only where the start is from. A chain of many steps has, of a Gaussian which has the
    variance V at its level, $V / (1 - \alpha / 4V)$.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        substeps: steps a level.
        step_size: $\epsilon$, in (0, 4), beyond which the chain of a point diverges.

    Raises:
        ValueError: for a process that is not overdamped, no whole number of `substeps`, or `step_size` outside (0, 4).

    Reference:
        Song, Ermon, "Generative modeling by estimating gradients of the data distribution" (2019), algorithm 1.
    """

    process: AbstractProcess
    denoise: Denoiser
    substeps: int = eqx.field(static=True, default=100)
    step_size: float = eqx.field(static=True, default=0.2, converter=float)
    is_time_reversal = False

    def __check_init__(self):
        check_overdamped(self, self.process)
        check_whole("AnnealedLangevin", "substeps", self.substeps, 1)
        if not 0 < self.step_size < 4:
            raise ValueError(
                f"`AnnealedLangevin` needs `step_size` in (0, 4), the step over the variance of the level. "
                f"Got {self.step_size}."
            )

    @property
    def draws(self) -> int:
        return self.substeps

    @property
    def evaluations(self) -> int:
        return self.substeps

    def plan(self, ts: Float[np.ndarray, " n"]) -> _Level:
        kernels = self.process.table(ts)
        mean, variance = np.asarray(kernels.mean), np.asarray(kernels.variance)
        return _Level(1 / mean[:-1], variance[1:], mean[1:])

    def init(self, z: State) -> State:
        return z

    def step(self, row: _Level, carry: State, noise: Draws) -> State:
        spread = jnp.sqrt(self.step_size * row.variance)

        def move(y, xi):
            return y + 0.5 * self.step_size * (self.denoise(y, row.variance) - y) + spread * xi, None

        # A loop, so that the program does not grow with the number of substeps.
        return row.mean * jax.lax.scan(move, row.gain * carry, noise)[0]


class PredictorCorrector(AbstractSampler):
    r"""Any sampler, followed at each new time by Langevin steps that hold a ratio of signal to noise.

    $$ z \leftarrow z + \epsilon\,\Sigma\,\nabla\log p_s(z) + \sqrt{2\epsilon}\,L\,\xi, \qquad
       \epsilon = 2\,(r\,|\xi| / |L^\top \nabla\log p_s(z)|)^2, $$

    $\Sigma = L L^\top$ the covariance of the state given the data; of a scalar $\Sigma$ this is the corrector of
    the paper, which it carries over to position and momentum in their own units. Norms are those of one sample,
    where the paper takes means over a batch: meant for many dimensions, since in few the score may nearly vanish.
    Where it is exactly 0 the paper's $\epsilon$ is infinite, and ours 0: that correction is left out.
    The corrector is biased at any number of steps: many corrections of a Gaussian of variance V leave
    $V / (1 - r^2)$.

    Args:
        predictor: any sampler whose carry holds the state as it is.
        snr: r > 0.
        corrections: Langevin steps at each time, one evaluation each.

    Raises:
        ValueError: unless `predictor` is a sampler, `snr` positive and finite, `corrections` a whole number >= 1.

    Reference:
        Song et al., "Score-based generative modeling through stochastic differential equations" (2021),
        algorithms 4 and 5, without the factor alpha of the latter.
    """

    predictor: AbstractSampler
    snr: float = eqx.field(static=True)
    corrections: int = eqx.field(static=True)
    is_time_reversal = False

    def __init__(self, predictor: AbstractSampler, snr: float = 0.16, corrections: int = 1):
        check_sampler("PredictorCorrector", predictor)
        if not 0 < snr < np.inf:
            raise ValueError(f"`PredictorCorrector` needs a finite `snr > 0`. Got {snr}.")
        check_whole("PredictorCorrector", "corrections", corrections, 1)
        self.predictor, self.snr, self.corrections = predictor, float(snr), corrections

    @property
    def process(self) -> AbstractProcess:
        return self.predictor.process

    @property
    def denoise(self) -> Denoiser:
        return self.predictor.denoise

    @property
    def draws(self) -> int:
        return self.predictor.draws + self.corrections

    @property
    def evaluations(self) -> int:
        return self.predictor.evaluations + self.corrections

    def calls(self, steps: int) -> int:
        return self.predictor.calls(steps) + steps * self.corrections

    def plan(self, ts: Float[np.ndarray, " n"]) -> tuple[PyTree[np.ndarray], Kernel]:
        return self.predictor.plan(ts), self.process.table(ts[1:])

    def init(self, z: State) -> PyTree[Array]:
        return self.predictor.init(z)

    def step(self, row: tuple[PyTree[Array], Kernel], carry: PyTree[Array], noise: Draws) -> PyTree[Array]:
        prediction, kernel = row
        # The norm reads it and the step; and of the words of all draws the parts would each be made of their own.
        noise = made_once(noise, kernel.variance)
        carry = self.predictor.step(prediction, carry, noise[: self.predictor.draws])

        def correct(z, xi):
            score = kernel.score(z, self.denoise(*kernel.observe(z)))
            whitened = block.apply(block.transpose(kernel.factor), score)
            squares = jnp.sum(whitened**2)
            # Of no score the ratio says nothing: no step is taken. Divided by 1 it has no nan in a derivative either.
            ratio = jnp.sqrt(jnp.sum(xi**2) / jnp.where(squares > 0, squares, 1))
            root = jnp.where(squares > 0, 2 * self.snr * ratio, 0)
            return z + block.apply(kernel.factor, 0.5 * root**2 * whitened + root * xi), None

        z = jax.lax.scan(correct, self.state(carry), noise[self.predictor.draws :])[0]
        return self._replaced(carry, z)

    def state(self, carry: PyTree[Array]) -> State:
        return self.predictor.state(carry)

    def _replaced(self, carry: PyTree[Array], z: State) -> PyTree[Array]:
        """The carry with another state in it."""
        old = self.state(carry)
        if not any(leaf is old for leaf in jax.tree.leaves(carry)):
            raise ValueError(
                "`PredictorCorrector` needs a `predictor` whose carry holds the state as it is, to be corrected. "
                f"Got `{type(self.predictor).__name__}`, which makes its state from its carry."
            )
        return jax.tree.map(lambda leaf: z if leaf is old else leaf, carry)
