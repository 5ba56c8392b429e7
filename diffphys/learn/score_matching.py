"""Score matching that never sees the clean sample: by the divergence of the score, exact or by random probes."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._types import Data, Denoiser, Noise, PRNGKey, Scalar
from .levels import AbstractLevels
from .objectives import AbstractChannelObjective, Weight, noisy
from .weights import score_weight

Probes = Float[Array, "number d"]


class AbstractProbes(eqx.Module):
    r"""Random vectors with $E\,u u^\top = I$, for which the mean of $u^\top J u$ is the trace of J."""

    number: eqx.AbstractVar[int]

    @abc.abstractmethod
    def draw(self, key: PRNGKey, a: Data) -> Probes:
        """The vectors for one sample."""


def _check_number(probes: AbstractProbes, number: int):
    if number < 1:
        raise ValueError(f"`{type(probes).__name__}` needs `number >= 1`. Got {number}. For none leave out `probes`.")


class SignProbes(AbstractProbes):
    r"""Independent signs: a trace of variance $2\,(|S|_F^2 - \sum_i S_{ii}^2) / n$, $S = (J + J^\top) / 2$.

    Args:
        number: n, how many a sample, at least 1.

    Raises:
        ValueError: if it is below 1.

    Reference:
        Hutchinson, "A stochastic estimator of the trace of the influence matrix" (1990).
    """

    number: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        _check_number(self, self.number)

    def draw(self, key: PRNGKey, a: Data) -> Probes:
        return jr.rademacher(key, (self.number, a.size), a.dtype)


class NormalProbes(AbstractProbes):
    r"""Standard normal numbers: a trace of variance $2\,|S|_F^2 / n$, $S = (J + J^\top) / 2$; in any basis alike.

    Args:
        number: n, how many a sample, at least 1.

    Raises:
        ValueError: if it is below 1.
    """

    number: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        _check_number(self, self.number)

    def draw(self, key: PRNGKey, a: Data) -> Probes:
        return jr.normal(key, (self.number, a.size), a.dtype)


class ImplicitScoreMatching(AbstractChannelObjective):
    r"""$w v^2\,(|s|^2 + 2\,\nabla \cdot s)$ of the score $s = (\hat a(y, v) - y) / v$, at noisy y: Hyvärinen's loss.

    In the mean it is `DenoisingScoreMatching` of the same weight less $w\,v\,d$, for any denoiser, with the
    minimiser and its Hessian in common; it needs y alone. It is written without a division by v,
    $w\,(|\hat a - y|^2 + 2 v\,(\mathrm{tr}\,J - d))$, J the Jacobian of the denoiser. At `score_weight` it is
    $|s|^2 + 2 \nabla \cdot s$, of least value $-1 / (s + v)$ per coordinate for data of variance s.

    With probes it is twice the variance-reduced form of sliced score matching, the noise of $\mathrm{tr}\,I$ left out.

    Args:
        levels: the law of the noise.
        weight: `v -> w`, of a square error of the data, as of `DenoisingScoreMatching`.
        probes: for the trace of the Jacobian; without them it is exact, at d products with it.

    Reference:
        Hyvarinen, "Estimation of non-normalized statistical models by score matching" (2005), theorem 1, without its
        1/2; Song, Garg, Shi, Ermon, "Sliced score matching" (2019), for the probes.
    """

    levels: AbstractLevels
    weight: Weight = score_weight
    probes: AbstractProbes | None = None

    def draw(self, key: PRNGKey, a: Data) -> Noise:
        return _draw(key, a, self.probes)

    def loss(self, denoise: Denoiser, a: Data, variance: Scalar, noise: Noise) -> Scalar:
        variance = jnp.asarray(variance, a.dtype)
        shift, push = _shift(denoise, a, variance, noise[0])
        probes = jnp.eye(a.size, dtype=a.dtype) if self.probes is None else noise[1:]
        # A sum over the axes is the trace, a mean over probes an estimate of it.
        count = 1 if self.probes is None else self.probes.number
        trace = jnp.sum(probes * jax.vmap(push)(probes)) / count
        return self.weight(variance) * (jnp.sum(shift**2) + 2 * variance * (trace - a.size))


class SlicedScoreMatching(AbstractChannelObjective):
    r"""$w v^2\,E_u [u^\top \nabla s\,u + \tfrac12 (u^\top s)^2]$ of the score along random directions u.

    In the mean it is half of `ImplicitScoreMatching`, which with the same probes is the variance-reduced form and to
    be preferred: it knows $|s|^2$, which costs nothing.

    Args:
        levels: the law of the noise.
        weight: `v -> w`, of a square error of the data, as of `DenoisingScoreMatching`.
        probes: the law and the number of directions.

    Reference:
        Song, Garg, Shi, Ermon, "Sliced score matching" (2019), section 3.
    """

    levels: AbstractLevels
    weight: Weight = score_weight
    probes: AbstractProbes = SignProbes()

    def draw(self, key: PRNGKey, a: Data) -> Noise:
        return _draw(key, a, self.probes)

    def loss(self, denoise: Denoiser, a: Data, variance: Scalar, noise: Noise) -> Scalar:
        variance = jnp.asarray(variance, a.dtype)
        shift, push = _shift(denoise, a, variance, noise[0])

        def along(u: Data) -> Scalar:
            return variance * jnp.sum(u * (push(u) - u)) + 0.5 * jnp.sum(u * shift) ** 2

        return self.weight(variance) * jnp.mean(jax.vmap(along)(noise[1:]))


def _draw(key: PRNGKey, a: Data, probes: AbstractProbes | None) -> Noise:
    """The noise of the observation, and below it the probes."""
    noise_key, probe_key = jr.split(key)
    noise = jr.normal(noise_key, (1, a.size), a.dtype)
    return noise if probes is None else jnp.concatenate([noise, probes.draw(probe_key, a)])


def _shift(denoise: Denoiser, a: Data, variance: Scalar, noise: Data) -> tuple[Data, Callable[[Data], Data]]:
    """The score times v, and the product of a vector with the Jacobian of the denoiser."""
    y = noisy(a, variance, noise)
    estimate, push = jax.linearize(lambda y: denoise(y, variance), y)
    return estimate - y, push
