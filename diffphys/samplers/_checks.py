"""Refusals that samplers share: of a process, a denoiser, a state, a count or a grid that they cannot use."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._describe import kind_of, said_by
from .._types import Denoiser, State
from ..processes import AbstractProcess, AbstractStationaryProcess

_ANY = "`ReverseSDE`, `Bridge`, `ProbabilityFlow` and `Conjugate` take any linear process"


def check_process(owner: str, process: object):
    """Refuses what is no process."""
    if not isinstance(process, AbstractProcess):
        raise ValueError(
            f"`{owner}` needs a `process` such as `OrnsteinUhlenbeck()`, an `AbstractProcess`. Got {kind_of(process)}."
        )


def check_parts(owner: str, process: object, denoise: object):
    """Refuses what is no process, and a denoiser that cannot be called."""
    check_process(owner, process)
    if not callable(denoise):
        raise ValueError(f"`{owner}` needs `denoise` to be {_no_function(denoise)}")


def _no_function(denoise: object) -> str:
    """What a denoiser is, what was given, and where to find one."""
    return (
        f"a function `(y, v) -> E[a | y]`. Got {kind_of(denoise)}. "
        "Of a target do give its `posterior_mean`, of a trained model its `denoiser`."
    )


def check_overdamped(sampler: object, process: AbstractProcess):
    """Refuses a process whose state holds more than positions."""
    check_process(type(sampler).__name__, process)
    variables = np.size(process.start()[0])
    if np.ndim(process.start()[0]):
        raise ValueError(
            f"`{type(sampler).__name__}` needs an overdamped process: a state that is the position alone. "
            f"Got `{type(process).__name__}`, of {variables} variables. {_ANY}."
        )


def check_phase_space(sampler: object, process: AbstractProcess):
    """Refuses a process that is not position and momentum relaxing to equilibrium."""
    check_process(type(sampler).__name__, process)
    shape = np.shape(process.start()[0])
    if shape == (2,) and isinstance(process, AbstractStationaryProcess):
        return
    # One of two variables lacks the stationary law alone, which a rate that changes takes from `Scheduled`.
    advice = "At a changing rate do use `ScheduledStationary`. " if shape == (2,) else ""
    raise ValueError(
        f"`{type(sampler).__name__}` needs position and momentum with a stationary law, `PhaseSpaceLangevin`. "
        f"Got `{type(process).__name__}`, of {int(np.prod(shape))} variables. {advice}{_ANY}."
    )


def check_whole(owner: str, name: str, found: Any, least: int, most: int | None = None):
    """Refuses a count that is not a whole number within bounds."""
    whole = isinstance(found, int | np.integer) and not isinstance(found, bool)
    if not whole or found < least or (most is not None and found > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"`{owner}` needs `{name}` to be a whole number, {bounds}. Got {found!r}.")


def check_steps(sampler: object, steps: int, history: int):
    """Refuses a grid that ends before the past of a multistep sampler is full."""
    if steps < 1:
        raise ValueError(f"`ts` needs at least two times, one step, for `{type(sampler).__name__}`. Got no step.")
    if steps <= history:
        raise ValueError(
            f"`ts` needs at least {history + 1} steps for `{type(sampler).__name__}`, which uses {history} earlier "
            f"predictions. Got {steps}. Do take more steps or a lower order."
        )


def check_denoiser(denoise: Denoiser, z: State | jax.ShapeDtypeStruct, process: AbstractProcess):
    """Refuses what is not one state of the process, and a denoiser whose estimate does not fit into such a state.

    Args:
        denoise: `(y, v) -> E[a | y]`; its shapes are found without a call.
        z: a state, or its shape and dtype.
        process: the forward process.
    """
    lead = np.shape(process.start()[0])
    if z.ndim != len(lead) + 1 or z.shape[:-1] != lead:
        wanted = f"({', '.join([*map(str, lead), 'd'])}{'' if lead else ','})"
        raise ValueError(
            f"`z` needs shape {wanted}, one state at a time of `{type(process).__name__}`. Got {z.shape}. "
            "Many go through `jax.vmap`."
        )
    found = check_estimate(denoise, jax.ShapeDtypeStruct(z.shape[-1:], z.dtype))
    # bfloat16 and float16 do not hold each other.
    if found.dtype != z.dtype and jnp.finfo(found.dtype).bits >= jnp.finfo(z.dtype).bits:
        raise ValueError(
            f"`denoise` needs to return an estimate that states of {z.dtype} hold. Got {found.dtype}. "
            f"Do start from one of {found.dtype}, or cast the estimate to the dtype of `y`."
        )


def check_estimate(
    denoise: Denoiser, data: jax.ShapeDtypeStruct, name: str = "denoise", arguments: str = "y, v"
) -> jax.ShapeDtypeStruct:
    """The shape and dtype of an estimate, refused if it is not one of such data.

    Args:
        denoise: `(y, v) -> E[a | y]`; its shapes are found without a call.
        data: the shape and dtype of one sample.
        name: what the caller calls the denoiser.
        arguments: what the caller gives it.
    """
    if not callable(denoise):
        raise ValueError(f"`{name}` needs to be {_no_function(denoise)}")
    try:
        found = eqx.filter_eval_shape(denoise, data, jax.ShapeDtypeStruct((), data.dtype))
    except jax.errors.TracerArrayConversionError as error:
        raise ValueError(
            f"`{name}` needs to compute in jax. Got one that asks for the numbers of `y` while jax traces. "
            "Do wrap NumPy or torch in `jax.pure_callback`, as in the example of `learn.from_network`."
        ) from error
    except Exception as error:
        raise ValueError(
            f"`{name}` needs to take an observation of shape {data.shape} and its variance, of dtype {data.dtype}, as "
            f"the data have them. Got {said_by(error)} It is called as `{name}({arguments})`; give one for data of "
            f"d = {data.shape[-1]}."
        ) from error
    if getattr(found, "shape", None) != data.shape:
        got = getattr(found, "shape", type(found).__name__)
        raise ValueError(
            f"`{name}` needs to return an estimate of shape {data.shape}, that of the data. Got {got}. "
            f"It is called as `{name}({arguments})` on one observation; batches are made by `jax.vmap`."
        )
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise ValueError(
            f"`{name}` needs to return floating-point numbers. Got {found.dtype}. Do cast the estimate to that of `y`."
        )
    return found
