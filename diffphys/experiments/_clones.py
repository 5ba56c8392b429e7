"""Cloned trajectories: one experiment, read by class (speciation) or by datum (collapse)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .._journal import Journal, run_chunks
from .._types import PRNGKey, Scalar
from ..processes import Kernel
from ..samplers import AbstractSampler
from ..samplers.base import check_grid, noise_of, place, run
from ..targets import AbstractTarget
from ._chunks import ChunkedProgram
from ._statistics import Moments, moments_of

Readout = Callable[[Float[Array, "c d"], Scalar], dict[str, Array]]
"""What the clones of one branch point say, from their channels y and its variance: one number a name."""

# Chunks on which the halved grid is run too, for the discretisation bias: one in so many.
_EVERY = 4


class CloneTables(NamedTuple):
    """Every coefficient of the experiment, one row a branch time."""

    start: Kernel | None
    trunk: Any
    side: Any
    coarse: Any
    mix: Float[np.ndarray, "branches pairs 2"]
    end: Kernel


class CloneRun(NamedTuple):
    """Moments of every readout at every branch time, and of its change when the grid is halved."""

    moments: dict[str, Moments]
    bias: dict[str, Moments]
    chunk: int
    evaluations: int
    """Calls of the denoiser in all."""


def clone_tables(
    sampler: AbstractSampler,
    times: Float[np.ndarray, " branches"],
    *,
    stop: float,
    steps: int,
    grid: Callable[[float, float, int], np.ndarray],
    trunk_from: float | None,
) -> CloneTables:
    """Plans the side branches from each time to `stop`, their halved grids, and the trunk if there is one."""
    process = sampler.process
    grids = [check_grid(grid(float(t), stop, steps)) for t in times]
    trunk = None
    if trunk_from is not None:
        knots = np.concatenate([[trunk_from], times])
        per_branch = max(2, steps // len(times))
        trunk = _stack([sampler.plan(check_grid(grid(t, s, per_branch))) for t, s in zip(knots, knots[1:])])
    weights = [np.sqrt(-np.diff(ts)).reshape(-1, 2) for ts in grids]
    return CloneTables(
        start=process.table(np.asarray(times[:1] if trunk_from is not None else times)),
        trunk=trunk,
        side=_stack([sampler.plan(ts) for ts in grids]),
        coarse=_stack([sampler.plan(ts[::2]) for ts in grids]),
        mix=np.stack([w / np.linalg.norm(w, axis=1, keepdims=True) for w in weights]),
        end=process.kernel(stop),
    )


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


@eqx.filter_jit
def _measure(source, sampler, readout, tables, root, with_bias, first, chunk: int):
    """Readouts of trajectories `first ... first + chunk - 1` at every branch time.

    Noise is addressed by (root, trajectory, branch, clone, step); the trunk is branch 0.
    """
    clones, dtype = source.clones, source.dtype

    def ends(rows, z, key, mix):
        def clone(c):
            own = jr.fold_in(key, c + 1)
            fine = noise_of(sampler, own, z)
            # A halved grid sees the Brownian path of the full one.
            draw = fine if mix is None else lambda i: mix[i, 0] * fine(2 * i) + mix[i, 1] * fine(2 * i + 1)
            return run(sampler, rows, z, draw)

        ys, variance = jax.vmap(tables.end.observe)(jax.vmap(clone)(jnp.arange(clones)))
        return readout(ys, variance[0])

    def one(i):
        own = jr.fold_in(root, i)
        trunk_key = jr.fold_in(own, 0)

        def branch(z, indexed):
            b, row = indexed
            key = jr.fold_in(own, b + 1)
            if tables.trunk is None:
                z = source.state(row.start, jr.fold_in(key, 0))
            else:
                z = run(sampler, row.trunk, z, noise_of(sampler, jr.fold_in(trunk_key, b + 1), z))
            fine = ends(row.side, z, key, None)
            bias = jax.lax.cond(
                with_bias,
                lambda: jax.tree.map(jnp.subtract, fine, ends(row.coarse, z, key, row.mix)),
                lambda: jax.tree.map(jnp.zeros_like, fine),
            )
            return z, fine | {f"{name}.bias": value for name, value in bias.items()}

        rows = place(tables._replace(end=None, start=tables.start if tables.trunk is None else None), dtype)
        first_row = jax.tree.map(lambda leaf: leaf[0], tables.start)
        z = source.first(first_row, jr.fold_in(trunk_key, 0))
        _, values = jax.lax.scan(branch, z, (jnp.arange(len(tables.mix)), rows))
        return values

    return jax.vmap(one)(first + jnp.arange(chunk))


class Source(eqx.Module):
    """Where branch points come from: forward samples of a target, or a trunk from the prior."""

    target: AbstractTarget | None
    dim: int = eqx.field(static=True)
    clones: int = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    def state(self, kernel: Kernel, key: PRNGKey) -> Array:
        """A draw of the law at the kernel's time."""
        assert self.target is not None
        data_key, noise_key = jr.split(key)
        return kernel.sample(noise_key, self.target.sample(data_key))

    def first(self, kernel: Kernel, key: PRNGKey) -> Array:
        """The state of the trunk at its start: a draw of the prior."""
        return kernel.prior(key, self.dim, self.dtype)


def run_clones(
    source: Source,
    sampler: AbstractSampler,
    readout: Readout,
    tables: CloneTables,
    *,
    key: PRNGKey,
    trajectories: int,
    chunk: int | None = None,
    journal: Journal | None = None,
    progress: bool | None = None,
    label: str = "clones",
) -> CloneRun:
    """Runs the experiment in chunks of trajectories, each with all its branch times and clones."""
    state = 1 if tables.end.complement is None else tables.end.complement.shape[0]
    elements = source.dim * state * (source.clones + 1)
    arguments = (source, sampler, readout, tables, key, np.bool_(True))
    program = ChunkedProgram(_measure, arguments, items=trajectories, elements=elements, chunk=chunk)
    counted = [i % _EVERY == 0 for i in range(program.chunks)]

    def measure(i: int) -> dict[str, np.ndarray]:
        program.replace_argument(5, np.bool_(counted[i]))
        results = program(i)
        groups = np.zeros(min(program.chunk, trajectories - i * program.chunk), int)
        out = {"count": np.array([[float(len(groups))]])}
        for name, values in results.items():
            for part, value in moments_of(values, groups, 1).items():
                out[f"{name}.{part}"] = value
        return out

    stacked = run_chunks(
        measure, program.chunks, journal=journal, progress=progress, label=label, unit_scale=program.chunk,
        unit="trajectory",
    )
    moments, bias = {}, {}
    for name in (n.removesuffix(".total") for n in stacked if n.endswith(".total")):
        parts = Moments(stacked["count"], stacked[f"{name}.total"], stacked[f"{name}.squares"])
        if name.endswith(".bias"):
            bias[name.removesuffix(".bias")] = Moments(*(part[counted] for part in parts))
        else:
            moments[name] = parts
    steps = tables.mix.shape[0] * tables.mix.shape[1] * 2 * source.clones
    if tables.trunk is not None:
        steps += int(np.prod(jax.tree.leaves(tables.trunk)[0].shape[:2]))
    return CloneRun(moments, bias, program.chunk, trajectories * steps * sampler.evaluations)
