"""Posteriors of forward samples at every time: what the identities need, without a trajectory."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from .._devices import over_items
from .._types import Data, PRNGKey, Scalar
from ..targets import AbstractDataSet, AbstractLabelledTarget, Labelings, is_divided
from ._accuracy import Accuracy, in_chunks
from ._chunks import ChunkedProgram, Runner, default_chunk
from ._statistics import Moments, chunk_moments, joined_moments, stacked_moments

_PERMUTATIONS = 4
# A program has a multiple of so many times: with a few more or less of them it is the same one. Those that nobody
# asked for are never measured.
_TIMES = 8


class ForwardRun(NamedTuple):
    """Moments of every quantity over forward samples, and the settings that make them again."""

    moments: dict[str, Moments]
    own_time: Float[np.ndarray, " samples"]
    """Where each sample's L crosses 0 (data sets only); nan where it does not. Of samples that have all times."""
    labels: Int[np.ndarray, " samples"]
    """Of the same samples."""
    samples: Int[np.ndarray, " times"]
    """How many samples each time had."""
    chunk: int


def _label_readout(target: AbstractLabelledTarget, y: Data, variance: Scalar, label: Int[Array, ""]):
    """What the posterior over the labels says: one number a name."""
    posterior = jnp.exp(target.label_log_posterior(y, variance))
    overlap, truth = jnp.sum(posterior**2), posterior[label]
    values = {"phi": overlap, "phi_true": truth, "label_entropy": _entropy(posterior)}
    for j, nodes in enumerate(target.hierarchy):
        of_nodes = jnp.zeros(max(nodes) + 1, posterior.dtype).at[jnp.asarray(nodes)].add(posterior)
        values[f"phi_level_{j}"] = jnp.sum(of_nodes**2)
    return values


def _entropy(posterior: Float[Array, " k"]) -> Scalar:
    return -jnp.sum(jax.scipy.special.xlogy(posterior, posterior))


def _of_data(summary: Any) -> dict[str, Array]:
    """What the weights of the data say of the data themselves."""
    return {
        "phi_c": summary.participation,
        "own_weight": jnp.exp(summary.log_own_weight),
        "entropy": summary.entropy,
        "log_rest_over_own": summary.log_rest_over_own,
    }


def _both_readouts(target: AbstractDataSet, y: Data, variance: Scalar, index: Int[Array, ""], permuted: Labelings):
    """What the weights say of the data and of their labels, in one streamed pass."""
    summary: Any = target.weights_summary(y, variance, index, permuted)
    posterior, without = jnp.exp(summary.label_log_posterior), jnp.exp(summary.label_log_posterior_without)
    label = target.label_of(index)
    return _of_data(summary) | {
        "phi": jnp.sum(posterior**2),
        "phi_true": posterior[label],
        "label_entropy": _entropy(posterior),
        "phi_permuted": jnp.mean(jnp.sum(summary.grouping_posteriors**2, axis=1)),
        "phi_left_out": without[label],
        "overlap_left_out": jnp.sum(without**2),
    }


@eqx.filter_jit
def _measure(target, permuted, root, variances, done, needed, first, chunk: int):
    """Every quantity of samples `first ... first + chunk - 1`, at the variances that still need them.

    The same draws at each. `done` and `needed`: from which sample on and up to which a variance is `measured`.
    """
    measured = (done <= first) & (first < needed)
    # Those first: the number of turns of the loop is known when it runs, so that nothing is compiled again.
    order = jnp.argsort(~measured)

    def one(i):
        data_key, noise_key = jr.split(jr.fold_in(root, i))
        if isinstance(target, AbstractDataSet):
            a, origin = target.sample_indexed(data_key)
            label = target.label_of(origin)
        else:
            a, origin = target.sample_labelled(data_key)
            label = origin
        origin, label = origin.astype(jnp.int32), label.astype(jnp.int32)
        noise = jr.normal(noise_key, a.shape, a.dtype)

        def at(variance):
            y = a + jnp.sqrt(variance) * noise
            if not isinstance(target, AbstractDataSet):
                return _label_readout(target, y, variance, origin)
            if permuted is None:
                return _of_data(target.weights_summary(y, variance, origin, with_labels=False))
            return _both_readouts(target, y, variance, origin, permuted)

        def turn(k, results):
            place = order[k]
            return {name: results[name].at[place].set(value) for name, value in at(levels[place]).items()}

        levels = variances.astype(a.dtype)
        empty = {name: jnp.zeros(levels.shape, leaf.dtype) for name, leaf in jax.eval_shape(at, levels[0]).items()}
        return jax.lax.fori_loop(0, jnp.sum(measured), turn, empty) | {"label": label}

    results = over_items(jax.vmap(one), first, chunk, together=is_divided(target))
    return results | {"measured": jnp.broadcast_to(measured, (chunk, measured.size))}


def permuted_labels(target: AbstractDataSet, key: PRNGKey) -> Labelings:
    """A few random permutations of the labels: what the curves would be if labels meant nothing."""
    labels, rng = np.asarray(target.labels), np.random.default_rng(np.ravel(jr.key_data(key)))
    # On the host: `jax.random.permutation` compiles a program for each number of data.
    return target.labelings(np.stack([rng.permutation(labels) for _ in range(_PERMUTATIONS)]))


def measure_forward(
    target: AbstractLabelledTarget,
    variances: Float[np.ndarray, " times"],
    times: Float[np.ndarray, " times"],
    *,
    key: PRNGKey,
    samples: int,
    runner: Runner,
    accuracy: Accuracy | None = None,
    labels: bool = True,
    name: str = "forward",
) -> ForwardRun:
    """Moments of posterior quantities of y = a + sqrt(v) noise, a and noise the same at every v.

    Args:
        target: a labelled target; a data set gives the quantities of its data too.
        variances: channel variances, in the order of `times`.
        times: their times, for the crossings of single samples.
        key: root of the addressed noise.
        samples: how many at every time; with an `accuracy`, of the pilot.
        runner: chunk size, journals and progress.
        accuracy: what to reach at every time, with more samples where the pilot is not enough.
        labels: whether to measure what a data set says of its labels, at the price of as much again.
        name: what the journal and the bar are called.

    Raises:
        ValueError: if more than a million samples would be needed.
    """
    sample_key, label_key = jr.split(key)
    permuted = permuted_labels(target, label_key) if labels and isinstance(target, AbstractDataSet) else None
    idle = (0, -len(times) % _TIMES)
    fixed = (target, permuted, sample_key, np.pad(np.asarray(variances), idle, mode="edge"))
    done, needed = np.zeros(len(times), np.int32), np.full(len(times), samples, np.int32)
    # A pilot is small, and those that follow have its chunks.
    elements = 3 * target.dim
    chunk = runner.chunk_of(name)
    if chunk is None and accuracy is not None:
        chunk = default_chunk(4 * samples, elements)
    runs: list[ForwardRun] = []
    while np.any(needed > done):
        start = int(done[needed > done].min())
        program = ChunkedProgram(
            _measure, (*fixed, np.pad(done, idle), np.pad(needed, idle)), items=int(needed.max()) - start,
            elements=elements, chunk=chunk, start=start,
        )  # fmt: skip
        stage = f"{name}-{len(runs)}" if runs else name
        runs.append(_collected(program, np.asarray(times), target.num_labels, runner, stage))
        chunk = program.chunk
        run = _joined(runs)
        done = needed
        if accuracy is not None:
            needed = in_chunks(done, accuracy.wanted(run.moments, done, np.asarray(times)), chunk)
    return run


def _collected(program: ChunkedProgram, times: np.ndarray, groups: int, runner: Runner, name: str) -> ForwardRun:
    """The run of one program."""
    order = np.argsort(times)

    def reduce(i: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        labels = results.pop("label")
        results = {name: values[:, : len(times)] for name, values in results.items()}
        measured = results.pop("measured")
        sums = chunk_moments(results, labels, groups, program.chunk, program.chunks, measured)
        own = np.full(program.chunk, -1.0)
        padded = np.full(program.chunk, -1)
        whole = measured.all(1)
        padded[: len(labels)] = np.where(whole, labels, -1)
        if "log_rest_over_own" in results:
            crossed = _zeros(times[order], results["log_rest_over_own"][:, order])
            own[: len(labels)] = np.where(whole, crossed, -1.0)
        return {f"moments.{part}": value for part, value in sums.items()} | {"own": own, "labels": padded}

    stacked = runner.collect(name, program, reduce, {"samples": program.items}, unit="sample")
    moments = stacked_moments(stacked, "moments.")
    own, labels = stacked["own"].ravel(), stacked["labels"].ravel()
    own, labels = own[labels >= 0], labels[labels >= 0]
    counts = stacked["moments.count"].sum((0, 1, 2)).astype(int)
    return ForwardRun(moments, np.where(own < 0, np.nan, own), labels, counts, program.chunk)


def _joined(runs: list[ForwardRun]) -> ForwardRun:
    """All runs as one: of different samples, some at part of the times."""
    moments = joined_moments([run.moments for run in runs])
    own, labels = (np.concatenate([getattr(run, field) for run in runs]) for field in ("own_time", "labels"))
    return ForwardRun(moments, own, labels, np.sum([run.samples for run in runs], axis=0), runs[0].chunk)


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
    accuracy: Accuracy | None = None,
    with_labels: bool = True,
) -> dict[str, tuple]:
    """`stderr_data`: how far curves of a data set would move with another draw of it.

    The spread over random halves of the data, class by class: without replacement, that of a mean over n/2 of n
    points is its spread over data sets of n. What the Monte-Carlo error adds to it is subtracted.
    """
    if not isinstance(target, AbstractDataSet) or datasets == 0 or (datasets is None and target.num_points >= 5000):
        return {}
    labels = np.asarray(target.labels)
    if np.sum(np.maximum(np.bincount(labels) // 2, 1)) < 2:
        raise ValueError(
            f"Half-samples of data need two points each. Got {len(labels)} data in all. Give more, or `datasets=0`."
        )
    rng = np.random.default_rng(np.ravel(jr.key_data(key)))
    means, errors = {name: [] for name in quantities}, {name: [] for name in quantities}
    for _ in range(datasets or 8):
        halves = [rng.permutation(np.flatnonzero(labels == k)) for k in range(target.num_labels)]
        kept = np.concatenate([half[: max(1, len(half) // 2)] for half in halves])
        measured = measure_forward(
            target.subset(kept), variances, times, key=jr.clone(key), samples=samples,
            runner=Runner(progress=False), accuracy=accuracy, labels=with_labels,
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
