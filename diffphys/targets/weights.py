"""What the posterior weights of a data set say: entropy, participation, classes, the generating datum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._types import Data, Scalar
from .streaming import PRECISION, Block, Cloud, LogSum


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
    label_log_posterior: Float[Array, " k"]
    """The log-probability of each class."""
    mean: Float[Array, " d"] | None = None
    """The posterior mean."""
    log_own_weight: Float[Array, ""] | None = None
    """log w_J, of the datum J that `y` was made from."""
    log_rest_over_own: Float[Array, ""] | None = None
    """L, the log-ratio of the weights of all others to that of J: w_J = 1 / (1 + exp(L))."""
    label_log_posterior_without: Float[Array, " k"] | None = None
    """The log-probability of each class had J not been among the data; -inf for a class of J alone."""
    grouping_log_posteriors: Float[Array, "g k"] | None = None
    """The log-probability of each label of each other labeling; -inf for a label that no datum has."""


class _Own(NamedTuple):
    """The generating datum, and the others of its class."""

    logit: Float[Array, ""]
    siblings: LogSum


class _Sums(NamedTuple):
    """What is carried from block to block."""

    weights: LogSum
    surprise: Float[Array, ""]
    squares: Float[Array, ""]
    argmax: Int[Array, ""]
    classes: LogSum
    mean: Float[Array, " d"] | None
    own: _Own | None
    groups: LogSum | None


def weights_summary(
    cloud: Cloud,
    classes: Int[Array, "b s"],
    num_labels: int,
    y: Data,
    variance: Scalar,
    *,
    index: Int[Array, ""] | None,
    groupings: Int[Array, "g n"] | None,
    with_mean: bool,
) -> WeightsSummary:
    """The summary in the frame of the cloud, its `log_evidence` without the terms common to all data."""
    nearest = cloud.nearest(y, variance)
    leaders = cloud.leaders(y, variance, nearest if index is None else jnp.append(nearest, index))
    own_class = None if index is None else classes.reshape(-1)[index]
    labelings = None if groupings is None else jax.vmap(cloud.in_blocks, out_axes=1)(groupings)

    def step(sums: _Sums, block: Block, extra) -> _Sums:
        labels, others = extra
        logits = cloud.logits(block, y, variance, leaders)
        sums = _add(sums, block, logits)._replace(classes=sums.classes.add_by_label(logits, labels))
        if sums.own is not None:
            is_own = block.slots == index
            siblings = jnp.where((labels == own_class) & ~is_own, logits, -jnp.inf)
            logit = sums.own.logit + jnp.sum(jnp.where(is_own, logits, 0))
            sums = sums._replace(own=_Own(logit, sums.own.siblings.add(siblings)[0]))
        if sums.groups is not None:
            groups = jax.vmap(LogSum.add_by_label, (0, None, 0))(sums.groups, logits, others)
            sums = sums._replace(groups=groups)
        return sums

    zero = jnp.zeros((), y.dtype)
    start = _Sums(
        weights=LogSum.empty(y.dtype),
        surprise=zero,
        squares=zero,
        argmax=jnp.zeros((), jnp.int32),
        classes=LogSum.empty(y.dtype, (num_labels,)),
        mean=jnp.zeros_like(y) if with_mean else None,
        own=None if index is None else _Own(zero, LogSum.empty(y.dtype)),
        groups=None if groupings is None else LogSum.empty(y.dtype, (groupings.shape[0], num_labels)),
    )
    sums = cloud.scan(step, start, (classes, labelings))
    return _summary(sums, leaders.anchor, own_class)


def _add(sums: _Sums, block: Block, logits: Float[Array, " s"]) -> _Sums:
    """Adds a block to the sums over all data, all of them in units of the running `exp(top)`."""
    weights, terms, rescale = sums.weights.add(logits)
    relative = jnp.where(logits > -jnp.inf, logits - weights.top, 0)
    # Earlier terms of the sum of w log w see both their weight and its logarithm fall.
    surprise = (sums.surprise + (sums.weights.top - weights.top) * sums.weights.total) * rescale
    mean = sums.mean
    if mean is not None:
        mean = mean * rescale + jnp.matmul(terms, block.points, precision=PRECISION)
    return sums._replace(
        weights=weights,
        surprise=surprise + jnp.sum(terms * relative),
        squares=sums.squares * rescale**2 + jnp.sum(terms**2),
        argmax=jnp.where(weights.top > sums.weights.top, block.slots[jnp.argmax(logits)], sums.argmax),
        mean=mean,
    )


def _summary(sums: _Sums, anchor: Scalar, own_class: Int[Array, ""] | None) -> WeightsSummary:
    """The summary of the completed sums."""
    total = sums.weights.total
    classes = sums.classes.value()
    summary = WeightsSummary(
        log_evidence=sums.weights.value() + anchor,
        # Two terms that are never negative: no digits are lost, and a single weight of 1 gives exactly 0.
        entropy=jnp.log(total) - sums.surprise / total,
        participation=sums.squares / total**2,
        argmax=sums.argmax,
        label_log_posterior=jax.nn.log_softmax(classes),
    )
    if sums.mean is not None:
        summary = summary._replace(mean=sums.mean / total)
    if sums.own is not None:
        without = classes.at[own_class].set(sums.own.siblings.value())
        ratio = jax.nn.logsumexp(without) - sums.own.logit
        summary = summary._replace(
            log_own_weight=-jax.nn.softplus(ratio),
            log_rest_over_own=ratio,
            label_log_posterior_without=jax.nn.log_softmax(without),
        )
    if sums.groups is not None:
        summary = summary._replace(grouping_log_posteriors=jax.nn.log_softmax(sums.groups.value()))
    return summary
