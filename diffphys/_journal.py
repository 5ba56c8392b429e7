"""Long work in chunks that survives being killed.

A chunk is a pure function of its number, so a run that is stopped at any moment and started again gives the
same bits as one that was never stopped. On disk each has a place of its own and a checksum: what was not written to
its end, or was spoilt, is measured again. To keep a chunk costs the same however many there are.
"""

import contextlib
import json
import os
import pathlib
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from ._chunk_file import Kept, head, header, parse, place, write
from ._config import canonical, differences
from ._devices import hides_bar, is_first_process, of_all_processes
from ._files import claim, discard, unwritable

DIGEST = "inputs"
"""The entry of a configuration that holds a digest of what the others do not name."""

SUFFIX = ".journal"
"""The end of the name of the file of a journal."""


class Journal:
    """The finished chunks of one run, on disk.

    Args:
        path: the file of the journal. Its folder is made if need be. Of several processes the first writes, and all
            read.
        config: everything that the numbers depend on. A journal of another configuration is refused.

    Raises:
        OSError: if the folder cannot be written; found out now, not after the first hour.
    """

    def __init__(self, path: pathlib.Path, config: Mapping[str, Any]):
        self.path = path
        self._config = canonical(config)
        self._start = 0  # Of the first chunk in the file; none is there yet.
        if not is_first_process():
            return
        probe = path.with_name(f"{path.stem}.probe")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise unwritable(path.parent, error) from None

    @staticmethod
    def settings(path: pathlib.Path) -> dict[str, Any]:
        """The configuration that the journal in a file is of; empty if it cannot be read."""
        with contextlib.suppress(OSError, ValueError), path.open("rb") as file:  # Missing or damaged: `restore` says.
            found = header(file)
            return {} if found is None else found[0]
        return {}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While no other run keeps its chunks here; nothing is left of a journal without any.

        Raises:
            ValueError: if another one does.
            OSError: if the file cannot be written.
        """
        if not is_first_process():
            yield
            return
        with _claimed(self.path):
            try:
                yield
            finally:
                if not self.path.exists() or not self.path.stat().st_size:
                    discard(self.path)

    def restore(self) -> Kept | None:
        """The finished chunks; None if there are none.

        Raises:
            ValueError: if the journal is of another configuration or unreadable, or other processes do not see the
                same.
        """
        kept, fault, digest = None, None, 0
        try:
            kept, digest = self._read()
        except ValueError as error:
            fault = error
        chunks = 0 if kept is None else int(kept.sound.sum())
        seen = of_all_processes(np.array([chunks, digest >> 1, fault is not None], np.int32))
        if fault is not None:
            raise fault
        if np.any(seen != seen[0]):
            raise ValueError(
                f"`Journal` needs a folder that all processes share. Got `{self.path.parent}`, in which they find "
                f"{', '.join(map(str, seen[:, 0]))} finished chunks. Give a folder of a shared file system."
            )
        return kept

    def _read(self) -> tuple[Kept | None, int]:
        """The finished chunks, and a digest of them."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None, 0
        try:
            found = parse(content)
        except ValueError as error:
            raise ValueError(
                f"`Journal` needs a readable file to resume. Got `{self.path}`, which is damaged ({error}). "
                "Delete it to begin again, or give another path."
            ) from None
        if found is None:
            return None, 0
        config, self._start, kept = found
        self._compare(config)
        spoilt = int(np.sum(~kept.sound))
        if spoilt:
            warnings.warn(
                f"`{self.path}` is damaged: {spoilt} of its {len(kept.sound)} chunks are measured again.",
                RuntimeWarning,
                stacklevel=3,
            )
        return kept, zlib.crc32(content[self._start :])

    def record(self, i: int, chunk: Mapping[str, np.ndarray]) -> None:
        """Puts the results of chunk `i` on disk; all chunks have the same arrays, of the same shapes and types.

        Raises:
            OSError: if they cannot be written. What is on disk is as it was then.
        """
        if not is_first_process():
            return
        before = 0
        try:
            with self.path.open("r+b") if self._start else self.path.open("wb") as file:
                before = file.seek(0, os.SEEK_END)
                if not self._start:
                    write(file, head(json.loads(self._config), chunk))
                start = self._start or file.tell()
                row = place(i, chunk)
                file.seek(start + i * len(row))
                write(file, row)
            self._start = start
        except OSError as error:
            # On a full disk the part that was written is in the way of everything else.
            with contextlib.suppress(OSError):
                os.truncate(self.path, before)
            raise unwritable(self.path.parent, error) from None

    def remove(self) -> None:
        """Deletes the journal. Call it once the results are saved elsewhere."""
        self.path.unlink(missing_ok=True)

    def _compare(self, found: dict[str, Any]) -> None:
        """Refuses the journal of another run."""
        changes = differences(found, json.loads(self._config))
        # Where names tell, a digest has nothing to add.
        changes = [change for change in changes if change[0] != DIGEST] or changes
        if changes:
            listed = "; ".join(f"{name}: {theirs} in the file, {ours} now" for name, theirs, ours in changes)
            raise ValueError(
                f"`Journal` needs a file of the same run. Got `{self.path}` of another: {listed}. "
                "Run with the settings of the file, give another path, or delete the file to begin again."
            )


def run_chunks(
    measure: Callable[[int], Mapping[str, Any]],
    count: int,
    *,
    journal: Journal | None = None,
    progress: bool | None = None,
    label: str = "",
    unit_scale: int = 1,
    unit: str = "chunk",
) -> dict[str, np.ndarray]:
    """Every chunk's results, stacked on a new leading axis; finished chunks are not run again.

    Killed at any moment, a run loses one chunk at most. The journal is left on disk: `Journal.remove` it
    after saving the results.

    Args:
        measure: the arrays of chunk `i`, by name; the same bits whenever it is called with the same `i`.
        count: how many chunks.
        journal: where finished chunks are kept. Without one nothing is kept.
        progress: a bar with rate and remaining time on stderr. By default where stderr is a terminal.
        label: what the bar is called.
        unit_scale: units in a chunk, for the rate: 100 for a chunk of 100 trajectories.
        unit: the word for one of them.

    Returns:
        The arrays by name, each of shape `(count, ...)`.

    Raises:
        FloatingPointError: if a chunk is not finite. It is not kept; those before it are.
        ValueError: if chunks differ in their names, shapes or types, or the journal is refused.
    """
    if count < 1:
        raise ValueError(f"`count` needs at least one chunk. Got {count}. Ask for more samples.")
    with contextlib.nullcontext() if journal is None else journal.alone():
        kept = journal.restore() if journal is not None else None
        results, missing = _restored(kept, count)
        bar = tqdm(
            total=count * unit_scale,
            initial=(count - len(missing)) * unit_scale,
            desc=label or None,
            unit=unit,
            unit_scale=unit_scale > 1,
            disable=hides_bar(progress),
            file=sys.stderr,
        )
        with bar:
            for done, i in enumerate(missing, count - len(missing)):
                try:
                    chunk = _place(results, measure(i), i, count)
                    if journal is not None:
                        journal.record(i, chunk)
                except (KeyboardInterrupt, FloatingPointError, OSError, MemoryError) as stop:
                    if journal is not None and done:
                        stop.add_note(f"The finished chunks are kept in `{journal.path}`: run again to resume.")
                    raise
                bar.update(unit_scale)
    return results


def _restored(kept: Kept | None, count: int) -> tuple[dict[str, np.ndarray], list[int]]:
    """Room for the results of all chunks, those that are known in their places, and the numbers of the others."""
    if kept is None:
        return {}, list(range(count))
    known = np.zeros(count, bool)
    known[: len(kept.sound)] = kept.sound[:count]
    results = {}
    for name, array in kept.arrays.items():
        results[name] = np.empty((count, *array.shape[1:]), array.dtype)
        results[name][known] = array[:count][known[: len(array)]]
    return results, np.flatnonzero(~known).tolist()


def _place(results: dict[str, np.ndarray], chunk: Mapping[str, Any], i: int, count: int) -> dict[str, np.ndarray]:
    """Writes one checked chunk into row `i` of the results, which the first chunk allocates; and gives its arrays."""
    arrays = {name: np.asarray(value) for name, value in chunk.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":
            raise ValueError(f"`measure` needs to return numbers. Got {array.dtype} for `{name}`. Convert it.")
        bad = array.size - np.count_nonzero(np.isfinite(array))
        if bad:
            raise FloatingPointError(
                f"chunk {i} of {count}: {bad} of {array.size} values of `{name}` are not finite. "
                "Look at this chunk alone: its number and the seed reproduce it."
            )
    if not results:
        results.update({name: np.empty((count, *a.shape), a.dtype) for name, a in arrays.items()})
    theirs = {name: (a.shape, str(a.dtype)) for name, a in arrays.items()}
    ours = {name: (a.shape[1:], str(a.dtype)) for name, a in results.items()}
    if theirs != ours:
        raise ValueError(f"`measure` needs the same arrays from every chunk. Got {theirs} after {ours}.")
    for name, array in arrays.items():
        results[name][i] = array
    return arrays


@contextlib.contextmanager
def _claimed(path: pathlib.Path) -> Iterator[None]:
    try:
        file = path.open("ab")
    except OSError as error:
        raise unwritable(path.parent, error) from None
    with file:
        if not claim(file.fileno()):
            raise ValueError(
                f"`Journal` needs a file that no other run is writing. Got `{path}`, which one is. "
                "Wait for its end, or give another folder."
            )
        yield


def check_unclaimed(folder: pathlib.Path) -> None:
    """Refuses to go on where another run is writing a journal.

    Raises:
        ValueError: if one is.
    """
    for path in folder.glob(f"*{SUFFIX}"):
        with _claimed(path):
            pass
