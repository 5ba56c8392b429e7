"""Steps of simulated clones of two Gaussians, by this package and by what one would write instead."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import diffphys as dp
from diffphys.clocks import uniform_grid
from diffphys.experiments._chunks import default_chunk
from diffphys.experiments._clones import _EVERY, Source, clone_tables, measure_clones
from diffphys.experiments._readouts import LabelAgreement
from diffphys.samplers.base import noise_of, place, run, run_halved

from .._harness import Entrant, Goal, Report, peer, race, ratio
from ._clone_peers import Problem, diffrax_solver, drift_only, fill_normals, plain_scan, torch_loop

_PLAIN, _CLONES = "plain lax.scan", "clones of speciation"
# Pairs of clones of the long run, the default of the command.
_PAIRS = 10_000
# A virtual Brownian tree is run on this part of the batch.
_PART = 16


def measure(quick: bool, repeats: int) -> Report:
    dims, elements, steps = ((64,), 2**12, 8) if quick else ((256, 1024, 4096, 16384), 2**20, 64)
    races, goals = [], []
    for dim in dims:
        problem = Problem(dim, max(2 * _PART, elements // dim), steps)
        work = float(problem.batch * dim * steps)
        found = race(f"d = {dim}", _entrants(problem), repeats, work=work, unit="elements")
        races.append(found)
        goals += [
            Goal(f"d = {dim}: {own.name}, time over that of the {_PLAIN}", ratio(own, found[_PLAIN]), 1.0)
            for own in found.ours
        ]  # fmt: skip
    return Report(races, goals)


def _entrants(problem: Problem) -> list[Entrant]:
    starts = jr.normal(jr.key(0), (problem.batch, problem.dim), np.float32)
    ours = {"ReverseSDE": _sampler(problem, dp.ReverseSDE), "Bridge": _sampler(problem, dp.Bridge)}
    virtual = diffrax_solver(problem, "VirtualBrownianTree")
    return [
        *(Entrant(name, "ours", _program(_engine(problem, own), starts)) for name, own in ours.items()),
        _clones(problem, ours["Bridge"]),
        Entrant("Bridge and its halved grid", "part", _program(_halved(problem, ours["Bridge"]), starts)),
        Entrant(_PLAIN, "peer", _program(plain_scan(problem), starts), note="jax.random.normal"),
        peer("diffrax", "diffrax UnsafeBrownianPath",
             lambda package: _program(diffrax_solver(problem, "UnsafeBrownianPath")(package), starts)),
        peer("diffrax", "diffrax VirtualBrownianTree",
             lambda package: _program(virtual(package), starts[: problem.batch // _PART]),
             scale=problem.batch / (problem.batch // _PART)),
        peer("torch", "PyTorch loop", lambda package: torch_loop(package, problem)),
        Entrant("drift alone", "part", _program(drift_only(problem), starts)),
        Entrant("normals alone", "limit", _program(fill_normals(problem), starts)),
    ]  # fmt: skip


def _program(step: Callable[[Any, Any], Any], starts: Any) -> Callable[[int], Any]:
    """One call of `step(key, starts)` a repeat, each with its own noise."""
    compiled = eqx.filter_jit(step)
    return lambda i: compiled(jr.key(i + 2), starts)


def _sampler(problem: Problem, kind: Any) -> Any:
    target = dp.symmetric_mixture(np.ones(problem.dim, np.float32))
    return kind(dp.OrnsteinUhlenbeck(), target.posterior_mean)


def _each(problem: Problem, walk: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`walk(key, z)` for every state, with the key of its number."""

    def batch(key, starts):
        keys = jax.vmap(lambda i: jr.fold_in(key, i))(jnp.arange(problem.batch))
        return jax.vmap(walk)(keys, starts)

    return batch


def _engine(problem: Problem, sampler: Any) -> Callable[[Any, Any], Any]:
    """The loop of the package, with noise by address."""
    rows = place(sampler.plan(problem.grid), np.float32)
    return _each(problem, lambda key, z: run(sampler, rows, z, noise_of(sampler, key, z)))


def _halved(problem: Problem, sampler: Any) -> Callable[[Any, Any], Any]:
    """The same, with the run on every second knot that measures the bias of the grid."""
    rows, coarse = (place(sampler.plan(problem.grid[::by]), np.float32) for by in (1, 2))
    mix = jnp.full((problem.steps // 2, 2), 0.5**0.5, np.float32)
    return _each(problem, lambda key, z: run_halved(sampler, rows, coarse, mix, z, noise_of(sampler, key, z)))


def _clones(problem: Problem, sampler: Any) -> Entrant:
    """What `speciation(clones=...)` runs: pairs of clones from fresh branch points, read at their ends.

    As many chunks in the middle of a long run as have one among them that is run on the halved grid too.
    """
    target = dp.symmetric_mixture(np.ones(problem.dim, np.float32))
    tables = clone_tables(
        sampler, problem.grid[:1], stop=float(problem.grid[-1]), steps=problem.steps, grid=uniform_grid, trunk_from=None
    )
    source = Source(target, problem.dim, 2, np.dtype(np.float32))
    arguments = (source, sampler, LabelAgreement(target.label_log_posterior), tables)
    pairs = min(problem.batch, default_chunk(_PAIRS, (2 * 2 + 1) * problem.dim))
    start = _PAIRS // (pairs * _EVERY) * _EVERY
    always = np.zeros(1, np.int32), np.full(1, 2**30, np.int32)

    def walk(i: int) -> Any:
        firsts = (np.int32((start + k) * pairs) for k in range(_EVERY))
        return [measure_clones(*arguments, jr.key(i + 2), *always, first, pairs) for first in firsts]

    share = problem.batch / (2 * pairs * _EVERY)
    note = f"{_EVERY} chunks of {pairs} pairs, times {share:.2g}; one of them on the halved grid too"
    return Entrant(_CLONES, "ours", walk, share, note)
