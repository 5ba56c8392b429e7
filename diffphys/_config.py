"""The plain form of a configuration: what identifies a run, in its journal and in its results."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

_LISTED = 64  # Longer arrays enter by their digest: a configuration identifies a run, it does not store data.


def canonical(config: Mapping[str, Any]) -> str:
    """The one JSON text of a configuration: sorted keys, plain values.

    NumPy and JAX numbers become numbers, short arrays lists, long arrays their shape, type and SHA-256; paths
    become text and non-finite numbers the words "nan", "inf" and "-inf", which JSON lacks.

    Args:
        config: parameters by name; nested mappings and sequences are allowed.

    Returns:
        A JSON object, the same for equal configurations.

    Raises:
        ValueError: for a value without a plain form, such as a function or a random key.
    """
    return json.dumps(_plain(config, "config"), sort_keys=True, allow_nan=False)


def differences(found: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The entries in which two plain configurations differ, as (dotted name, found, now)."""
    theirs, ours, absent = _flat(found), _flat(now), "(absent)"
    pairs = [(name, theirs.get(name, absent), ours.get(name, absent)) for name in sorted({*theirs, *ours})]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted names."""
    flat = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _plain(value: Any, where: str) -> Any:
    """A value as JSON can hold it, without loss of identity."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(entry, f"{where}.{name}") for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    array = _array(value, where)
    if array.size <= _LISTED:
        return _plain(array.tolist(), where)
    # Anew for each result: 0.08 s for the 35 million weights of a large network, next to hours of running it.
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}


def _array(value: Any, where: str) -> np.ndarray:
    """A NumPy or JAX array or number. Anything else has no plain form."""
    try:
        array = np.asarray(value)
    except TypeError:  # A typed random key.
        array = None
    if array is None or array.dtype.kind not in "biufU":
        raise ValueError(f"`{where}` needs a plain value or an array of numbers. Got {value!r}. Give its settings.")
    return array
