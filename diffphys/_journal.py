"""Long work in chunks that survives being killed.

A chunk is a pure function of its number, so a run that is stopped at any moment and started again gives the
same bits as one that was never stopped. What is on disk is always a whole generation: a new one is written
beside the old one and takes its place by a rename.
"""

import contextlib
import io
import json
import os
import pathlib
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from ._config import canonical, differences
from ._devices import hides_bar, is_first_process, of_all_processes
from ._files import discard, unwritable

_PREFIX = "quantity."  # `numpy.savez` takes an array called `file` for its own argument.
_MANIFEST = "manifest"
DIGEST = "inputs"
"""The entry of a configuration that holds a digest of what the others do not name."""


class Journal:
    """The finished chunks of one run, on disk.

    Every `record` leaves two whole generations, `path` and `<stem>.previous<suffix>`, so that a file
    spoilt by the disk costs one chunk and not the run. Of several processes the first writes, and all read.

    Args:
        path: the file of the journal, a `.npz`. Its folder is made if need be.
        config: everything that the numbers depend on. A journal of another configuration is refused.

    Raises:
        OSError: if the folder cannot be written; found out now, not after the first hour.
    """

    def __init__(self, path: pathlib.Path, config: Mapping[str, Any]):
        self.path = path
        self.previous, self._writing = _beside(path, "previous"), _beside(path, "writing")
        self._config = canonical(config)
        self._sound = False  # Is `path` known to be a whole generation, worth keeping as the previous?
        if not is_first_process():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writing.write_bytes(b"")
            self._writing.unlink()
        except OSError as error:
            raise unwritable(path.parent, error) from None

    @staticmethod
    def settings(path: pathlib.Path) -> dict[str, Any]:
        """The configuration that the journal in a file is of; empty if no generation of it can be read."""
        for file in (path, _beside(path, "previous")):
            with contextlib.suppress(Exception):  # Missing or damaged: `restore` says so.
                return _parse(file.read_bytes())[0]["config"]
        return {}

    def restore(self) -> dict[str, np.ndarray] | None:
        """The results of the finished chunks, stacked on the leading axis; None if there are none.

        Raises:
            ValueError: if the journal is of another configuration, every generation is unreadable, or other
                processes do not see the same.
        """
        arrays, fault = None, None
        try:
            arrays = self._read()
        except ValueError as error:
            fault = error
        chunks, total = min((len(array) for array in (arrays or {}).values()), default=0), 0
        for array in (arrays or {}).values():
            total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
        seen = of_all_processes(np.array([chunks, total >> 1, fault is not None], np.int32))
        if fault is not None:
            raise fault
        if np.any(seen != seen[0]):
            raise ValueError(
                f"`Journal` needs a folder that all processes share. Got `{self.path.parent}`, in which they find "
                f"{', '.join(map(str, seen[:, 0]))} finished chunks. Give a folder of a shared file system."
            )
        return arrays

    def _read(self) -> dict[str, np.ndarray] | None:
        faults = []
        for path in (self.path, self.previous):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                faults.append(f"`{path}` is missing")
                continue
            try:
                manifest, arrays = _parse(content)
            except Exception as error:  # A damaged archive raises nearly anything; its bytes are in memory.
                faults.append(f"`{path}` is damaged ({error})")
                continue
            self._compare(manifest["config"])
            self._sound = path == self.path
            if faults:
                warnings.warn(
                    f"{faults[0]}: resuming from the generation before, `{path}`.",
                    RuntimeWarning,
                    stacklevel=3,
                )
            return arrays
        if not (self.path.exists() or self.previous.exists()):
            return None
        raise ValueError(
            f"`Journal` needs a readable file to resume. Got: {'; '.join(faults)}. "
            "Delete what is left of them to begin again, or give another path."
        )

    def record(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts these results on disk, whole or not at all.

        Args:
            arrays: every finished chunk, stacked on the leading axis.

        Raises:
            OSError: if the file cannot be written. The generations on disk are as they were then.
        """
        if not is_first_process():
            return
        described = {name: [list(array.shape), str(array.dtype)] for name, array in arrays.items()}
        manifest = json.dumps({"config": json.loads(self._config), "arrays": described})
        members: dict[str, Any] = {_PREFIX + name: array for name, array in arrays.items()}
        try:
            with self._writing.open("wb") as file:
                np.savez(file, **{_MANIFEST: np.array(manifest)}, **members)
                file.flush()
                os.fsync(file.fileno())
            if self._sound:
                os.replace(self.path, self.previous)
            os.replace(self._writing, self.path)
            self._sound = True
        except OSError as error:
            # On a full disk the part that was written is in the way of everything else.
            discard(self._writing)
            raise unwritable(self.path.parent, error) from None

    def remove(self) -> None:
        """Deletes the journal. Call it once the results are saved elsewhere."""
        for path in (self.path, self.previous, self._writing):
            path.unlink(missing_ok=True)

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
    restored = journal.restore() if journal is not None else None
    first = 0 if restored is None else min(count, *(len(array) for array in restored.values()))
    results: dict[str, np.ndarray] = {}
    for name, array in (restored or {}).items():
        results[name] = np.empty((count, *array.shape[1:]), array.dtype)
        results[name][:first] = array[:first]
    bar = tqdm(
        total=count * unit_scale,
        initial=first * unit_scale,
        desc=label or None,
        unit=unit,
        unit_scale=unit_scale > 1,
        disable=hides_bar(progress),
        file=sys.stderr,
    )
    with bar:
        for i in range(first, count):
            try:
                _place(results, measure(i), i, count)
                if journal is not None:
                    journal.record({name: array[: i + 1] for name, array in results.items()})
            except (KeyboardInterrupt, FloatingPointError, OSError) as stop:
                if journal is not None:
                    stop.add_note(f"The finished chunks are kept in `{journal.path}`: run again to resume.")
                raise
            bar.update(unit_scale)
    return results


def _place(results: dict[str, np.ndarray], chunk: Mapping[str, Any], i: int, count: int) -> None:
    """Writes one checked chunk into row `i` of the results, which the first chunk allocates."""
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


def _beside(path: pathlib.Path, what: str) -> pathlib.Path:
    return path.with_name(f"{path.stem}.{what}{path.suffix}")


def _parse(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The manifest and the arrays of one generation, every byte of it checked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        spoilt = archive.testzip()
    if spoilt is not None:
        raise ValueError(f"checksum of {spoilt}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        manifest = json.loads(str(archive[_MANIFEST]))
        arrays = {name: archive[_PREFIX + name] for name in manifest["arrays"]}
    for name, (shape, dtype) in manifest["arrays"].items():
        if [list(arrays[name].shape), str(arrays[name].dtype)] != [shape, dtype]:
            raise ValueError(f"shape of {name}")
    return manifest, arrays
