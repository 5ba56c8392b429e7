"""A record as a picture: how much faster than each peer, what part of the limit, and rates against size."""

import re
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_NUMBER = re.compile(r"\d+")
_PEERS = ("s", "^", "v", "D", "P", "X")


def figure(record: dict[str, Any]) -> Figure:
    """Ratios to peers and to limits, a row a setting; and where sizes were swept, rates against them."""
    races = [(f"{case}: {race['setting']}", race) for case, report in record["cases"].items() if case != "curves"
             for race in report["races"] if _first(race) and _compared(race)]  # fmt: skip
    curves = _families(record["cases"].get("curves", {"races": []})["races"])
    height = max(2.5, 0.22 * len(races)) + 3.2 * bool(curves)
    fig = plt.figure(figsize=(12, height), layout="constrained")
    upper: Any = fig
    lower: Any = None
    if curves and races:
        parts: Any = fig.subfigures(2, 1, height_ratios=[max(2.5, 0.22 * len(races)), 3.2])
        upper, lower = parts
    elif curves:
        lower = fig
    if races:
        _ratios(upper, races)
    if lower is not None:
        _sweeps(lower, curves)
    machine = record["machine"]
    fig.suptitle(f"{machine['cpu']}, {machine['cores']} cores; {machine['device']}; {record['date'][:10]}", fontsize=9)
    return fig


def _first(race: dict[str, Any]) -> dict[str, Any] | None:
    """The first of our programs, which is the plainest: with exact noise, where there are cheaper ones."""
    return next((program for program in race["programs"] if program["role"] == "ours" and program["seconds"]), None)


def _compared(race: dict[str, Any]) -> bool:
    """Whether there is a peer or a limit beside ours."""
    return any(program["role"] in ("peer", "limit") and program["seconds"] for program in race["programs"])


def _ratios(fig: Any, races: list[tuple[str, dict[str, Any]]]) -> None:
    """Our first program of each setting beside every peer, and the part of the limit that it reaches."""
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    names: dict[str, str] = {}
    for place, (_, race) in enumerate(races):
        own = _first(race)
        assert own is not None
        for program in race["programs"]:
            if program["role"] == "peer" and program["seconds"]:
                marker = names.setdefault(program["program"], _PEERS[len(names) % len(_PEERS)])
                left.plot(
                    program["median"] / own["median"], place, marker, color=f"C{list(names).index(program['program'])}"
                )
        if own.get("of_limit") is not None:
            right.plot(own["of_limit"], place, "o", color="k")
    for i, (name, marker) in enumerate(names.items()):
        left.plot([], [], marker, color=f"C{i}", label=name)
    left.set_yticks(range(len(races)), [label for label, _ in races], fontsize=6)
    left.invert_yaxis()
    left.set_xscale("log")
    left.axvline(1, color="0.6", lw=0.8)
    left.set_xlabel("time of the peer / ours")
    right.axvline(1, color="0.6", lw=0.8)
    right.set(xlabel="time of the limit / ours", xlim=(0, 1.3))
    if names:
        left.legend(fontsize=6)


def _families(races: list[dict[str, Any]]) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Races that differ in one number, by what they have in common, with that number."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for race in races:
        name, _, sizes = race["setting"].partition(", ")
        numbers = [int(number) for number in _NUMBER.findall(sizes)]
        for i, number in enumerate(numbers):
            words = iter("x" if j == i else str(other) for j, other in enumerate(numbers))
            family = f"{name}, {_NUMBER.sub(lambda _, words=words: next(words), sizes)}"
            # Where two sweeps cross the same size is measured twice: the later one counts.
            found.setdefault(family, {})[number] = race
    return {name: sorted(family.items()) for name, family in found.items() if len(family) > 1}


def _sweeps(fig: Any, families: dict[str, list[tuple[int, dict[str, Any]]]]) -> None:
    """A panel a family: the rate of each program against the size."""
    for ax, (name, family) in zip(fig.subplots(1, len(families), squeeze=False)[0], families.items(), strict=True):
        for i, program in enumerate(family[0][1]["programs"]):
            rates = [race["work"] / race["programs"][i]["median"] for _, race in family]
            style = "o-" if program["role"] == "ours" else "--"
            ax.plot([size for size, _ in family], rates, style, ms=3, label=program["program"])
        ax.set(xscale="log", yscale="log", xlabel="x", title=name)
        ax.set_ylabel(f"{family[0][1]['unit']} a second")
        ax.title.set_fontsize(8)
        ax.legend(fontsize=6)
