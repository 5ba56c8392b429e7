"""A few images and labels, and the bytes of an IDX file."""

import struct

import numpy as np

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
LABELS = np.array([3, 5, 3, 7, 5, 3, 7, 7, 5, 3, 5, 3])


def idx(array):
    """The bytes of an IDX file."""
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
