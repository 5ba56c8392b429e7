"""Samples from a denoiser: the samplers by name, and the batches."""

import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from .. import samplers
from .._devices import hides_bar, over_items
from .._types import Denoiser, PRNGKey
from ..experiments._chunks import ChunkedProgram, refuse_not_finite
from ..processes import AbstractProcess, OrnsteinUhlenbeck, PhaseSpaceLangevin
from ..samplers.base import noise_of, place, run

OVERDAMPED: dict[str, Any] = {
    "annealed-langevin": samplers.AnnealedLangevin,
    "bridge": samplers.Bridge,
    "ddim": samplers.DDIM,
    "deis": samplers.DEIS,
    "dpm-solver2": samplers.DPMSolver2,
    "dpm-solver-multistep": samplers.DPMSolverMultistep,
    "edm": samplers.EDM,
    "exponential-sde": samplers.ExponentialSDE,
    "flow-adams": samplers.FlowAdams,
    "pndm": samplers.PNDM,
    "predictor-corrector": lambda process, denoise: samplers.PredictorCorrector(samplers.ReverseSDE(process, denoise)),
    "probability-flow": samplers.ProbabilityFlow,
    "reverse-sde": samplers.ReverseSDE,
    "sa-solver": samplers.SASolver,
    "seeds2": samplers.SEEDS2,
    "unipc": samplers.UniPC,
}
"""Run on the Ornstein-Uhlenbeck process: in units of the data, with these grids, all overdamped ones are alike."""

PHASE_SPACE: dict[str, Any] = {
    "conjugate": samplers.Conjugate,
    "conjugate-symplectic-euler": samplers.ConjugateSymplecticEuler,
    "conjugate-velocity-verlet": samplers.ConjugateVelocityVerlet,
    "oba": samplers.OBA,
    "obab": samplers.OBAB,
    "sscs": samplers.SSCS,
    "symplectic-euler": samplers.SymplecticEuler,
    "velocity-verlet": samplers.VelocityVerlet,
}
"""Run on phase-space Langevin dynamics."""

# Of the spacing of noise levels, as EDM has it.
_RHO = 7.0
# Numbers that a network holds for each of a sample, as a guess of the size of a batch.
_FEATURES = 64


class Samples(NamedTuple):
    """What a sampler made of a denoiser."""

    values: Float[np.ndarray, "n d"]
    """Clean samples, denoised at the least noise."""
    evaluations: int
    """Calls of the denoiser for each."""
    rate: float
    """Samples a second, without compiling."""


def generate(
    denoise: Denoiser, name: str, variances: tuple[float, float], *, key: PRNGKey, number: int, dim: int, steps: int,
    chunk: int | None = None, progress: bool | None = None,
) -> Samples:  # fmt: skip
    """Samples of a denoiser of centred data, from the prior at the highest noise variance down to the lowest."""
    process: AbstractProcess = PhaseSpaceLangevin() if name in PHASE_SPACE else OrnsteinUhlenbeck()
    sampler = (OVERDAMPED | PHASE_SPACE)[name](process, denoise)
    low, high = variances
    levels = np.linspace(high ** (0.5 / _RHO), low ** (0.5 / _RHO), steps + 1) ** (2 * _RHO)
    ts = np.array([process.time_of_variance(float(v)) for v in levels])
    start, end = (jax.tree.map(lambda leaf, i=i: leaf[i], place(process.table(ts), jnp.float32)) for i in (0, -1))
    arguments = (sampler, place(sampler.plan(ts), jnp.float32), start, end, key, dim)
    program = ChunkedProgram(_ends, arguments, items=number, elements=_FEATURES * dim, chunk=chunk)
    bar = tqdm(total=number, desc="sampling", unit="sample", disable=hides_bar(progress))
    began, parts = time.perf_counter(), []
    with bar:
        for i in range(program.chunks):
            made = program(i)
            refuse_not_finite(made, i * program.chunk, f"chunk {i} of {program.chunks}", "sample")
            parts.append(made["samples"])
            bar.update(len(parts[-1]))
    rate = number / (time.perf_counter() - began)
    return Samples(np.concatenate(parts), sampler.calls(steps) + 1, rate)


@eqx.filter_jit
def _ends(
    sampler: Any, rows: Any, start: Any, end: Any, key: PRNGKey, dim: int, first: Array, chunk: int
) -> dict[str, Float[Array, "chunk d"]]:
    """The clean ends of trajectories `first ... first + chunk - 1`, each of its own key."""

    def one(i):
        start_key, noise_key = jr.split(jr.fold_in(key, i))
        z = start.prior(start_key, dim, jnp.float32)
        z = run(sampler, rows, z, noise_of(sampler, noise_key, z))
        return sampler.denoise(*end.observe(z))

    return {"samples": over_items(jax.vmap(one), first, chunk)}
