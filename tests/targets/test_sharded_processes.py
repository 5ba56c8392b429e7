"""A data set divided over the devices of several processes against the whole one in this process."""

import contextlib
import json
import os
import pathlib
import pickle
import socket
import subprocess
import sys

import numpy as np
import parted_data
import parted_processes
import pytest

import diffphys as dp

ROOT = pathlib.Path(dp.__file__).parent.parent
STUDY = {"times": [0.1, 0.5], "samples": 32, "chunk": 16, "datasets": 0, "progress": False}
CLONES = {"clones": 16, "clone_times": [0.5], "steps": 8}
# The trajectories are a multiple of the devices: none is padding.
WALKS = {
    "late_start": {"times": [0.5, 1.0], "samples": 16, "trajectories": 8, "steps": 3},
    "critical_steps": {"critical_time": 0.5, "width": 0.2, "start": 3.0, "stop": 0.1, "steps": 4, "trajectories": 8},
}


@contextlib.contextmanager
def started(folder, count, devices, task):
    """So many processes of so many devices, each at its task with the data set of a file; none is left in the end."""
    np.save(folder / "points.npy", parted_data.POINTS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, parted_processes.__file__, str(folder), address, str(count)]
    with contextlib.ExitStack() as ends:
        processes = []
        for i in range(count):
            process = subprocess.Popen(
                [*command, str(i), task], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            processes.append(ends.enter_context(process))
            ends.callback(process.kill)
        yield processes


def assert_whole(folder, count, devices, *asked):
    """All processes have found what one with the whole data set does."""
    (folder / "asked.json").write_text(json.dumps(asked))
    with started(folder, count, devices, "compare") as processes:
        whole = parted_data.measured(dp.Empirical(parted_data.POINTS, parted_data.LABELS, block=16), *asked)
        said = [process.communicate(timeout=300)[0] for process in processes]
    marks = []
    for i, words in enumerate(said):
        kept = folder / f"found{i}.pickle"
        assert kept.exists(), words[-3000:]
        found, refused, own, shares = pickle.loads(kept.read_bytes())
        parted_data.assert_same(found, whole, rtol=1e-10, atol=1e-10)
        assert shares == {(2, 8 // (count * devices), 8, 5)}
        assert [text.split(" in process")[0] for text in refused] == [
            f"`ShardedEmpirical` needs the same data in every process. Got other {what}"
            for what in ("values", "labels", "parts")
        ]
        marks.append(own)
    # Journals know a data set by one mark in all processes, and another one by another.
    assert all(own == marks[0] for own in marks)
    assert marks[0][0] != marks[0][1]


def test_a_data_set_in_two_processes_is_the_whole_one(tmp_path):
    assert_whole(tmp_path, 2, 2, ["mean"], {"speciation": STUDY}, {})


@pytest.mark.slow
def test_all_that_is_asked_of_a_data_set_in_two_processes_is_as_of_the_whole_one(tmp_path):
    studies = {"speciation": STUDY | CLONES, "collapse": STUDY | CLONES, **WALKS}
    assert_whole(tmp_path, 2, 2, [*parted_data.QUANTITIES], studies, WALKS)


@pytest.mark.slow
def test_a_data_set_in_four_processes_is_the_whole_one(tmp_path):
    assert_whole(tmp_path, 4, 1, ["summary", "covariance"], {"collapse": STUDY | CLONES}, WALKS)


@pytest.mark.slow
def test_a_lost_process_stops_a_study_of_a_data_set_with_a_clear_message(tmp_path):
    with started(tmp_path, 2, 2, "lose") as processes:
        words, _ = (process.communicate(timeout=300)[0] for process in processes)
    assert (tmp_path / "lost0.txt").exists(), words[-3000:]
    told = (tmp_path / "lost0.txt").read_text()
    assert told.startswith("process 0 of 2 needs the others. Got no answer from one of them")
    assert len([*(tmp_path / "journal").glob("*/0*.npz")]) == 2
