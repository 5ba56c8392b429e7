"""Data as they lie in a file, before anything is chosen or scaled."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Raw:
    """Values and labels of one source, as stored.

    Args:
        values: images or points, the sample on the leading axis; channels on the last one.
        labels: numbers or words, one a sample, where the source has them.
        names: words for the labels 0, 1, ..., where the source has them.
        top: the largest value that the source can hold; None where that follows from the type or is unknown.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    names: tuple[str, ...] = ()
    top: float | None = None


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever a library raises over a damaged file into one clear `ValueError`.

    Only calls into libraries belong inside: gzip, zip, HDF5 and image readers raise nearly anything.
    """
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(
            f"`source` needs a readable, undamaged file. Got `{path}`: {reason}. Take a new copy of it."
        ) from None
