"""Labelled results that say where they came from, in netCDF files."""

import datetime
import json
import os
import pathlib
import platform
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from ._config import canonical
from ._describe import kind_of
from ._files import replacing
from ._versions import versions

_MARKS = ("experiment", "config", "seed", "diffphys_version")
_CHECKSUM = "crc32"  # HDF5 notices a missing end of a file, not a flipped bit.
# Which attributes a file has as JSON, and what to make of it: a tuple, or an array of a type. Files of before do not
# say: there they stay text.
_KINDS = "json_attributes"


def dataset(
    variables: Mapping[str, tuple],
    coords: Mapping[str, Any],
    *,
    experiment: str,
    seed: int | Sequence[int] | None,
    parameters: Mapping[str, Any],
) -> xr.Dataset:
    """A dataset of results with its provenance in the attributes.

    These are `experiment`, `config` (one JSON text of all parameters), `seed`, `diffphys_version`,
    `jax_version`, `jaxlib_version`, `numpy_version`, `python_version`, `platform`, `device`, `device_count`,
    `x64` and `created` (UTC).

    Args:
        variables: `(dims, values)` or `(dims, values, attributes)` by name.
        coords: the same, or values of the dimension of that name.
        experiment: what was measured.
        seed: of the root key; None where nothing was drawn.
        parameters: everything else that the numbers depend on.

    Returns:
        The dataset, its arrays on the host.

    Raises:
        ValueError: for values that a netCDF file cannot hold: complex, bfloat16, random keys.
    """
    ds = xr.Dataset(
        {name: _variable(name, entry) for name, entry in variables.items()},
        {name: _variable(name, entry if isinstance(entry, tuple) else (name, entry)) for name, entry in coords.items()},
    )
    ds.attrs = _plain_attributes(
        {"experiment": experiment, "config": canonical(parameters), "seed": seed}
        | {f"{package}_version": version for package, version in versions().items()}
        | {"platform": platform.platform(), "device": jax.devices()[0].device_kind}
        | {"device_count": jax.device_count(), "x64": bool(jax.config.read("jax_enable_x64"))}
        | {"created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    )
    return ds


def save(ds: xr.Dataset, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a dataset to a netCDF4 file, whole or not at all.

    Attributes that netCDF lacks (None, truth values, sequences, mappings) are written as JSON, of which `load` makes
    what they were.

    Args:
        ds: results, as made by `dataset`.
        path: the file. Its folder is made if need be; a file in its place is replaced.

    Returns:
        The path written.

    Raises:
        ValueError: if `ds` is no dataset.
        OSError: if the file cannot be written; what was in its place is still there then.
    """
    if not isinstance(ds, xr.Dataset):
        raise ValueError(f"`ds` needs a result, a dataset of xarray. Got {kind_of(ds)}. Make one by `results.dataset`.")
    path = pathlib.Path(path)
    plain = ds.copy()
    plain.attrs = _written(ds.attrs)
    for variable in plain.variables.values():
        variable.attrs = _written(variable.attrs)
    plain.attrs[_CHECKSUM] = _checksum(plain)
    # Without a fill value the bits of the numbers, those of a nan too, are what is written and read.
    numeric = [name for name, variable in plain.variables.items() if variable.dtype.kind in "iuf"]
    # By way of memory: on a full disk HDF5 brings the process down. As bytes: a view of a buffer that outlives it, as
    # one in the traceback of a failed write would, makes Python complain.
    content = bytes(
        plain.to_netcdf(engine="h5netcdf", format="NETCDF4", encoding={n: {"_FillValue": None} for n in numeric})
    )
    with replacing(path) as writing:
        writing.write_bytes(content)
    return path


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Reads a dataset that `save` wrote, into memory; the file is closed.

    Args:
        path: the file.

    Returns:
        The dataset, as it was saved; in a file of before, attributes that netCDF lacks are still JSON.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or is not a result of diffphys.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`path` needs a result file. Got `{path}`, which does not exist. Give another path.")
    try:
        # Units such as "seconds" are for the reader: xarray would turn such numbers into time intervals.
        ds = xr.load_dataset(path, engine="h5netcdf", decode_times=False, decode_timedelta=False)
    except Exception as error:  # Damaged HDF5 raises OSError, KeyError, RuntimeError, ValueError, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"`path` needs an undamaged netCDF4 file. Got `{path}`: {reason}. "
            "Run the experiment again or take a copy; open data with `diffphys.load`."
        ) from None
    missing = [mark for mark in _MARKS if mark not in ds.attrs]
    if missing:
        raise ValueError(
            f"`path` needs a result of diffphys. Got `{path}` without the attributes {missing}. "
            "Open other files with `xarray.open_dataset`."
        )
    expected = ds.attrs.pop(_CHECKSUM, None)
    if expected is not None and int(expected) != _checksum(ds):
        raise ValueError(
            f"`path` needs an undamaged file. Got `{path}`, whose numbers fail their checksum. "
            "Run the experiment again or take a copy."
        )
    for owner in (ds, *ds.variables.values()):
        owner.attrs = _read(owner.attrs)
    return ds


def _variable(name: str, entry: tuple) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """One variable with its values on the host, of a type that a file can hold."""
    dims, values = entry[0], entry[1]
    attributes: Mapping[str, Any] = entry[2] if len(entry) > 2 else {}
    try:
        array = np.asarray(values)
    except TypeError:  # Typed keys, which xarray would take and never be able to write.
        raise ValueError(
            f"`{name}` needs numbers. Got random keys. Store the seed, or `jax.random.key_data`."
        ) from None
    if array.dtype.kind not in "biufU" or array.dtype == np.float16:
        raise ValueError(
            f"`{name}` needs real numbers or text. Got {array.dtype}. "
            "Store real and imaginary parts, or float32 for shorter types."
        )
    return dims, array, _plain_attributes(attributes)


def _plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as netCDF can hold them: text and numbers as they are, everything else as JSON."""
    plain: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0:
            value = np.asarray(value).item()
        small = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        if isinstance(value, str | float) or small:
            plain[str(name)] = value
        else:
            plain[str(name)] = json.dumps(json.loads(canonical({"value": value}))["value"])
    return plain


def _written(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as `_plain_attributes` has them, JSON without loss, and which are JSON."""
    plain, kinds = _plain_attributes(attributes), {}
    for name, value in attributes.items():
        if isinstance(plain[str(name)], str) and not isinstance(value, str):
            array = isinstance(value, np.ndarray | jax.Array) and value.ndim > 0
            kinds[str(name)] = str(value.dtype) if array else "tuple" if isinstance(value, tuple) else "json"
            plain[str(name)] = json.dumps(value, default=_bare)
    return plain | ({_KINDS: json.dumps(kinds)} if kinds else {})


def _read(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """What `_written` was given."""
    found = {name: value.item() if isinstance(value, np.generic) else value for name, value in attributes.items()}
    for name, kind in json.loads(found.pop(_KINDS, "{}")).items():
        value = json.loads(found[name])
        if kind != "json":
            value = tuple(value) if kind == "tuple" else np.array(value, kind)
        found[name] = value
    return found


def _bare(value: Any) -> Any:
    """What JSON has not, as it can hold it: numbers of NumPy and JAX in lists, whole."""
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return np.asarray(value).tolist()
    return json.loads(canonical({"value": value}))["value"]


def _checksum(ds: xr.Dataset) -> int:
    """CRC-32 of all numbers, in the order of their names."""
    total = 0
    for name in sorted(ds.variables, key=str):
        array = np.ascontiguousarray(ds.variables[name].values)
        if array.dtype.kind in "biuf":
            total = zlib.crc32(array.astype(array.dtype.newbyteorder("<")).tobytes(), total)
    return total
