"""Data in blocks, as they are made on the host."""

import math

import jax
import numpy as np


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros that begin at a multiple of 64 bytes: these a CPU device takes over (`may_alias`), others are copied."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size].view(dtype).reshape(shape)


def block_shape(count: int, block: int, slots: int = 1) -> tuple[int, int]:
    """The number of blocks of at most `block` that hold `count` points, or at least so many slots, and their length.

    One shape for all counts that round up to the same one of 5 binary digits, or of whole blocks where that is nearer,
    so that they share compiled programs: at most a sixteenth of the points more, and 15 more a block. A single point
    has one slot, which nothing else has: that it is alone must be known where its number is not.
    """
    if count == 1:
        return 1, 1
    count = max(count, slots)
    step = min(block, 1 << max(0, count.bit_length() - 5))
    count = -(-count // step) * step
    number = -(-count // block)
    # Blocks of even sizes leave little padding, and multiples of 16 keep matrix products aligned.
    return number, min(block, -(-count // (16 * number)) * 16)


def centre_of(points: np.ndarray) -> np.ndarray:
    """The mean of the points, in the type to compute in: without x64, JAX computes in float32."""
    return np.mean(points, axis=0, dtype=np.float64).astype(jax.dtypes.canonicalize_dtype(points.dtype))


def fill(blocks: np.ndarray, points: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Puts points less an offset into blocks of zeros; gives half their squared norms, inf for the padding.

    Both by float64, on the host; block by block, as a copy of all the points in that type may not fit.
    """
    number, length, _ = blocks.shape
    half_norms = np.full((number, length), np.inf)
    for i in range(number):
        rows = points[i * length : (i + 1) * length].astype(np.float64) - offset.astype(np.float64)
        blocks[i, : len(rows)] = rows
        half_norms[i, : len(rows)] = 0.5 * np.sum(blocks[i, : len(rows)].astype(np.float64) ** 2, axis=-1)
    return half_norms


def radius_of(half_norms: np.ndarray) -> float:
    """The largest norm of the points."""
    return float(np.sqrt(2 * half_norms[half_norms < np.inf].max()))
