"""Runs entries on a problem, within each budget and on each grid, and keeps what is best."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from . import _flows, _ours
from ._diffrax_peers import diffrax_entries
from ._entries import Entry
from ._problems import FLOW, Problem
from ._torch_peers import azula_entries, diffusers_entries

_PEERS: dict[str, tuple[Callable[[], list[Entry]], tuple[str, ...]]] = {
    "diffrax": (diffrax_entries, ("diffrax",)),
    "azula": (azula_entries, ("torch", "azula")),
    "diffusers": (diffusers_entries, ("torch", "diffusers")),
}


class Score(NamedTuple):
    """One error: what an entry has left after so many evaluations of a budget, on a grid."""

    metric: str
    entry: str
    owner: str
    family: str
    budget: int
    evaluations: int
    grid: str
    error: float


def all_entries() -> list[Entry]:
    """Ours, and the samplers of peers; of a package that is not installed, one entry that says so."""
    found = _ours.entries()
    for name, (make, packages) in _PEERS.items():
        absent = [package for package in packages if importlib.util.find_spec(package) is None]
        note = f"{' and '.join(absent)} not installed"
        found += [Entry(name, name, None, note=note)] if absent else make()
    return found


def measure(problem: Problem, entries: Sequence[Entry], budgets: Sequence[int]) -> Iterator[tuple[Entry, list[Score]]]:
    """The errors of each entry on a problem, on every grid."""
    flows: dict[str, np.ndarray] = {}
    for entry in entries:
        yield entry, ([] if entry.walk is None else _of(entry, problem, budgets, flows))


def _of(entry: Entry, problem: Problem, budgets: Sequence[int], flows: dict[str, np.ndarray]) -> list[Score]:
    assert entry.walk is not None
    walk, scores = entry.walk(problem), []
    metrics = {} if entry.nonlinear and not problem.floors else dict(problem.metrics)
    if not entry.noisy:
        kind = "overdamped" if entry.family == "overdamped" else "phase space"
        if kind not in flows:
            flows[kind] = _flow(problem, kind)
        metrics[FLOW] = lambda ends: problem.flow_error(ends, flows[kind])
    for grid in entry.grids:
        for budget in budgets:
            outcome = walk(grid, budget)
            if outcome is None:
                continue
            if outcome.evaluations > budget:
                raise RuntimeError(f"{entry.name} used {outcome.evaluations} evaluations of {budget}.")
            scores += [
                Score(
                    metric, entry.name, entry.owner, entry.family, budget, outcome.evaluations, grid, of(outcome.ends)
                )
                for metric, of in metrics.items()
            ]
    return scores


def _flow(problem: Problem, kind: str) -> np.ndarray:
    if kind == "overdamped":
        return _flows.overdamped_flow(problem)
    return _flows.phase_space_flow(problem, *_ours.phase_space())


def best_grids(scores: Sequence[Score]) -> dict[tuple[str, str, int], Score]:
    """Of each metric, entry and budget the score on the best grid."""
    best: dict[tuple[str, str, int], Score] = {}
    for score in scores:
        key = (score.metric, score.entry, score.budget)
        if key not in best or score.error < best[key].error:
            best[key] = score
    return best


def champion(scores: Sequence[Score], metric: str, budget: int, accept: Callable[[Score], bool]) -> Score | None:
    """The least error that is accepted; None if there is no finite one."""
    found = [s for s in scores if s.metric == metric and s.budget == budget and accept(s) and np.isfinite(s.error)]
    return min(found, key=lambda score: score.error, default=None)
