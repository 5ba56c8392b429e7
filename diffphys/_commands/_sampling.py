"""Samples from a denoiser by samplers that have names."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .. import samplers
from .._types import Denoiser, PRNGKey
from ..experiments import generate
from ..processes import AbstractProcess, OrnsteinUhlenbeck, PhaseSpaceLangevin

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


def generate_named(
    denoise: Denoiser, name: str, variances: tuple[float, float], *, key: PRNGKey, number: int, dim: int, steps: int,
    chunk: int | None = None, progress: bool | None = None,
) -> tuple[Float[np.ndarray, "number d"], int]:  # fmt: skip
    """Samples of a denoiser of centred data, down from the highest noise variance; and calls of it for each."""
    process: AbstractProcess = PhaseSpaceLangevin() if name in PHASE_SPACE else OrnsteinUhlenbeck()
    sampler = (OVERDAMPED | PHASE_SPACE)[name](process, denoise)
    low, high = variances
    levels = np.linspace(high ** (0.5 / _RHO), low ** (0.5 / _RHO), steps + 1) ** (2 * _RHO)
    ts = np.array([process.time_of_variance(float(v)) for v in levels])
    samples = generate(sampler, ts, key=key, number=number, dim=dim, features=_FEATURES, chunk=chunk, progress=progress)
    # The ends are denoised.
    return samples, sampler.calls(steps) + 1
