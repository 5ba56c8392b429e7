"""The overdamped samplers that every test of their family runs over, and the problems of the golden tables."""

import functools
import json
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps
from scipy.integrate import solve_ivp
from type_checks import plan_of

from diffphys.clocks import log_snr_grid, vp_clock, vp_time
from diffphys.processes import LinearSchedule, OrnsteinUhlenbeck, Scheduled
from diffphys.samplers.adams import DEIS, FlowAdams
from diffphys.samplers.analytic import AnalyticDDPM
from diffphys.samplers.base import place
from diffphys.samplers.dpm import DPMSolver2, DPMSolverMultistep
from diffphys.samplers.edm import EDM
from diffphys.samplers.exponential import DDIM, ExponentialSDE
from diffphys.samplers.pndm import PNDM
from diffphys.samplers.sa_solver import SASolver
from diffphys.samplers.seeds import SEEDS2
from diffphys.samplers.unipc import UniPC
from diffphys.targets import IsotropicMixture

GOLDEN = json.loads((pathlib.Path(__file__).parent / "data/fast_samplers.json").read_text())
VARIANCE = 0.3
"""Of the Gaussian target of the laws below."""


def analytic(process, denoise):
    """With the score of the Gaussian target."""
    return AnalyticDDPM(process, denoise, lambda t: 1 / marginal(process, t, VARIANCE).item())


def kind(cls, *args, **kwargs):
    """The class with its own parameters, still to be given process and denoiser."""
    return lambda process, denoise: cls(process, denoise, *args, **kwargs)


SAMPLERS = {
    "ddim": DDIM,
    "ddim half": kind(DDIM, 0.5),
    "ddim eta": kind(DDIM, 1.0),
    "exponential": ExponentialSDE,
    "exponential half": kind(ExponentialSDE, 0.5),
    "exponential noise": kind(ExponentialSDE, prediction="noise"),
    "exponential score": kind(ExponentialSDE, prediction="score"),
    "edm": EDM,
    "edm churn": kind(EDM, 5.0),
    "dpm2": DPMSolver2,
    "dpm2 early": kind(DPMSolver2, 0.3),
    "2m": DPMSolverMultistep,
    "2m stochastic": kind(DPMSolverMultistep, True),
    "3m": kind(DPMSolverMultistep, order=3),
    "3m stochastic": kind(DPMSolverMultistep, True, 3),
    "deis 2 t": kind(DEIS, 2, "t"),
    "deis 2 rho": kind(DEIS, 2, "rho"),
    "deis 2 lambda": kind(DEIS, 2, "lambda"),
    "deis 3 t": kind(DEIS, 3, "t"),
    "deis 3 lambda": kind(DEIS, 3, "lambda"),
    "deis 4 rho": kind(DEIS, 4),
    "flow adams 2": kind(FlowAdams, 2),
    "flow adams 3": FlowAdams,
    "pndm": PNDM,
    "pndm plms": kind(PNDM, False),
    "unipc 1": kind(UniPC, 1),
    "unipc 2": kind(UniPC, 2),
    "unipc 2 bh1": kind(UniPC, 2, "bh1"),
    "unipc 3": UniPC,
    "unipc 3 final": kind(UniPC, final_order=1),
    "seeds phi1": SEEDS2,
    "seeds phi2": kind(SEEDS2, variant="phi2"),
    "sa": SASolver,
    "sa predictor": kind(SASolver, 2, 0),
    "sa corrector": kind(SASolver, 1, 2),
    "analytic": analytic,
}

VP = Scheduled(OrnsteinUhlenbeck(), LinearSchedule(0.05, 10.0))
"""The variance-preserving process of betas .1 to 20."""

MIXTURE = IsotropicMixture(np.log([0.3, 0.7]), np.array([[-1.0], [0.6]]), np.array([0.04, 0.09]))
STARTS = np.linspace(-2.5, 2.5, 41)


def vp_grid(steps):
    """Equal steps in log-SNR from 1 to 1e-3."""
    grid = vp_clock(log_snr_grid(vp_time(1.0), vp_time(1e-3), steps))
    return np.concatenate([[1.0], grid[1:-1], [1e-3]])


def corrected_too(ts):
    """The grid with a step of next to no length, in which a predictor-corrector corrects the last one before it."""
    return np.append(ts, ts[-1] * (1 - 1e-11))


@functools.cache
def mixture_ends():
    """Where the probability flow of the mixture takes the starts, by an adaptive method of order 8."""
    first, last = VP.kernel(1.0), VP.kernel(1e-3)

    def slope(log_snr, y):
        rho = np.exp(-log_snr)
        away, spread = y[:, None] - [-1.0, 0.6], rho**2 + np.array([0.04, 0.09])
        weights = np.array([0.3, 0.7]) / np.sqrt(spread) * np.exp(-0.5 * away**2 / spread)
        return -(rho**2) * (weights * away / spread).sum(1) / weights.sum(1)

    span = [-0.5 * np.log(kernel.variance) for kernel in (first, last)]
    flow = solve_ivp(slope, span, STARTS / first.mean, method="DOP853", rtol=1e-12, atol=1e-12)
    return last.mean * flow.y[:, -1]


def ends(sampler, ts, zs):
    """Where the states end, without noise. A loop of steps compiled once, whatever the length of the grid."""
    rows, carry = place(plan_of(sampler, ts), jnp.float64), jax.vmap(sampler.init)(zs)
    # Rows are cut on the host: JAX would trace as many slices as there are numbers.
    rows = jax.tree.map(np.asarray, rows)
    for i in range(len(ts) - 1):
        carry = _step(sampler, jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), rows), carry)  # noqa: B023
    return jax.vmap(sampler.state)(carry)


@eqx.filter_jit
def _step(sampler, row, carries):
    def step(carry):
        return sampler.step(row, carry, jnp.zeros((sampler.draws, *sampler.state(carry).shape)))

    return jax.vmap(step)(carries)


def variance_errors(sampler, variance, *grids):
    """The relative error of the end variance of a Gaussian target on each grid, from the exact one at the start."""
    found = []
    for ts, maps in zip(grids, step_maps(sampler(VP, gaussian_denoiser(variance)), *grids), strict=True):
        found.append((end_covariance(maps, marginal(VP, ts[0], variance)) / marginal(VP, ts[-1], variance)).item() - 1)
    return found
