"""Files that are on disk whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


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
        discard(writing)


def discard(path: pathlib.Path) -> None:
    """Removes what an unfinished write left, if it and its folder are there at all."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def unwritable(folder: pathlib.Path, error: OSError) -> OSError:
    """The error of a file that could not be written into a folder, and what to do."""
    reason = error.strerror or str(error)
    return OSError(
        error.errno,
        f"`path` needs a folder that can be written. Got `{folder}`: {reason}. Make room there or give another path",
    )
