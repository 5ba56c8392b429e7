"""Score matching of states with momenta, given the data alone or the starting momenta too."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .. import _block as block
from .._types import Data, Denoiser, Noise, PRNGKey, Scalar
from ..processes import AbstractProcess
from .levels import finite_range
from .objectives import AbstractObjective


class AbstractPhaseSpaceObjective(AbstractObjective):
    """A loss of a state z of a process at a time that is uniform between two ends."""

    process: eqx.AbstractVar[AbstractProcess]
    low: eqx.AbstractVar[Scalar]
    high: eqx.AbstractVar[Scalar]

    @abc.abstractmethod
    def draw(self, key: PRNGKey, a: Data) -> Noise:
        """The noise that `loss` needs for one sample."""

    @abc.abstractmethod
    def loss(self, denoise: Denoiser, a: Data, t: Scalar, noise: Noise) -> Scalar:
        """The loss of one clean sample at a known time and noise.

        Args:
            denoise: `(y, v) -> estimate of a`; it is asked at the channel of the state.
            a: the sample, in data units.
            t: the diffusion time, > 0.
            noise: as `draw` gives it.

        Returns:
            The loss, summed over variables and coordinates.
        """

    def __call__(self, denoise: Denoiser, a: Data, level: Scalar, key: PRNGKey) -> Scalar:
        low, high, level = (jnp.asarray(value, a.dtype) for value in (self.low, self.high, level))
        return self.loss(denoise, a, low + (high - low) * level, self.draw(key, a))


class HybridScoreMatching(AbstractPhaseSpaceObjective):
    r"""The noise of a state given the data alone, its momentum averaged out.

    $$ |L^{-1}(z - m \otimes \hat a) - \varepsilon|^2, \qquad z = m \otimes a + L \varepsilon. $$

    The starting momentum is drawn with the noise: L is the factor of the covariance with it. For data of variance s
    the least value is $\mathrm{tr}(I - L^\top P^{-1} L) = s / (s + v)$ per coordinate, P the covariance of the state.
    It is `DenoisingScoreMatching` at `noise_weight` and the noise variance of the channel of `z`: a denoiser trained in
    the one way serves in the other.

    Args:
        process: a linear process whose state has momenta.
        low: least time, > 0.
        high: largest time, above `low`.

    Raises:
        ValueError: unless 0 < `low` < `high`, or for a process whose state is the position alone.

    Reference:
        Dockhorn, Vahdat, Kreis, "Score-based generative modeling with critically-damped Langevin diffusion" (2022),
        section 3.2; Pandey, Mandt, "A complete recipe for diffusion generative models" (2023), section 3.
    """

    process: AbstractProcess
    low: Scalar
    high: Scalar

    def __init__(self, process: AbstractProcess, low: Scalar, high: Scalar):
        self.process, (self.low, self.high) = process, _checked(type(self).__name__, process, low, high)

    def draw(self, key: PRNGKey, a: Data) -> Noise:
        return jr.normal(key, (np.size(self.process.start()[0]), a.size), a.dtype)

    def loss(self, denoise: Denoiser, a: Data, t: Scalar, noise: Noise) -> Scalar:
        kernel = _of_type(self.process, a).kernel(jnp.asarray(t, a.dtype))
        z = kernel.noised(a, noise)
        estimate = block.lift(kernel.mean, denoise(*kernel.observe(z)))
        return jnp.sum((block.apply(block.inverse_lower(kernel.factor), z - estimate) - noise) ** 2)


class FullScoreMatching(AbstractPhaseSpaceObjective):
    r"""The score of a state given its data and its starting momentum: denoising score matching in phase space.

    $$ |L^\top (\hat s(z) - \nabla \log p(z \mid a, p_0))|^2, \qquad \hat s = \Sigma^{-1}(m \otimes \hat a - z). $$

    $\Sigma = L L^\top$ is the covariance given the data alone, so that errors are measured as in `HybridScoreMatching`,
    and the means of the two differ by a number that no denoiser changes: minimiser and mean gradient are the same. The
    target given the data alone is the mean of this one over the momentum, so the gradient of this one varies more: near
    the data of CLD four times as much, of PSLD some per cent. It is here to compare with.

    Args:
        process: a linear process whose state has momenta.
        low: least time, > 0.
        high: largest time, above `low`.

    Raises:
        ValueError: unless 0 < `low` < `high`, or for a process whose state is the position alone.

    Reference:
        Dockhorn, Vahdat, Kreis, "Score-based generative modeling with critically-damped Langevin diffusion" (2022),
        section 3.2, where the error is not weighted by L.
    """

    process: AbstractProcess
    low: Scalar
    high: Scalar

    def __init__(self, process: AbstractProcess, low: Scalar, high: Scalar):
        self.process, (self.low, self.high) = process, _checked(type(self).__name__, process, low, high)

    def draw(self, key: PRNGKey, a: Data) -> Noise:
        return jr.normal(key, (2 * np.size(self.process.start()[0]), a.size), a.dtype)

    def loss(self, denoise: Denoiser, a: Data, t: Scalar, noise: Noise) -> Scalar:
        process, t = _of_type(self.process, a), jnp.asarray(t, a.dtype)
        starting, later = jnp.split(noise, 2)
        lift, spread = process.start()
        propagator, factor = process.transition(jnp.zeros_like(t), t)
        start = block.lift(lift, a) + block.apply(spread, starting)
        z = block.apply(propagator, start) + block.apply(factor, later)
        target = -block.apply(block.transpose(block.inverse_lower(factor)), later)
        kernel = process.kernel(t)
        error = kernel.score(z, denoise(*kernel.observe(z))) - target
        return jnp.sum(block.apply(block.transpose(kernel.factor), error) ** 2)


def _of_type(process: AbstractProcess, a: Data) -> AbstractProcess:
    """The process with parameters of the type of the data: under `jit` float64 ones would decide for all."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, a.dtype) if eqx.is_inexact_array(leaf) else leaf, process)


def _checked(owner: str, process: AbstractProcess, low: Scalar, high: Scalar) -> tuple[Any, Any]:
    """The ends of the times, once the process and they are seen to be usable."""
    if np.ndim(process.start()[0]) == 0:
        raise ValueError(
            f"`{owner}` needs a process whose state has momenta. Got `{type(process).__name__}`. "
            "Do use `DenoisingScoreMatching` with `ProcessLevels`."
        )
    return finite_range(owner, low, high, "times")
