r"""Weights of a square error of the data, $w(v)\,|\hat a - a|^2$: each makes it the loss of another prediction.

What a network predicts is linear in its estimate of the data, so that an error of one is a multiple of an error of the
other. All of these share their minimiser; they differ in which noise levels count.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .. import _block as block
from .._types import Scalar
from .levels import AbstractContinuousLevels


def data_weight(variance: Scalar) -> Scalar:
    """1: the loss of a prediction of the data, and of a denoising autoencoder."""
    return jnp.ones_like(variance)


def noise_weight(variance: Scalar) -> Scalar:
    r"""$1 / v$: the loss of a prediction of the noise, $|\hat\varepsilon - \varepsilon|^2$.

    Reference:
        Ho, Jain, Abbeel, "Denoising diffusion probabilistic models" (2020), eq. 14.
    """
    return 1 / variance


def multiscale_weight(variance: Scalar) -> Scalar:
    r"""$1 / 2v$: half the square error of the score times the noise variance, at each of many noises.

    Reference:
        Song, Ermon, "Generative modeling by estimating gradients of the data distribution" (2019), eqs. 5 and 6 at
        $\lambda = \sigma^2$.
    """
    return 0.5 / variance


def score_weight(variance: Scalar) -> Scalar:
    r"""$1 / v^2$: the square error of the score of `y`, $|s(y) + \varepsilon / \sqrt{v}|^2$.

    Reference:
        Vincent, "A connection between score matching and denoising autoencoders" (2011), without its 1/2.
    """
    return variance**-2


def velocity_weight(variance: Scalar) -> Scalar:
    r"""$(1 + v) / v$: the loss of a prediction of $\mu \varepsilon - \sigma a$, the velocity of VP.

    With $\mu^2 = 1 / (1 + v) = 1 - \sigma^2$, an error e of the data is one of $-e / \sigma$ of the velocity.

    Reference:
        Salimans, Ho, "Progressive distillation for fast sampling of diffusion models" (2022), section 4.
    """
    return 1 + 1 / variance


def flow_matching_weight(variance: Scalar) -> Scalar:
    r"""$(1 + 1 / \sqrt{v})^2$: the loss of a prediction of $\varepsilon - a$, the velocity of the straight path.

    On $(1 - u)\,a + u\,\varepsilon$, $u = \sqrt{v} / (1 + \sqrt{v})$, an error e of the data is one of $-e / u$.

    Reference:
        Lipman et al., "Flow matching for generative modeling" (2023), eq. 23 at a final width of 0.
    """
    return (1 + 1 / jnp.sqrt(variance)) ** 2


class ResidualWeight(eqx.Module):
    r"""$(v + v_a) / (v\,v_a)$: the loss of the raw network of EDM, whose target has variance 1 at every noise.

    It is that of `ResidualPrediction(v_a)`; for Gaussian data of variance $v_a$ the least loss is 1 per coordinate.

    Args:
        data_variance: $v_a$, the variance of a coordinate of the data, > 0.

    Raises:
        ValueError: if it is not positive and finite.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), table 1.
    """

    data_variance: Scalar

    def __init__(self, data_variance: Scalar):
        self.data_variance = block.parameter(data_variance)
        if block.fails((self.data_variance > 0) & (self.data_variance < np.inf)):
            raise ValueError(f"`ResidualWeight` needs a finite `data_variance > 0`. Got {self.data_variance}.")

    def __call__(self, variance: Scalar) -> Scalar:
        variance = jnp.asarray(variance)
        return 1 / variance + 1 / jnp.asarray(self.data_variance, variance.dtype)


class LikelihoodWeight(eqx.Module):
    r"""$1 / (2 v^2 p(v))$, p the density of the levels: the mean of the loss is a relative entropy, whatever they are.

    $$ E\,w(v)\,|\hat a_\theta - a|^2 = \mathrm{KL}_{path} + I(a; y_{low}) - I(a; y_{high}), \qquad
       \mathrm{KL}_{path} = \tfrac12 \int_{low}^{high} E\,|\hat a_\theta - E[a|y]|^2\, \frac{dv}{v^2}, $$

    over the range of the levels, in nats. The path term is what `path_divergence` measures; it bounds the relative
    entropy of what is generated. The mutual informations do not depend on the network.

    Args:
        levels: the law of the noise that the objective uses.

    Reference:
        Song, Durkan, Murray, Ermon, "Maximum likelihood training of score-based diffusion models" (2021), theorem 1,
        here in the noise variance; Guo, Shamai, Verdu, "Mutual information and minimum mean-square error" (2005).
    """

    levels: AbstractContinuousLevels

    def __call__(self, variance: Scalar) -> Scalar:
        variance = jnp.asarray(variance)
        return 0.5 / (variance**2 * self.levels.density(variance))
