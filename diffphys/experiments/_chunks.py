"""Work in chunks: their size from the compiled program and the free memory, halved if memory runs out."""

import hashlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import psutil

# The share of free memory that a chunk may use, and the elements that keep a chunk near the caches of a CPU.
_SHARE = 0.6
_ELEMENTS = {"cpu": 2**20, "gpu": 2**27, "tpu": 2**27}


def default_chunk(items: int, elements: int) -> int:
    """A chunk size for `items` of `elements` numbers each: near the caches, and at least 16 chunks for errors."""
    near = _ELEMENTS.get(jax.default_backend(), 2**20) // max(elements, 1)
    return max(1, min(near, -(-items // 16)))


def free_bytes() -> int:
    """Memory free on the device that computes."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return psutil.virtual_memory().available


class ChunkedProgram:
    """A jitted function `program(first, chunk)` of items `first, ..., first + chunk - 1`, of a size that fits.

    Args:
        program: an `equinox.filter_jit` function whose last two arguments are the first item (traced) and the
            number of items (static).
        arguments: its other arguments.
        items: how many items there are in all.
        elements: numbers an item holds, for the default chunk.
        chunk: the number of items a chunk, or None to choose it.

    Raises:
        ValueError: if the chunk asked for needs more memory than is free, or not even one item fits.
    """

    def __init__(self, program, arguments: tuple, *, items: int, elements: int, chunk: int | None):
        if chunk is not None and chunk < 1:
            raise ValueError(f"`chunk` needs a positive number. Got {chunk}.")
        self._program, self._arguments, self.items = program, arguments, items
        self.chunk = min(chunk or default_chunk(items, elements), items)
        self.halvings = 0
        while (need := self._needs(self.chunk)) > (free := _SHARE * free_bytes()):
            fits = int(self.chunk * free / need)
            if chunk is not None or self.chunk == 1:
                raise ValueError(
                    f"A `chunk` of {self.chunk} needs {need / 2**20:.0f} MiB, and {free / 2**20:.0f} MiB may be used. "
                    + (f"Ask for a `chunk` of at most {fits}." if fits else "Free memory, or use a larger machine.")
                )
            self.chunk = max(1, fits)

    @property
    def chunks(self) -> int:
        """How many chunks there are, the last one padded."""
        return -(-self.items // self.chunk)

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """The results of chunk `index`, an item a row; padding cut off."""
        first = index * self.chunk
        return self._call(first, min(self.chunk, self.items - first), self.chunk)

    def _needs(self, chunk: int) -> int:
        compiled: Any = self._program.lower(*self._arguments, np.int32(0), chunk).compile()
        analysis = compiled.compiled.memory_analysis()
        return 0 if analysis is None else analysis.temp_size_in_bytes + analysis.output_size_in_bytes

    def _call(self, first: int, count: int, chunk: int) -> dict[str, np.ndarray]:
        try:
            results = self._program(*self._arguments, np.int32(first), chunk)
            return {name: np.asarray(value)[:count] for name, value in results.items()}
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or chunk == 1:
                raise
        self.halvings += 1
        half = -(-chunk // 2)
        parts = [self._call(first, min(count, half), half)]
        if count > half:
            parts.append(self._call(first + half, count - half, half))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def fingerprint(tree: Any) -> str:
    """A short hash of every array and static value of a pytree: two runs of the same things share it."""
    arrays, static = eqx.partition(tree, eqx.is_array)
    digest = hashlib.sha256(repr(jax.tree.structure(static)).encode())
    for leaf in jax.tree.leaves(static):
        digest.update(getattr(leaf, "__qualname__", repr(leaf)).encode())
    for leaf in jax.tree.leaves(arrays):
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        leaf = np.asarray(leaf)
        digest.update(f"{leaf.dtype}{leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


Measure = Callable[[int], dict[str, np.ndarray]]
