"""The command: all that is printed, the record, and the figure."""

import datetime
import importlib.metadata
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import typer

from .._report import _versions, machine
from . import BUDGETS, _figure, _table
from ._measure import Score, all_entries, measure
from ._problems import PROBLEMS, Problem, missing

_QUICK = (5, 10)


def compare(
    targets: Sequence[str],
    samplers: Sequence[str],
    quick: bool,
    echo: Callable[[str], None],
    report: pathlib.Path | None,
    folder: pathlib.Path | None,
) -> None:
    """Measures, prints the tables as they come, and writes the record and the figure."""
    every = all_entries()
    entries = [e for e in every if not samplers or any(part.lower() in e.name.lower() for part in samplers)]
    if not entries:
        raise typer.BadParameter(
            f"needs a part of one of these names: {', '.join(e.name for e in every)}. Got {', '.join(samplers)}.",
            param_hint="--sampler",
        )
    budgets, results, written = (_QUICK if quick else BUDGETS), [], {}
    for name in targets:
        if missing(name):
            echo(f"\n## {name}: not run: {missing(name)}")
            continue
        problem = PROBLEMS[name](quick)
        echo(f"\n## {name}: {problem.title}")
        scores = [score for _, found in measure(problem, entries, budgets) for score in found]
        for metric in _table.metrics_of(scores):
            echo(f"\n### {metric}, at {', '.join(map(str, budgets))} evaluations\n")
            echo(_table.table(problem, metric, entries, scores, budgets))
        goals = _table.goals(problem, scores, budgets)
        # Goals are about full sizes.
        if not quick:
            echo("\n" + _table.verdicts(goals))
        verdict = _table.phase_space_verdict(problem, scores, budgets)
        echo("\n" + verdict)
        results.append((problem, scores))
        written[name] = _plain(problem, scores, goals) | {"phase_space": verdict}
        if report is not None:
            report.write_text(json.dumps(_record(written, quick), allow_nan=False) + "\n")
    if folder is not None and results:
        for path in _figure.save(_figure.figure(results, budgets), folder):
            echo(f"\n{path}")


def _record(targets: dict[str, Any], quick: bool) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "quick": quick,
        "machine": machine(), "versions": _versions() | {name: _version(name) for name in ("azula", "diffusers")},
        "targets": targets,
    }  # fmt: skip


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _plain(problem: Problem, scores: Sequence[Score], goals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": problem.title, "trajectories": len(problem.batch.clean), "dtype": str(problem.dtype),
        "floors": {metric: floor.tolist() for metric, floor in problem.floors.items()},
        "scores": [_finite(score._asdict()) for score in scores],
        "goals": [goal | {"ratio": goal["ratio"] if np.isfinite(goal["ratio"]) else None} for goal in goals],
    }  # fmt: skip


def _finite(score: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what diverged is null."""
    return score | {"error": score["error"] if np.isfinite(score["error"]) else None}
