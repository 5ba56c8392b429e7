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
from diffphys.experiments._clones import _EVERY, Source, clone_tables, halved_chunk, measure_clones
from diffphys.experiments._readouts import LabelAgreement
from diffphys.samplers.base import noise_of, place, run

from .._harness import Entrant, Goal, Race, Report, Role, calls, extra_bytes, peer, race, ratio
from ._clone_peers import Problem, diffrax_solver, drift_only, fill_normals, fill_words, plain_scan, torch_loop

_PLAIN, _CLONES, _TORCH = "plain lax.scan", "clones of speciation", "PyTorch loop"
_EXACT, _SIGNS, _PUBLIC = "ReverseSDE", "ReverseSDE with signs", "simulate of a mixture with signs"
_REDUCED = "simulate_reduced"
_NORMALS, _DRIFT = "normals alone", "drift alone"
# Pairs of clones of the long run, the default of the command.
_PAIRS = 10_000
# Components of the mixture without symmetry.
_COMPONENTS = 2
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
        goals += [
            Goal(f"d = {dim}: {name}, time over that of the {_TORCH}", ratio(found[name], found[_TORCH]), 1 / times)
            for name, times in ((_EXACT, 1.3), (_SIGNS, 8), (_PUBLIC, 4))
        ]
        goals.append(Goal(f"d = {dim}: {_EXACT}, time over that of its noise and its drift", _over_parts(found), 1.25))
    return Report(races, goals)


def _over_parts(found: Race) -> float:
    """The time of a step over that of its random numbers and of what passes its state through memory."""
    return 1 / sum(1 / ratio(found[_EXACT], found[part]) for part in (_NORMALS, _DRIFT))


def _entrants(problem: Problem) -> list[Entrant]:
    starts = jr.normal(jr.key(0), (problem.batch, problem.dim), np.float32)
    ours = {_EXACT: _sampler(problem, dp.ReverseSDE), "Bridge": _sampler(problem, dp.Bridge)}
    virtual = diffrax_solver(problem, "VirtualBrownianTree")
    return [
        *(_steps(name, "ours", _engine(problem, own), starts) for name, own in ours.items()),
        _steps(_SIGNS, "ours", _engine(problem, ours[_EXACT], dp.rademacher), starts),
        _steps(_PUBLIC, "ours", _public(problem), starts, f"{_COMPONENTS} components"),
        _steps(_REDUCED, "ours", _reduced(problem), starts, "all coordinates at the end, one of them in steps"),
        _clones(problem, ours["Bridge"]),
        _steps(_PLAIN, "peer", plain_scan(problem), starts, "jax.random.normal"),
        peer("diffrax", "diffrax UnsafeBrownianPath",
             lambda package: _program(diffrax_solver(problem, "UnsafeBrownianPath")(package), starts)),
        peer("diffrax", "diffrax VirtualBrownianTree",
             lambda package: _program(virtual(package), starts[: problem.batch // _PART]),
             scale=problem.batch / (problem.batch // _PART)),
        peer("torch", _TORCH, lambda package: torch_loop(package, problem)),
        _steps(_DRIFT, "part", drift_only(problem), starts),
        _steps(_NORMALS, "part", fill_normals(problem), starts, "box_muller"),
        _steps("words alone", "limit", fill_words(problem), starts, "one a number"),
    ]  # fmt: skip


def _steps(name: str, role: Role, step: Callable[[Any, Any], Any], starts: Any, note: str = "") -> Entrant:
    """One call of `step(key, starts)` a repeat, each with its own noise."""
    return calls(name, role, eqx.filter_jit(step), lambda i: (jr.key(i + 2), starts), note=note)


def _program(step: Callable[[Any, Any], Any], starts: Any) -> Callable[[int], Any]:
    """The same for one that is made of a package that may not be there."""
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


def _engine(problem: Problem, sampler: Any, increments: Any = dp.box_muller) -> Callable[[Any, Any], Any]:
    """The loop of the package, with noise by address."""
    rows = place(sampler.plan(problem.grid), np.float32)
    return _each(problem, lambda key, z: run(sampler, rows, z, noise_of(sampler, key, z, increments)))


def _public(problem: Problem) -> Callable[[Any, Any], Any]:
    """What a user writes, for means of no symmetry and variances of each component its own."""
    means = np.random.default_rng(0).normal(size=(_COMPONENTS, problem.dim)).astype(np.float32)
    target = dp.mixture(means, covariance=np.linspace(0.5, 1.5, _COMPONENTS, dtype=np.float32))
    sampler = dp.ReverseSDE(dp.OrnsteinUhlenbeck(), target.posterior_mean)
    return _each(problem, lambda key, z: dp.simulate(sampler, key, problem.grid, z, increments=dp.rademacher))


def _reduced(problem: Problem) -> Callable[[Any, Any], Any]:
    """All steps of the coordinates that the class does not depend on in one."""
    reduction = dp.reduce(dp.symmetric_mixture(np.ones(problem.dim, np.float32)))
    sampler = dp.ReverseSDE(dp.OrnsteinUhlenbeck(), reduction.target.posterior_mean)
    return _each(problem, lambda key, z: dp.simulate_reduced(reduction, sampler, key, problem.grid, z))


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
        told = (*arguments, jr.key(i + 2), *always)
        return [measure_clones(*told, *halved_chunk(first, pairs), first, pairs) for first in firsts]

    share = problem.batch / (2 * pairs * _EVERY)
    note = f"{_EVERY} chunks of {pairs} pairs, times {share:.2g}; one of them on the halved grid too"
    one = (*arguments, jr.key(1), *always, *halved_chunk(0, pairs), np.int32(0), pairs)
    return Entrant(_CLONES, "ours", walk, share, note, lambda: extra_bytes(measure_clones, *one))
