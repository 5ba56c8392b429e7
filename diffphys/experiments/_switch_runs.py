"""Trajectories of the switch: led towards a class down to each release, and from there on free."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .._devices import over_items
from .._types import Data, PRNGKey, Scalar
from ..processes import Kernel
from ..samplers import AbstractSampler
from ..samplers.base import Increments, noise_of, place
from ..targets import is_divided
from ._assemble import CloneOptions
from ._chunks import ChunkedProgram, Runner
from ._clones import ends_of, halved_chunk, halved_plans
from ._conditional import towards
from ._statistics import Moments, chunk_moments, stacked_moments


class Switch(eqx.Module):
    """What moves, towards which classes and how strongly, and how an end is read."""

    guided: AbstractSampler
    free: AbstractSampler
    reading: Callable[[Data, Scalar], Float[Array, " k"]]
    log_weights: Float[Array, " k"]
    guidance: Float[Array, " w"]
    dim: int = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)
    increments: Increments = eqx.field(static=True)


class SwitchRun(NamedTuple):
    """Moments of what was kept, a column a release time: for each guidance, and for its change on the halved grid."""

    kept: list[Moments]
    hard: list[Moments]
    bias: list[Moments]
    chunk: int
    evaluations: int


class _Tables(NamedTuple):
    """Every coefficient: of the start, of the legs from each release to the next, of the free branches."""

    start: Kernel
    led: Any
    free: Any
    end: Kernel


def _tables(experiment: Switch, releases: np.ndarray, options: CloneOptions) -> _Tables:
    """Plans both legs of every release; the led ones have half the steps of the free ones, an even number."""
    assert options.stop is not None, "options are checked"
    assert options.trunk_from is not None, "there is a trunk"
    process = experiment.free.process
    knots = np.concatenate([[options.trunk_from], releases])
    led = [options.grid(float(t), float(s), max(2, options.steps // 4 * 2)) for t, s in itertools.pairwise(knots)]
    free = [options.grid(float(t), options.stop, options.steps) for t in releases]
    return _Tables(
        process.kernel(float(knots[0])),
        halved_plans(experiment.guided, led),
        halved_plans(experiment.free, free),
        process.kernel(options.stop),
    )


@eqx.filter_jit
def _measure(experiment: Switch, tables: _Tables, root, halved, first, chunk: int):
    """What trajectories `first ... first + chunk - 1` keep of their class, at every release and guidance.

    Noise is addressed by (root, trajectory, release, step), the same for every guidance.
    """
    dtype, guided, free = experiment.dtype, experiment.guided, experiment.free
    variance = jnp.asarray(tables.end.variance, dtype)

    def one(i):
        label_key, prior_key, led_key, free_key = jr.split(jr.fold_in(root, i), 4)
        label = jr.categorical(label_key, experiment.log_weights)
        z = tables.start.prior(prior_key, experiment.dim, dtype)

        def kept(z):
            posterior = jnp.exp(experiment.reading(tables.end.observe(z)[0], variance))
            return posterior[label], (jnp.argmax(posterior) == label).astype(dtype)

        def release(starts, indexed):
            b, led, branch = indexed
            lead = noise_of(guided, jr.fold_in(led_key, b), z, experiment.increments)
            loose = noise_of(free, jr.fold_in(free_key, b), z, experiment.increments)

            def at(weight, starts):
                starts = ends_of(towards(guided, label, weight), led, starts, lead, halved)
                fine, coarse = ends_of(free, branch, starts, loose, halved)
                soft, hard = kept(fine)
                return starts, {"kept": soft, "hard": hard, "bias": soft - kept(coarse)[0]}

            return jax.vmap(at)(experiment.guidance, starts)

        start = jnp.broadcast_to(z, (len(experiment.guidance), *z.shape))
        led, branches = place((tables.led, tables.free), dtype)
        return jax.lax.scan(release, (start, start), (jnp.arange(len(led[2])), led, branches))[1]

    results = over_items(jax.vmap(one), first, chunk, together=is_divided(experiment))
    return results | {"halved": jnp.broadcast_to(halved, (chunk,))}


def run_switch(experiment: Switch, times: np.ndarray, options: CloneOptions, key: PRNGKey, runner: Runner) -> SwitchRun:
    """Runs the experiment in chunks of trajectories; its columns are in the order of `times`."""
    order = np.argsort(times)[::-1]
    tables = _tables(experiment, times[order], options)
    blocks = 1 if tables.end.complement is None else tables.end.complement.shape[0]
    number = len(experiment.guidance)
    program = ChunkedProgram(
        _measure, (experiment, tables, key), items=options.clones, elements=experiment.dim * blocks * 3 * number,
        chunk=runner.chunk_of("switch"), told=halved_chunk,
    )  # fmt: skip

    def reduce(i: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        halved = results.pop("halved")
        sums = {}
        for name, values in results.items():
            # Back to the order of `times`; and a column a time, one guidance after the other.
            values = values[halved if name == "bias" else slice(None)][:, np.argsort(order)]
            flat = {"": values.transpose(0, 2, 1).reshape(len(values), number * len(times))}
            parts = chunk_moments(flat, np.zeros(len(values), int), 1, program.chunk, program.chunks)
            sums |= {f"{name}:{part}": array for part, array in parts.items()}
        return sums

    stacked = runner.collect("switch", program, reduce, {"trajectories": options.clones}, unit="trajectory")

    def moments(kind: str) -> list[Moments]:
        whole = stacked_moments(stacked, f"{kind}:")[""]
        return [Moments(*part) for part in zip(*(np.split(array, number, axis=-1) for array in whole), strict=True)]

    # A guided step asks both denoisers; pairs of steps are steps of the halved grid.
    pairs = number * (tables.free[2][..., 0].size + 2 * tables.led[2][..., 0].size)
    calls = (2 * options.clones + int(stacked["bias:count"][..., 0].sum())) * pairs
    return SwitchRun(
        moments("kept"), moments("hard"), moments("bias"), program.chunk, calls * experiment.free.evaluations
    )
