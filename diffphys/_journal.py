"""Long work in chunks that survives being killed.

A chunk is a pure function of its number, so a run that is stopped at any moment and started again gives the
same bits as one that was never stopped. On disk each is a file of its own, there whole or not at all: what is
missing or spoilt is measured again, and to keep a chunk costs the same however many there are.
"""

import contextlib
import io
import json
import pathlib
import shutil
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from ._config import canonical, differences
from ._devices import first_for_all, hides_bar, is_first_process, of_all_processes
from ._files import LOCK, claimed, replacing, unwritable

DIGEST = "inputs"
"""The entry of a configuration that holds a digest of what the others do not name."""

_PREFIX = "quantity."  # `numpy.savez` takes an array called `file` for its own argument.
_SETTINGS, _CHUNKS = "run.json", "[0-9]*.npz"

Arrays = dict[str, np.ndarray]


class Journal:
    """The finished chunks of one run, on disk.

    Args:
        path: the folder of the journal, made if need be. Of several processes the first writes, and all read.
        config: everything that the numbers depend on. A journal of another configuration is refused.

    Raises:
        OSError: if the folder cannot be written; found out now, not after the first hour.
    """

    def __init__(self, path: pathlib.Path, config: Mapping[str, Any]):
        self.path = path
        self._config = canonical(config)
        first_for_all(self._probe)

    def _probe(self) -> None:
        probe = self.path / ".probe"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise unwritable(self.path, error) from None

    @staticmethod
    def settings(path: pathlib.Path) -> dict[str, Any]:
        """The configuration that the journal in a folder is of; empty if it cannot be read."""
        with contextlib.suppress(OSError, ValueError):  # Missing or damaged: `restore` says.
            return _settings_of((path / _SETTINGS).read_text())
        return {}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While no other run keeps its chunks here; nothing is left of a journal without any.

        Raises:
            ValueError: if another one does.
            OSError: if the folder cannot be written.
        """
        with contextlib.ExitStack() as held:
            first_for_all(lambda: held.enter_context(claimed(self.path, "Journal")))
            try:
                yield
            finally:
                if is_first_process() and not any(self.path.glob(_CHUNKS)):
                    self.remove()

    def restore(self) -> dict[int, Arrays]:
        """The finished chunks by their numbers.

        Raises:
            ValueError: if the journal is of another configuration or unreadable, or other processes do not see the
                same.
        """
        kept, fault, digest = {}, None, 0
        try:
            kept = self._read()
        except ValueError as error:
            fault = error
        for i, chunk in kept.items():
            for array in chunk.values():
                digest = zlib.crc32(np.ascontiguousarray(array).tobytes(), digest + i)
        seen = of_all_processes(np.array([len(kept), digest >> 1, fault is not None], np.int32))
        if fault is not None:
            raise fault
        if np.any(seen != seen[0]):
            raise ValueError(
                f"`Journal` needs a folder that all processes share. Got `{self.path}`, in which they find "
                f"{', '.join(map(str, seen[:, 0]))} finished chunks. Give a folder of a shared file system."
            )
        return kept

    def _read(self) -> dict[int, Arrays]:
        try:
            text = (self.path / _SETTINGS).read_text()
            found = _settings_of(text)
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(
                f"`Journal` needs a readable folder to resume. Got `{self.path}`, whose {_SETTINGS} is damaged "
                f"({error}). Delete it to begin again, or give another path."
            ) from None
        self._compare(found)
        kept, spoilt = {}, 0
        for file in sorted(self.path.glob(_CHUNKS)):
            try:
                kept[int(file.stem)] = _load(file)
            except Exception:  # A damaged archive raises nearly anything.
                spoilt += 1
        if spoilt:
            warnings.warn(
                f"`{self.path}` is damaged: {spoilt} of its {len(kept) + spoilt} chunks are measured again.",
                RuntimeWarning,
                stacklevel=3,
            )
        return kept

    def record(self, i: int, chunk: Mapping[str, np.ndarray]) -> None:
        """Puts the results of chunk `i` on disk, whole or not at all.

        Raises:
            OSError: if they cannot be written. What is on disk is as it was then.
        """
        if not is_first_process():
            return
        settings = self.path / _SETTINGS
        if not settings.exists():
            with replacing(settings) as writing:
                writing.write_text(self._config)
        with replacing(self.path / f"{i:08}.npz") as writing:
            members: dict[str, Any] = {_PREFIX + name: array for name, array in chunk.items()}
            np.savez(writing, **members)

    def remove(self) -> None:
        """Deletes the journal. Call it once the results are saved elsewhere."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _compare(self, found: dict[str, Any]) -> None:
        """Refuses the journal of another run."""
        changes = differences(found, json.loads(self._config))
        # Where names tell, a digest has nothing to add.
        changes = [change for change in changes if change[0] != DIGEST] or changes
        if changes:
            listed = "; ".join(f"{name}: {theirs} there, {ours} now" for name, theirs, ours in changes)
            raise ValueError(
                f"`Journal` needs the folder of the same run. Got `{self.path}` of another: {listed}. "
                "Run with those settings, give another path, or delete the folder to begin again."
            )


def _settings_of(text: str) -> dict[str, Any]:
    """A configuration as it is on disk; ValueError if that is none."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"it holds {text[:20]!r}, no settings by name")
    return found


def _load(file: pathlib.Path) -> Arrays:
    """The arrays of one chunk, every byte of them checked by the archive."""
    # From memory: of a damaged file on disk NumPy leaves the handle open.
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
        return {name.removeprefix(_PREFIX): archive[name] for name in archive.files}


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
        kept = {} if journal is None else {i: chunk for i, chunk in journal.restore().items() if i < count}
        results: Arrays = {}
        for i, chunk in kept.items():
            _place(results, chunk, i, count)
        missing = [i for i in range(count) if i not in kept]
        bar = tqdm(
            total=count * unit_scale,
            initial=len(kept) * unit_scale,
            desc=label or None,
            unit=unit,
            unit_scale=unit_scale > 1,
            disable=hides_bar(progress),
            file=sys.stderr,
        )
        with bar:
            for done, i in enumerate(missing, len(kept)):
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


def _place(results: Arrays, chunk: Mapping[str, Any], i: int, count: int) -> Arrays:
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


def check_unclaimed(folder: pathlib.Path) -> None:
    """Refuses to go on where another run is writing a journal; all processes, as the first one sees it.

    Raises:
        ValueError: if one is.
    """

    def claim() -> None:
        for file in folder.glob(f"*/{LOCK}"):
            with claimed(file.parent, "Journal"):
                pass

    first_for_all(claim)
