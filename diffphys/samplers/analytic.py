"""Analytic-DPM: the ancestral step with the variance that is best for the data at hand."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .._types import Denoiser, PRNGKey, Times
from ..processes import AbstractProcess, Kernel
from ._checks import check_parts
from .channel import AbstractChannelSampler, ChannelStep
from .combination import Combination
from .table import Step


class AnalyticDDPM(AbstractChannelSampler):
    r"""DDPM's ancestral step with the noise of the optimal variance, that of $z_s$ given $z_t$, averaged.

    $$ y_s = k\,y + (1 - k)\,\hat a + c\,\xi, \qquad k = \rho_s^2 / \rho_t^2, \qquad
       c^2 = \rho_s^2 (1 - k) + (1 - k)^2 \rho_t^2 \left(1 - \sigma_t^2\,E|\nabla\log p_t|^2 / d\right) : $$

    the variance of the bridge, and what the data are still free to vary, $\overline{\mathrm{Var}}(a \mid y)$. Exact for
    an isotropic Gaussian on any grid; else weak order 1. The bracket is kept within [0, 1], the bounds of the
    paper, which an estimate may leave.

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        mean_square_score: $E|\nabla\log p_t(z)|^2 / d$ over the law of z at t: a function of t, or its values at the
            times of the grid, as the function `mean_square_score` gives them.

    Reference:
        Bao, Li, Zhu, Zhang, "Analytic-DPM: an analytic estimate of the optimal reverse variance in diffusion
        probabilistic models" (2022), theorems 1 and 2.
    """

    process: AbstractProcess
    denoise: Denoiser
    mean_square_score: Callable[[float], float] | Float[np.ndarray, " n"]
    is_time_reversal = True
    draws = 1
    evaluations = 1
    history = 0

    def advance(self, step: ChannelStep) -> Combination:
        free = np.clip(1 - step.step.kernel(step.t).cov * self._mean_square(step.step), 0.0, 1.0)
        new = -np.expm1(-2 * step.h)
        spread = np.sqrt(new * (step.rho_s**2 + new * step.rho**2 * free))
        return step.y + new * (step.data() - step.y) + spread * step.draw()

    def _mean_square(self, step: Step) -> float:
        if callable(self.mean_square_score):
            return _finite(self.mean_square_score(step.t), step.t)
        if np.shape(self.mean_square_score) != step.ts.shape:
            raise ValueError(
                f"`mean_square_score` needs a value for each of the {step.ts.size} times of the grid. "
                f"Got shape {np.shape(self.mean_square_score)}. Do make it for this grid, or give a function of t."
            )
        return _finite(float(self.mean_square_score[step.i]), step.t)


def _finite(found: float, t: float) -> float:
    if not np.isfinite(found):
        raise ValueError(f"`mean_square_score` needs finite values. Got {found} at t = {t:.6g}.")
    return found


def mean_square_score(
    key: PRNGKey, process: AbstractProcess, denoise: Denoiser, data: Float[Array, "n d"], ts: Times
) -> Float[np.ndarray, " times"]:
    r"""$E|\nabla\log p_t(z)|^2 / d$ at each of the times `ts`, averaged over `data`, each noised once a time.

    Args:
        key: a typed key.
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        data: clean data, one a row.
        ts: times above 0.

    Raises:
        ValueError: for data that are no rows, or none.
    """
    check_parts("mean_square_score", process, denoise)
    if np.ndim(data) != 2 or np.size(data) == 0:
        raise ValueError(f"`mean_square_score` needs `data` of shape (n, d), at least one row. Got {np.shape(data)}.")
    grid = np.asarray(ts, np.float64)
    table = jax.tree.map(lambda leaf: jnp.asarray(leaf, data.dtype), process.table(grid))
    return np.asarray(_mean_squares(key, denoise, data, table, jnp.arange(grid.size)), np.float64)


@eqx.filter_jit
def _mean_squares(
    key: PRNGKey, denoise: Denoiser, data: Float[Array, "n d"], table: Kernel, numbers: Array
) -> Float[Array, " times"]:
    def at_time(indexed):
        i, kernel = indexed
        noise = jr.normal(jr.fold_in(key, i), data.shape, data.dtype)

        def square(a, noise):
            z = kernel.noised(a, noise)
            return jnp.mean(kernel.score(z, denoise(*kernel.observe(z))) ** 2)

        return jnp.mean(jax.vmap(square)(data, noise))

    return jax.lax.map(at_time, (numbers, table))
