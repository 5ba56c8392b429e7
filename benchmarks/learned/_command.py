"""Runs the studies, and leaves their numbers, data sets and figures in a folder."""

import json
import pathlib
from collections.abc import Callable

import diffphys as dp
from diffphys.results import save

from .._report import machine
from ._measure import measure
from ._studies import STUDIES, small


def run(names: list[str], out: pathlib.Path, clones: int, steps: int | None, say: Callable[[str], None]) -> None:
    """Runs studies; each leaves `NAME.json`, the model in `NAME/`, and a data set and a figure of each experiment."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        study = STUDIES[name] if steps is None else small(STUDIES[name], steps)
        say(f"## {name}: {study.title}")
        found, kept = measure(study, out / name, clones, say)
        for experiment, ds in kept.items():
            save(ds, out / f"{name}-{experiment}.nc")
            getattr(dp.plots, experiment)(ds).savefig(out / f"{name}-{experiment}.png", dpi=150)
        record = {"machine": machine(), "study": name, "found": found}
        (out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
