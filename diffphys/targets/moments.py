"""Moments of the points of a cloud under their posterior weights, streamed, with written derivatives."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Data, Scalar
from .streaming import PRECISION, Block, Cloud, LogSum

Carry = TypeVar("Carry")


@eqx.filter_custom_jvp
def log_partition(cloud: Cloud, y: Data, variance: Scalar) -> Scalar:
    r"""$\log \sum_\mu \exp(-|y - a_\mu|^2 / 2v)$."""
    leaders = cloud.leaders(y, variance)

    def step(log_sum, block, _):
        return log_sum.add(cloud.logits(block, y, variance, leaders))[0]

    return cloud.scan(step, LogSum.empty(y.dtype)).value() + leaders.anchor


@eqx.filter_custom_jvp
def moments(cloud: Cloud, y: Data, variance: Scalar) -> tuple[Scalar, Data]:
    """The log-partition function, and the mean of the points under their weights."""
    leaders = cloud.leaders(y, variance)

    def step(carry, block, _):
        log_sum, mean = carry
        log_sum, terms, rescale = log_sum.add(cloud.logits(block, y, variance, leaders))
        return log_sum, mean * rescale + jnp.matmul(terms, block.points, precision=PRECISION)

    log_sum, mean = cloud.scan(step, (LogSum.empty(y.dtype), jnp.zeros_like(y)))
    return log_sum.value() + leaders.anchor, mean / log_sum.total


def covariance(cloud: Cloud, y: Data, variance: Scalar) -> Float[Array, "d d"]:
    """The covariance of the points under their weights; in a second pass, about the mean of the first."""
    log_sum, mean = moments(cloud, y, variance)

    def step(total, block, log_weights):
        centred = block.points - mean[None]
        weighted = jnp.exp(log_weights)[:, None] * centred
        return total + jnp.matmul(weighted.T, centred, precision=PRECISION)

    return _weighted(cloud, y, variance, log_sum, step, jnp.zeros((y.size, y.size), y.dtype))


def overlap(cloud: Cloud, y: Data, other: Data, variance: Scalar) -> Scalar:
    """The inner product of the weights of two observations."""
    leaders, others = cloud.leaders(y, variance), cloud.leaders(other, variance)

    def step(carry, block, _):
        here = cloud.logits(block, y, variance, leaders)
        there = cloud.logits(block, other, variance, others)
        return tuple(old.add(new)[0] for old, new in zip(carry, (here, there, here + there), strict=True))

    one, two, both = (s.value() for s in cloud.scan(step, (LogSum.empty(y.dtype),) * 3))
    return jnp.exp(both - one - two)


def _weighted(cloud: Cloud, y: Data, variance: Scalar, log_sum: Scalar, step: Callable, start: Carry) -> Carry:
    """Folds `step(carry, block, log_weights)`; to differentiate in reverse, the weights are made anew."""
    leaders = cloud.leaders(y, variance)

    @jax.checkpoint
    def weigh(carry, block):
        return step(carry, block, cloud.logits(block, y, variance, leaders) - (log_sum - leaders.anchor))

    return cloud.scan(lambda carry, block, _: weigh(carry, block), start)


def _entropy(cloud: Cloud, y: Data, variance: Scalar, log_sum: Scalar) -> Scalar:
    """The entropy of the weights."""

    def step(total, block, log_weights):
        return total - jnp.sum(_where_exists(cloud, block, log_weights) * jnp.exp(log_weights))

    return _weighted(cloud, y, variance, log_sum, step, jnp.zeros((), y.dtype))


def _where_exists(cloud: Cloud, block: Block, log_weights: Float[Array, " s"]) -> Float[Array, " s"]:
    """Log-weights, 0 for the padding: to be multiplied with its weights, which are 0."""
    return jnp.where(cloud.exists(block), log_weights, 0)


@log_partition.def_jvp
def _log_partition_jvp(primals, tangents):
    cloud, y, variance = primals
    _refuse_tangent(tangents[0])
    log_sum, mean = moments(cloud, y, variance)
    return log_sum, _log_sum_tangent(cloud, y, variance, log_sum, mean, tangents[1:])


@moments.def_jvp
def _moments_jvp(primals, tangents):
    cloud, y, variance = primals
    _refuse_tangent(tangents[0])
    log_sum, mean = moments(cloud, y, variance)

    def response(tangents):
        return _mean_tangent(cloud, y, variance, log_sum, mean, tangents)

    # The response is linear, its own derivative; but JAX transposes a scan only if it has differentiated it
    # (jax-ml/jax#6619), and reverse mode transposes this.
    mean_tangent = jax.jvp(response, (jax.tree.map(jnp.zeros_like, tangents[1:]),), (tangents[1:],))[1]
    return (log_sum, mean), (_log_sum_tangent(cloud, y, variance, log_sum, mean, tangents[1:]), mean_tangent)


def _log_sum_tangent(cloud, y, variance, log_sum, mean, tangents) -> Scalar:
    r"""$((m - y) \cdot \dot y + \dot v\, E|y - a|^2 / 2v) / v$, with $E|y - a|^2 / 2v = H - \log Z$."""
    along, warming = tangents
    tangent = jnp.zeros((), y.dtype)
    if along is not None:
        tangent = tangent + jnp.dot(mean - y, along, precision=PRECISION)
    if warming is not None:
        tangent = tangent + (_entropy(cloud, y, variance, log_sum) - log_sum) * warming
    return tangent / variance


def _mean_tangent(cloud, y, variance, log_sum, mean, tangents) -> Data:
    r"""$\sum w \dot\ell (a - m)$ over the points, with $v \dot\ell = (a - m) \cdot \dot y - \dot v \log w$.

    The logarithm stands for $-|y - a|^2 / 2v$, as what is common to the points drops out.
    """
    along, warming = tangents
    centre = 0.0 if along is None else jnp.dot(mean, along, precision=PRECISION)

    def step(carry, block, log_weights):
        rates = jnp.zeros_like(log_weights)
        if along is not None:
            rates = rates + jnp.matmul(block.points, along, precision=PRECISION) - centre
        if warming is not None:
            rates = rates - _where_exists(cloud, block, log_weights) * warming
        terms = jnp.exp(log_weights) * (rates / variance)
        return carry[0] + jnp.sum(terms), carry[1] + jnp.matmul(terms, block.points, precision=PRECISION)

    nothing = jnp.zeros((), y.dtype), jnp.zeros_like(y)
    total, shift = _weighted(cloud, y, variance, log_sum, step, nothing)
    return shift - total * mean


def _refuse_tangent(tangent) -> None:
    """Raises ValueError if the points themselves are being differentiated."""
    if jax.tree.leaves(tangent):
        raise ValueError(
            "`Empirical` needs fixed points: it has no derivative with respect to them. Got a tangent. "
            "Do differentiate with respect to `y` or `variance` alone."
        )
