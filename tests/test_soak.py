"""The command, killed again and again. Its small sibling, a journal without jax, is in `test_journal.py`."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import diffphys as dp

KILLS = 50
# A minute and a half of work on two quiet cores: fifty lives of some seconds do not come to its end.
JOB = ["speciation", "--target", "mixture", "--dim", "512", "--times", "3", "--samples", "2000", "--steps", "64",
       "--clones", "400000", "--chunk", "100", "--resume"]  # fmt: skip


def start(out, cache):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "TF_CPP"))}
    root = pathlib.Path(dp.__file__).parent.parent
    environment |= {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-m", "diffphys", *JOB, "--out", str(out)], env=environment, stderr=subprocess.PIPE, text=True
    )


def written(out):
    """When a journal was last written: a change of it is a chunk."""
    times = [0]
    for path in out.glob(".*-checkpoint/*/[0-9]*.npz"):
        with contextlib.suppress(FileNotFoundError):  # A journal without a chunk is taken away.
            times.append(path.stat().st_mtime_ns)
    return max(times)


@pytest.mark.slow
def test_a_command_killed_fifty_times_gives_the_bits_of_one_that_was_not(tmp_path):
    """At any moment of its life, and shortly after a chunk; what it compiles is cut off too."""
    moments, out, cache = random.Random(0), tmp_path / "killed", tmp_path / "cache"
    said = []
    for life in range(KILLS):
        before, process = written(out), start(out, cache)
        if life % 2:
            time.sleep(moments.uniform(0.0, 6.0))
        else:
            while process.poll() is None and written(out) == before:
                time.sleep(0.002)
            time.sleep(moments.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        said.append(process.communicate()[1])
        assert process.returncode == -signal.SIGKILL, (life, said[-1])
    for folder in (out, tmp_path / "whole"):
        process = start(folder, cache)
        said.append(process.communicate()[1])
        assert process.returncode == 0, said[-1]
    assert [line for text in said for line in text.splitlines()] == []
    killed, whole = (dp.results.load(folder / "speciation.nc") for folder in (out, tmp_path / "whole"))
    assert {"phi", "phi_clones"} <= set(whole.data_vars)
    for name in whole.data_vars:
        np.testing.assert_array_equal(killed[name], whole[name])
    assert sorted(os.listdir(out)) == ["speciation.nc", "speciation.png"]
