"""Denoisers of one class, and guidance between them and the denoiser of all."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import Data, Denoiser, Scalar
from ..samplers import AbstractSampler
from ..targets import AbstractDataSet, AbstractLabelledTarget

Conditional = Callable[[Data, Scalar, Int[Array, ""]], Data]
"""`conditional(y, v, label)`: an estimate of `a` from the channel, given its label."""


class ClassMean(eqx.Module):
    r"""The exact denoiser of one class of a target, by Bayes' rule from its denoiser and its label posterior.

    $$ E[a | y, k] = E[a | y] + v\, \nabla_y \log P(k | y) $$
    """

    target: AbstractLabelledTarget

    def __call__(self, y: Data, variance: Scalar, label: Int[Array, ""]) -> Data:
        variance = jnp.asarray(variance, y.dtype)
        pull = jax.grad(lambda y: self.target.label_log_posterior(y, variance)[label])(y)
        return self.target.posterior_mean(y, variance) + variance * pull


class ClassData(eqx.Module):
    """The exact denoiser of one class of a data set: that of the data in it."""

    classes: tuple[AbstractDataSet, ...]

    def __call__(self, y: Data, variance: Scalar, label: Int[Array, ""]) -> Data:
        variance = jnp.asarray(variance, y.dtype)
        branches = [lambda y, v, one=one: one.posterior_mean(y, v) for one in self.classes]
        return jax.lax.switch(label, branches, y, variance)


def exact_conditional(target: AbstractLabelledTarget) -> Conditional:
    """The exact denoiser of each class of a target."""
    if not isinstance(target, AbstractDataSet):
        return ClassMean(target)
    labels = np.asarray(target.labels)
    return ClassData(tuple(target.subset(np.flatnonzero(labels == k)) for k in range(target.num_labels)))


class Guided(eqx.Module):
    r"""A denoiser that leans towards a class, $\hat a = \hat a_u + w (\hat a_c - \hat a_u)$.

    Without weight it is the denoiser of all classes, with weight 1 that of the class; above it goes beyond.

    Reference:
        Ho and Salimans, "Classifier-free diffusion guidance" (2022), eq. 6, where the weight is w - 1.
    """

    conditional: Conditional
    unconditional: Denoiser
    label: Int[Array, ""]
    weight: Float[Array, ""]

    def __call__(self, y: Data, variance: Scalar) -> Data:
        free = self.unconditional(y, variance)
        return free + self.weight.astype(y.dtype) * (self.conditional(y, variance, self.label) - free)


def towards(sampler: AbstractSampler, label: Int[Array, ""], weight: Float[Array, ""]) -> AbstractSampler:
    """A sampler whose guided denoisers, wherever they are, lean towards this class with this weight."""

    def at(node):
        if not isinstance(node, Guided):
            return node
        return eqx.tree_at(lambda guided: (guided.label, guided.weight), node, (label, weight))

    return jax.tree.map(at, sampler, is_leaf=lambda node: isinstance(node, Guided))


def checked_guidance(guidance: float | Sequence[float]) -> Float[np.ndarray, " w"]:
    """The weights of guidance as NumPy float64."""
    weights = np.atleast_1d(np.asarray(guidance, np.float64))
    if weights.ndim != 1 or weights.size == 0 or not np.all(np.isfinite(weights)):
        raise ValueError(f"`guidance` needs finite weights, one or a sequence of them. Got {guidance}.")
    return weights
