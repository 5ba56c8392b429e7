"""The clones of a mixture on 1, 2, 4 and 8 devices: how much they wait for each other, and what sharing out costs.

On one machine the devices are forced upon its processor, so that they share its cores: the same clones can take no less
time on more of them, and what they take more is overhead. A process of its own for each, since JAX reads how many
there are when it starts: `python -m benchmarks.cases.scaling DIM ITEMS STEPS` answers each line with a chunk.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import diffphys as dp
from diffphys.clocks import log_snr_grid
from diffphys.experiments._chunks import ChunkedProgram
from diffphys.experiments._clones import _EVERY, Source, clone_tables, halved_chunk, measure_clones
from diffphys.experiments._readouts import LabelAgreement

from .._harness import Entrant, Goal, Report, race, ratio

_DEVICES = (1, 2, 4, 8)
_COLLECTIVES = r"\b(?:all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter)\b"


def measure(quick: bool, repeats: int) -> Report:
    dim, items, steps = (16, 16, 4) if quick else (1024, 256, 64)
    with contextlib.ExitStack() as stack:
        workers = {n: stack.enter_context(_worker(n, dim, items, steps)) for n in _DEVICES}
        entrants = [Entrant(f"{n} devices", "ours", ask, note=_words) for n, ask in workers.items()]
        found = race(
            f"d = {dim}, {items} pairs", entrants, repeats, work=float(2 * items * dim * steps), unit="elements"
        )
        waits = sum(len(ask(0)["collectives"]) for ask in workers.values())
    most = f"{_DEVICES[-1]} devices"
    return Report([found], [
        Goal("collectives within the steps of clones, on all numbers of devices", waits, 0.0),
        Goal(f"time of {most} over that of 1", ratio(found[most], found["1 devices"]), 1.1),
    ])  # fmt: skip


def clone_program(target: Any, chunk: int, steps: int) -> ChunkedProgram:
    """Pairs of clones of a target from one time, read by their labels."""
    sampler = dp.Bridge(dp.OrnsteinUhlenbeck(), target.posterior_mean)
    tables = clone_tables(sampler, np.array([0.8]), stop=0.1, steps=steps, grid=log_snr_grid, trunk_from=None)
    source = Source(target, target.dim, 2, np.dtype(np.float32))
    always = np.zeros(1, np.int32), np.full(1, 2**30, np.int32)
    arguments = (source, sampler, LabelAgreement(target.label_log_posterior), tables, jax.random.key(0), *always)
    items = _EVERY * chunk
    return ChunkedProgram(measure_clones, arguments, items=items, elements=1, chunk=chunk, told=halved_chunk)


def collectives(program: ChunkedProgram) -> list[str]:
    """Where devices wait for each other in a compiled program."""
    return re.findall(_COLLECTIVES, program.lowered().compile().compiled.as_text())


@contextlib.contextmanager
def _worker(devices: int, *numbers: int) -> Iterator[Callable[[int], dict[str, Any]]]:
    """A process with so many devices, as a function that has it run a chunk."""
    root = pathlib.Path(__file__).parent.parent.parent
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu",
    }  # fmt: skip
    command = [sys.executable, "-m", __spec__.name, *map(str, numbers)]
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def ask(repeat: int) -> dict[str, Any]:
            print(repeat, file=asked, flush=True)
            return json.loads(answers.readline())

        yield ask


def _words(answer: dict[str, Any]) -> str:
    return f"{answer['devices']} devices, {len(answer['collectives'])} collectives"


def _answer(dim: int, items: int, steps: int) -> None:
    """Runs a chunk a line, one of those that are not run on the halved grid too."""
    program = clone_program(dp.symmetric_mixture(np.ones(dim, np.float32)), items, steps)
    found = collectives(program)
    for _ in sys.stdin:
        program(1)
        print(json.dumps({"devices": jax.device_count(), "collectives": found}), flush=True)


if __name__ == "__main__":
    _answer(*map(int, sys.argv[1:]))
