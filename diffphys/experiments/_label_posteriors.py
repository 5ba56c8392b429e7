"""Posteriors of the labels at the ends of trajectories from the prior, and of the prior itself, summed up by chunks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, UInt
from scipy.special import xlogy

from .._devices import over_items
from .._types import PRNGKey
from ..processes import AbstractProcess, Kernel
from ..samplers import AbstractSampler
from ..samplers.base import noise_of, place, run
from ..targets import AbstractLabelledTarget, is_divided, shape_of
from ._chunks import ChunkedProgram, Runner


class LabelPosteriors(NamedTuple):
    """What posteriors of the labels are over independent items, a row a start."""

    number: int
    mean: Float[np.ndarray, "starts labels"]
    covariance: Float[np.ndarray, "starts labels labels"]
    entropy: Float[np.ndarray, " starts"]
    """The mean entropy of a posterior, in nats."""
    chunk: int

    @property
    def stderr(self) -> Float[np.ndarray, "starts labels"]:
        """Standard errors of the means."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2) / self.number)

    def stderr_along(self, slopes: Float[np.ndarray, "starts labels"]) -> Float[np.ndarray, " starts"]:
        """Standard errors of functions of the means that have these derivatives."""
        squares = np.einsum("sk,skl,sl->s", slopes, self.covariance, slopes)
        # Where a function does not vary at all, of a class that no item has, rounding may leave less than zero.
        return np.sqrt(np.maximum(squares, 0.0) / self.number)


def of_prior(
    target: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Float[np.ndarray, " times"],
    *,
    key: PRNGKey,
    samples: int,
    runner: Runner,
    name: str,
) -> LabelPosteriors:
    """Those of draws of the prior at each time, the same draws at all of them."""
    kernels = place(process.table(times), shape_of(target).dtype)
    program = ChunkedProgram(
        _of_prior, (target, kernels, key), items=samples, elements=_state_size(process, target),
        chunk=runner.chunk_of(name),
    )  # fmt: skip
    return _collected(program, runner, name, {"samples": samples}, unit="sample")


def of_ends(
    sampler: AbstractSampler,
    target: AbstractLabelledTarget,
    grids: Sequence[Float[np.ndarray, " knots"]],
    *,
    key: PRNGKey,
    trajectories: int,
    firsts: Sequence[int],
    runner: Runner,
    name: str,
    quantity: str,
    settings: Mapping[str, Any],
) -> LabelPosteriors:
    """Those at the ends of trajectories from the prior, down each of the grids.

    Args:
        sampler: how they move.
        target: whose labels they are.
        grids: where they start and how they step; all end at the same time, after as many steps.
        key: root of the addressed noise.
        trajectories: how many on each grid.
        firsts: the number of the first trajectory of each grid: grids of equal numbers share their noise.
        runner: chunk size, journals and progress.
        name: of the journal and the bar.
        quantity: what a posterior that is not finite is called.
        settings: what the journal tells of them.

    Raises:
        ValueError: if grids have different numbers of steps.
    """
    if len(sizes := {len(ts) for ts in grids}) > 1:
        raise ValueError(f"`grid` needs as many times from every start. Got {sorted(sizes)}. Make grids of one size.")
    process, dtype = sampler.process, shape_of(target).dtype
    rows = jax.tree.map(lambda *leaves: np.stack(leaves), *(sampler.plan(ts) for ts in grids))
    starts, ends = (process.table(np.array([ts[i] for ts in grids])) for i in (0, -1))
    rows, starts, ends = place((rows, starts, ends), dtype)
    end = jax.tree.map(lambda leaf: leaf[0], ends)
    program = ChunkedProgram(
        _of_ends, (sampler, target, rows, starts, end, np.asarray(firsts, np.uint32), key, quantity),
        items=trajectories, elements=3 * _state_size(process, target), chunk=runner.chunk_of(name),
    )  # fmt: skip
    return _collected(program, runner, name, {"trajectories": trajectories, **settings}, unit="trajectory")


def _state_size(process: AbstractProcess, target: AbstractLabelledTarget) -> int:
    return target.dim * int(np.prod(np.shape(process.start()[0])))


@eqx.filter_jit
def _of_prior(target: AbstractLabelledTarget, kernels: Kernel, root: PRNGKey, first: Array, chunk: int):
    """Posteriors of draws `first ... first + chunk - 1` of the prior at each time."""
    dtype = jnp.asarray(kernels.variance).dtype

    def one(i):
        # One noise for all times, and one time after the other.
        noise = jr.normal(jr.fold_in(root, i), (*np.shape(kernels.mean)[1:], target.dim), dtype)
        nothing = jnp.zeros(target.dim, dtype)

        def at(kernel):
            return jnp.exp(target.label_log_posterior(*kernel.observe(kernel.noised(nothing, noise))))

        return jax.lax.map(at, kernels)

    return {"label_weight": over_items(jax.vmap(one), first, chunk, together=is_divided(target))}


@eqx.filter_jit
def _of_ends(
    sampler: AbstractSampler, target: AbstractLabelledTarget, rows: Any, starts: Kernel, end: Kernel,
    firsts: UInt[Array, " starts"], root: PRNGKey, quantity: str, first: Array, chunk: int,
):  # fmt: skip
    """Posteriors at the ends of trajectories `first ... first + chunk - 1` of each grid."""

    def one(i):
        def down(grid):
            rows, start, number = grid
            start_key, noise_key = jr.split(jr.fold_in(root, number + i.astype(jnp.uint32)))
            z = start.prior(start_key, target.dim, jnp.asarray(start.variance).dtype)
            z = run(sampler, rows, z, noise_of(sampler, noise_key, z))
            return jnp.exp(target.label_log_posterior(*end.observe(z)))

        return jax.lax.map(down, (rows, starts, firsts))

    return {quantity: over_items(jax.vmap(one), first, chunk, together=is_divided((sampler, target)))}


def _collected(
    program: ChunkedProgram, runner: Runner, name: str, settings: dict[str, Any], *, unit: str
) -> LabelPosteriors:
    """The posteriors of all chunks by their sums: nothing grows with the number of items."""

    def reduce(i: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        [found] = (values.astype(np.float64) for values in results.values())
        mean = found.mean(0)
        entropy = -xlogy(found, found).sum((0, 2))
        return {"count": np.array(len(found)), "mean": mean, "squares": _squares(found - mean), "entropy": entropy}

    stacked = runner.collect(name, program, reduce, settings, unit=unit)
    counts, means = stacked["count"], stacked["mean"]
    number = int(counts.sum())
    mean = np.tensordot(counts / number, means, 1)
    squares = stacked["squares"].sum(0) + _squares(np.sqrt(counts)[:, None, None] * (means - mean))
    return LabelPosteriors(number, mean, squares / (number - 1), stacked["entropy"].sum(0) / number, program.chunk)


def _squares(apart: Float[np.ndarray, "n starts labels"]) -> Float[np.ndarray, "starts labels labels"]:
    """Sums of the products of deviations from a mean."""
    return np.einsum("nsk,nsl->skl", apart, apart)
