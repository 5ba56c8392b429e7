"""A data set in parts: which device of which process holds what, and whether all processes were given the same one."""

import zlib
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from .._devices import of_all_processes
from ._blocks import aligned_zeros, block_shape, fill

AXIS = "data"
"""The axis of a mesh over which data are divided."""

SPEC = PartitionSpec(None, AXIS)
"""How blocks are divided: a batched scan wants the part second, and would else move it by a copy of the data."""

# Rows of which a digest of the data is made, beside their mean, at most.
_ROWS = 1024


def checked_mesh(mesh: Mesh | None) -> Mesh:
    """The mesh, of all devices by default; ValueError if it has no axis for the data, or is not of all of them."""
    if mesh is not None and mesh.size != jax.device_count():
        raise ValueError(
            f"`mesh` needs all {jax.device_count()} devices. Got {mesh.size} of them. "
            "Do hide the others from JAX, or give them an axis of their own."
        )
    if mesh is None:
        return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if types.get(AXIS) != AxisType.Auto:
        raise ValueError(
            f"`mesh` needs an automatic axis {AXIS!r}. Got {types}. "
            f"Do make it by `jax.make_mesh((8,), ({AXIS!r},), axis_types=(jax.sharding.AxisType.Auto,))`."
        )
    return mesh


def checked_parts(parts: int | None, devices: int, count: int) -> int:
    """The number of parts, that of devices by default; ValueError if data and devices cannot be divided so."""
    parts = devices if parts is None else parts
    if parts < 1 or parts % devices or parts > count:
        raise ValueError(
            f"`parts` needs a multiple of the {devices} devices, and at most the {count} data. Got {parts}. "
            "Do use `Empirical` for few data."
        )
    return parts


def digest_of(
    points: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], offset: Float[np.ndarray, " d"]
) -> Int[np.ndarray, "2"]:
    """What tells a data set from another, however it is divided, and its labels from others.

    By the mean, which every datum enters, and some rows, which tell their order too.
    """
    spread = points[:: -(-len(points) // _ROWS)]
    marks = zlib.crc32(spread.tobytes(), zlib.crc32(offset.tobytes())), zlib.crc32(labels.astype(np.int64).tobytes())
    return np.array([mark >> 1 for mark in marks], np.int32)


def require_same(digest: Int[np.ndarray, "2"], **settings: int) -> None:
    """Raises ValueError if processes were given different data, or are to divide them differently."""
    names = ("values", "labels", *settings)
    seen = of_all_processes(np.array([*digest, *settings.values()], np.int32))
    other = seen != seen[0]
    if other.any():
        what = ", ".join(name for name, differs in zip(names, other.any(0), strict=True) if differs)
        raise ValueError(
            f"`ShardedEmpirical` needs the same data in every process. Got other {what} in process "
            f"{np.flatnonzero(other.any(1))[0]} of {len(seen)} than in the first. Do give all of them the same file."
        )


def placed(
    points: np.ndarray, offset: np.ndarray, parts: int, block: int, mesh: Mesh
) -> tuple[Array, Float[np.ndarray, "b p s"]]:
    """The centred data in parts and blocks on their devices, and half their squared norms on the host, in float64.

    Of other processes' parts the half norms are 0.
    """
    sharding = NamedSharding(mesh, SPEC)
    count, length = block_shape(-(-len(points) // parts), block)
    shape = (count, parts, length, points.shape[1])
    half_norms = np.zeros(shape[:3])
    arrays = []
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        assert index is not None
        own = range(parts)[index[1]]
        blocks = aligned_zeros((count, len(own), length, shape[3]), offset.dtype)
        for i, part in enumerate(own):
            half_norms[:, part] = fill(blocks[:, i], points[part::parts], offset)
        # Waited for: the host is to hold one device's part at a time.
        arrays.append(jax.block_until_ready(jax.device_put(blocks, device, may_alias=True)))
    return jax.make_array_from_single_device_arrays(shape, sharding, arrays), half_norms


def in_parts(values: Array | np.ndarray, mesh: Mesh) -> Array:
    """Numbers in blocks, each on the device of its part; those of the host are the same in all processes."""
    sharding = NamedSharding(mesh, SPEC)
    if isinstance(values, jax.Array):
        return jax.device_put(values, sharding)
    # Not `device_put`, by which processes would compare them.
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def holders(blocks: Array) -> list[Any]:
    """The device to read each part from: the first of those that hold it, the same one for all processes."""
    first: dict[int, Any] = {}
    for device, index in blocks.sharding.devices_indices_map(blocks.shape).items():
        for part in range(blocks.shape[1])[index[1]]:
            first.setdefault(part, device)
    return [first[part] for part in range(blocks.shape[1])]
