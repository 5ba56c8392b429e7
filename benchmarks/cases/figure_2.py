"""Figure 2 of the paper, simulated: the authors' algorithm and ours, at the same error.

Agreement of 10000 pairs of clones at 19 times, for two Gaussian classes in four dimensions. The authors run, for each
time anew, every trajectory from noise at t = 10 with 1000 Euler-Maruyama steps a pair of clones; 50 steps are timed and
their time multiplied, which its rows say. Ours run to the end, in ways that are never merged: from noise, as theirs, on
one trunk for all times; from forward samples at each time; on the one coordinate that matters; with no trajectory. The
first call of ours, which compiles, has four chunks only: the column of that is a lower bound.

Reference:
    Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), Figure 2.
"""

from typing import Any

import jax.random as jr
import numpy as np
import xarray as xr

import diffphys as dp

from .._harness import Entrant, Goal, Race, Report, peer, race
from ._clone_peers import Problem, torch_loop

TIMES = np.arange(1.0, 10.01, 0.5)
_STOP, _TOP, _STEP = 0.5, 10.0, 0.01
# A trunk begins above all its branches, the first of which is at their start.
_TRUNK = 10.5
_TIMED = 50
_AUTHORS, _NOISE, _FORWARD = "the authors' algorithm in PyTorch", "clones from noise", "clones from forward samples"
_EXACT, _REDUCED, _IDENTITY = f"{_FORWARD}, normals", "clones of the reduced mixture", "the identity"
# Pairs of the row with normals, which is slower; and of the reduced mixture, whose bias is that of the others.
_FEW, _MANY = 10, 40
# That a chunk of clones has on a CPU: a point, and two clones with their noise, a pair.
_ELEMENTS = 2**20


def measure(quick: bool, repeats: int) -> Report:
    dims, pairs, steps = ((64, 128), 200, 8) if quick else ((256, 1024, 4096, 16384), 10_000, 24)
    # Minutes a repeat in the highest dimension.
    races = [_dimension(dim, pairs, steps, 1 if dim > 4096 else min(repeats, 2)) for dim in dims]
    goals = [
        Goal(f"all dimensions: {name}, time over that of {_AUTHORS}", _over(races, name), bound)
        for name, bound in ((_NOISE, 1 / 30), (_FORWARD, 1 / 300), (_EXACT, 1 / 100))
    ]
    return Report(races, [*goals, *(goal for dim in dims for goal in _errors(dim, pairs, steps))])


def _over(races: list[Race], name: str) -> float:
    """The time of a program over all dimensions, over that of the authors."""
    return sum(found[name].median for found in races) / sum(found[_AUTHORS].median for found in races)


def authors_steps() -> float:
    """Steps of the authors' algorithm: each time has its own trunk, and two clones."""
    return float(np.sum((_TOP - TIMES) + 2 * TIMES) / _STEP)


def simulate(target: Any, pairs: int, steps: int, key: Any, **options: Any) -> xr.Dataset:
    """Clones as a user runs them: steps where the class is decided, of weak order 2 in the mean."""
    process = dp.OrnsteinUhlenbeck()
    exact = dp.speciation(target, process, TIMES, key=jr.key(9), samples=500, progress=False)
    sampler = dp.DPMSolverMultistep(process, target.posterior_mean, stochastic=True)
    return dp.speciation(
        target, process, TIMES, key=key, samples=None, clones=pairs, steps=steps, stop=_STOP, sampler=sampler,
        grid=dp.focused_grid(exact), progress=False, **options,
    )  # fmt: skip


def _dimension(dim: int, pairs: int, steps: int, repeats: int) -> Race:
    target = dp.symmetric_mixture(np.ones(dim, np.float32))
    signs = {"increments": dp.rademacher}

    def ours(name: str, number: int, law: Any = target, **options: Any) -> Entrant:
        # As it would be chosen; told, so that a first call of a few chunks compiles the same program.
        chunk = max(1, min(_ELEMENTS // (5 * law.dim), number // 4))

        def program(i: int) -> xr.Dataset:
            return simulate(law, 4 * chunk if i < 0 else number, steps, jr.key(i + 2), chunk=chunk, **options)

        return Entrant(name, "ours", program, pairs / number, _reached)

    entrants = [
        peer("torch", _AUTHORS, lambda torch: torch_loop(torch, Problem(dim, pairs, _TIMED)),
             scale=authors_steps() / _TIMED, note=f"{_TIMED} steps timed of {authors_steps():.0f}"),
        ours(_NOISE, pairs, trunk_from=_TRUNK, **signs),
        ours(_FORWARD, pairs, **signs),
        ours(_EXACT, pairs // _FEW),
        ours(_REDUCED, pairs, dp.reduce(target).target),
        Entrant(_IDENTITY, "ours", lambda i: dp.speciation(
            target, dp.OrnsteinUhlenbeck(), TIMES, key=jr.key(i + 2), samples=pairs, progress=False), note=_identity),
    ]  # fmt: skip
    return race(f"d = {dim}, {pairs} pairs at {len(TIMES)} times", entrants, repeats)


def _reached(ds: xr.Dataset) -> str:
    gap, error = np.abs(ds.phi_clones - ds.phi_theory), np.maximum(ds.phi_clones_stderr, 1 / ds.clones_run)
    return (
        f"errors up to {float(error.max()):.4f}; from theory {float(gap.max()):.4f} at most, "
        f"{float((gap / error).max()):.1f} of its errors"
    )


def _identity(ds: xr.Dataset) -> str:
    return f"errors up to {float(ds.phi_stderr.max()):.4f}"


def _errors(dim: int, pairs: int, steps: int) -> list[Goal]:
    """The bias of the grid, on as many pairs as tell it, and the error of those of the figure."""
    target = dp.symmetric_mixture(np.ones(dim, np.float32))
    ds = simulate(dp.reduce(target).target, _MANY * pairs, steps, jr.key(1))
    error = float(ds.phi_clones_stderr.max()) * _MANY**0.5
    bias, spread = float(np.abs(ds.phi_clones_excess).max()), float(ds.phi_clones_excess_stderr.max())
    return [
        # Where classes are decided by a coin, no more and no less than that of its throws.
        Goal(f"d = {dim}: largest standard error of {pairs} pairs", error, 0.5 / (pairs - 1) ** 0.5),
        Goal(f"d = {dim}: largest bias against the identity, to {spread:.1g}, {steps} steps", bias, 0.003),
    ]
