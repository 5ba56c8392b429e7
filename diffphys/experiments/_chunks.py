"""Work in chunks: their size from the compiled program and the free memory, halved if memory runs out."""

import contextlib
import hashlib
import pathlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .._describe import described
from .._devices import exchanging, of_all_processes, on_all_devices, to_host
from .._journal import DIGEST, Journal, run_chunks
from .._memory import available_bytes
from ..targets import is_divided, without_places

# The share of free memory that a chunk may use, and the elements that keep a chunk near the caches of a CPU.
_SHARE = 0.6
_ELEMENTS = {"cpu": 2**20, "gpu": 2**27, "tpu": 2**27}


def default_chunk(items: int, elements: int) -> int:
    """A chunk size for `items` of `elements` numbers each, near the caches; at least 4 chunks, for progress.

    As much for every device, none of them idle.
    """
    devices = jax.device_count()
    near = _ELEMENTS.get(jax.default_backend(), 2**20) // max(elements, 1)
    return devices * max(1, min(near, -(-items // (4 * devices))))


def free_bytes() -> int:
    """Memory free on one of the devices of this process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return available_bytes() // jax.local_device_count()


class ChunkedProgram:
    """A jitted function `program(first, chunk)` of items `first, ..., first + chunk - 1`, of a size that fits.

    A chunk is shared out over all devices. Where there is no memory for it, it is run in smaller parts. Neither changes
    results, but for rounding: what a program is `told` depends on the whole chunk, not on a device's share or a part.

    Args:
        program: an `equinox.filter_jit` function whose last two arguments are the first item (traced) and the
            number of items (static). Rows of its results beyond that number are left out.
        arguments: its other arguments.
        items: how many items there are in all.
        start: the first of them.
        elements: numbers an item holds, for the default chunk.
        chunk: the number of items a chunk, or None to choose it.
        told: what else the program is told of a whole chunk, from its first item and its size; before these two.

    Raises:
        ValueError: if not even one item fits the free memory.
    """

    def __init__(
        self,
        program: Any,
        arguments: tuple,
        *,
        items: int,
        elements: int,
        chunk: int | None,
        start: int = 0,
        told: Callable[[int, int], tuple] = lambda first, chunk: (),
    ):
        if chunk is not None and chunk < 1:
            raise ValueError(f"`chunk` needs a positive number. Got {chunk}.")
        self._program, self.arguments, self.items, self.start, self._told = program, arguments, items, start, told
        # The items of a call: fewer than a chunk has where it is run in parts.
        self.part = self.chunk = min(chunk or default_chunk(items, elements), items)
        self._placed = arguments if jax.device_count() == 1 else on_all_devices(arguments)
        self.memory = memory = self._memory()
        while memory[0] > memory[1]:
            need, free = memory
            if self.part == 1:
                raise ValueError(
                    f"A `chunk` of 1 needs {need / 2**20:.3g} MiB, and {free / 2**20:.3g} MiB may be used. "
                    "Free memory, or use a larger machine."
                )
            if chunk is None:
                self.part = self.chunk = max(1, int(self.chunk * free / need))
            else:
                self.part = _half(self.part)
            memory = self._memory()

    @property
    def chunks(self) -> int:
        """How many chunks there are, the last one padded."""
        return -(-self.items // self.chunk)

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """The results of chunk `index`, an item a row; padding cut off.

        Raises:
            MemoryError: if memory runs out for a single item.
        """
        first = self.start + index * self.chunk
        told = self._told(first, self.chunk)
        return self._call(told, first, min(self.chunk, self.start + self.items - first), self.chunk)

    def _memory(self) -> tuple[float, float]:
        """Bytes of a device that a call needs, and that it may use: the worst of all processes, whose call is one."""
        compiled: Any = self.lowered().compile()
        analysis = compiled.compiled.memory_analysis()
        need = 0 if analysis is None else analysis.temp_size_in_bytes + analysis.output_size_in_bytes
        needs, free = of_all_processes(np.array([need, _SHARE * free_bytes()])).T
        return needs.max(), free.min()

    def lowered(self) -> Any:
        """The program of a call, not yet compiled."""
        return self._program.lower(*self._placed, *self._told(0, self.chunk), np.int32(0), self.part)

    def _call(self, told: tuple, first: int, count: int, part: int) -> dict[str, np.ndarray]:
        if part <= self.part:
            results = self._results(told, first, part)
            # All processes halve a part if one of them has no memory for it.
            if of_all_processes(results is not None).all():
                return {name: value[:count] for name, value in to_host(results).items()}
            self.part = _half(part)
        half = _half(part)
        parts = [self._call(told, first, min(count, half), half)]
        if count > half:
            parts.append(self._call(told, first + half, count - half, half))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _results(self, told: tuple, first: int, part: int) -> dict[str, Array] | None:
        """The results on the devices, or None if their memory ran out."""
        try:
            with exchanging() if is_divided(self.arguments) else contextlib.nullcontext():
                return jax.block_until_ready(self._program(*self._placed, *told, np.int32(first), part))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            if part == 1:
                raise MemoryError(
                    f"A `chunk` of 1 needs more memory than there is, at item {first}. Use a larger machine."
                ) from error
        return None


def _half(number: int) -> int:
    return -(-number // 2)


class Runner(NamedTuple):
    """How an experiment is run, apart from what it measures."""

    chunk: int | None = None
    """Items a compiled call; None to choose it."""
    checkpoint: pathlib.Path | None = None
    """Folder of the journals of finished chunks; None to keep none."""
    progress: bool | None = None
    """Whether to show bars; None for only on a terminal."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """What is run, by names: a journal of other settings is refused by them."""

    def chunk_of(self, name: str) -> int | None:
        """The chunk asked for; or that of the journal of this name, which may have been begun on other devices."""
        if self.chunk is not None or self.checkpoint is None:
            return self.chunk
        begun = Journal.settings(self._file(name)).get("chunk", 0)
        return int(of_all_processes(begun)[0]) or None

    def _file(self, name: str) -> pathlib.Path:
        assert self.checkpoint is not None, "there is a folder of journals"
        return pathlib.Path(self.checkpoint) / name

    def collect(
        self,
        name: str,
        program: ChunkedProgram,
        reduce: Callable[[int, dict[str, np.ndarray]], dict[str, np.ndarray]],
        config: dict[str, Any],
        *,
        unit: str,
    ) -> dict[str, np.ndarray]:
        """Reduces every chunk of a program, journalled under a name; stacked on a leading axis.

        Raises:
            ValueError: if the chunk asked for needs more memory than is free.
        """
        if self.chunk is not None and program.part < program.chunk:
            need, free = (size / 2**20 for size in program.memory)
            raise ValueError(
                f"A `chunk` of {program.chunk} needs {need:.0f} MiB, and {free:.0f} MiB may be used. "
                f"Ask for a `chunk` of at most {program.part}, or leave it out."
            )
        journal = None
        if self.checkpoint is not None:
            # The compiled shape is part of what a run is: another one differs in the last bits.
            shape = {"chunk": program.chunk, DIGEST: fingerprint(program.arguments)}
            config = {**self.settings, **described(config), **shape}
            journal = Journal(self._file(name), config)

        def measure(i: int) -> dict[str, np.ndarray]:
            results = program(i)
            # Before they are summed, while it is known whose they are.
            refuse_not_finite(results, program.start + i * program.chunk, f"chunk {i} of {program.chunks}", unit)
            return reduce(i, results)

        return run_chunks(
            measure, program.chunks, journal=journal, progress=self.progress, label=name, unit_scale=program.chunk,
            unit=unit,
        )  # fmt: skip

    def rows(
        self,
        name: str,
        program: ChunkedProgram,
        config: dict[str, Any],
        *,
        unit: str,
        reduce: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda results: results,
    ) -> dict[str, np.ndarray]:
        """What a program gives, or what `reduce` makes of it, an item a row: `collect` of runs whose items are kept.

        Raises:
            ValueError: if the chunk asked for needs more memory than is free.
        """

        def padded(_: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            """Of the shape of all chunks, the last one too: they are stacked."""
            return {
                part: np.concatenate([rows, np.zeros((program.chunk - len(rows), *rows.shape[1:]), rows.dtype)])
                for part, rows in reduce(results).items()
            }

        stacked = self.collect(name, program, padded, config, unit=unit)
        return {part: values.reshape(-1, *values.shape[2:])[: program.items] for part, values in stacked.items()}


def refuse_not_finite(results: Mapping[str, np.ndarray], first: int, chunk: str, unit: str) -> None:
    """Refuses results that are infinite or NaN, by the number of the item that has them.

    Args:
        results: of one chunk, an item a row.
        first: the item of the first row.
        chunk: what the chunk is called.
        unit: what an item is called.

    Raises:
        FloatingPointError: with the quantity and the first item of it that is not finite.
    """
    for name, values in results.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            rows = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))
            raise FloatingPointError(
                f"`{name}` of {unit} {first + rows[0]} is not finite ({chunk}; {len(rows)} of its {len(values)}). "
                f"Look at this {unit} alone: its noise is addressed by its number and the key of the run."
            )


def fingerprint(tree: Any) -> str:
    """A short hash of every array and static value of a pytree: two runs of the same things share it.

    However data are divided over devices: a run goes on where there are others.
    """
    arrays, static = eqx.partition(without_places(tree), eqx.is_array)
    described = f"{jax.tree.structure(static)} {jax.tree.leaves(static)}"
    # Functions are known by their names: their addresses change between processes.
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", described).encode())
    for leaf in jax.tree.leaves(arrays):
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        # The bytes where they are: a data set is large.
        digest.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:16]
