"""The derivative of the evidence of configurations that all have the same length, spins or points of a sphere."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Data, Scalar
from ._arrays import observation
from .base import AbstractTarget


class AbstractShell(AbstractTarget):
    r"""A target whose draws all have the same length: spins, or points of a sphere.

    Its evidence is differentiated by Tweedie's formula and, as the length of `a` is known, by the heat equation:

    $$ \nabla \log p = \frac{E[a \mid y] - y}{v}, \qquad
       \partial_v \log p = \frac{E[|y - a|^2 \mid y]}{2 v^2} - \frac{d}{2v} $$

    Written so, it takes no derivative of a sum over states, and none of the absolute values that keep the digits of
    the evidence at small noise. There is none with respect to parameters.
    """

    @abc.abstractmethod
    def smoothed(self, y: Data, variance: Scalar) -> Scalar:
        """The value of the log-evidence, not meant to be differentiated."""

    @abc.abstractmethod
    def squared_distance(self, y: Data, mean: Data, variance: Scalar) -> Scalar:
        r"""$E[|y - a|^2 \mid y]$, given the posterior mean."""

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        return _log_evidence(self, *observation(self.dim, y, variance))


@eqx.filter_custom_jvp
def _log_evidence(target: AbstractShell, y: Data, variance: Scalar) -> Scalar:
    return target.smoothed(y, variance)


@_log_evidence.def_jvp
def _log_evidence_jvp(primals, tangents):
    target, y, variance = primals
    fixed, along, warming = tangents
    if jax.tree.leaves(fixed):
        name = type(target).__name__
        raise ValueError(
            f"`{name}` needs fixed parameters: its evidence has no derivative with respect to them. Got a tangent. "
            "Do differentiate with respect to `y` or `variance` alone."
        )
    mean = target.posterior_mean(y, variance)
    tangent = jnp.zeros((), y.dtype)
    if along is not None:
        tangent = tangent + jnp.dot(mean - y, along, precision=jax.lax.Precision.HIGHEST)
    if warming is not None:
        distance = target.squared_distance(y, mean, variance)
        tangent = tangent + 0.5 * (distance / variance - target.dim) * warming
    return target.smoothed(y, variance), tangent / variance


def spins_squared_distance(y: Data, mean: Data) -> Scalar:
    """Sum of squared distances to spins of these means."""
    return jnp.sum((y - mean) ** 2 + (1 - mean) * (1 + mean))
