"""Files are whole or not there, on a disk that is full too."""

import contextlib
import os
import resource

import matplotlib.figure
import numpy as np
import pytest
import xarray as xr

from diffphys import results
from diffphys._commands._shared import draw
from diffphys._files import replacing
from diffphys._journal import Journal, run_chunks


@contextlib.contextmanager
def room(size):
    """A disk on which no file can be longer: the kernel writes so much of it and refuses the rest."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def attempt(size, write):
    """The error of writing with so little room. Taken out of it before anything is reported: reports are files."""
    error = None
    with room(size):
        try:
            write()
        except OSError as refusal:
            error = refusal
    assert error is not None
    return str(error)


def of_length(number):
    t = np.arange(float(number))
    return results.dataset({"x": ("t", t)}, {"t": t}, experiment="e", seed=0, parameters={})


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "deep" / "run.txt"
    with replacing(path) as writing:
        writing.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as writing:
        writing.write_text("new\ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["run.txt"]


@pytest.mark.parametrize("size", [0, 1000, 20_000])
def test_results_that_find_no_room_are_refused_and_leave_what_was_there(tmp_path, size):
    """HDF5 would bring the process down, some time after its first failed write."""
    path = results.save(of_length(10), tmp_path / "run.nc")
    message = attempt(size, lambda: results.save(of_length(10_000), path))
    assert f"needs a folder that can be written. Got `{tmp_path}`" in message
    assert "Make room there or give another path" in message
    xr.testing.assert_identical(results.load(path).x, of_length(10).x)
    assert os.listdir(tmp_path) == ["run.nc"]
    results.save(of_length(10_000), path)
    assert results.load(path).sizes["t"] == 10_000


def test_a_figure_that_finds_no_room_is_refused_and_leaves_nothing(tmp_path):
    figure = matplotlib.figure.Figure()
    figure.add_subplot().plot([0, 1])
    assert "Make room there" in attempt(1000, lambda: draw(figure, tmp_path / "curve.png"))
    assert os.listdir(tmp_path) == []


def test_a_journal_that_finds_no_room_keeps_its_chunks_and_goes_on_when_there_is_some(tmp_path):
    def measure(i):
        return {"x": np.random.default_rng(i).normal(size=1000)}

    path = tmp_path / "run"
    run_chunks(measure, 3, journal=Journal(path, {"seed": 0}))
    message = attempt(5000, lambda: run_chunks(measure, 8, journal=Journal(path, {"seed": 0})))
    assert "Make room there" in message
    kept = Journal(path, {"seed": 0}).restore()
    assert list(kept) == [0, 1, 2]
    assert not list(path.glob(".*writing*"))
    calls = []
    resumed = run_chunks(lambda i: calls.append(i) or measure(i), 8, journal=Journal(path, {"seed": 0}))
    assert calls == [3, 4, 5, 6, 7]
    np.testing.assert_array_equal(resumed["x"], run_chunks(measure, 8)["x"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_called_by_its_name(tmp_path):
    path = tmp_path / "run"

    def measure(i):
        (path / ".00000000.writing.npz").symlink_to("/dev/full")
        return {"x": np.zeros(3)}

    with pytest.raises(OSError, match=r"Got `.*`: No space left on device\. Make room") as refusal:
        run_chunks(measure, 2, journal=Journal(path, {}))
    # None is finished, and none is said to be kept.
    assert getattr(refusal.value, "__notes__", []) == []
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that not even root can write")
def test_a_folder_that_may_only_be_read_is_named(tmp_path):
    with pytest.raises(OSError, match=r"needs a folder that can be written\. Got `/proc/self/diffphys`"):
        results.save(of_length(10), "/proc/self/diffphys/run.nc")
