"""Samplers of azula and of diffusers, which call our denoiser through NumPy: only the sampler differs."""

import contextlib
import functools
import unittest.mock
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._entries import Entry, Outcome, Walk
from ._grids import SIGMA_MAX, SIGMA_MIN, levels
from ._problems import Problem

AZULA: dict[str, tuple[str, dict[str, Any], int, bool]] = {
    # Name of the sampler: class, options, evaluations a step, whether it draws noise.
    "DDIM": ("DDIMSampler", {}, 1, False),
    "DDPM": ("DDPMSampler", {}, 1, True),
    "Ito": ("ItoSampler", {}, 1, True),
    "Heun": ("HeunSampler", {}, 2, False),
    **{f"zAB-{k}": ("zABSampler", {"order": k}, 1, False) for k in (2, 3)},
    **{f"vAB-{k}": ("vABSampler", {"order": k}, 1, False) for k in (2, 3)},
    **{f"zEAB-{k}": ("zEABSampler", {"order": k}, 1, False) for k in (2, 3)},
    **{f"xEAB-{k}": ("xEABSampler", {"order": k}, 1, False) for k in (2, 3)},
    "REAB-2": ("REABSampler", {"order": 2}, 1, False),
}

_MULTISTEP = {"lower_order_final": False}
DIFFUSERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    # Name: class, options, whether it draws noise.
    "DPMSolver++(2M)": ("DPMSolverMultistepScheduler", {"solver_order": 2, **_MULTISTEP}, False),
    "DPMSolver++(3M)": ("DPMSolverMultistepScheduler", {"solver_order": 3, **_MULTISTEP}, False),
    "SDE-DPMSolver++(2M)": (
        "DPMSolverMultistepScheduler", {"solver_order": 2, "algorithm_type": "sde-dpmsolver++", **_MULTISTEP}, True,
    ),
    "SDE-DPMSolver++(3M)": (
        "DPMSolverMultistepScheduler", {"solver_order": 3, "algorithm_type": "sde-dpmsolver++", **_MULTISTEP}, True,
    ),
    "DPMSolver++(2S)": ("DPMSolverSinglestepScheduler", {"solver_order": 2, "lower_order_final": True}, False),
    "DPMSolver++(3S)": ("DPMSolverSinglestepScheduler", {"solver_order": 3, "lower_order_final": True}, False),
    "UniPC-2": ("UniPCMultistepScheduler", {"solver_order": 2}, False),
    "UniPC-3": ("UniPCMultistepScheduler", {"solver_order": 3}, False),
    "DEIS-3": ("DEISMultistepScheduler", {"solver_order": 3, **_MULTISTEP}, False),
    "SA-Solver 2-2": ("SASolverScheduler", {"tau_func": lambda t: 1.0, **_MULTISTEP}, True),
}  # fmt: skip
_NOT_TO_ZERO = {"DEISMultistepScheduler", "SASolverScheduler"}


def azula_entries() -> list[Entry]:
    return [
        Entry(f"azula {name}", "azula", functools.partial(_azula_walk, *options[:3]), noisy=options[3])
        for name, options in AZULA.items()
    ]


def diffusers_entries() -> list[Entry]:
    return [
        Entry(f"diffusers {name}", "diffusers", functools.partial(_diffusers_walk, *options[:2]), noisy=options[2])
        for name, options in DIFFUSERS.items()
    ]


def _azula_walk(kind: str, options: dict[str, Any], cost: int, problem: Problem) -> Walk:
    import torch  # pyright: ignore[reportMissingImports]
    from azula import denoise, noise, sample  # pyright: ignore[reportMissingImports]

    schedule = noise.VESchedule(SIGMA_MIN, SIGMA_MAX)
    call = _Counted(problem)

    class Ours(denoise.Denoiser):
        def __init__(self):
            super().__init__()
            self.schedule = schedule

        def forward(self, x_t, t, **_):
            return denoise.DiracPosterior(call(x_t, float(schedule.sigma(t)) ** 2))

    def go(grid: str, budget: int) -> Outcome | None:
        steps, call.count = (budget - 1) // cost, 0
        if steps < 1:
            return None
        knots = np.log(levels(grid, steps) / SIGMA_MIN) / np.log(SIGMA_MAX / SIGMA_MIN)
        times = torch.from_numpy(knots)
        walker = type("Walker", (getattr(sample, kind),), {"timesteps": property(lambda self: times)})
        with _given_noise(problem.batch.draw):
            end = walker(Ours(), silent=True, **options)(torch.from_numpy(_start(problem)))
        return Outcome(call(end, SIGMA_MIN**2).numpy(), call.count)

    return go


def _diffusers_walk(kind: str, options: dict[str, Any], problem: Problem) -> Walk:
    import diffusers  # pyright: ignore[reportMissingImports]
    import torch  # pyright: ignore[reportMissingImports]

    call, to_zero = _Counted(problem), kind not in _NOT_TO_ZERO

    def go(grid: str, budget: int) -> Outcome | None:
        call.count = 0
        scheduler = getattr(diffusers, kind)(prediction_type="sample", **options)
        # The last step, to noise 0, is the final denoising where there is such a step.
        scheduler.set_timesteps(budget if to_zero else budget - 1)
        scheduler.set_begin_index(0)
        knots = levels(grid, budget - 1)
        scheduler.sigmas = torch.from_numpy(np.append(knots, 0.0) if to_zero else knots)
        x = torch.from_numpy(_start(problem)) / (1 + SIGMA_MAX**2) ** 0.5
        with _given_noise(problem.batch.draw), torch.no_grad():
            for sigma, timestep in zip(scheduler.sigmas.tolist(), scheduler.timesteps, strict=False):
                scale = (1 + sigma**2) ** 0.5
                x = scheduler.step(call(scale * x, sigma**2), timestep, x).prev_sample
        if not to_zero:
            x = call((1 + SIGMA_MIN**2) ** 0.5 * x, SIGMA_MIN**2)
        return Outcome(x.numpy(), call.count)

    return go


class _Counted:
    """Our denoiser on tensors, counted."""

    def __init__(self, problem: Problem):
        self.problem, self.count = problem, 0

    def __call__(self, x: Any, variance: float) -> Any:
        import torch  # pyright: ignore[reportMissingImports]

        self.count += 1
        return torch.from_numpy(np.array(self.problem.denoise(x.numpy(), variance)))


def _start(problem: Problem) -> np.ndarray:
    return (problem.batch.clean + SIGMA_MAX * problem.batch.noise).astype(problem.dtype)


@contextlib.contextmanager
def _given_noise(draw: Callable[[int], np.ndarray]) -> Iterator[None]:
    """The noises of the problem in place of torch's, in the order in which they are asked for."""
    import torch  # pyright: ignore[reportMissingImports]

    numbers = iter(range(10**6))

    def given(like: Any = None, *_: Any, dtype: Any = None, **__: Any) -> Any:
        noise = torch.from_numpy(np.array(draw(next(numbers))))
        return noise if dtype is None else noise.to(dtype)

    with unittest.mock.patch.object(torch, "randn", given), unittest.mock.patch.object(torch, "randn_like", given):
        yield
