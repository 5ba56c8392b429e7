"""Programs that answer one question, timed in turn: compiled first, repeated, and compared repeat by repeat."""

import dataclasses
import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

Role = Literal["ours", "peer", "limit", "part"]
"""`limit`: work that nobody can leave out. `part`: some of ours, to see where the time goes."""


@dataclasses.dataclass(frozen=True)
class Entrant:
    """One program of a race.

    Args:
        name: what it is called in the table.
        role: whose it is.
        program: called with the number of the repeat, -1 for the first; what it returns is waited for. None if it
            cannot be run here, as `note` then says.
        scale: what its seconds are multiplied by where it does only a part of the work: a number, or a function of
            the result of the last call. Its times are then labelled as extrapolated.
        note: what else a reader should know, text or a function of the result of the last call.
        memory: gives the bytes it needs beside arguments and results; asked after the first call.
    """

    name: str
    role: Role
    program: Callable[[int], Any] | None
    scale: float | Callable[[Any], float] = 1.0
    note: str | Callable[[Any], str] = ""
    memory: Callable[[], float] | None = None


@dataclasses.dataclass(frozen=True)
class Timing:
    """The times of one program: the first call, which compiles, and the repeats; and the bytes it needs."""

    name: str
    role: Role
    first: float | None
    seconds: tuple[float, ...]
    scale: float
    note: str
    memory: float | None = None

    @property
    def compilation(self) -> float | None:
        """What the first call took beyond the others: tracing and compiling, for the most part."""
        return None if self.first is None or not self.seconds else max(0.0, self.first - self.median / self.scale)

    @property
    def median(self) -> float:
        """The median time; nan if it was not run."""
        return float(np.median(self.seconds)) if self.seconds else float("nan")

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, over the median."""
        if not self.seconds:
            return float("nan")
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(0.5 * (high - low) / self.median)


@dataclasses.dataclass(frozen=True)
class Race:
    """The times of all programs of one setting.

    Args:
        setting: what they were run on.
        timings: one a program.
        work: how much each program does, for a rate.
        unit: what `work` counts.
    """

    setting: str
    timings: tuple[Timing, ...]
    work: float | None = None
    unit: str = ""

    def __getitem__(self, name: str) -> Timing:
        """The timing of a program."""
        return {timing.name: timing for timing in self.timings}[name]

    def reached(self, timing: Timing) -> float:
        """The fraction of the limit that a program reaches, of the slowest where there are several; nan without one."""
        limits = [other.median for other in self.timings if other.role == "limit" and other.seconds]
        return max(limits) / timing.median if limits else float("nan")

    @property
    def ours(self) -> tuple[Timing, ...]:
        """The programs of this package."""
        return tuple(timing for timing in self.timings if timing.role == "ours")


class Goal(NamedTuple):
    """A number to reach: met if the value is at most the bound."""

    text: str
    value: float
    bound: float

    @property
    def met(self) -> bool:
        return bool(self.value <= self.bound)


class Report(NamedTuple):
    """What one case found."""

    races: list[Race]
    goals: list[Goal]


def race(setting: str, entrants: list[Entrant], repeats: int, *, work: float | None = None, unit: str = "") -> Race:
    """Runs every program once to compile it, then all of them in turn, so that a drift of the machine hits all alike.

    Each repeat begins with another program, so that none of them always follows the same one.
    """
    ready = [entrant for entrant in entrants if entrant.program is not None]
    first, results = {}, {}
    for entrant in ready:
        first[entrant.name], results[entrant.name] = _timed(entrant, -1)
    seconds: dict[str, list[float]] = {entrant.name: [] for entrant in entrants}
    for repeat in range(repeats if ready else 0):
        turn = repeat % len(ready)
        for entrant in ready[turn:] + ready[:turn]:
            elapsed, results[entrant.name] = _timed(entrant, repeat)
            seconds[entrant.name].append(elapsed)
    timings = []
    for entrant in entrants:
        result = results.pop(entrant.name, None)
        scale = entrant.scale(result) if callable(entrant.scale) else entrant.scale
        note = entrant.note(result) if callable(entrant.note) else entrant.note
        scaled = tuple(scale * value for value in seconds[entrant.name])
        memory = None if entrant.memory is None or not scaled else entrant.memory()
        timings.append(Timing(entrant.name, entrant.role, first.get(entrant.name), scaled, float(scale), note, memory))
    return Race(setting, tuple(timings), work, unit)


def _timed(entrant: Entrant, repeat: int) -> tuple[float, Any]:
    assert entrant.program is not None
    start = time.perf_counter()
    result = jax.block_until_ready(entrant.program(repeat))
    return time.perf_counter() - start, result


def ratio(one: Timing, other: Timing) -> float:
    """How many times as long one program took: the median over the repeats, each compared with its neighbour."""
    if not one.seconds or not other.seconds:
        return float("nan")
    return float(np.median(np.divide(one.seconds, other.seconds)))


def calls(name: str, role: Role, function: Any, arguments: Callable[[int], tuple], **options: Any) -> Entrant:
    """A program that is one call of a jitted function, of `arguments(repeat)`; and the memory of that function."""
    return Entrant(
        name, role, lambda i: function(*arguments(i)), memory=lambda: extra_bytes(function, *arguments(0)), **options
    )


def extra_bytes(function: Any, *arguments: Any) -> float:
    """The bytes that a jitted function needs beside arguments and results; nan where the compiler does not say."""
    compiled = function.lower(*arguments).compile()
    analysis = getattr(compiled, "compiled", compiled).memory_analysis()
    return float("nan") if analysis is None else float(analysis.temp_size_in_bytes)


def peer(package: str, name: str, make: Callable[[Any], Callable[[int], Any]], **options: Any) -> Entrant:
    """A program of another package, `make(package)`; one that says so where the package is not installed."""
    if importlib.util.find_spec(package) is None:
        return Entrant(name, "peer", None, note=f"{package} is not installed")
    return Entrant(name, "peer", make(importlib.import_module(package)), **options)
