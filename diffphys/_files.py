"""Files that are on disk whole or not at all, and folders that one run writes into."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

LOCK = ".lock"
"""The file by which a run claims its folder."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file to write beside `path`, which takes its place once it is on the disk; removed if anything fails.

    The folder is made if need be.

    Raises:
        OSError: if it cannot be written: a full disk, a folder that may only be read. `path` is as it was then.
    """
    writing = path.with_name(f".{path.stem}.writing{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield writing
        with writing.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(writing, path)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    finally:
        # What an unfinished write left; its folder may be gone too.
        with contextlib.suppress(OSError):
            writing.unlink(missing_ok=True)


def unwritable(folder: pathlib.Path, error: OSError) -> OSError:
    """The error of a file that could not be written into a folder, and what to do."""
    reason = error.strerror or str(error)
    return OSError(
        error.errno,
        f"`path` needs a folder that can be written. Got `{folder}`: {reason}. Make room there or give another path",
    )


@contextlib.contextmanager
def claimed(folder: pathlib.Path, name: str) -> Iterator[None]:
    """Claimed by this run until its end, however that comes: the system forgets the locks of a process with it.

    Args:
        folder: where it writes.
        name: what the folder is given to.

    Raises:
        ValueError: if another run has it.
        OSError: if it cannot be written.
    """
    import filelock  # Not quick to import, and most runs keep nothing.

    with contextlib.ExitStack() as held:
        try:
            held.enter_context(filelock.FileLock(folder / LOCK, timeout=0))
        except filelock.Timeout:
            raise ValueError(
                f"`{name}` needs a folder in which no other run is writing. Got `{folder}`, in which one is. "
                "Wait for its end, or give another folder."
            ) from None
        except NotImplementedError:  # A file system without locks: there nobody has one.
            pass
        except OSError as error:
            raise unwritable(folder, error) from None
        yield
