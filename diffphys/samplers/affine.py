"""One-stage samplers: each step is affine in the state, in one estimate of the data and in one noise."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from .. import _block as block
from .._types import Block, Denoiser, Lift, Scalar, State
from ..processes import AbstractProcess, Kernel
from .base import AbstractSampler


class AffineRow(NamedTuple):
    r"""One step, $z_s = P z_t + q \otimes \hat a(y, v) + R\,\varepsilon$ with $y = w^\top z_t$."""

    gain: Lift
    """w."""
    variance: Scalar
    """v."""
    carry: Block
    """P."""
    pull: Lift
    """q."""
    noise: Block
    """R."""


def affine_step(denoise: Denoiser, row: AffineRow, z: State, noise: Float[Array, "draws ..."]) -> State:
    """Takes the step of a row. `noise` holds one array, or none."""
    data = denoise(block.project(row.gain, z), row.variance)
    z = block.apply(row.carry, z) + block.lift(row.pull, data)
    return z + block.apply(row.noise, noise[0]) if noise.shape[0] else z


def _stack(rows: list[AffineRow]) -> AffineRow:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


class ReverseSDE(AbstractSampler):
    r"""Euler-Maruyama for $dz = [F z - \tfrac{1 + \lambda^2}{2} G G^\top \nabla\log p_t]\,dt + \lambda\,G\,d\bar W$.

    All members of the family have the same marginals. $\lambda = 1$, the default, is Anderson's reverse SDE, the only
    one whose paths are the forward paths reversed; $\lambda = 0$ is the probability-flow ODE by Euler steps.
    Weak order 1.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.
        noise_level: $\lambda \ge 0$.

    Reference:
        Anderson, "Reverse-time diffusion equation models" (1982); Song et al., "Score-based generative modeling
        through stochastic differential equations" (2021), eqs. 6 and 13.
    """

    process: AbstractProcess
    denoise: Denoiser
    noise_level: float = eqx.field(static=True, default=1.0)
    evaluations: int = eqx.field(static=True, init=False, default=1)

    def __check_init__(self):
        if not 0 <= self.noise_level < np.inf:
            raise ValueError(f"`ReverseSDE` needs a finite `noise_level >= 0`. Got {self.noise_level}.")

    @property
    def is_time_reversal(self) -> bool:
        return self.noise_level == 1

    @property
    def draws(self) -> int:
        return 0 if self.noise_level == 0 else 1

    def plan(self, ts: Float[np.ndarray, " n"]) -> AffineRow:
        process = self.process.on_host()
        return _stack([self._row(process, t, s) for t, s in itertools.pairwise(ts)])

    def _row(self, process: AbstractProcess, t: float, s: float) -> AffineRow:
        drift, noise = process.coefficients(t)
        kernel, h = process.kernel(t), t - s
        # The score is S^-1 (m a - z): its part in z joins the drift.
        force = 0.5 * h * (1 + self.noise_level**2) * block.matmul(block.outer(noise), kernel.precision)
        carry = block.identity_like(drift) - h * drift - force
        pull = block.matmul(force, kernel.mean)
        return AffineRow(kernel.gain, kernel.variance, carry, pull, self.noise_level * np.sqrt(h) * noise)

    def init(self, z: State) -> State:
        return z

    def step(self, row: AffineRow, carry: State, noise: Float[Array, "draws ..."]) -> State:
        return affine_step(self.denoise, row, carry, noise)


class Bridge(AbstractSampler):
    r"""The exact law of $z_s$ given $z_t$ and the data, with the data replaced by its estimate.

    $$ z_s = m_s \otimes \hat a + K (z_t - m_t \otimes \hat a) + C \varepsilon, \qquad
       K = \Sigma_s E^\top \Sigma_t^{-1}, \quad C C^\top = \Sigma_s - K E \Sigma_s, $$

    E the propagator from s to t: the exponential step on the data prediction, for any linear process. For OU it is
    DDPM's ancestral step. Exact, at any step, for a single datum; weak order 1 on a grid uniform in log-SNR.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        Ho, Jain, Abbeel, "Denoising diffusion probabilistic models" (2020), eqs. 6-7.
    """

    process: AbstractProcess
    denoise: Denoiser
    is_time_reversal: bool = eqx.field(static=True, init=False, default=True)
    draws: int = eqx.field(static=True, init=False, default=1)
    evaluations: int = eqx.field(static=True, init=False, default=1)

    def plan(self, ts: Float[np.ndarray, " n"]) -> AffineRow:
        process = self.process.on_host()
        kernels = [process.kernel(t) for t in ts]
        steps = zip(itertools.pairwise(ts), itertools.pairwise(kernels), strict=True)
        return _stack([_bridge(now, then, *process.transition(s, t)) for (t, s), (now, then) in steps])

    def init(self, z: State) -> State:
        return z

    def step(self, row: AffineRow, carry: State, noise: Float[Array, "draws ..."]) -> State:
        return affine_step(self.denoise, row, carry, noise)


def _bridge(now: Kernel, then: Kernel, propagator: Block, spread: Block) -> AffineRow:
    """The row of a step down from one kernel to another, of the transition up between them."""
    back = block.matmul(block.matmul(then.cov, block.transpose(propagator)), now.precision)
    # Joseph's form of the covariance: a sum of squares.
    kept = block.identity_like(back) - block.matmul(back, propagator)
    noise = block.join(block.matmul(kept, then.factor), block.matmul(back, spread))
    return AffineRow(now.gain, now.variance, back, then.mean - block.matmul(back, now.mean), noise)
