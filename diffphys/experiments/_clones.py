"""Cloned trajectories: one experiment, read by class (speciation) or by datum (collapse)."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._box_muller import box_muller
from .._devices import over_items
from .._types import PRNGKey, Scalar
from ..processes import Kernel
from ..samplers import AbstractSampler
from ..samplers.base import Increments, noise_of, place, run, run_halved
from ..targets import AbstractTarget, is_divided

# The halved grid, half a grid more, is run in one chunk of so many. Along one path both ends are mostly of one class:
# the bias of all trajectories would have a quarter of the standard error of the curve, of this part it has half of it.
_EVERY = 4
# But in no fewer trajectories than this, if there are so many.
_LEAST = 64
# The least steps of a trunk from a branch to the next: it is run once for all clones, and what is wrong in it all have.
_TRUNK = 6

Readout = Callable[[Float[Array, "c d"], Scalar], dict[str, Array]]
"""What the clones of one branch point say, from their channels y and its variance: a number, or one a label, a name."""


class CloneTables(NamedTuple):
    """Every coefficient of the experiment, one row a branch time."""

    start: Kernel | None
    trunk: Any
    side: Any
    coarse: Any
    mix: Float[np.ndarray, "branches pairs 2"]
    end: Kernel


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
    grids = [grid(float(t), stop, steps) for t in times]
    side, coarse, mix = halved_plans(sampler, grids)
    trunk = None
    if trunk_from is not None:
        knots = np.concatenate([[trunk_from], times])
        per_branch = max(_TRUNK, steps // len(times))
        trunk = _stack([sampler.plan(grid(t, s, per_branch)) for t, s in itertools.pairwise(knots)])
    return CloneTables(
        start=process.table(np.asarray(times if trunk_from is None else [trunk_from])),
        trunk=trunk,
        side=side,
        coarse=coarse,
        mix=mix,
        end=process.kernel(stop),
    )


def halved_plans(
    sampler: AbstractSampler, grids: list[np.ndarray]
) -> tuple[Any, Any, Float[np.ndarray, "grids pairs 2"]]:
    """The plans of grids and of every second knot of them, stacked, and what noises of a pair of steps mix to."""
    weights = [np.sqrt(-np.diff(ts)).reshape(-1, 2) for ts in grids]
    return (
        _stack([sampler.plan(ts) for ts in grids]),
        _stack([sampler.plan(ts[::2]) for ts in grids]),
        np.stack([w / np.linalg.norm(w, axis=1, keepdims=True) for w in weights]),
    )


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


@eqx.filter_jit
def measure_clones(source, sampler, readout, tables, root, done, needed, halved, first, chunk: int):
    """Readouts of trajectories `first ... first + chunk - 1` at the branch times that still need them.

    With `halved` also how much they change when the grid is halved. Noise is addressed by
    (root, trajectory, branch, clone, step); the trunk is branch 0. `done` and `needed`: from which trajectory on and
    up to which a branch time is `measured`; elsewhere no clone moves, and the results mean nothing.
    """
    variance = jnp.asarray(tables.end.variance, source.dtype)
    measured = (done <= first) & (first < needed)

    def read(states):
        return readout(jax.vmap(lambda z: tables.end.observe(z)[0])(states), variance)

    # The branch times outermost, and all clones of all trajectories in one batch: every batch within a batch would
    # trace the samplers and the score once more.
    def many(items):
        own = _fold_numbers(root, items)

        def branch(zs, indexed):
            b, wanted, row = indexed
            keys = _fold_keys(own, b + 1)
            zs = source.points(sampler, row, zs, keys, _fold_keys(_fold_keys(own, 0), b + 1))
            ends = jax.lax.cond(
                wanted,
                lambda: _ends(sampler, row, zs, keys, source, halved),
                lambda: jnp.broadcast_to(zs[:, None, None], (len(zs), 2, source.clones, *zs.shape[1:])),
            )
            # Both at once: what a readout costs to trace is more than what it costs to run twice.
            found = jax.vmap(jax.vmap(read))(ends)
            fine = {name: value[:, 0] for name, value in found.items()}
            bias = {f"{name}.bias": value[:, 0] - value[:, 1] for name, value in found.items() if value.ndim == 2}
            return zs, fine | bias | source.excess(row.start, zs, fine)

        rows = place(tables._replace(end=None, start=tables.start if tables.trunk is None else None), source.dtype)
        zs = source.first(jax.tree.map(lambda leaf: leaf[0], tables.start), _fold_keys(own, 0))
        results = jax.lax.scan(branch, zs, (jnp.arange(len(tables.mix)), measured, rows))[1]
        return {name: jnp.swapaxes(value, 0, 1) for name, value in results.items()}

    results = over_items(many, first, chunk, together=is_divided((source, sampler, readout)))
    measured = jnp.broadcast_to(measured, (chunk, measured.size))
    return results | {"halved": jnp.broadcast_to(halved, (chunk,)), "measured": measured}


_fold_keys = jax.vmap(jr.fold_in, (0, None))
_fold_numbers = jax.vmap(jr.fold_in, (None, 0))


def _ends(sampler, row, zs, keys, source, halved) -> Float[Array, "items 2 clones ..."]:
    """Where the clones of branch points end, on the grid and on the halved one."""

    def leg(z, key):
        draw = noise_of(sampler, key, z, source.increments)
        return jnp.stack(ends_of(sampler, (row.side, row.coarse, row.mix), (z, z), draw, halved))

    numbers = jnp.arange(source.clones) + 1
    keys = jax.vmap(_fold_numbers, (0, None))(keys, numbers).reshape(-1)
    ends = jax.vmap(leg)(jnp.repeat(zs, source.clones, axis=0), keys)
    return jnp.swapaxes(ends.reshape(len(zs), source.clones, 2, *zs.shape[1:]), 1, 2)


def halved_chunk(first: int | np.integer, chunk: int) -> tuple[np.bool_]:
    """Whether a chunk is run on the halved grid too: decided for a whole chunk, so that no batch runs both branches."""
    return (np.bool_(first // chunk % _EVERY == 0 or first < _LEAST),)


def ends_of(
    sampler: AbstractSampler,
    legs: tuple[Any, Any, Array],
    starts: tuple[Array, Array],
    draw: Callable[[Array], Array],
    halved: Array,
) -> tuple[Array, Array]:
    """Where one leg ends on its grid, and if `halved` on every second knot of it; otherwise the same end twice.

    `legs` are of `halved_plans`; `starts` are those on the grid and on the halved one.
    """
    fine, coarse, mix = legs
    return jax.lax.cond(
        halved,
        lambda: run_halved(sampler, fine, coarse, mix, starts[0], draw, starts[1]),
        lambda: (run(sampler, fine, starts[0], draw),) * 2,
    )


class Source(eqx.Module):
    """Where branch points come from: forward samples of a target, or a trunk from the prior."""

    target: AbstractTarget | None
    dim: int = eqx.field(static=True)
    clones: int = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)
    increments: Increments = eqx.field(static=True, default=box_muller)
    expected: Callable[[Array, Scalar], dict[str, Array]] | None = None
    """What the clones of a forward sample say on average, from its channel and variance, where that is known."""

    def first(self, kernel: Kernel, keys: Key[Array, " items"]) -> Float[Array, "items ..."]:
        """The states of trunks at their start: draws of the prior."""
        return jax.vmap(lambda key: kernel.prior(key, self.dim, self.dtype))(keys)

    def points(
        self,
        sampler: AbstractSampler,
        row: CloneTables,
        zs: Float[Array, "items ..."],
        keys: Key[Array, " items"],
        trunk: Key[Array, " items"],
    ) -> Float[Array, "items ..."]:
        """The points of a branch time: draws of the law there, or where the trunks `zs` have come to."""
        if row.trunk is None:
            return jax.vmap(lambda key: self._draw(row.start, jr.fold_in(key, 0)))(keys)

        def along(z, key):
            return run(sampler, row.trunk, z, noise_of(sampler, key, z, self.increments))

        return jax.vmap(along)(zs, trunk)

    def _draw(self, kernel: Any, key: PRNGKey) -> Array:
        """A draw of the law at the kernel's time."""
        assert self.target is not None
        data_key, noise_key = jr.split(key)
        return kernel.sample(noise_key, self.target.sample(data_key))

    def excess(self, kernel: Any, zs: Float[Array, "items ..."], found: dict[str, Array]) -> dict[str, Array]:
        """How much more the clones of forward samples say than the samples themselves, where that is known."""
        expected = self.expected
        if expected is None:
            return {}
        values = jax.vmap(lambda z: expected(*kernel.observe(z)))(zs)
        return {f"{name}.excess": found[name] - value for name, value in values.items()}
