"""What the posterior weights of a data set say: entropy, participation, classes, the generating datum."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._types import Data, Scalar
from ._lanes import max_of, sum_of
from .streaming import PRECISION, Block, Cloud, LogSum, Nearest, log_weights, membership


class WeightsSummary(NamedTuple):
    r"""Sums over the posterior weights $w_\mu \propto \exp(-|y - a_\mu|^2 / 2v)$ of one observation `y`.

    Entropies and logarithms in nats. A field that was not asked for is None.
    """

    log_evidence: Float[Array, ""]
    """The log-density of `y`."""
    entropy: Float[Array, ""]
    """H(w); its mean over forward samples is the total empirical excess entropy."""
    participation: Float[Array, ""]
    """The sum of squared weights; its mean over forward samples is the agreement of clones on a datum."""
    argmax: Int[Array, ""]
    """The index of the largest weight."""
    label_log_posterior: Float[Array, " k"] | None = None
    """The log-probability of each class."""
    mean: Float[Array, " d"] | None = None
    """The posterior mean."""
    log_own_weight: Float[Array, ""] | None = None
    """log w_J, of the datum J that `y` was made from."""
    log_rest_over_own: Float[Array, ""] | None = None
    """L, the log-ratio of the weights of all others to that of J: w_J = 1 / (1 + exp(L))."""
    label_log_posterior_without: Float[Array, " k"] | None = None
    """The log-probability of each class had J not been among the data; -inf for a class of J alone."""
    grouping_posteriors: Float[Array, "g k"] | None = None
    """The probability of each label of each other labeling."""


class Labelings(NamedTuple):
    """Other labels for the data of a data set, in the places of these: programs that take them see no other number."""

    slots: Int[Array, "..."]
    """A label for each place of each labeling, 0 where there is no datum."""


class _Sums(NamedTuple):
    """What is carried from block to block."""

    weights: LogSum
    surprise: Float[Array, ""]
    squares: Float[Array, ""]
    argmax: Int[Array, ""]
    classes: LogSum | None
    mean: Float[Array, " d"] | None
    rest: LogSum | None
    """`weights` without the generating datum; known at the end, since all is summed without it until then."""
    rest_classes: LogSum | None
    """`classes` without it."""
    groups: Float[Array, "g k"] | None
    """Of each label of each other labeling, all in the units of `weights`."""

    def shift(self, by: Scalar) -> "_Sums":
        """The sums with `by` added to all log-weights."""
        return self._with_logs(lambda log_sum: log_sum.shift(by))

    def merged(self) -> "_Sums":
        """The sums of all data, from those of parts along the first axis."""
        sums = self._with_logs(LogSum.merged)
        fall = self.weights.top - sums.weights.top[None]
        factors = jnp.exp(fall)
        return sums._replace(
            surprise=jnp.sum((self.surprise + fall * self.weights.total) * factors),
            squares=jnp.sum(self.squares * factors**2),
            groups=None if self.groups is None else jnp.sum(factors[:, None, None] * self.groups, axis=0),
            argmax=self.argmax[jnp.argmax(self.weights.top)],
            mean=None if self.mean is None else jnp.sum(factors[:, None] * self.mean, axis=0),
        )

    def _with_logs(self, change: Callable[[LogSum], LogSum]) -> "_Sums":
        logs = {name: change(value) for name, value in self._asdict().items() if isinstance(value, LogSum)}
        return self._replace(**logs)


class Summed(NamedTuple):
    """The sums over some data, in the frame of their cloud."""

    sums: _Sums
    anchor: Scalar
    """The log-weight, up to terms common to all data, that one of zero in the sums stands for."""
    own_logit: Float[Array, ""] | None
    """The log-weight of the generating datum, relative to the anchor; -inf where it is none of these."""

    def merged(self) -> "Summed":
        """The sums over all data, from those over parts along the first axis."""
        anchor = lax.stop_gradient(jnp.max(self.anchor))
        shifts = self.anchor - anchor
        sums = jax.vmap(_Sums.shift)(self.sums, shifts).merged()
        return Summed(sums, anchor, None if self.own_logit is None else jnp.max(self.own_logit + shifts))


class _Terms(NamedTuple):
    """Some of the data, to be added."""

    logits: Float[Array, " s"]
    slots: Int[Array, " s"]
    labels: Int[Array, " s"]
    others: Int[Array, "g s"] | None
    combine: Callable[[Float[Array, " s"]], Float[Array, " d"]]
    """Their points, summed with given factors."""


@functools.partial(jax.jit, static_argnums=2)
def label_sums(
    cloud: Cloud, classes: Int[Array, "b s"], num_labels: int, y: Data, variance: Scalar
) -> tuple[LogSum, Scalar]:
    """The weight of each class, and the log-weight that one of zero stands for."""
    leaders = cloud.leaders(y, variance, cloud.nearest(y, variance))

    def step(log_sums, block, classes):
        return log_sums.add_by_label(cloud.logits(block, y, variance, leaders), classes)

    return cloud.scan(step, LogSum.empty(y.dtype, (num_labels,)), classes), leaders.anchor


@functools.partial(jax.jit, static_argnames=("num_labels", "with_mean", "with_labels"))
def weight_sums(
    cloud: Cloud,
    classes: Int[Array, "b s"],
    num_labels: int,
    y: Data,
    variance: Scalar,
    *,
    index: Int[Array, ""] | None,
    labelings: Int[Array, "b g s"] | None,
    with_mean: bool,
    with_labels: bool,
) -> Summed:
    """The sums over a cloud, of the datum at slot `index`; that is below 0 if it is another cloud's.

    Where expanded squares are too coarse, the nearest points so far are held back from the sums, and come last, with
    log-weights from direct differences. Putting their terms right afterwards would lose what is small beside them.
    The generating datum comes last of all: before it, the sums are those of the others.
    """
    coarse = cloud.coarse(y, variance)

    def picked(logits, slots) -> _Terms:
        place = slots // classes.shape[1], slots % classes.shape[1]
        others = None if labelings is None else jnp.moveaxis(labelings, 1, 0)[:, *place]
        return _Terms(logits, slots, classes[place], others, lambda factors: cloud.combine(factors, slots))

    def of_others(terms: _Terms) -> _Terms:
        return (
            terms if index is None else terms._replace(logits=jnp.where(terms.slots == index, -jnp.inf, terms.logits))
        )

    def step(carry: tuple[Scalar, Nearest, _Sums], block: Block, extra):
        products = cloud.products(block, y)

        def hold_back(level, nearest, sums):
            nearest, left, rest = nearest.exchange(products, block.slots)
            old, level = level, jnp.max(nearest.products)
            terms = picked(log_weights(left.products - level, variance), left.slots)
            return (level, nearest, _add(sums.shift((old - level) / variance), of_others(terms))), rest - level

        (level, nearest, sums), products = lax.cond(coarse, hold_back, lambda *carry: (carry, products), *carry)
        labels, others = extra
        terms = _Terms(log_weights(products, variance), block.slots, labels, others, block.combine)
        return level, nearest, _add(sums, of_others(terms))

    zero = jnp.zeros((), y.dtype)
    start = _Sums(
        weights=LogSum.empty(y.dtype),
        surprise=zero,
        squares=zero,
        argmax=jnp.zeros((), jnp.int32),
        classes=LogSum.empty(y.dtype, (num_labels,)) if with_labels else None,
        mean=jnp.zeros_like(y) if with_mean else None,
        rest=None,
        rest_classes=None,
        groups=None if labelings is None else jnp.zeros((labelings.shape[1], num_labels), y.dtype),
    )
    _, nearest, sums = cloud.scan(step, (zero, Nearest.none(y.dtype), start), (classes, labelings))
    leaders = cloud.leaders(y, variance, nearest)
    sums = lax.cond(coarse, lambda: _add(sums, of_others(picked(leaders.logits, leaders.slots))), lambda: sums)
    if index is None:
        return Summed(sums, leaders.anchor, None)
    # Slot 0 always holds a datum.
    slot = jnp.maximum(index, 0)
    own_logit = jnp.where(index >= 0, cloud.logit(y, variance, leaders, slot), -jnp.inf)
    every = _add(sums, picked(own_logit[None], slot[None]))
    return Summed(every._replace(rest=sums.weights, rest_classes=sums.classes), leaders.anchor, own_logit)


def _add(sums: _Sums, terms: _Terms) -> _Sums:
    """Adds terms to all sums."""
    classes = None if sums.classes is None else sums.classes.add_by_label(terms.logits, terms.labels)
    return _add_weights(sums, terms)._replace(classes=classes)


def _add_weights(sums: _Sums, terms: _Terms) -> _Sums:
    """Adds terms to the sums that do not tell labels apart, all of them in units of the running `exp(top)`."""
    logits = terms.logits
    weights, values, rescale = sums.weights.add(logits)
    relative = jnp.where(logits > -jnp.inf, logits - weights.top, 0)
    # Earlier terms of the sum of w log w see both their weight and its logarithm fall.
    surprise = (sums.surprise + (sums.weights.top - weights.top) * sums.weights.total) * rescale
    return sums._replace(
        weights=weights,
        surprise=surprise + sum_of(values * relative),
        squares=sums.squares * rescale**2 + sum_of(values**2),
        groups=None if sums.groups is None else sums.groups * rescale + _by_label(values, terms.others, sums.groups),
        argmax=jnp.where(weights.top > sums.weights.top, _first_largest(logits, terms.slots), sums.argmax),
        mean=None if sums.mean is None else sums.mean * rescale + terms.combine(values),
    )


def _first_largest(logits: Float[Array, " s"], slots: Int[Array, " s"]) -> Int[Array, ""]:
    """The least slot of a largest logit; several times as fast on a CPU as `jnp.argmax`."""
    return -max_of(jnp.where(logits == max_of(logits), -slots, jnp.iinfo(slots.dtype).min))


def _by_label(
    values: Float[Array, " s"], labelings: Int[Array, "g s"] | None, like: Float[Array, "g k"]
) -> Float[Array, "g k"]:
    """The sum of the values of each label of each labeling: one product for all of them."""
    assert labelings is not None
    belongs = jnp.moveaxis(membership(labelings, like.shape[1], values.dtype), 0, 1)
    return jnp.matmul(values, belongs.reshape(values.size, -1), precision=PRECISION).reshape(like.shape)


def summary_of(summed: Summed) -> WeightsSummary:
    """The summary of the completed sums, its `log_evidence` without the terms common to all data."""
    sums, anchor, own_logit = summed
    total = sums.weights.total
    summary = WeightsSummary(
        log_evidence=sums.weights.value() + anchor,
        # Two terms that are never negative: no digits are lost, and a single weight of 1 gives exactly 0.
        entropy=jnp.log(total) - sums.surprise / total,
        participation=sums.squares / total**2,
        argmax=sums.argmax,
        label_log_posterior=_normalised(sums.classes),
        mean=None if sums.mean is None else sums.mean / total,
    )
    if sums.rest is not None and own_logit is not None:
        ratio = sums.rest.value() - own_logit
        summary = summary._replace(
            log_own_weight=-jax.nn.softplus(ratio),
            log_rest_over_own=ratio,
            label_log_posterior_without=_normalised(sums.rest_classes),
        )
    if sums.groups is not None:
        summary = summary._replace(grouping_posteriors=sums.groups / total)
    return summary


def _normalised(classes: LogSum | None) -> Float[Array, " k"] | None:
    return None if classes is None else jax.nn.log_softmax(classes.value())
