"""Work in chunks: killed, spoilt, refused, resumed."""

import itertools
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest

from diffphys import _devices, _journal
from diffphys._journal import Journal, check_unclaimed, run_chunks

CONFIG = {"seed": 3, "times": [0.5, 1.0], "sampler": {"name": "euler", "steps": 10}}
ROOT = pathlib.Path(__file__).parent.parent


def measure(i):
    found = {"draw": np.random.default_rng(i).normal(size=(4, 5)), "count": np.int64(i), "odd": np.bool_(i % 2)}
    # Their order is nobody's wish.
    return found if i % 2 else dict(reversed(found.items()))


def assert_same(got, wanted):
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


@pytest.fixture
def wanted():
    return run_chunks(measure, 6)


@pytest.fixture
def stopped(tmp_path):
    """A journal with four chunks of six done, and the calls that are made to finish it."""
    path = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        run_chunks(lambda i: measure(i) if i < 4 else 1 // 0, 6, journal=Journal(path, CONFIG))
    return path


def finish(path):
    calls = []
    result = run_chunks(lambda i: calls.append(i) or measure(i), 6, journal=Journal(path, CONFIG))
    return result, calls


def test_resumed_run_measures_only_what_is_missing(stopped, wanted):
    result, calls = finish(stopped)
    assert calls == [4, 5]
    assert_same(result, wanted)
    kept = Journal(stopped, CONFIG).restore()
    assert list(kept) == list(range(6))
    for i, chunk in kept.items():
        assert_same(chunk, {name: array[i] for name, array in wanted.items()})


def test_longer_run_continues_a_shorter_one(stopped, wanted):
    finish(stopped)
    assert_same(run_chunks(lambda i: 1 // 0, 2, journal=Journal(stopped, CONFIG)), run_chunks(measure, 2))


SCRIPT = textwrap.dedent("""
    import pathlib, sys
    import numpy as np
    from diffphys._journal import Journal, run_chunks
    def measure(i):
        return {"x": np.random.default_rng(i).normal(size=30_000), "i": np.int64(i)}
    run_chunks(measure, 60, journal=Journal(pathlib.Path(sys.argv[1]), {"seed": 0}))
""")


def test_run_killed_at_random_moments_resumes_to_the_same_bits(tmp_path):
    moments, path = random.Random(0), tmp_path / "killed"

    def written():
        return len(list(path.glob("[0-9]*.npz")))

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(path)]
    killed, kept = 0, [0]
    for _ in range(4):
        before = written()
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and written() == before:
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, 0.06))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        # What a kill cuts off is no damage, and no word is said of it: warnings are errors here.
        restored = Journal(path, {"seed": 0}).restore()
        kept.append(len(restored))
    assert killed >= 2
    assert all(after >= before for before, after in itertools.pairwise(kept))
    subprocess.run(command, env=environment, check=True, timeout=60)
    got = Journal(path, {"seed": 0}).restore()
    assert list(got) == list(range(60))
    for i, chunk in got.items():
        np.testing.assert_array_equal(chunk["x"], np.random.default_rng(i).normal(size=30_000))
        assert chunk["i"] == i


def test_what_a_run_writes_for_a_chunk_does_not_grow_with_their_number(tmp_path):
    path, written = tmp_path / "run", {}

    def seen(i):
        # A file that is written anew takes the place of the old one: it is another file.
        now = {file.name: file.stat().st_ino for file in path.glob("[0-9]*.npz")}
        assert len(now) == i
        assert written.items() <= now.items()
        written.update(now)
        return {"x": np.zeros(1000)}

    run_chunks(seen, 40, journal=Journal(path, CONFIG))
    assert len({file.stat().st_size for file in path.glob("[0-9]*.npz")}) == 1


def test_run_stopped_inside_a_record_loses_one_chunk_at_most(stopped, wanted, monkeypatch):
    def stop(file, **arrays):
        pathlib.Path(file).write_bytes(b"half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        finish(stopped)
    monkeypatch.undo()
    result, calls = finish(stopped)
    assert calls == [4, 5]
    assert_same(result, wanted)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.7, 0.999])
def test_a_truncated_chunk_is_measured_again(stopped, wanted, part):
    file = sorted(stopped.glob("[0-9]*.npz"))[2]
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.warns(RuntimeWarning, match="1 of its 4 chunks are measured again"):
        result, calls = finish(stopped)
    assert calls == [2, 4, 5]
    assert_same(result, wanted)


def test_any_flipped_bit_costs_one_chunk_at_most(stopped, wanted):
    file, places, found = sorted(stopped.glob("[0-9]*.npz"))[1], random.Random(1), []
    content = bytearray(file.read_bytes())
    for _ in range(200):
        place, bit = places.randrange(len(content)), 1 << places.randrange(8)
        content[place] ^= bit
        file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            result, calls = finish(stopped)
        assert calls in ([4, 5], [1, 4, 5])
        assert_same(result, wanted)
        for again in (4, 5):
            (stopped / f"{again:08}.npz").unlink()
        found.append(len(calls))
        content[place] ^= bit
    # Some bits of an archive say nothing.
    assert found.count(3) > 100


@pytest.mark.parametrize("text", ["", "{", '{"seed": ', "[1, 2]", "8"])
def test_a_journal_of_which_the_settings_cannot_be_read_is_refused(stopped, text):
    (stopped / "run.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"readable folder.*run`, whose run\.json is damaged.*Delete it to begin again"
    ):
        Journal(stopped, CONFIG).restore()
    assert Journal.settings(stopped) == {}


def test_a_journal_that_another_run_is_writing_is_refused_until_it_ends(stopped, wanted):
    """By a claim of the system, which ends with the process however that ends."""
    before = sorted(stopped.iterdir())
    with Journal(stopped, CONFIG).alone():
        with pytest.raises(ValueError, match=r"no other run is writing\. Got `.*run`.*another folder"):
            finish(stopped)
        with pytest.raises(ValueError, match="no other run is writing"):
            check_unclaimed(stopped.parent)
    assert sorted(stopped.iterdir()) == before
    check_unclaimed(stopped.parent)
    assert_same(finish(stopped)[0], wanted)


def test_nothing_is_left_of_a_run_without_a_chunk(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run_chunks(lambda i: 1 // 0, 6, journal=Journal(tmp_path / "run", CONFIG))
    assert list(tmp_path.iterdir()) == []


def test_journal_of_another_run_is_refused_with_the_differing_entries(stopped):
    other = CONFIG | {"seed": 4, "sampler": {"name": "euler", "steps": 20, "order": 2}}
    with pytest.raises(ValueError, match="another") as refusal:
        run_chunks(measure, 6, journal=Journal(stopped, other))
    message = str(refusal.value)
    assert "seed: 3 there, 4 now" in message
    assert "sampler.steps: 10 there, 20 now" in message
    assert "sampler.order: (absent) there, 2 now" in message
    assert "times" not in message


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"needs a folder that can be written.*file"):
        Journal(tmp_path / "file" / "run", CONFIG)


def test_full_disk_leaves_the_generation_on_disk(stopped, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        finish(stopped)
    monkeypatch.undo()
    assert finish(stopped)[1] == [4, 5]


def test_removed_journal_leaves_nothing(stopped):
    Journal(stopped, CONFIG).remove()
    assert list(stopped.parent.iterdir()) == []
    assert Journal(stopped, CONFIG).restore() == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_chunk_that_is_not_finite_is_named_and_not_kept(tmp_path, bad):
    def spoilt(i):
        return {"phi": np.array([1.0, bad if i == 2 else 2.0]), "n": 1}

    journal = Journal(tmp_path / "run", CONFIG)
    with pytest.raises(FloatingPointError, match="chunk 2 of 6: 1 of 2 values of `phi`"):
        run_chunks(spoilt, 6, journal=journal)
    kept = journal.restore()
    assert list(kept) == [0, 1]
    np.testing.assert_array_equal(kept[1]["phi"], [1.0, 2.0])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_interrupted_run_says_where_it_stays(tmp_path, kind):
    def interrupted(i):
        if i == 3:
            raise kind
        return measure(i)

    path = tmp_path / "run"
    with pytest.raises(kind) as stop:
        run_chunks(interrupted, 6, journal=Journal(path, CONFIG))
    assert "run again to resume" in stop.value.__notes__[0]
    assert finish(path)[1] == [3, 4, 5]


@pytest.mark.parametrize("change", [{"x": np.zeros(4)}, {"x": np.zeros(3, np.float32)}, {"y": np.zeros(3)}])
def test_chunks_that_differ_in_kind_are_refused(change):
    with pytest.raises(ValueError, match="same arrays from every chunk"):
        run_chunks(lambda i: {"x": np.zeros(3)} if i == 0 else change, 2)


def test_chunks_without_numbers_are_refused():
    with pytest.raises(ValueError, match=r"needs to return numbers.*`x`"):
        run_chunks(lambda i: {"x": "text"}, 2)


def test_no_chunks_are_refused():
    with pytest.raises(ValueError, match="`count` needs at least one chunk"):
        run_chunks(measure, 0)


def test_progress_bar_counts_units_and_is_silent_where_disabled(stopped, capsys):
    run_chunks(measure, 3, progress=False)
    run_chunks(measure, 3)  # stderr is not a terminal here
    assert capsys.readouterr() == ("", "")
    run_chunks(
        measure,
        6,
        journal=Journal(stopped, CONFIG),
        progress=True,
        label="clones",
        unit_scale=100,
        unit="path",
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert "clones" in err
    assert "400/600" in err  # what was restored counts as done
    assert "600/600" in err


def test_a_folder_that_processes_do_not_share_is_refused(stopped, monkeypatch):
    other = np.array([0, 0, 0], np.int32)
    monkeypatch.setattr(_journal, "of_all_processes", lambda own: np.stack([own, other]))
    with pytest.raises(ValueError, match=r"folder that all processes share.*they find 4, 0 finished chunks"):
        Journal(stopped, CONFIG).restore()
    # The same number of others is not the same.
    monkeypatch.setattr(_journal, "of_all_processes", lambda own: np.stack([own, own + np.array([0, 1, 0])]))
    with pytest.raises(ValueError, match=r"they find 4, 4 finished chunks"):
        Journal(stopped, CONFIG).restore()


def test_processes_that_are_not_the_first_read_a_journal_and_leave_it_alone(stopped, wanted, monkeypatch):
    before = sorted(stopped.iterdir())
    for room in (_journal, _devices):
        monkeypatch.setattr(room, "is_first_process", lambda: False)
    result, calls = finish(stopped)
    assert_same(result, wanted)
    assert calls == [4, 5]
    assert sorted(stopped.iterdir()) == before
