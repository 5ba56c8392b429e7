"""Moments of the points of a cloud under their posterior weights, streamed, with written derivatives."""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._types import Data, Scalar
from ._lanes import max_of, sum_of
from .streaming import PRECISION, Block, Cloud, LogSum, Nearest

Carry = TypeVar("Carry")


class Moments(NamedTuple):
    """What is found in one pass."""

    log_sum: Float[Array, ""]
    """The log-partition function."""
    mean: Float[Array, " d"]
    """The mean of the points under their weights."""
    nearest: Nearest
    """The nearest points, for a second pass; none where expanded squares are good enough."""


class _Sums(NamedTuple):
    """What is carried from block to block: sums in units of the weight of the nearest point so far."""

    level: Float[Array, ""]
    """The largest y . a - |a|^2 / 2 so far."""
    nearest: Nearest
    total: Float[Array, ""]
    mean: Float[Array, " d"] | None


@eqx.filter_custom_jvp
def log_partition(cloud: Cloud, y: Data, variance: Scalar) -> Scalar:
    r"""$\log \sum_\mu \exp(-|y - a_\mu|^2 / 2v)$."""
    sums, anchor = _sums(cloud, y, variance, with_mean=False)
    return jnp.log(sums.total) + anchor


@eqx.filter_custom_jvp
def moments(cloud: Cloud, y: Data, variance: Scalar) -> Moments:
    """The log-partition function, and the mean of the points under their weights."""
    sums, anchor = _sums(cloud, y, variance, with_mean=True)
    assert sums.mean is not None
    return Moments(jnp.log(sums.total) + anchor, sums.mean / sums.total, sums.nearest)


@functools.partial(jax.jit, static_argnames="with_mean")
def _sums(cloud: Cloud, y: Data, variance: Scalar, *, with_mean: bool) -> tuple[_Sums, Scalar]:
    """The sums over all points, and the logarithm of their unit; in one pass.

    Where expanded squares are too coarse, the nearest points are noted on the way, and their terms then put right.
    """
    coarse = cloud.coarse(y, variance)

    def step(sums: _Sums, block: Block, _) -> _Sums:
        products = cloud.products(block, y)

        def ranked():
            nearest = sums.nearest.add(products, block.slots)
            # Not the first of them: XLA would no longer see a top-k, and sort the whole block.
            return jnp.max(nearest.products), nearest

        level, nearest = lax.cond(coarse, ranked, lambda: (jnp.maximum(sums.level, max_of(products)), sums.nearest))
        terms, rescale = jnp.exp((products - level) / variance), jnp.exp((sums.level - level) / variance)
        mean = None if sums.mean is None else sums.mean * rescale + block.combine(terms)
        return _Sums(level, nearest, sums.total * rescale + sum_of(terms), mean)

    start = _Sums(
        level=jnp.asarray(-jnp.inf, y.dtype),
        nearest=Nearest.none(y.dtype),
        total=jnp.zeros((), y.dtype),
        mean=jnp.zeros_like(y) if with_mean else None,
    )
    sums = cloud.scan(step, start)
    return lax.cond(
        coarse,
        lambda: _put_right(cloud, y, variance, sums),
        lambda: (sums, (sums.level - 0.5 * jnp.sum(y**2)) / variance),
    )


def _put_right(cloud: Cloud, y: Data, variance: Scalar, sums: _Sums) -> tuple[_Sums, Scalar]:
    """Exchanges the terms of the nearest points for those from direct differences.

    The first one's term is 1 either way, and the others' were not above it: what is taken off is at most 15 times
    what remains, so that no more than a digit is lost.
    """
    count = cloud.contenders(y, variance, sums.nearest)
    leaders = cloud.leaders(y, variance, sums.nearest, count)
    top = jnp.max(leaders.logits)
    changes = jnp.exp(leaders.logits - top) - jnp.exp((sums.nearest.products - sums.level) / variance - top)
    unit = jnp.exp(-top)
    total = sums.total * unit + jnp.sum(changes)
    mean = None if sums.mean is None else sums.mean * unit + cloud.combine(changes, leaders.slots, count)
    return sums._replace(total=total, mean=mean), leaders.anchor + top


def covariance(cloud: Cloud, y: Data, variance: Scalar) -> Float[Array, "d d"]:
    """The covariance of the points under their weights; in a second pass, about the mean of the first."""
    found = moments(cloud, y, variance)

    def step(total, block, log_weights):
        centred = block.points - found.mean[None]
        weighted = jnp.exp(log_weights)[:, None] * centred
        return total + jnp.matmul(weighted.T, centred, precision=PRECISION)

    return _weighted(cloud, y, variance, found, step, jnp.zeros((y.size, y.size), y.dtype))


class Overlaps(NamedTuple):
    """The sums that the overlap of two observations is made of, each with what its zero stands for."""

    here: LogSum
    there: LogSum
    both: LogSum
    """Of the products of both weights."""
    anchor_here: Scalar
    anchor_there: Scalar

    def value(self) -> Scalar:
        """The inner product of the weights."""
        return jnp.exp(self.both.value() - self.here.value() - self.there.value())

    def merged(self) -> "Overlaps":
        """Those of all points, from those of parts along the first axis."""
        top_here, top_there = (lax.stop_gradient(jnp.max(x)) for x in (self.anchor_here, self.anchor_there))
        by_here, by_there = self.anchor_here - top_here, self.anchor_there - top_there
        shifts = (self.here, by_here), (self.there, by_there), (self.both, by_here + by_there)
        here, there, both = (jax.vmap(LogSum.shift)(sums, by).merged() for sums, by in shifts)
        return Overlaps(here, there, both, top_here, top_there)


@jax.jit
def overlaps(cloud: Cloud, y: Data, other: Data, variance: Scalar) -> Overlaps:
    """The sums of the inner product of the weights of two observations."""
    leaders, others = (cloud.leaders(z, variance, cloud.nearest(z, variance)) for z in (y, other))

    def step(carry, block, _):
        here = cloud.logits(block, y, variance, leaders)
        there = cloud.logits(block, other, variance, others)
        return tuple(old.add(new)[0] for old, new in zip(carry, (here, there, here + there), strict=True))

    here, there, both = cloud.scan(step, (LogSum.empty(y.dtype),) * 3)
    return Overlaps(here, there, both, leaders.anchor, others.anchor)


def _weighted(cloud: Cloud, y: Data, variance: Scalar, found: Moments, step: Callable, start: Carry) -> Carry:
    """Folds `step(carry, block, log_weights)`; to differentiate in reverse, the weights are made anew."""
    leaders = cloud.leaders(y, variance, found.nearest)

    @jax.checkpoint
    def weigh(carry, block):
        return step(carry, block, cloud.logits(block, y, variance, leaders) - (found.log_sum - leaders.anchor))

    return cloud.scan(lambda carry, block, _: weigh(carry, block), start)


def _entropy(cloud: Cloud, y: Data, variance: Scalar, found: Moments) -> Scalar:
    """The entropy of the weights."""

    def step(entropy, block, log_weights):
        return entropy - sum_of(_where_exists(block, log_weights) * jnp.exp(log_weights))

    return _weighted(cloud, y, variance, found, step, jnp.zeros((), y.dtype))


def _where_exists(block: Block, log_weights: Float[Array, " s"]) -> Float[Array, " s"]:
    """Log-weights, 0 for the padding: to be multiplied with its weights, which are 0."""
    return jnp.where(block.exists, log_weights, 0)


@log_partition.def_jvp
def _log_partition_jvp(primals, tangents):
    cloud, y, variance = primals
    _refuse_tangent(tangents[0])
    found = moments(cloud, y, variance)
    return found.log_sum, _log_sum_tangent(cloud, y, variance, found, tangents[1:])


@moments.def_jvp
def _moments_jvp(primals, tangents):
    cloud, y, variance = primals
    _refuse_tangent(tangents[0])
    found = moments(cloud, y, variance)

    def response(tangents):
        return _mean_tangent(cloud, y, variance, found, tangents)

    # The response is linear, its own derivative; but JAX transposes a scan only if it has differentiated it
    # (jax-ml/jax#6619), and reverse mode transposes this.
    mean_tangent = jax.jvp(response, (jax.tree.map(jnp.zeros_like, tangents[1:]),), (tangents[1:],))[1]
    log_sum_tangent = _log_sum_tangent(cloud, y, variance, found, tangents[1:])
    none = jax.tree.map(lambda _: None, found.nearest)
    return found, found._replace(log_sum=log_sum_tangent, mean=mean_tangent, nearest=none)


def _log_sum_tangent(cloud, y, variance, found, tangents) -> Scalar:
    r"""$((m - y) \cdot \dot y + \dot v\, E|y - a|^2 / 2v) / v$, with $E|y - a|^2 / 2v = H - \log Z$."""
    along, warming = tangents
    tangent = jnp.zeros((), y.dtype)
    if along is not None:
        tangent = tangent + jnp.dot(found.mean - y, along, precision=PRECISION)
    if warming is not None:
        tangent = tangent + (_entropy(cloud, y, variance, found) - found.log_sum) * warming
    return tangent / variance


def _mean_tangent(cloud, y, variance, found, tangents) -> Data:
    r"""$\sum w \dot\ell (a - m)$ over the points, with $v \dot\ell = (a - m) \cdot \dot y - \dot v \log w$.

    The logarithm stands for $-|y - a|^2 / 2v$, as what is common to the points drops out.
    """
    along, warming = tangents
    centre = 0.0 if along is None else jnp.dot(found.mean, along, precision=PRECISION)

    def step(carry, block, log_weights):
        rates = jnp.zeros_like(log_weights)
        if along is not None:
            rates = rates + jnp.matmul(block.points, along, precision=PRECISION) - centre
        if warming is not None:
            rates = rates - _where_exists(block, log_weights) * warming
        terms = jnp.exp(log_weights) * (rates / variance)
        return carry[0] + sum_of(terms), carry[1] + block.combine(terms)

    nothing = jnp.zeros((), y.dtype), jnp.zeros_like(y)
    total, shift = _weighted(cloud, y, variance, found, step, nothing)
    return shift - total * found.mean


def _refuse_tangent(tangent) -> None:
    """Raises ValueError if the points themselves are being differentiated."""
    if jax.tree.leaves(tangent):
        raise ValueError(
            "`Empirical` needs fixed points: it has no derivative with respect to them. Got a tangent. "
            "Do differentiate with respect to `y` or `variance` alone."
        )
