"""Posteriors of forward samples at every time: what the identities need, without a trajectory."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import Data, PRNGKey, Scalar
from ..targets import AbstractLabelledTarget, Empirical
from ._chunks import ChunkedProgram, Runner
from ._statistics import Moments, chunk_moments, stacked_moments

_PERMUTATIONS = 4


class ForwardRun(NamedTuple):
    """Moments of every quantity over forward samples, and the settings that make them again."""

    moments: dict[str, Moments]
    own_time: Float[np.ndarray, " samples"]
    """Where each sample's L crosses 0 (data sets only); nan where it does not within the times."""
    labels: Int[np.ndarray, " samples"]
    chunk: int


def _label_readout(target: AbstractLabelledTarget, y: Data, variance: Scalar, label: Int[Array, ""]):
    """What the posterior over the labels says: one number a name."""
    posterior = jnp.exp(target.label_log_posterior(y, variance))
    overlap, truth = jnp.sum(posterior**2), posterior[label]
    values = {"phi": overlap, "phi_true": truth, "label_entropy": _entropy(posterior)}
    for j, nodes in enumerate(getattr(target, "hierarchy", ())):
        values[f"phi_level_{j}"] = jnp.sum(_node_posterior(posterior, nodes) ** 2)
    return values


def _node_posterior(posterior: Float[Array, " k"], nodes: tuple[int, ...]) -> Float[Array, " nodes"]:
    """Sums the posterior of the leaves under each node of a level."""
    return jnp.zeros(max(nodes) + 1, posterior.dtype).at[jnp.asarray(nodes)].add(posterior)


def _entropy(posterior: Float[Array, " k"]) -> Scalar:
    return -jnp.sum(jax.scipy.special.xlogy(posterior, posterior))


def _data_readout(target: Empirical, y: Data, variance: Scalar, index: Int[Array, ""], permuted: Int[Array, "g n"]):
    """What the weights of the data say, of the labels and of the data themselves: one streamed pass."""
    summary: Any = target.weights_summary(y, variance, index, permuted)
    posterior, without = jnp.exp(summary.label_log_posterior), jnp.exp(summary.label_log_posterior_without)
    label = target.labels[index]
    return {
        "phi": jnp.sum(posterior**2),
        "phi_true": posterior[label],
        "label_entropy": _entropy(posterior),
        "phi_permuted": jnp.mean(jnp.sum(jnp.exp(2 * summary.grouping_log_posteriors), axis=1)),
        "phi_left_out": without[label],
        "overlap_left_out": jnp.sum(without**2),
        "phi_c": summary.participation,
        "own_weight": jnp.exp(summary.log_own_weight),
        "entropy": summary.entropy,
        "log_rest_over_own": summary.log_rest_over_own,
        "nearest_is_own": (summary.argmax == index).astype(y.dtype),
    }


@eqx.filter_jit
def _measure(target, permuted, root, variances, first, chunk: int):
    """Every quantity at every variance, of samples `first ... first + chunk - 1`; the same draws at each."""

    def one(i):
        data_key, noise_key = jr.split(jr.fold_in(root, i))
        if isinstance(target, Empirical):
            a, origin = target.sample_indexed(data_key)
            label = target.labels[origin]
        else:
            a, origin = target.sample_labelled(data_key)
            label = origin
        origin, label = origin.astype(jnp.int32), label.astype(jnp.int32)
        noise = jr.normal(noise_key, a.shape, a.dtype)

        def at(variance):
            y = a + jnp.sqrt(variance) * noise
            if isinstance(target, Empirical):
                return _data_readout(target, y, variance, origin, permuted)
            return _label_readout(target, y, variance, origin)

        return jax.lax.map(at, variances.astype(a.dtype)) | {"label": label}

    return jax.vmap(one)(first + jnp.arange(chunk, dtype=jnp.int32))


def permuted_labels(target: Empirical, key: PRNGKey) -> Int[Array, "g n"]:
    """A few random permutations of the labels: what the curves would be if labels meant nothing."""
    keys = jr.split(key, _PERMUTATIONS)
    return jax.vmap(lambda key: jr.permutation(key, target.labels))(keys)


def measure_forward(
    target: AbstractLabelledTarget,
    variances: Float[np.ndarray, " times"],
    times: Float[np.ndarray, " times"],
    *,
    key: PRNGKey,
    samples: int,
    runner: Runner,
    name: str = "forward",
) -> ForwardRun:
    """Moments of posterior quantities of y = a + sqrt(v) noise, a and noise the same at every v.

    Args:
        target: a labelled target; a data set gives the quantities of its data too.
        variances: channel variances, in the order of `times`.
        times: their times, for the crossings of single samples.
        key: root of the addressed noise.
        samples: how many.
        runner: chunk size, journals and progress.
        name: what the journal and the bar are called.
    """
    sample_key, label_key = jr.split(key)
    permuted = permuted_labels(target, label_key) if isinstance(target, Empirical) else None
    arguments = (target, permuted, sample_key, np.asarray(variances))
    program = ChunkedProgram(_measure, arguments, items=samples, elements=3 * target.dim, chunk=runner.chunk)
    order = np.argsort(times)
    number = target.num_labels

    def reduce(i: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        labels = results.pop("label")
        own = np.full(program.chunk, -1.0)
        padded = np.full(program.chunk, -1)
        padded[: len(labels)] = labels
        if "log_rest_over_own" in results:
            own[: len(labels)] = _zeros(np.asarray(times)[order], results["log_rest_over_own"][:, order])
        sums = chunk_moments(results, labels, number, program.chunk, program.chunks)
        return {f"moments.{part}": value for part, value in sums.items()} | {"own": own, "labels": padded}

    stacked = runner.collect(name, program, reduce, {"samples": samples}, unit="sample")
    moments = stacked_moments({n.removeprefix("moments."): a for n, a in stacked.items() if n.startswith("moments.")})
    own, labels = stacked["own"].ravel(), stacked["labels"].ravel()
    own, labels = own[labels >= 0], labels[labels >= 0]
    return ForwardRun(moments, np.where(own < 0, np.nan, own), labels, program.chunk)


def _zeros(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The last time at which each row, as a function of increasing time, rises through 0; -1 where it never does."""
    if len(times) < 2:
        return np.full(len(values), -1.0)
    rises = (values[:, :-1] <= 0) & (values[:, 1:] > 0)
    step = rises.shape[1] - 1 - np.argmax(rises[:, ::-1], axis=1)
    rows = np.arange(len(values))
    low, high = values[rows, step], values[rows, step + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        zero = times[step] - low * (times[step + 1] - times[step]) / (high - low)
    return np.where(rises.any(1), zero, -1.0)


def half_sample_errors(
    target: AbstractLabelledTarget,
    variances: Float[np.ndarray, " times"],
    times: Float[np.ndarray, " times"],
    quantities: tuple[str, ...],
    *,
    key: PRNGKey,
    samples: int,
    datasets: int | None,
) -> dict[str, tuple]:
    """`stderr_data`: how far curves of a data set would move with another draw of it.

    The spread over random halves of the data, class by class: without replacement, that of a mean over n/2 of n
    points is its spread over data sets of n. What the Monte-Carlo error adds to it is subtracted.
    """
    if not isinstance(target, Empirical) or datasets == 0 or (datasets is None and target.num_points >= 5000):
        return {}
    points, labels = np.asarray(target.points), np.asarray(target.labels)
    rng = np.random.default_rng(np.ravel(jr.key_data(key)))
    means, errors = {name: [] for name in quantities}, {name: [] for name in quantities}
    for _ in range(datasets or 8):
        halves = [rng.permutation(np.flatnonzero(labels == k)) for k in range(target.num_labels)]
        kept = np.concatenate([half[: max(1, len(half) // 2)] for half in halves])
        measured = measure_forward(
            Empirical(points[kept], labels[kept]), variances, times, key=jr.clone(key), samples=samples,
            runner=Runner(progress=False),
        )  # fmt: skip
        for name in quantities:
            mean, error = measured.moments[name].pooled()
            means[name].append(mean)
            errors[name].append(error)
    out = {}
    for name in quantities:
        excess = np.var(means[name], axis=0, ddof=1) - np.mean(np.square(errors[name]), axis=0)
        out[f"{name}_stderr_data"] = ("t", np.sqrt(np.clip(excess, 0, None)))
    return out
