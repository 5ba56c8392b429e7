"""Error against evaluations: a column a target, ours solid and peers dashed, the best of each named."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._measure import Score, best_grids, champion
from ._problems import FLOW, Problem
from ._table import is_ours, is_peer, metrics_of

_OURS = ("#1b4f9c", "#2f8ac4", "#0f7f6e")
_PEERS = ("#b5432a", "#d9882b", "#8c3a6b")
_PHASE = "#5a8f1d"
_NAMED = 3


def figure(results: Sequence[tuple[Problem, list[Score]]], budgets: Sequence[int]) -> Any:
    """The figure; the caller saves it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = max(len(metrics_of(scores)) for _, scores in results)
    with plt.rc_context({"font.size": 8, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6}):
        fig, axes = plt.subplots(rows, len(results), figsize=(3.9 * len(results), 2.9 * rows), squeeze=False)
        for column, (problem, scores) in enumerate(results):
            for row, metric in enumerate(metrics_of(scores)):
                _panel(axes[row, column], problem, metric, scores, budgets)
            axes[0, column].set_title(problem.title.split(":")[0], fontsize=8.5)
        axes[0, 0].annotate(
            "solid: diffphys\ndashed: peers",
            (0.62, 0.98),
            xycoords="axes fraction",
            fontsize=6.5,
            va="top",
            color="0.3",
        )
        for axis in axes[-1]:
            axis.set_xlabel("network evaluations")
        fig.tight_layout(w_pad=0.6)
    return fig


def save(fig: Any, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes it as PNG and as PDF."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"nfe.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        fig.savefig(path, dpi=200)
    return paths


def _panel(axis: Any, problem: Problem, metric: str, scores: list[Score], budgets: Sequence[int]) -> None:
    best, named = best_grids(scores), _named(problem, scores, metric, budgets)
    curves: dict[str, list[Score]] = {}
    for (of, entry, _), score in sorted(best.items(), key=lambda item: item[0][2]):
        if of == metric and np.isfinite(score.error):
            curves.setdefault(entry, []).append(score)
    finite = [s.error for curve in curves.values() for s in curve]
    top = np.quantile(finite, 0.8) * 2
    labels = []
    for entry, curve in curves.items():
        xs, ys = [s.evaluations for s in curve], [max(s.error, 1e-16) for s in curve]
        style = "-" if is_ours(curve[0]) else (0, (3, 1.5))
        if entry in named:
            axis.plot(xs, ys, ls=style, lw=1.4, color=named[entry], marker="o", ms=2.5, zorder=3)
            labels.append((ys[-1], _short(entry), named[entry]))
        else:
            axis.plot(xs, ys, ls=style, lw=0.5, color="0.78", zorder=1)
    if metric in problem.floors:
        axis.hlines(problem.floors[metric].mean(), budgets[0], budgets[-1], color="0.35", lw=0.7, ls=":", zorder=2)
        axis.annotate("exact samples", (budgets[0], problem.floors[metric].mean()), fontsize=6, color="0.35",
                      xytext=(0, -7), textcoords="offset points")  # fmt: skip
    low = max(min(finite), 0.5 * problem.noise(metric))
    axis.set(xscale="log", yscale="log", xlim=(budgets[0] * 0.9, budgets[-1] * 9), ylim=(low / 1.6, top))
    axis.set_xticks(budgets, [str(budget) for budget in budgets])
    axis.minorticks_off()
    if top / low < 100:
        ticks = [n * 10.0**k for k in range(-6, 2) for n in (1, 2, 5) if low / 1.6 < n * 10.0**k < top]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines["bottom"].set_bounds(budgets[0], budgets[-1])
    axis.set_ylabel("distance to the exact flow" if metric == FLOW else metric)
    _place(axis, labels, budgets[-1])


def _named(problem: Problem, scores: list[Score], metric: str, budgets: Sequence[int]) -> dict[str, str]:
    """The samplers worth a name: those that are best at some budget, of each side, and the best in phase space.

    Where the best are as good as exact samples, which of them comes first is chance.
    """
    colours: dict[str, str] = {}
    for palette, accept in ((_OURS, is_ours), (_PEERS, is_peer)):
        won: dict[str, None] = {}
        for budget in budgets:
            chosen = champion(scores, metric, budget, accept)
            if chosen is not None and (chosen.error > problem.noise(metric) or not won):
                won.setdefault(chosen.entry)
        colours |= dict(zip([*reversed(won)][:_NAMED], palette, strict=False))
    middle = budgets[len(budgets) // 2 - 1]
    phase = champion(scores, metric, middle, lambda score: score.family != "overdamped")
    return colours if phase is None else colours | {phase.entry: _PHASE}


def _short(entry: str) -> str:
    return entry.replace("diffusers ", "diffusers\n") if len(entry) > 24 else entry


def _place(axis: Any, labels: list[tuple[float, str, str]], last: int) -> None:
    """Names at the right ends of their curves, moved apart where they would meet."""
    low, high = np.log(axis.get_ylim())
    gap, at = 0.058 * (high - low), -np.inf
    for y, text, colour in sorted(labels):
        at = max(min(max(np.log(y), low), high), at + gap)
        name = axis.annotate(
            text, (last, y), xytext=(last * 1.12, np.exp(at)), fontsize=6.2, color=colour, va="center",
            annotation_clip=False,
        )  # fmt: skip
        name.set_in_layout(False)
        at += gap * text.count("\n")
