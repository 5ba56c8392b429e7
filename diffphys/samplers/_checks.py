"""Refusals that samplers share: a process of the wrong kind, a grid too short, a denoiser of the wrong shape."""

import equinox as eqx
import jax
import numpy as np

from .._types import Denoiser, State
from ..processes import AbstractProcess, AbstractStationaryProcess

_ANY = "`ReverseSDE`, `Bridge`, `ProbabilityFlow` and `Conjugate` take any linear process"


def check_overdamped(sampler: object, process: AbstractProcess):
    """Refuses a process whose state holds more than positions."""
    variables = np.size(process.start()[0])
    if np.ndim(process.start()[0]):
        raise ValueError(
            f"`{type(sampler).__name__}` needs an overdamped process: a state that is the position alone. "
            f"Got `{type(process).__name__}`, of {variables} variables. {_ANY}."
        )


def check_phase_space(sampler: object, process: AbstractProcess):
    """Refuses a process that is not position and momentum relaxing to equilibrium."""
    if np.shape(process.start()[0]) != (2,) or not isinstance(process, AbstractStationaryProcess):
        raise ValueError(
            f"`{type(sampler).__name__}` needs position and momentum with a stationary law, `PhaseSpaceLangevin`. "
            f"Got `{type(process).__name__}`. At a changing rate do use `ScheduledStationary`. {_ANY}."
        )


def check_steps(sampler: object, steps: int, history: int):
    """Refuses a grid that ends before the past of a multistep sampler is full."""
    if steps <= history:
        raise ValueError(
            f"`ts` needs at least {history + 1} steps for `{type(sampler).__name__}`, which uses {history} earlier "
            f"predictions. Got {steps}. Do take more steps or a lower order."
        )


def check_denoiser(denoise: Denoiser, z: State):
    """Refuses a denoiser whose estimate is not of the shape of the data."""
    data = jax.ShapeDtypeStruct(z.shape[-1:], z.dtype)
    found = eqx.filter_eval_shape(denoise, data, jax.ShapeDtypeStruct((), z.dtype))
    if getattr(found, "shape", None) != data.shape:
        got = getattr(found, "shape", type(found).__name__)
        raise ValueError(
            f"`denoise` needs to return an estimate of shape {data.shape}, that of the data. Got {got}. "
            "It is called as `denoise(y, v)` on one observation; batches are made by `jax.vmap`."
        )
