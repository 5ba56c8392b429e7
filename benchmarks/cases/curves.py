"""How time grows with the dimension, the data and the clones: each size beside its limit."""

from collections.abc import Callable
from typing import Any

import jax
import jax.random as jr
import numpy as np

import diffphys as dp

from .._harness import Entrant, Goal, Race, Report, calls, race, ratio
from ._clone_peers import Problem, fill_normals
from .empirical_score import products, score

_TIMES = np.array([2.0])


def measure(quick: bool, repeats: int) -> Report:
    elements, batch = (2**12, 16) if quick else (2**20, 256)
    dims = (16, 64) if quick else (16, 64, 256, 1024, 4096, 16384)
    counts = (100, 400) if quick else (1000, 3000, 10_000, 30_000, 100_000)
    pairs = (64, 256) if quick else (100, 300, 1000, 3000, 10_000)
    steps = [_steps(dim, elements // dim, 8 if quick else 64, repeats) for dim in dims]
    scores = [_score(1000 if quick else 10_000, dim, batch, repeats) for dim in dims if dim <= 4096]
    more = [_score(count, 64 if quick else 1024, batch, repeats) for count in counts]
    clones = [_clones(count, 16 if quick else 1024, repeats) for count in pairs]
    # Where products are nearly all there is to do: of thousands of data in a thousand dimensions.
    large = [*scores[3:], *more[3:]]
    goals = [
        Goal(f"{found.setting}: time over that of the two products", ratio(*found.timings), 1.11) for found in large
    ]
    return Report([*steps, *scores, *more, *clones], goals)


def _steps(dim: int, batch: int, steps: int, repeats: int) -> Race:
    """Steps of two Gaussians with exact noise, as many elements in every dimension."""
    problem = Problem(dim, batch, steps)
    target = dp.symmetric_mixture(np.ones(dim, np.float32))
    sampler = dp.Bridge(dp.OrnsteinUhlenbeck(), target.posterior_mean)
    starts = jr.normal(jr.key(0), (batch, dim), np.float32)
    walk = jax.jit(jax.vmap(lambda key, z: dp.simulate(sampler, key, problem.grid, z)))
    fill: Callable[..., Any] = jax.jit(fill_normals(problem))
    entrants = [
        calls("simulate", "ours", walk, lambda i: (jr.split(jr.key(i + 2), batch), starts)),
        calls("normals alone", "part", fill, lambda i: (jr.key(i + 2), starts)),
    ]
    return race(f"steps, d = {dim}", entrants, repeats, work=float(dim * batch * steps), unit="elements")


def _score(count: int, dim: int, batch: int, repeats: int) -> Race:
    """The posterior mean of a data set, beside its two matrix products."""
    points_key, y_key, weight_key = jr.split(jr.key(0), 3)
    points = jr.normal(points_key, (count, dim), np.float32)
    ys = points[:batch] + jr.normal(y_key, (min(batch, count), dim), np.float32)
    weights = jr.normal(weight_key, (len(ys), count), np.float32)
    target, variance = dp.Empirical(points), np.float32(1.0)
    entrants = [
        calls("Empirical.posterior_mean", "ours", score, lambda _: (target, ys, variance)),
        calls("two products", "limit", products, lambda _: (points, ys, weights)),
    ]
    work = 4.0 * len(ys) * count * dim
    return race(f"score, n = {count}, d = {dim}", entrants, repeats, work=work, unit="flop")


def _clones(pairs: int, dim: int, repeats: int) -> Race:
    """The whole call of an experiment, with its planning and its statistics."""
    target, process = dp.symmetric_mixture(np.ones(dim, np.float32)), dp.OrnsteinUhlenbeck()

    def program(i: int) -> Any:
        return dp.speciation(
            target, process, _TIMES, key=jr.key(i + 2), samples=None, clones=pairs, steps=16, progress=False
        )

    entrants = [Entrant("dp.speciation(clones=...)", "ours", program)]
    return race(f"pairs of clones, {pairs} in d = {dim}", entrants, repeats, work=float(pairs), unit="pairs")
