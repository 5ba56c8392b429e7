"""Errors as Markdown tables, the goals, and whether phase space helps."""

from collections.abc import Sequence
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
    return "-" if ours is None or peer is None else f"{_over(ours.error, peer.error):.3g}"


def _over(ours: float, peer: float) -> float:
    """Their ratio. Where the flow ends in data, after enough evaluations every end is exactly that of the flow."""
    return ours / peer if peer else 1.0 if not ours else float("inf")


def goals(problem: Problem, scores: Sequence[Score], budgets: Sequence[int]) -> list[dict[str, Any]]:
    """Of each metric and budget: is our best no worse than the best peer, as far as finite samples tell?"""
    found = []
    for metric in metrics_of(scores):
        for budget in budgets:
            ours, peer = (champion(scores, metric, budget, accept) for accept in (is_ours, is_peer))
            if ours is None or peer is None:
                continue
            noise = problem.noise(metric)
            bound = max(_ROUNDING * peer.error + problem.spread(metric), noise)
            found.append(
                {
                    "metric": metric, "budget": budget, "met": bool(ours.error <= bound),
                    "ratio": _over(ours.error, peer.error), "resolved": bool(max(ours.error, peer.error) > noise),
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
        end = f"ratio {goal['ratio']:.3g}" if goal["resolved"] else "both as good as exact samples"
        lines.append(f"- {verdict} {goal['metric']} at {goal['budget']}: {ours} against {peer}, {end}")
    return "\n".join(lines)


def phase_space_verdict(problem: Problem, scores: Sequence[Score], budgets: Sequence[int]) -> str:
    """Where phase-space conjugate beats every overdamped sampler, ours and the peers'; or that it does not."""
    lines = []
    for metric in metrics_of(scores):
        outcomes = {budget: _compared(problem, scores, metric, budget) for budget in budgets}
        parts = [
            f"{verb} at {', '.join(str(budget) for budget, outcome in outcomes.items() if outcome == verb)}"
            for verb in ("beats it", "loses", "cannot be told apart")
            if verb in outcomes.values()
        ]
        if parts:
            lines.append(f"Phase-space conjugate against the best overdamped sampler, {metric}: {'; '.join(parts)}.")
    return "\n".join(lines) or "No phase-space conjugate sampler was run."


def _compared(problem: Problem, scores: Sequence[Score], metric: str, budget: int) -> str:
    conjugate = champion(scores, metric, budget, lambda score: score.family == "phase-space conjugate")
    overdamped = champion(scores, metric, budget, lambda score: score.family == "overdamped")
    if overdamped is None or not any(score.family == "phase-space conjugate" for score in scores):
        return ""
    if conjugate is None:
        return "loses"
    if max(conjugate.error, overdamped.error) <= problem.noise(metric):
        return "cannot be told apart"
    return "beats it" if conjugate.error < overdamped.error else "loses"
