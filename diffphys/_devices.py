"""All devices of all hosts as one row: each works on its own items, everything else is on each of them.

On several hosts every process runs the same program. What is said here of processes is trivial where there is one.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Shaped

_ITEMS = PartitionSpec("samples")
# Rows that processes exchange at once.
_ROWS = 1024


def mesh() -> jax.sharding.Mesh:
    """The row of all devices, its axis called `samples`."""
    return jax.make_mesh((jax.device_count(),), ("samples",), axis_types=(jax.sharding.AxisType.Auto,))


def is_first_process() -> bool:
    """Whether this process is the one that prints, draws and writes files."""
    return jax.process_index() == 0


def hides_bar(progress: bool | None) -> bool | None:
    """What `tqdm` calls `disable`: other processes show no bar; the first as asked, by default on a terminal."""
    if not is_first_process():
        return True
    return None if progress is None else not progress


def over_items(
    many: Callable[[Int[Array, " items"]], Any], first: Int[Array, ""], count: int, *, together: bool = False
) -> Any:
    """`many(items)` of items `first, ..., first + count - 1`, a row each, every device at its own share of them.

    No device waits for another: what `many` decides for a whole batch, it decides for a share. Call it in a compiled
    program. On several devices there are more rows than `count`, up to a multiple of their number: leave those out.
    With `together` all devices work on every item, as they must where what `many` needs is divided among them.
    """
    devices = jax.device_count()
    rows = -(-count // devices) * devices
    items = first + jnp.arange(rows, dtype=jnp.int32)
    if devices == 1 or together:
        return many(items)
    # What a denoiser does inside is its own affair: no check of what varies between devices.
    shares = jax.shard_map(many, mesh=mesh(), in_specs=_ITEMS, out_specs=_ITEMS, check_vma=False)
    return shares(items)


def on_all_devices(tree: Any) -> Any:
    """The same tree with its arrays on every device, so that no call has to send them there."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.tree.map(_on_all_devices, arrays), rest)


def _on_all_devices(array: Array | np.ndarray) -> Array:
    array = jnp.asarray(array)
    if len(array.sharding.device_set) > 1 and not array.sharding.is_fully_replicated:
        return array  # Divided on purpose.
    everywhere = NamedSharding(mesh(), PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(array, everywhere)
    if not array.is_fully_addressable:
        return array
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jr.wrap_key_data(_on_all_devices(jr.key_data(array)), impl=jr.key_impl(array))
    # Not `device_put`, which between processes compares array by array.
    values = np.asarray(array)
    return jax.make_array_from_callback(values.shape, everywhere, lambda index: values[index])


def in_shares(read: Callable[[Any], np.ndarray], shape: tuple[int, ...]) -> Array:
    """An array whose rows are shared out over all devices; `read(rows)` gives some of its rows."""

    def rows(index: Any) -> np.ndarray:
        return read(index[0])

    return jax.make_array_from_callback(shape, NamedSharding(mesh(), _ITEMS), rows)


def to_host(tree: Any) -> Any:
    """The whole arrays of a tree in NumPy, on every process.

    Raises:
        ConnectionError: if a process was lost.
    """
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return _gathered(tree, tiled=True)


def of_all_processes(value: Shaped[np.ndarray, "*shape"] | float) -> Shaped[np.ndarray, "processes *shape"]:
    """The values that all processes have, a row each. None has this before all have asked for it.

    In the types of JAX: whole numbers from -2^31 on.

    Raises:
        ConnectionError: if a process was lost.
    """
    if jax.process_count() == 1:
        return np.asarray(value)[None]
    return _gathered(np.asarray(jnp.asarray(value)), tiled=False)


def first_for_all(act: Callable[[], Any]) -> None:
    """What the first process is to do alone; if it is refused, so are all, and none waits for it in vain.

    Args:
        act: called in the first process.

    Raises:
        ValueError: if `act` raised one; in every process, in the same words.
        OSError: alike.
        ConnectionError: if a process was lost.
    """
    error, words = None, b""
    if is_first_process():
        try:
            act()
        except (ValueError, OSError) as caught:
            error, words = caught, json.dumps([isinstance(caught, OSError), *caught.args]).encode()
    size = int(of_all_processes(len(words))[0])
    if size:
        told = of_all_processes(np.frombuffer(words.ljust(size), np.uint8))[0]
        is_of_system, *told = json.loads(told.tobytes())
        raise error or (OSError if is_of_system else ValueError)(*told)


def from_owners(rows: Shaped[np.ndarray, "m *shape"], owners: Int[np.ndarray, " m"]) -> Shaped[np.ndarray, "m *shape"]:
    """Rows of which each process has its own, made whole on every one of them: the same array.

    Args:
        rows: those of this process where they belong, and anything in the place of the others.
        owners: the process that has each.

    Raises:
        ConnectionError: if a process was lost.
    """
    processes = jax.process_count()
    if processes == 1:
        return rows
    # Some at a time: every device is given a copy of these.
    for start in range(0, len(rows), _ROWS):
        theirs = [start + np.flatnonzero(owners[start : start + _ROWS] == i) for i in range(processes)]
        most, own = max(map(len, theirs)), theirs[jax.process_index()]
        # One of few numbers: an exchange is compiled for each.
        sent = np.zeros((1 << (most - 1).bit_length(), *rows.shape[1:]), rows.dtype)
        sent[: len(own)] = rows[own]
        for places, found in zip(theirs, of_all_processes(sent), strict=True):
            rows[places] = found[: len(places)]
    return rows


def wait_for_all() -> None:
    """Comes back when all processes have come here.

    Raises:
        ConnectionError: if a process was lost.
    """
    of_all_processes(0)


@contextlib.contextmanager
def exchanging() -> Iterator[None]:
    """Around a program in which processes exchange something, whose failure then is that of another one.

    Raises:
        ConnectionError: if a process was lost.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # What XLA says begins with a code, in either type. Memory runs out in this process alone.
        said = re.match("[A-Z_]+: ", str(error)) and "RESOURCE_EXHAUSTED" not in str(error)
        if jax.process_count() == 1 or not said:
            raise
        raise lost(error) from error


def _gathered(tree: Any, *, tiled: bool) -> Any:
    try:
        return multihost_utils.process_allgather(tree, tiled=tiled)
    except Exception as error:  # Of several types, by the transport and the release: all mean that no answer came.
        raise lost(error) from error


def lost(error: Exception) -> ConnectionError:
    """What a failed exchange between processes means to a user."""
    words = next(iter(str(error).splitlines()), type(error).__name__)
    return ConnectionError(
        f"process {jax.process_index()} of {jax.process_count()} needs the others. Got no answer from one of them "
        f"({words}). Run the same command with --resume to go on, with any number of devices. In Python give the same "
        "`checkpoint`."
    )
