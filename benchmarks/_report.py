"""Races as a Markdown table and as JSON, with the machine they were run on."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
from typing import Any

import jax
import psutil

from diffphys._versions import versions

from ._harness import Goal, Race, Report, Timing, ratio

_PEERS = ("diffrax", "equinox", "scipy", "scikit-learn", "torch")
_COLUMNS = ("setting", "program", "role", "median", "spread", "compile", "memory", "rate", "of limit", "ours / this",
            "note")  # fmt: skip


def table(report: Report, *, goals: bool) -> str:
    """Every program a row, and the goals below; ratios in the order of our programs, below 1 where we are faster."""
    rows = [_row(race, timing) for race in report.races for timing in race.timings]
    widths = [max(len(line[i]) for line in (_COLUMNS, *rows)) for i in range(len(_COLUMNS))]
    lines = [_line(_COLUMNS, widths), _line(["-" * width for width in widths], widths)]
    lines += [_line(row, widths) for row in rows]
    orders = {tuple(timing.name for timing in race.ours) for race in report.races}
    lines += [f"\nours: {' · '.join(names)}" for names in sorted(orders) if len(names) > 1]
    if goals and report.goals:
        verdicts = ("met   " if goal.met else "MISSED" for goal in report.goals)
        lines.append("")
        lines += [
            f"- {v} {g.text}: {g.value:.3g} (goal {g.bound:g})" for v, g in zip(verdicts, report.goals, strict=True)
        ]
    return "\n".join(lines)


def _line(cells: Any, widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _row(race: Race, timing: Timing) -> tuple[str, ...]:
    note = timing.note
    if not timing.seconds:
        return (race.setting, timing.name, timing.role, *["-"] * (len(_COLUMNS) - 4), note)
    if timing.scale != 1:
        note = f"extrapolated x {timing.scale:.4g}" + (f"; {note}" if note else "")
    rate = "" if race.work is None else f"{_short(race.work / timing.median)} {race.unit}/s"
    against = " · ".join("1" if own is timing else f"{ratio(own, timing):.3g}" for own in race.ours)
    compilation = "" if timing.compilation is None else _duration(timing.compilation)
    memory = "" if timing.memory is None else f"{timing.memory / 2**20:.0f} MiB"
    reached = race.reached(timing)
    return (
        race.setting, timing.name, timing.role, _duration(timing.median), f"{100 * timing.spread:.0f} %", compilation,
        memory, rate, "" if reached != reached else f"{reached:.2f}", against, note,
    )  # fmt: skip


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds / 3600:.3g} h"


def _short(number: float) -> str:
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g} "


def record(reports: dict[str, Report], *, quick: bool, repeats: int) -> dict[str, Any]:
    """All that was measured, every repeat of it, as plain values."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": quick, "repeats": repeats, "machine": machine(), "versions": _versions(),
        "cases": {name: _plain(report) for name, report in reports.items()},
    }  # fmt: skip


def _plain(report: Report) -> dict[str, Any]:
    races = []
    for race in report.races:
        rows = [
            {
                "program": timing.name, "role": timing.role, "first_call_seconds": timing.first,
                "seconds": list(timing.seconds), "median": _number(timing.median), "spread": _number(timing.spread),
                "extrapolated_by": timing.scale, "note": timing.note,
                "memory_bytes": None if timing.memory is None else _number(timing.memory),
                "compile_seconds": timing.compilation, "of_limit": _number(race.reached(timing)),
                "ours_over_this": {own.name: _number(ratio(own, timing)) for own in race.ours},
            }
            for timing in race.timings
        ]  # fmt: skip
        races.append({"setting": race.setting, "work": race.work, "unit": race.unit, "programs": rows})
    goals = [goal._asdict() | {"value": _number(goal.value), "met": goal.met} for goal in report.goals]
    return {"races": races, "goals": goals}


def read(record: dict[str, Any]) -> dict[str, Report]:
    """The reports of a record, to be shown as they were when it was made."""
    return {name: Report([_race(race) for race in case["races"]], [_goal(goal) for goal in case["goals"]])
            for name, case in record["cases"].items()}  # fmt: skip


def _race(race: dict[str, Any]) -> Race:
    timings = (
        Timing(
            program["program"], program["role"], program["first_call_seconds"], tuple(program["seconds"]),
            program["extrapolated_by"], program["note"], program.get("memory_bytes"),
        )
        for program in race["programs"]
    )  # fmt: skip
    return Race(race["setting"], tuple(timings), race["work"], race["unit"])


def _goal(goal: dict[str, Any]) -> Goal:
    return Goal(goal["text"], float("nan") if goal["value"] is None else goal["value"], goal["bound"])


def _number(value: float) -> float | None:
    """JSON has no nan."""
    return value if value == value else None


def machine() -> dict[str, Any]:
    """The machine, in words and numbers."""
    device = jax.devices()[0]
    return {
        "cpu": _cpu_model(), "cores": len(psutil.Process().cpu_affinity() or []) or os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1), "platform": platform.platform(),
        "device": device.device_kind, "backend": device.platform, "load_average": list(os.getloadavg()),
    }  # fmt: skip


def _cpu_model() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = versions()
    for package in _PEERS:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
