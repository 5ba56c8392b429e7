"""The file of a journal: its settings, and then a place for each chunk of a run, each with its checksum."""

import io
import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# At the start: what it is, the length and the checksum of its settings, and a checksum of these.
_HEAD = struct.Struct("<8sQII")
_MAGIC = b"diffphys"


class Kept(NamedTuple):
    """The chunks that a file has."""

    arrays: dict[str, np.ndarray]
    """Their results, stacked on the leading axis."""
    sound: np.ndarray
    """Which of them are as they were written; the others mean nothing."""


def head(config: Mapping[str, Any], chunk: Mapping[str, np.ndarray]) -> bytes:
    """The beginning of a file: a configuration in plain values, and how a chunk is laid out."""
    fields = {name: [chunk[name].dtype.str, chunk[name].shape] for name in sorted(chunk)}
    text = json.dumps({"config": config, "arrays": fields}).encode()
    start = _HEAD.pack(_MAGIC, len(text), zlib.crc32(text), 0)[:-4]
    return start + struct.pack("<I", zlib.crc32(start)) + text


def place(i: int, chunk: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of chunk `i`; of the same length for all of the same shapes and types."""
    values = b"".join(chunk[name].tobytes() for name in sorted(chunk))
    return struct.pack("<I", zlib.crc32(values, i)) + values


def header(file: io.BufferedIOBase) -> tuple[dict[str, Any], np.dtype] | None:
    """The configuration and the layout at the beginning of a file; None if it was not written to its end.

    Raises:
        ValueError: if it is damaged.
    """
    start = file.read(_HEAD.size)
    if len(start) < _HEAD.size:
        return None
    magic, length, checksum, own = _HEAD.unpack(start)
    if magic != _MAGIC or zlib.crc32(start[:-4]) != own:
        raise ValueError("it does not begin as a journal")
    text = file.read(length)
    if len(text) < length:
        return None
    if zlib.crc32(text) != checksum:
        raise ValueError("checksum of its settings")
    found = json.loads(text)
    return found["config"], np.dtype([(name, kind, tuple(shape)) for name, (kind, shape) in found["arrays"].items()])


def parse(content: bytes) -> tuple[dict[str, Any], int, Kept] | None:
    """The configuration, where the first chunk is, and the chunks of a file; None if it was not even begun.

    Raises:
        ValueError: if its beginning is damaged.
    """
    file = io.BytesIO(content)
    found = header(file)
    if found is None:
        return None
    (config, layout), start = found, file.tell()
    places = np.dtype([("checksum", "<u4"), ("chunk", layout)])
    # What is at the end, shorter than a chunk, is one that was not written to its end.
    rows = np.frombuffer(content, places, (len(content) - start) // places.itemsize, start)
    sound = [row["checksum"] == zlib.crc32(row["chunk"].tobytes(), i) for i, row in enumerate(rows)]
    arrays = {name: np.ascontiguousarray(rows["chunk"][name]) for name in layout.names or ()}
    return config, start, Kept(arrays, np.array(sound, bool))


def write(file: io.BufferedIOBase, content: bytes) -> None:
    """Writes, and waits until it is on the disk."""
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
