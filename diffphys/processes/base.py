"""What a forward process must provide, and the law of its state given the data."""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from .. import _block as block
from .._keys import check_key
from .._root import root
from .._types import Block, Data, Lift, Noise, PRNGKey, Scalar, State

# The logarithm of the latest time at which a noise level is looked for.
_LATEST = 40.0


class Kernel(eqx.Module):
    r"""The law $p(z_t \mid a) = \mathcal{N}(m_t \otimes a,\; \Sigma_t \otimes I_d)$ at one time.

    All that `z` says of `a` is in one sufficient statistic, the **channel**

    $$ y = v\, m^\top \Sigma^{-1} z = a + \sqrt{v}\,\varepsilon, \qquad v = 1 / (m^\top \Sigma^{-1} m). $$

    Every number is made from the triangular factor of $\Sigma$, which the processes give without cancellation:
    none from inverting $\Sigma$. A kernel is a pytree: stacked over a grid it is a table.
    """

    mean: Lift
    """The lift m."""
    factor: Block
    """The lower triangular L with covariance L L'."""
    precision: Block
    """The inverse covariance."""
    gain: Lift
    """The weights w of the channel, y = w' z."""
    variance: Scalar
    """The variance v of the channel."""
    complement: Float[Array | np.ndarray, "k j"] | None
    """Whitens the j = k - 1 directions of z that say nothing of a. None for a scalar."""
    log_volume: Scalar
    """(k - 1) log(2 pi) + log det(covariance) - log v."""

    @classmethod
    def from_factor(cls, mean: Lift, factor: Block) -> "Kernel":
        """The kernel with lift `mean` and covariance `factor @ factor.T`, of a lower triangular factor.

        Raises:
            ValueError: if the covariance is singular.
        """
        xp: Any = jnp if isinstance(factor, jax.Array) else np
        if block.fails((factor if np.ndim(factor) == 0 else xp.diagonal(factor).min()) > 0):
            raise ValueError(
                "`Kernel` needs a covariance of full rank: noise must reach every variable of the state. "
                f"Got the factor\n{factor}"
            )
        if np.ndim(factor) == 0:
            log_volume = 2 * xp.log(abs(mean))
            return cls(mean, factor, 1 / (factor * factor), 1 / mean, (factor / mean) ** 2, None, log_volume)
        k = np.shape(factor)[0]
        whiten = block.inverse_lower(factor)
        whitened = whiten @ mean
        variance = 1 / (whitened @ whitened)
        normal = block.normal_to(mean)
        spread = block.join(normal.T @ factor)
        log_det = 2 * xp.sum(xp.log(xp.diagonal(factor)))
        return cls(
            mean=mean,
            factor=factor,
            precision=whiten.T @ whiten,
            gain=variance * (whiten.T @ whitened),
            variance=variance,
            complement=normal @ block.inverse_lower(spread).T if k > 1 else normal,
            log_volume=(k - 1) * math.log(2 * math.pi) + log_det - xp.log(variance),
        )

    @property
    def cov(self) -> Block:
        """The covariance."""
        return block.outer(self.factor)

    def noised(self, a: Data, noise: Noise) -> State:
        """The state that the data `a` becomes with standard normal `noise` of the shape of a state."""
        return block.lift(self.mean, a) + block.apply(self.factor, noise)

    def sample(self, key: PRNGKey, a: Data) -> State:
        """Draws a state given the data."""
        check_key(key)
        return self.noised(a, jr.normal(key, np.shape(self.mean) + a.shape, a.dtype))

    def prior(self, key: PRNGKey, dim: int, dtype: DTypeLike | None = None) -> State:
        """Draws from `N(0, cov)`: the law at `t` once the data is forgotten."""
        return self.sample(key, jnp.zeros(dim, dtype))

    def observe(self, z: State) -> tuple[Data, Scalar]:
        r"""The channel: `z` tells of `a` what $y = a + \sqrt{v}\,\varepsilon$ tells."""
        return block.project(self.gain, z), jnp.asarray(self.variance, z.dtype)

    def score(self, z: State, a: Data) -> State:
        r"""$\nabla_z \log p(z \mid a)$; with `a = E[a | z]` this is $\nabla_z \log p_t(z)$."""
        return block.apply(self.precision, block.lift(self.mean, a) - z)

    def log_base_measure(self, z: State) -> Scalar:
        r"""$\log p(z \mid a) - \log \mathcal{N}(y; a, v I)$, which does not depend on `a`."""
        volume = z.shape[-1] * jnp.asarray(self.log_volume, z.dtype)
        if self.complement is None:
            return -0.5 * volume
        directions = jnp.asarray(self.complement, z.dtype).T
        return -0.5 * (sum(jnp.sum(block.project(row, z) ** 2) for row in directions) + volume)


class AbstractProcess(eqx.Module):
    r"""A linear noising process, $dz = F(t)\,z\,dt + G(t)\,dW$, run on each coordinate alike.

    Time is diffusion time throughout `diffphys`: $t = 0$ is data and larger $t$ is noisier. Given times that are
    Python or NumPy numbers, coefficients are NumPy float64; given jax arrays, they are jax arrays of that dtype.
    """

    @abc.abstractmethod
    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        """The drift `F(t)` and the noise `G(t)`."""

    @abc.abstractmethod
    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        r"""$E, L$ such that $z_t \mid z_s \sim \mathcal{N}(E z_s,\; L L^\top)$, for $s < t$; L lower triangular."""

    @abc.abstractmethod
    def start(self) -> tuple[Lift, Block]:
        """The lift of `z_0` given `a`, and the triangular factor of its covariance."""

    @abc.abstractmethod
    def kernel(self, t: Scalar) -> Kernel:
        """The law of `z_t` given the clean data, for `t > 0`."""

    def time_of_variance(self, variance: float) -> float:
        """The time at which the channel has a noise variance `v`: where processes ask a denoiser the same question.

        Args:
            variance: v > 0, in data units squared; nan gives nan.

        Raises:
            ValueError: if it is not positive, or the noise never grows to it.
        """
        if math.isnan(variance):
            return math.nan
        process = self.on_host()

        def gap(log_t: float) -> float:
            return math.log(float(process.kernel(math.exp(log_t)).variance) / variance)

        high = 1.0
        if 0 < variance < math.inf:
            while gap(high) < 0 and high < _LATEST:
                high += 1.0
        if not 0 < variance < math.inf or gap(high) < 0:
            raise ValueError(f"`variance` needs a positive noise that the process reaches. Got {variance}.")
        return math.exp(root(gap, -40.0, high))

    def on_host(self) -> "AbstractProcess":
        """The process with its parameters in NumPy float64: what tables of coefficients are made from."""
        try:
            return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if eqx.is_inexact_array(leaf) else leaf, self)
        except jax.errors.TracerArrayConversionError:
            raise ValueError(
                f"`{type(self).__name__}` needs known parameters for a table of coefficients, made on the host. "
                "Got traced ones. Call `plan`, `table` or `simulate` outside of `jit`, `vmap` and `grad` over them."
            ) from None

    def table(self, ts: Float[np.ndarray, " n"]) -> Kernel:
        """The kernels of a grid of times, stacked on a leading axis: NumPy float64."""
        process = self.on_host()
        return jax.tree.map(lambda *leaves: np.stack(leaves), *[process.kernel(float(t)) for t in ts])


class AbstractStationaryProcess(AbstractProcess):
    r"""A process that relaxes to $\mathcal{N}(0,\; S \otimes I_d)$."""

    @abc.abstractmethod
    def stationary(self) -> Block:
        """The triangular factor of the stationary covariance `S`."""


def check_order(s: Scalar, t: Scalar) -> None:
    """Refuses more than one time, and known ones that do not go from `s` up to a finite `t`."""
    if np.shape(t):
        raise ValueError(f"`t` needs one time. Got shape {np.shape(t)}. Map over many with `jax.vmap`.")
    if block.fails((t > s) & (t < np.inf)):
        raise ValueError(
            f"`transition` needs s < t < inf, and `kernel` t > 0: no time, no noise. Got s = {s} and t = {t}. "
            "Do pass a finite t above s."
        )
