"""Errors as Markdown tables, the goals, and whether phase space helps."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._entries import Entry
from ._measure import Score, best_grids, champion
from ._problems import FLOW, Problem

_ROUNDING = 1.01
"""Samplers that are the same differ by the rounding of float32."""


def is_ours(score: Score) -> bool:
    return score.owner == "diffphys"


def is_peer(score: Score) -> bool:
    return score.owner != "diffphys"


def metrics_of(scores: Sequence[Score]) -> list[str]:
    """The metrics that were measured, the distance to the flow last."""
    return sorted({score.metric for score in scores}, key=lambda metric: (metric == FLOW, metric))


def table(
    problem: Problem, metric: str, entries: Sequence[Entry], scores: Sequence[Score], budgets: Sequence[int]
) -> str:
    """One row a sampler, ours first; bold the best of ours at a budget, italic the best of the peers."""
    best = best_grids(scores)
    marks = {
        (chosen.entry, budget): mark
        for budget in budgets
        for mark, accept in (("**", is_ours), ("*", is_peer))
        if (chosen := champion(scores, metric, budget, accept)) is not None
    }
    rows = [("sampler", "of", *(f"{budget}" for budget in budgets)), ("---",) * (2 + len(budgets))]
    for entry in entries:
        cells = []
        for budget in budgets:
            score, mark = best.get((metric, entry.name, budget)), marks.get((entry.name, budget), "")
            cells.append("-" if score is None else f"{mark}{_number(score.error)}{mark} {score.grid[0]}")
        if entry.note or any(cell != "-" for cell in cells):
            rows.append((entry.name, entry.owner, *([entry.note, *cells[1:]] if entry.note else cells)))
    if metric in problem.floors:
        floor = problem.floors[metric]
        rows.append(("exact samples", "limit", *[f"{floor.mean():.3g} ± {floor.std():.2g}"] * len(budgets)))
    rows.append(("ours / best peer", "", *(_ratio(scores, metric, budget) for budget in budgets)))
    return "\n".join(_aligned(rows))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "| "
        + " | ".join(("-" * w if cell == "---" else cell.ljust(w)) for cell, w in zip(row, widths, strict=True))
        + " |"
        for row in rows
    ]


def _number(value: float) -> str:
    return "diverges" if not np.isfinite(value) or value > 1e3 else f"{value:.3g}"


def _ratio(scores: Sequence[Score], metric: str, budget: int) -> str:
    ours, peer = (champion(scores, metric, budget, accept) for accept in (is_ours, is_peer))
    return "-" if ours is None or peer is None else f"{ours.error / peer.error:.3g}"


def goals(problem: Problem, scores: Sequence[Score], budgets: Sequence[int]) -> list[dict[str, Any]]:
    """Of each metric and budget: is our best no worse than the best peer, beyond the noise of finite samples?"""
    found = []
    for metric in metrics_of(scores):
        floor = problem.floors.get(metric, np.zeros(1))
        for budget in budgets:
            ours, peer = (champion(scores, metric, budget, accept) for accept in (is_ours, is_peer))
            if ours is None or peer is None:
                continue
            met = ours.error <= _ROUNDING * peer.error + 2 * float(floor.std())
            found.append(
                {
                    "metric": metric, "budget": budget, "met": bool(met), "ratio": ours.error / peer.error,
                    "ours": ours._asdict(), "peer": peer._asdict(),
                }
            )  # fmt: skip
    return found


def verdicts(found: Sequence[dict[str, Any]]) -> str:
    """The goals, a line each."""
    lines = []
    for goal in found:
        ours, peer = (f"{goal[who]['entry']} ({_number(goal[who]['error'])})" for who in ("ours", "peer"))
        verdict = "met   " if goal["met"] else "MISSED"
        lines.append(
            f"- {verdict} {goal['metric']} at {goal['budget']}: {ours} against {peer}, ratio {goal['ratio']:.3g}"
        )
    return "\n".join(lines)


def phase_space_verdict(scores: Sequence[Score], budgets: Sequence[int]) -> str:
    """Where a phase-space conjugate sampler beats every overdamped one, ours and the peers'; or that it does not."""
    lines = []
    for metric in metrics_of(scores):
        conjugate, overdamped = _won(scores, metric, budgets)
        if conjugate is None:
            continue
        where = f"at {_list(conjugate)} evaluations" if conjugate else "at no budget"
        rest = f", not at {_list(overdamped)}" if conjugate and overdamped else ""
        lines.append(f"Phase-space conjugate beats every overdamped sampler in {metric} {where}{rest}.")
    return "\n".join(lines) or "No phase-space conjugate sampler was run."


def _won(scores: Sequence[Score], metric: str, budgets: Sequence[int]) -> tuple[list[int] | None, list[int]]:
    won, lost = [], []

    def family(name: str) -> Callable[[Score], bool]:
        return lambda score: score.family == name

    for budget in budgets:
        conjugate, overdamped = (
            champion(scores, metric, budget, family(name)) for name in ("phase-space conjugate", "overdamped")
        )
        if conjugate is not None and overdamped is not None:
            (won if conjugate.error < overdamped.error else lost).append(budget)
    return (won, lost) if won or lost else (None, [])


def _list(budgets: Sequence[int]) -> str:
    return ", ".join(map(str, budgets))
