"""The samplers of this package: to add one, add a line to `OVERDAMPED` or to `PHASE_SPACE`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.random as jr
import numpy as np

import diffphys as dp

from ._entries import Entry, Family, Outcome, Walk
from ._grids import LEVELS, QUADRATIC, Clock
from ._problems import Problem, gaussian
from ._runner import runner_of

Build = Callable[[Any, Problem], dp.AbstractSampler]


def _of(kind: Any, **options: Any) -> Build:
    return lambda process, problem: kind(process, problem.target.posterior_mean, **options)


def _analytic(process: Any, problem: Problem) -> dp.AbstractSampler:
    """With the mean square score of data of the target, estimated once a time."""
    denoise = problem.target.posterior_mean
    data = jax.vmap(problem.target.sample)(jr.split(jr.key(7), _DATA))

    @functools.cache
    def mean_square(t: float) -> float:
        return float(dp.mean_square_score(jr.key(8), process, denoise, data, np.array([t]))[0])

    return dp.AnalyticDDPM(process, denoise, mean_square)


def _corrected(process: Any, problem: Problem) -> dp.AbstractSampler:
    return dp.PredictorCorrector(_of(dp.ReverseSDE)(process, problem))


def _residual(order: int, variance: float | None = None) -> Build:
    """On what the best guess for Gaussian data of a variance leaves, that of the data unless given."""

    def build(process: Any, problem: Problem) -> dp.AbstractSampler:
        matched = problem.variance if variance is None else variance

        def angle(t: np.ndarray, v: np.ndarray) -> np.ndarray:
            return -np.arctan(np.sqrt(v / matched))

        kept = dp.ResidualPrediction(matched)
        return dp.Conjugate(process, problem.target.posterior_mean, kept, order=order, clock=angle)

    return build


_DATA = 512

_ADAMS = ((2, 0), (3, 0), (2, 2), (2, 3), (3, 3), (3, 4), (4, 4))
"""Orders of predictor and corrector without noise: exponential Adams methods on the data."""

OVERDAMPED: dict[str, Build] = {
    "ReverseSDE": _of(dp.ReverseSDE),
    "ReverseSDE, no noise": _of(dp.ReverseSDE, noise_level=0.0),
    "PredictorCorrector": _corrected,
    "AnalyticDDPM": _analytic,
    "Bridge (DDPM)": _of(dp.Bridge),
    "ProbabilityFlow": _of(dp.ProbabilityFlow),
    "DDIM": _of(dp.DDIM),
    "DDIM, eta 1/2": _of(dp.DDIM, eta=0.5),
    **{f"AnnealedLangevin, {n} a level": _of(dp.AnnealedLangevin, substeps=n, step_size=1.0) for n in (1, 3)},
    "ExponentialSDE, tau 1/2": _of(dp.ExponentialSDE, noise_level=0.5),
    "ExponentialSDE, noise": _of(dp.ExponentialSDE, prediction="noise"),
    "ExponentialSDE, score": _of(dp.ExponentialSDE, prediction="score"),
    "EDM": _of(dp.EDM),
    "EDM, churn": _of(dp.EDM, churn=30.0, noise_range=(0.01, 1.0), noise_factor=1.007),
    "DPMSolver2": _of(dp.DPMSolver2),
    "DPMSolver++(2M)": _of(dp.DPMSolverMultistep),
    "DPMSolver++(3M)": _of(dp.DPMSolverMultistep, order=3),
    "SDE-DPMSolver++(2M)": _of(dp.DPMSolverMultistep, stochastic=True),
    "SDE-DPMSolver++(3M)": _of(dp.DPMSolverMultistep, stochastic=True, order=3),
    "DEIS-3, rho": _of(dp.DEIS),
    "DEIS-2, lambda": _of(dp.DEIS, order=2, basis="lambda"),
    "DEIS-3, lambda": _of(dp.DEIS, basis="lambda"),
    "DEIS-4, lambda": _of(dp.DEIS, order=4, basis="lambda"),
    "DEIS-3, t": _of(dp.DEIS, basis="t"),
    **{f"FlowAdams-{order}": _of(dp.FlowAdams, order=order) for order in (2, 3, 4)},
    "PNDM": _of(dp.PNDM),
    "PNDM, no warm-up": _of(dp.PNDM, warm_up=False),
    "UniPC-2": _of(dp.UniPC, order=2),
    "UniPC-3": _of(dp.UniPC),
    "UniPC-2, final order 1": _of(dp.UniPC, order=2, final_order=1),
    "UniPC-3, final order 1": _of(dp.UniPC, final_order=1),
    "UniPC-3, final order 2": _of(dp.UniPC, final_order=2),
    "UniPC-3, bh1": _of(dp.UniPC, variant="bh1"),
    "SEEDS2": _of(dp.SEEDS2),
    "SEEDS2, phi2": _of(dp.SEEDS2, variant="phi2"),
    **{f"Conjugate-{order}, residual": _residual(order) for order in (1, 2, 3)},
    **{f"Conjugate-{order}, velocity": _residual(order, 1.0) for order in (2, 3)},
    "SASolver": _of(dp.SASolver),
    "SASolver, tau 1/2": _of(dp.SASolver, noise_level=0.5),
    **{f"SASolver {p}-{c}, tau 0": _of(dp.SASolver, predictor=p, corrector=c, noise_level=0.0) for p, c in _ADAMS},
}

PHASE_SPACE: dict[str, Build] = {
    "PSLD ReverseSDE": _of(dp.ReverseSDE),
    "PSLD ReverseSDE, no noise": _of(dp.ReverseSDE, noise_level=0.0),
    "PSLD Bridge": _of(dp.Bridge),
    "PSLD ProbabilityFlow": _of(dp.ProbabilityFlow),
    **{
        f"PSLD {kind.__name__}{words}": _of(kind, reduced=reduced)
        for kind in (dp.SymplecticEuler, dp.VelocityVerlet, dp.OBA, dp.OBAB)
        for words, reduced in (("", True), (", naive", False))
    },
    "PSLD OBA, noise 2": _of(dp.OBA, position_noise=dp.NoiseControl(2.0)),
    "PSLD SSCS": _of(dp.SSCS),
}

CONJUGATE: dict[str, Build] = {
    "PSLD Conjugate, noise": _of(dp.Conjugate),
    "PSLD Conjugate, noise of L": _of(dp.Conjugate, parameterisation=dp.NoisePrediction(rotates=False)),
    "PSLD Conjugate-2, noise": _of(dp.Conjugate, order=2),
    "PSLD Conjugate-3, noise": _of(dp.Conjugate, order=3),
    "PSLD Conjugate-2, data": _of(dp.Conjugate, order=2, parameterisation=dp.DataPrediction()),
    **{f"PSLD Conjugate-{order}, residual": _residual(order) for order in (1, 2, 3)},
    **{
        f"PSLD Conjugate-{order}, B = -{lam:g} {kind}": _of(dp.Conjugate, order=order, damping=-lam * form)
        for order in (1, 2)
        for lam in (0.25, 0.5)
        for kind, form in (("I", np.eye(2)), ("1", np.ones((2, 2))))
    },
    "PSLD ConjugateSymplecticEuler": _of(dp.ConjugateSymplecticEuler),
    "PSLD ConjugateSymplecticEuler of L": _of(dp.ConjugateSymplecticEuler, rotates=False),
    "PSLD ConjugateVelocityVerlet": _of(dp.ConjugateVelocityVerlet),
    "PSLD ConjugateVelocityVerlet of L": _of(dp.ConjugateVelocityVerlet, rotates=False),
}

NONLINEAR = frozenset({"PredictorCorrector"})
"""Samplers whose step sizes depend on the state."""


MATCHED = {"AnalyticDDPM"} | {name for builds in (OVERDAMPED, CONJUGATE) for name in builds if "residual" in name}
"""Samplers whose coefficients are made for the target; those of the others are kept from one target to the next."""

_PLANS: dict[tuple[str, str, int], Any] = {}


@functools.cache
def overdamped() -> tuple[dp.AbstractProcess, Clock]:
    """The process of overdamped samplers, and its clock. In units of the data all such processes are one."""
    process = dp.OrnsteinUhlenbeck()
    return process, Clock(process)


@functools.cache
def phase_space() -> tuple[dp.AbstractProcess, Clock]:
    """The process of the others, and its clock."""
    process = dp.PhaseSpaceLangevin()
    return process, Clock(process)


@functools.cache
def _specimen() -> Problem:
    """Any problem: to ask a sampler what it is."""
    return gaussian(True)


def entries() -> list[Entry]:
    """All of them."""
    line = functools.partial(_entry, overdamped, "overdamped", tuple(LEVELS))
    found = [line(name, build) for name, build in OVERDAMPED.items()]
    families: list[tuple[Family, dict[str, Build]]] = [
        ("phase space", PHASE_SPACE), ("phase-space conjugate", CONJUGATE),
    ]  # fmt: skip
    for family, builds in families:
        line = functools.partial(_entry, phase_space, family, (*LEVELS, QUADRATIC))
        found += [line(name, build) for name, build in builds.items()]
    return found


def _entry(
    setting: Callable[[], tuple[Any, Clock]], family: Family, grids: tuple[str, ...], name: str, build: Build
) -> Entry:
    noisy = build(setting()[0], _specimen()).draws > 0
    made = functools.partial(walk, setting, build, "" if name in MATCHED else name)
    return Entry(name, "diffphys", made, family, noisy, name in NONLINEAR, grids)


def walk(setting: Callable[[], tuple[Any, Clock]], build: Build, name: str, problem: Problem) -> Walk:
    """One step compiled, then called down each grid: every sampler of the package is such a step.

    Plans are kept under the name, if there is one.
    """
    process, clock = setting()
    sampler = build(process, problem)
    variables = np.size(process.start()[0]) if np.ndim(process.start()[0]) else 0
    runner = runner_of(sampler, setting, problem)

    def go(grid: str, budget: int) -> Outcome | None:
        steps = next((n for n in range(budget - 1, 0, -1) if sampler.calls(n) < budget), 0)
        if steps < 1:
            return None
        ts = np.array(clock.times(grid, steps))
        try:
            plan = _PLANS.get((name, grid, steps)) or sampler.plan(ts)
        except ValueError:  # Fewer steps than the sampler has a past.
            return None
        if name:
            _PLANS[name, grid, steps] = plan
        rows = jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype), runner.rows(plan))
        batch = problem.batch
        carry = runner.init(batch.start(process.kernel(ts[0])))
        for i in range(steps):
            drawn = [batch.draw(i * sampler.draws + j, variables) for j in range(sampler.draws)]
            shape = (len(batch.clean), *((variables,) if variables else ()), batch.clean.shape[1])
            noise = np.stack(drawn, axis=1) if drawn else np.zeros((shape[0], 0, *shape[1:]), problem.dtype)
            carry = runner.step(jax.tree.map(lambda leaf, i=i: leaf[i], rows), carry, noise)
        states = np.asarray(runner.state(carry))
        kernel = process.kernel(ts[-1])
        ys = np.einsum("i,bid->bd", kernel.gain, states) if variables else kernel.gain * states
        return Outcome(problem.denoise(ys, float(kernel.variance)), sampler.calls(steps) + 1)

    return go
