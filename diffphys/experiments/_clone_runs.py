"""Runs of cloned trajectories: chunk after chunk, until every branch time has as many as it needs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from .._types import PRNGKey
from ..samplers import AbstractSampler
from ._accuracy import Accuracy, in_chunks
from ._chunks import ChunkedProgram, Runner, default_chunk
from ._clones import CloneTables, Readout, Source, halved_chunk, measure_clones
from ._statistics import Moments, chunk_moments, joined_moments, stacked_moments


class CloneRun(NamedTuple):
    """Moments of every readout at every branch time, and of its change when the grid is halved."""

    moments: dict[str, Moments]
    bias: dict[str, Moments]
    excess: dict[str, Moments]
    """Of what the source expects: how much more the clones of a branch point say than the point itself."""
    ends: dict[str, Moments]
    """Of what has a number a label, a column each; all branch times of a trajectory averaged."""
    trajectories: Int[np.ndarray, " branches"]
    """How many each branch time had."""
    chunk: int
    halved: int
    """Trajectories that were run on the halved grid too."""
    evaluations: int
    """Calls of the denoiser in all."""


def run_clones(
    source: Source,
    sampler: AbstractSampler,
    readout: Readout,
    tables: CloneTables,
    *,
    key: PRNGKey,
    trajectories: int,
    runner: Runner,
    times: Float[np.ndarray, " branches"],
    settings: Mapping[str, Any],
    accuracy: Accuracy | None,
    name: str,
) -> CloneRun:
    """Runs the experiment in chunks of trajectories, each with all its branch times and clones.

    Journals know the `settings` by name. With an `accuracy`, `trajectories` are a pilot, and branch times get as many
    more of them as they need.
    """
    blocks = 1 if tables.end.complement is None else tables.end.complement.shape[0]
    elements = source.dim * blocks * (2 * source.clones + 1)
    done, needed = np.zeros(len(times), np.int32), np.full(len(times), trajectories, np.int32)
    runs: list[CloneRun] = []
    chunk = runner.chunk_of(name)
    while np.any(needed > done):
        start = int(done[needed > done].min())
        program = ChunkedProgram(
            measure_clones, (source, sampler, readout, tables, key, done, needed), items=int(needed.max()) - start,
            elements=elements, chunk=chunk, start=start, told=halved_chunk,
        )  # fmt: skip
        runs.append(_collected(program, runner, settings, f"{name}-{len(runs)}" if runs else name))
        chunk, run = program.chunk, _joined(runs, source, sampler, tables)
        done = needed
        if accuracy is not None:
            wanted = accuracy.wanted(run.moments, done, times)
            if len(runs) == 1:
                # The pilot is small: those that follow have the chunk of what they are.
                most = max(1, int((wanted - done).max()))
                chunk = runner.chunk_of(f"{name}-1") or default_chunk(most, elements)
            needed = in_chunks(done, wanted, chunk)
    return run


def _collected(program: ChunkedProgram, runner: Runner, settings: Mapping[str, Any], name: str) -> CloneRun:
    """The run of one program, its evaluations not counted yet."""

    def reduce(i: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        halved, measured = results.pop("halved"), results.pop("measured")
        bias = {name: results.pop(name)[halved] for name in list(results) if name.endswith(".bias")}
        excess = {name: results.pop(name) for name in list(results) if name.endswith(".excess")}
        # A trajectory counts once, by its mean over the branch times that it was run at.
        counts, some = measured.sum(1), measured.any(1)
        ends = {
            name: ((results.pop(name) * measured[..., None]).sum(1)[some] / counts[some, None])
            for name in list(results) if results[name].ndim == 3
        }  # fmt: skip
        sums = {}
        for kind, values, where in (
            ("curve", results, measured), ("excess", excess, measured), ("bias", bias, measured[halved]),
            ("end", ends, None),
        ):  # fmt: skip
            if values:
                groups = np.zeros(len(next(iter(values.values()))), int)
                parts = chunk_moments(values, groups, 1, program.chunk, program.chunks, where)
                sums |= {f"{kind}:{name}": part for name, part in parts.items()}
        return sums

    config = {"trajectories": program.items, **settings}
    stacked = runner.collect(name, program, reduce, config, unit="trajectory")
    moments, changes, more, ends = (stacked_moments(stacked, kind) for kind in ("curve:", "bias:", "excess:", "end:"))
    return CloneRun(
        moments,
        {name.removesuffix(".bias"): parts for name, parts in changes.items()},
        {name.removesuffix(".excess"): parts for name, parts in more.items()},
        ends,
        stacked["curve:count"].sum((0, 1, 2)).astype(np.int32),
        program.chunk,
        int(stacked["bias:count"].sum((0, 1, 2)).max()),
        0,
    )


def _joined(runs: list[CloneRun], source: Source, sampler: AbstractSampler, tables: CloneTables) -> CloneRun:
    """All runs as one: of different trajectories, some at part of the branch times."""
    trajectories = np.sum([run.trajectories for run in runs], axis=0)
    halved = sum(int(count) for run in runs for count in next(iter(run.bias.values())).count.sum((0, 1)))
    pairs = tables.mix[..., 0].shape[1] * source.clones
    steps = (2 * int(trajectories.sum()) + halved) * pairs
    if tables.trunk is not None:
        steps += int(trajectories.max()) * int(np.prod(jax.tree.leaves(tables.trunk)[0].shape[:2]))
    parts = {
        kind: joined_moments([getattr(run, kind) for run in runs]) for kind in ("moments", "bias", "excess", "ends")
    }
    return CloneRun(
        **parts, trajectories=trajectories, chunk=runs[0].chunk, halved=sum(run.halved for run in runs),
        evaluations=steps * sampler.evaluations,
    )  # fmt: skip
