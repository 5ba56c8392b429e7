"""What training makes small: the loss of one sample at one noise, of any denoiser."""

import abc
from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr

from .._types import Data, Denoiser, Noise, PRNGKey, Scalar
from .levels import AbstractLevels
from .weights import data_weight

Weight: TypeAlias = Callable[[Scalar], Scalar]
"""`weight(v)`: what a square error of the data counts at the noise variance `v`."""


class AbstractObjective(eqx.Module):
    """The loss of one sample; batches are made by `vmap`, and their mean over data, levels and keys is made small."""

    @abc.abstractmethod
    def __call__(self, denoise: Denoiser, a: Data, level: Scalar, key: PRNGKey) -> Scalar:
        """The loss of one clean sample, with noise drawn from the key.

        Args:
            denoise: `(y, v) -> estimate of a`.
            a: the sample, in data units.
            level: in (0, 1), the quantile of the noise level; uniform, or one of `stratified_levels`.
            key: a typed key.

        Returns:
            The loss, summed over the `d` coordinates.
        """


class AbstractChannelObjective(AbstractObjective):
    r"""A loss at $y = a + \sqrt{v}\,\varepsilon$, with v from a law of noise levels."""

    levels: eqx.AbstractVar[AbstractLevels]

    @abc.abstractmethod
    def draw(self, key: PRNGKey, a: Data) -> Noise:
        """The noise that `loss` needs for one sample."""

    @abc.abstractmethod
    def loss(self, denoise: Denoiser, a: Data, variance: Scalar, noise: Noise) -> Scalar:
        """The loss of one clean sample at a known noise.

        Args:
            denoise: `(y, v) -> estimate of a`.
            a: the sample, in data units.
            variance: v > 0, in data units squared.
            noise: as `draw` gives it.

        Returns:
            The loss, summed over the `d` coordinates.
        """

    def __call__(self, denoise: Denoiser, a: Data, level: Scalar, key: PRNGKey) -> Scalar:
        variance = jnp.asarray(self.levels.variance(level), a.dtype)
        return self.loss(denoise, a, variance, self.draw(key, a))


class DenoisingScoreMatching(AbstractChannelObjective):
    r"""$w(v)\,|\hat a(y, v) - a|^2$: in the mean, up to a constant, $w v^2$ times the square error of the score.

    Its minimiser is the posterior mean $E[a | y]$ whatever the weight; the least value is $w\,\mathrm{tr}\,E\,
    \mathrm{Cov}(a | y)$.

    Args:
        levels: the law of the noise.
        weight: `v -> w`, > 0, one of those in `learn.weights` or any other.

    Reference:
        Vincent, "A connection between score matching and denoising autoencoders" (2011).
    """

    levels: AbstractLevels
    weight: Weight

    def draw(self, key: PRNGKey, a: Data) -> Noise:
        return jr.normal(key, a.shape, a.dtype)

    def loss(self, denoise: Denoiser, a: Data, variance: Scalar, noise: Noise) -> Scalar:
        variance = jnp.asarray(variance, a.dtype)
        error = denoise(noisy(a, variance, noise), variance) - a
        return self.weight(variance) * jnp.sum(error**2)


class FlowMatching(AbstractChannelObjective):
    r"""$|u_\theta(x, u) - (\varepsilon - a)|^2$ on the straight path $x = (1 - u)\,a + u\,\varepsilon$.

    The velocity of a denoiser is $(x - \hat a) / u$ with $y = x / (1 - u)$, $\sqrt{v} = u / (1 - u)$: here u = 0 is
    data. For data of variance s the least value is $s / V$ per coordinate, $V = (1 - u)^2 s + u^2$. It is
    `DenoisingScoreMatching` at `flow_matching_weight`.

    Args:
        levels: the law of the noise; `FlowTimeLevels()` for u uniform, as published.

    Reference:
        Lipman et al., "Flow matching for generative modeling" (2023), eq. 23; Liu, Gong, Liu, "Flow straight and
        fast" (2023), eq. 1. Time runs the other way there.
    """

    levels: AbstractLevels

    def draw(self, key: PRNGKey, a: Data) -> Noise:
        return jr.normal(key, a.shape, a.dtype)

    def loss(self, denoise: Denoiser, a: Data, variance: Scalar, noise: Noise) -> Scalar:
        variance = jnp.asarray(variance, a.dtype)
        std = jnp.sqrt(variance)
        time, rest = std / (1 + std), 1 / (1 + std)
        x = rest * a + time * noise
        velocity = (x - denoise(x / rest, variance)) / time
        return jnp.sum((velocity - (noise - a)) ** 2)


def denoising_autoencoder(levels: AbstractLevels) -> DenoisingScoreMatching:
    r"""$|f(y, \tau) - a|^2$ at $y = a + \sqrt{\tau}\,\varepsilon$: the loss of a denoising autoencoder.

    The temperature is the noise variance, $\tau = v$, and f the magnetisation $\langle a \rangle_y$. It is normalised
    as that of f itself: the least value is $\mathrm{tr}\,E\,\mathrm{Cov}(a | y) = \tau\,E\,\mathrm{tr}\,J$, of the
    stability matrix J. A network of the residual $y - f$ has the same loss, $|(y - f) - \sqrt{\tau}\,\varepsilon|^2$.

    Args:
        levels: the law of the temperature.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), whose network is that of
        a denoising autoencoder; the weight 1 at every temperature is a choice made here.
    """
    return DenoisingScoreMatching(levels, data_weight)


def noisy(a: Data, variance: Scalar, noise: Noise) -> Data:
    r"""$y = a + \sqrt{v}\,\varepsilon$."""
    return a + jnp.sqrt(variance) * noise
