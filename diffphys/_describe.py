"""What things are, in plain names and numbers: for journals, attributes of results and messages."""

import functools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .processes import AbstractProcess
from .targets import AbstractDataSet


def described(value: Any) -> Any:
    """A value as a configuration holds it.

    Modules become their kind with their fields, functions their names. Data sets become their size and mean: it tells
    them apart, and no pass over the data is needed. Arrays stay what they are.
    """
    if isinstance(value, AbstractDataSet):
        mean = np.asarray(value.offset)
        return {"kind": type(value).__name__, "n": value.num_points, "d": value.dim, "mean": mean,
                "label_weights": np.asarray(value.label_weights)}  # fmt: skip
    if isinstance(value, functools.partial):
        return {"kind": _name(value.func), "arguments": described(value.args), **described(value.keywords)}
    if isinstance(value, eqx.Module) and not hasattr(value, "__func__"):
        return {"kind": type(value).__name__, **described(vars(value))}
    if isinstance(value, Mapping):
        return {str(name): described(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [described(entry) for entry in value]
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(value))
    plain = value is None or isinstance(value, bool | int | float | str | np.ndarray | np.generic | jax.Array)
    return value if plain else _name(value)


def describe_process(process: AbstractProcess) -> dict[str, Any]:
    """A process as plain parameters, those of a process or a schedule within it nested."""
    found = described(process)
    return {"process": found.pop("kind"), **found}


def kind_of(found: object) -> str:
    """What something is, for a message: its class, or the class that it is."""
    return f"the class `{found.__name__}`" if isinstance(found, type) else f"`{type(found).__name__}`"


def said_by(error: Exception) -> str:
    """What an error of others says, as one sentence of a message: its class and its first line."""
    first = (str(error).strip().splitlines() or [""])[0]
    sentence = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _name(function: Any) -> str:
    """The name of a function; of a method with the kind of what it is of, of any other object that kind."""
    owner, method = getattr(function, "__self__", None), getattr(function, "__name__", None)
    if owner is not None and method is not None:
        return f"{type(owner).__name__}.{method}"
    return getattr(function, "__qualname__", type(function).__name__)
