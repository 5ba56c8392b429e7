"""A data set in blocks, and running sums over it: the posterior weights without n numbers a sample.

The weights of the points given y are a softmax of -|y - a|^2 / 2v. Everything is written for one y; under
`jax.vmap` the products with a block become matrix products.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Shaped

from .._types import Data, Scalar
from ._blocks import aligned_zeros, block_shape, fill, radius_of
from ._lanes import max_of, sum_of

PRECISION = lax.Precision.HIGHEST
Carry = TypeVar("Carry")

# How many of the nearest points get their distance by direct difference, where the expanded square is too
# coarse.
NUM_LEADERS = 16
# Largest error of a log-weight by the expanded square that is let pass, in nats.
_TOLERANCE = 2e-3
# That error in units of eps |a| |y| / v: the largest found was 1.6 on images and 4.4 on Gaussian data.
_ERROR_FACTOR = 4.0


class Leaders(NamedTuple):
    """The nearest points of one observation, with their accurate log-weights relative to the first."""

    slots: Int[Array, " m"]
    """Where they are in the cloud; -1 for nowhere."""
    logits: Float[Array, " m"]
    """Log-weights relative to the first."""
    level: Scalar
    """What to subtract from y . a - |a|^2 / 2 so that the other points are relative to the first, too."""
    anchor: Scalar
    """The -|y - a|^2 / 2v that a relative log-weight of zero stands for."""


class Nearest(NamedTuple):
    """The nearest points so far."""

    products: Float[Array, " m"]
    """Their y . a - |a|^2 / 2, falling; -inf for nothing."""
    slots: Int[Array, " m"]
    """Where they are in the cloud; -1 for nowhere."""

    @classmethod
    def none(cls, dtype) -> "Nearest":
        """No points."""
        return cls(jnp.full((NUM_LEADERS,), -jnp.inf, dtype), jnp.full((NUM_LEADERS,), -1, jnp.int32))

    def add(self, products: Float[Array, " s"], slots: Int[Array, " s"]) -> "Nearest":
        """The nearest of these and of other points."""
        products, picks = lax.top_k(jnp.concatenate([self.products, products]), NUM_LEADERS)
        return Nearest(products, jnp.concatenate([self.slots, slots])[picks])

    def exchange(
        self, products: Float[Array, " s"], slots: Int[Array, " s"]
    ) -> tuple["Nearest", "Nearest", Float[Array, " s"]]:
        """The nearest of these and of other points, those that no longer are, and the others' other products.

        In the latter two, products of the nearest are -inf: each point is in one of the three.
        """
        both = jnp.concatenate([self.products, products])
        nearest, picks = lax.top_k(both, NUM_LEADERS)
        rest = both.at[picks].set(-jnp.inf)
        left = Nearest(rest[:NUM_LEADERS], self.slots)
        return Nearest(nearest, jnp.concatenate([self.slots, slots])[picks]), left, rest[NUM_LEADERS:]


class Block(NamedTuple):
    """Some of the points."""

    points: Float[Array, "s d"]
    half_norms: Float[Array, " s"]
    slots: Int[Array, " s"]

    @property
    def exists(self) -> Bool[Array, " s"]:
        """Which are points, and not padding."""
        return self.half_norms < jnp.inf

    def combine(self, factors: Float[Array, " s"]) -> Float[Array, " d"]:
        """The sum of the points, each times its factor."""
        return jnp.matmul(factors, self.points, precision=PRECISION)


class LogSum(NamedTuple):
    """A running log-sum-exp: `log(sum(exp(x))) = top + log(total)`."""

    top: Float[Array, "..."]
    total: Float[Array, "..."]

    @classmethod
    def empty(cls, dtype, shape: tuple[int, ...] = ()) -> "LogSum":
        """The sum of nothing. A finite `top` keeps `top - top` from being NaN."""
        return cls(jnp.full(shape, jnp.finfo(dtype).min, dtype), jnp.zeros(shape, dtype))

    def add(self, logits: Float[Array, " s"]) -> tuple["LogSum", Float[Array, " s"], Scalar]:
        """Adds terms. Gives also these, and the factor of earlier ones, in units of the new `exp(top)`."""
        top = jnp.maximum(self.top, lax.stop_gradient(max_of(logits)))
        terms, rescale = jnp.exp(logits - top), jnp.exp(self.top - top)
        return LogSum(top, self.total * rescale + sum_of(terms)), terms, rescale

    def add_by_label(self, logits: Float[Array, " s"], labels: Int[Array, " s"]) -> "LogSum":
        """Adds each term to the sum of its label, each sum with a top of its own so that none underflows."""
        count = self.top.shape[0]
        top = jax.ops.segment_max(lax.stop_gradient(logits), labels, num_segments=count)
        top = jnp.maximum(self.top, top)
        terms = jnp.exp(logits - top[labels])
        # A product with 0 and 1, not a scattered sum: those add in any order on some devices.
        sums = jnp.matmul(terms, membership(labels, count, terms.dtype), precision=PRECISION)
        return LogSum(top, self.total * jnp.exp(self.top - top) + sums)

    def shift(self, by: Scalar) -> "LogSum":
        """The sum with `by` added to all logarithms."""
        return LogSum(jnp.maximum(self.top + by, jnp.finfo(self.top.dtype).min), self.total)

    def merged(self) -> "LogSum":
        """The sum of the sums along the first axis."""
        top = lax.stop_gradient(jnp.max(self.top, axis=0))
        return LogSum(top, jnp.sum(self.total * jnp.exp(self.top - top[None]), axis=0))

    def value(self) -> Float[Array, "..."]:
        """The logarithm of the sum; -inf for nothing."""
        return self.top + jnp.log(self.total)


class Cloud(eqx.Module):
    """Points in blocks about their mean, with what the log-weights need of them.

    Distances are by expanded squares, one matrix product; centring takes the common part out of the squares.
    When `v` is so small that rounding of the squares would still show, the nearest points are kept track of and
    their log-weights replaced by those from direct differences. At larger `v` nothing is paid for that; where
    `v` differs over a batch, the smallest decides for all.
    """

    blocks: Float[Array, "b s d"]
    half_norms: Float[Array, "b s"]
    """Half the squared norms; inf for the padding, whose weight then is 0."""
    radius: Float[Array, ""]

    @classmethod
    def of(cls, points: np.ndarray, offset: np.ndarray, block: int, slots: int = 1) -> "Cloud":
        """The cloud of finite points less an offset, in its type, in at least so many slots, in blocks of `block`."""
        blocks = aligned_zeros((*block_shape(len(points), block, slots), points.shape[1]), offset.dtype)
        half_norms = fill(blocks, points, offset)
        radius = jnp.asarray(radius_of(half_norms), offset.dtype)
        return cls(jax.device_put(blocks, may_alias=True), jnp.asarray(half_norms, offset.dtype), radius)

    def point(self, slot: Int[Array, "*m"]) -> Float[Array, "*m d"]:
        """The point at a slot, or those at several."""
        return self.blocks[self._place(slot)]

    def half_norm(self, slot: Int[Array, "*m"]) -> Float[Array, "*m"]:
        """Half the squared norm of the point at a slot, or of those at several."""
        return self.half_norms[self._place(slot)]

    def _place(self, slot: Int[Array, "*m"]) -> tuple[Int[Array, "*m"], Int[Array, "*m"]]:
        # Never by a flattened view: where clouds are stacked, that would copy them all.
        length = self.half_norms.shape[1]
        return slot // length, slot % length

    def scan(self, step: Callable[..., Carry], start: Carry, extra=None) -> Carry:
        """Folds `step(carry, block, extra)` over the blocks."""
        count, length = self.half_norms.shape
        slots = jnp.arange(count * length, dtype=jnp.int32).reshape(count, length)

        def body(carry, block):
            return step(carry, Block(*block[:3]), block[3]), None

        return lax.scan(body, start, (self.blocks, self.half_norms, slots, extra))[0]

    def products(self, block: Block, y: Data) -> Float[Array, " s"]:
        """The y . a - |a|^2 / 2 of a block: log-weights times `v`, up to a constant; -inf for the padding."""
        return jnp.matmul(block.points, y, precision=PRECISION) - block.half_norms

    def logits(self, block: Block, y: Data, variance: Scalar, leaders: Leaders) -> Float[Array, " s"]:
        """Log-weights of a block, relative to `leaders.anchor`; -inf for the padding."""
        expanded = log_weights(self.products(block, y) - leaders.level, variance)
        length = block.slots.shape[0]
        place = leaders.slots - block.slots[0]
        place = jnp.where((place >= 0) & (place < length), place, length)
        return expanded.at[place].set(leaders.logits, mode="drop")

    def combine(self, factors: Float[Array, " m"], slots: Int[Array, " m"], count=None) -> Float[Array, " d"]:
        """The sum of the points at `slots`, or at the first `count` of them, each times its factor."""
        count = len(slots) if count is None else count

        def add(i, total):
            return total + factors[i] * self.point(slots[i])

        # One at a time: a batch of observations then holds one point each, not all of them.
        return lax.fori_loop(0, count, add, jnp.zeros_like(self.blocks[0, 0]))

    def coarse(self, y: Data, variance: Scalar) -> Bool[Array, ""]:
        """Whether expanded squares are too coarse, for any of a batch."""
        return largest_in_batch(lax.stop_gradient(self._error(y, variance) > _TOLERANCE * variance))

    def contenders(self, y: Data, variance: Scalar, nearest: Nearest) -> Int[Array, ""]:
        """How many of the nearest points have weights that are not 0 beside the first one's, in any of a batch."""
        # Two products may each be wrong; twice as much, since the error is the largest found, not a bound.
        reach = -jnp.log(jnp.finfo(y.dtype).tiny) * variance + 4 * self._error(y, variance)
        return largest_in_batch(jnp.sum(nearest.products >= nearest.products[0] - reach, dtype=jnp.int32))

    def _error(self, y: Data, variance: Scalar) -> Scalar:
        """Of products, the largest to be expected."""
        size = jnp.sqrt(self.radius**2 + y.size * variance)
        return _ERROR_FACTOR * jnp.finfo(y.dtype).eps * self.radius * size

    @jax.jit
    def nearest(self, y: Data, variance: Scalar) -> Nearest:
        """The nearest points, in a pass of its own; none where expanded squares are good enough."""

        def search():
            def step(nearest, block, _):
                return nearest.add(self.products(block, y), block.slots)

            return self.scan(step, Nearest.none(y.dtype))

        return lax.cond(self.coarse(y, variance), search, lambda: Nearest.none(y.dtype))

    @jax.jit
    def leaders(self, y: Data, variance: Scalar, nearest: Nearest, count=NUM_LEADERS) -> Leaders:
        """The nearest points as leaders, the first `count` of them; none if expanded squares are good enough."""
        slots = nearest.slots

        def measure():
            first, product = self._at(slots[0], y)
            # The one that was found rounds as its neighbours do; the derivative is that of the one made anew.
            level = lax.stop_gradient(jnp.max(nearest.products) - product) + product

            def measured(i, logits):
                logit = jnp.where(slots[i] >= 0, self._relative(slots[i], first, y, variance), -jnp.inf)
                return logits.at[i].set(logit)

            # One at a time, as in `combine`.
            logits = lax.fori_loop(0, count, measured, jnp.full(slots.shape, -jnp.inf, y.dtype))
            return Leaders(slots, logits, level, -jnp.sum((y - first) ** 2) / (2 * variance))

        def none():
            nowhere, nothing = jnp.full_like(slots, -1), jnp.full(slots.shape, -jnp.inf, y.dtype)
            return Leaders(nowhere, nothing, jnp.zeros((), y.dtype), -jnp.sum(y**2) / (2 * variance))

        return lax.cond(self.coarse(y, variance), measure, none)

    def logit(self, y: Data, variance: Scalar, leaders: Leaders, slot: Int[Array, ""]) -> Scalar:
        """The log-weight of one point, relative to `leaders.anchor`; by direct difference if there are leaders."""
        return lax.cond(
            self.coarse(y, variance),
            lambda: self._relative(slot, self.point(leaders.slots[0]), y, variance),
            lambda: self._at(slot, y)[1] / variance,
        )

    def _at(self, slot: Int[Array, ""], y: Data) -> tuple[Float[Array, " d"], Scalar]:
        """A point, and its product."""
        point = self.point(slot)
        return point, jnp.dot(point, y, precision=PRECISION) - self.half_norm(slot)

    def _relative(self, slot: Int[Array, ""], first: Float[Array, " d"], y: Data, variance: Scalar) -> Scalar:
        """The log-weight of a point relative to that of another one, by their difference."""
        step = self.point(slot) - first
        return sum_of(step * (y - first - 0.5 * step)) / variance


def membership(labels: Int[Array, "*s"], count: int, dtype) -> Float[Array, "*s k"]:
    """1 where a label is the one of the column, 0 elsewhere.

    As `jax.nn.one_hot`, which in jax 0.12 takes labels of all devices for those of one, within a share of their work.
    """
    columns = jnp.expand_dims(jnp.arange(count, dtype=labels.dtype), range(labels.ndim))
    return (labels[..., None] == columns).astype(dtype)


def log_weights(products: Float[Array, " s"], variance: Scalar) -> Float[Array, " s"]:
    """Products over `v`. Those of -inf stay so, and have no derivative: that of the quotient would be NaN."""
    finite = products > -jnp.inf
    return jnp.where(finite, jnp.where(finite, products, 0) / variance, -jnp.inf)


@jax.custom_batching.custom_vmap
def largest_in_batch(value: Shaped[Array, ""]) -> Shaped[Array, ""]:
    """The largest value in a batch, for all of its samples: of flags, whether one of them is true.

    A branch taken sample by sample would copy what both branches close over, the data, for each.
    """
    return value


@largest_in_batch.def_vmap
def _largest_in_batch(_, __, values):
    return largest_in_batch(jnp.max(values, axis=0)), False
