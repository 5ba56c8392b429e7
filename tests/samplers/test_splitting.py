"""Splittings of the probability flow: golden numbers, orders, what each sub-flow sees."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps
from phase_space import STATIONARY, rotation

import diffphys._block as block
from diffphys.clocks import quadratic_grid, uniform_grid
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin, third_order_langevin
from diffphys.samplers import ProbabilityFlow, ReverseSDE
from diffphys.samplers.base import place, run
from diffphys.samplers.splitting import SymplecticEuler, VelocityVerlet
from diffphys.samplers.sscs import SSCS
from diffphys.samplers.stochastic_splitting import OBA
from diffphys.targets import mixture

SAMPLERS = {
    "NSE": lambda process, denoise: SymplecticEuler(process, denoise, reduced=False),
    "RSE": SymplecticEuler,
    "NVV": lambda process, denoise: VelocityVerlet(process, denoise, reduced=False),
    "RVV": VelocityVerlet,
}
EVALUATIONS = {"NSE": 2, "RSE": 1, "NVV": 3, "RVV": 2}
OTHERS = {
    "Euler": lambda process, denoise: ReverseSDE(process, denoise, 0.0),
    "Heun": ProbabilityFlow,
    "EM": ReverseSDE,
    "SSCS": SSCS,
    "NOBA": lambda process, denoise: OBA(process, denoise, reduced=False),
}

PSLD, VARIANCE, T, EPS = PhaseSpaceLangevin(), 1 / 16, 1.0, 1e-3
START, END = (marginal(PSLD, t, VARIANCE) for t in (T, EPS))
GRIDS = [grid(T, EPS, n) for grid in (uniform_grid, quadratic_grid) for n in (50, 100)]

# Relative errors of the variance of the position at EPS from the exact law at T, on GRIDS: an independent program.
GOLDEN = {
    "Euler": (6.13986335, 1.64248561, 6.85615871, 1.85077714),
    "NSE": (-0.157579544, -0.071315816, 0.0520566983, 0.0302283369),
    "RSE": (-0.164527846, -0.0747395354, 0.0485564615, 0.0285637136),
    "NVV": (-0.0315345183, -0.0257570156, -0.0122842654, -0.00535116487),
    "Heun": (-0.0552787512, -0.0165021387, 0.00422185907, -0.00262967087),
    "EM": (0.297326037, 0.0748649388, 0.0788066007, 0.0350026999),
    "SSCS": (-0.272630676, -0.141705073, -0.106662978, -0.0551208094),
    "NOBA": (-0.690160652, -0.404003521, -0.340106050, -0.189474772),
}

# Root mean square errors of the position of a mixture at 12, 24, 48, 96 evaluations: the same program, other draws.
MIXTURE = {
    "Euler": (5.8, 1.7, 0.68, 0.38),
    "RSE": (0.65, 0.38, 0.195, 0.091),
    "RVV": (2.3, 0.39, 0.124, 0.044),
    "Heun": (7.9, 1.05, 0.38, 0.105),
}


def test_the_marginals_that_the_golden_numbers_start_from_and_aim_at_are_ours():
    np.testing.assert_allclose(START, [[0.999985728805019, 6.298429887e-6], [6.298429887e-6, 0.24999722008933284]])
    wanted = [[0.06257421228845285, -2.88129428e-5], [-2.88129428e-5, 0.017577208557395165]]
    np.testing.assert_allclose(END, wanted, rtol=2e-9)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_error_of_the_variance_of_a_gaussian_is_the_golden_one(name):
    sampler = (SAMPLERS | OTHERS)[name](PSLD, gaussian_denoiser(VARIANCE))
    got = [end_covariance(maps, START)[0, 0] / END[0, 0] - 1 for maps in step_maps(sampler, *GRIDS)]
    np.testing.assert_allclose(got, GOLDEN[name], rtol=1e-8)


@pytest.mark.parametrize("name", ["psld", "cld", "quickening", "correlated"])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_end_covariance_converges_to_the_marginal_at_order_one(kind, name):
    process, (t, s) = STATIONARY[name], (0.4, 0.1)
    sampler = SAMPLERS[kind](process, gaussian_denoiser(0.3))
    start, wanted = (marginal(process, u, 0.3) for u in (t, s))
    errors = [
        np.abs(end_covariance(maps, start) - wanted).max()
        for maps in step_maps(sampler, *[uniform_grid(t, s, n) for n in (60, 120)])
    ]
    assert errors[1] < 0.1 * np.abs(wanted).max()
    assert abs(np.log2(errors[0] / errors[1]) - 1) < 0.15, errors


@pytest.mark.parametrize("name", STATIONARY)
@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_sub_flows_add_up_to_the_velocity_of_the_probability_flow(kind, name):
    process, t, h = STATIONARY[name], 0.4, 1e-7
    sampler = SAMPLERS[kind](process, gaussian_denoiser(0.3))
    ((maps, _),) = step_maps(sampler, np.array([t, t - h]))
    drift, noise = process.coefficients(t)
    wanted = -drift - 0.5 * block.outer(noise) @ np.linalg.inv(marginal(process, t, 0.3))
    np.testing.assert_allclose((maps[0] - np.eye(2)) / h, wanted, rtol=2e-5, atol=2e-5)


def test_without_friction_of_the_position_a_fresh_score_for_it_changes_nothing():
    def maps(process, reduced):
        sampler = SymplecticEuler(process, gaussian_denoiser(0.3), reduced)
        return step_maps(sampler, quadratic_grid(0.8, 0.01, 5))[0][0]

    cld = PhaseSpaceLangevin(0.0, 4.0)
    np.testing.assert_allclose(maps(cld, True), maps(cld, False), rtol=1e-12)
    assert np.abs(maps(PSLD, True) - maps(PSLD, False)).max() > 1e-3


@pytest.mark.parametrize("kind", ["NVV", "RVV"])
def test_verlet_is_reversible_and_of_order_two_for_hamiltonian_dynamics(kind):
    process, flip = rotation(), np.diag([1.0, -1.0])
    sampler = SAMPLERS[kind](process, gaussian_denoiser(0.3))
    coarse, fine = (maps for maps, _ in step_maps(sampler, *[uniform_grid(0.8, 0.1, n) for n in (40, 80)]))
    np.testing.assert_allclose(flip @ coarse[0] @ flip @ coarse[0], np.eye(2), atol=1e-12)
    exact = np.linalg.inv(process.transition(0.1, 0.8)[0])
    errors = [np.abs(np.linalg.multi_dot(maps[::-1]) - exact).max() for maps in (coarse, fine)]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.05, errors


@pytest.mark.parametrize(("reduced", "last"), [(True, 0.3), (False, 0.5)])
def test_the_last_half_step_of_verlet_asks_at_the_time_of_its_scheme(reduced, last):
    row = VelocityVerlet(PSLD, gaussian_denoiser(0.3), reduced).plan(np.array([0.5, 0.3]))
    assert row.stages[-1].variance[0] == PSLD.kernel(last).variance


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_splitting_calls_the_denoiser_as_often_as_its_name_says(kind):
    calls = []

    def denoise(y, v):
        calls.append(v)
        return 0.5 * y

    sampler = SAMPLERS[kind](PSLD, denoise)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), sampler.plan(np.array([0.5, 0.4])))
    sampler.step(row, sampler.init(jnp.ones((2, 3))), jnp.zeros((0, 2, 3)))
    assert len(calls) == sampler.evaluations == EVALUATIONS[kind]
    assert not sampler.is_time_reversal


@functools.cache
def mixture_ends():
    """Ends of 400 prior draws as a function of the sampler and the number of steps, and where the flow takes them."""
    means, variances = np.array([[-1.0], [0.6]]), np.array([0.04, 0.09])
    denoise = mixture(means, covariance=variances, weights=np.array([0.3, 0.7])).posterior_mean
    starts = jnp.asarray(np.random.default_rng(0).normal(size=(400, 2, 1)) * np.array([[[1.0], [0.5]]]))

    @eqx.filter_jit
    def flow(sampler, rows):
        return jax.vmap(lambda z: run(sampler, rows, z, lambda i: jnp.zeros((0, *z.shape))))(starts)[:, 0, 0]

    def ends(kind, steps):
        sampler = (SAMPLERS | OTHERS)[kind](PSLD, denoise)
        return np.asarray(flow(sampler, place(sampler.plan(quadratic_grid(T, EPS, steps)), jnp.float64)))

    coarse, fine = (ends("Heun", steps) for steps in (100, 200))
    return ends, (4 * fine - coarse) / 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", MIXTURE)
def test_errors_on_a_mixture_are_the_measured_ones(kind):
    """At equal evaluations. Other draws move these numbers by a fifth: a few starts on the ridge make most of them."""
    ends, exact = mixture_ends()
    each = (EVALUATIONS | {"Euler": 1, "Heun": 2})[kind]
    errors = [np.sqrt(np.mean((ends(kind, n // each) - exact) ** 2)) for n in (12, 24, 48, 96)]
    np.testing.assert_allclose(errors, MIXTURE[kind], rtol=0.2)


def test_reduced_schemes_are_far_nearer_to_the_flow_of_a_mixture_than_euler():
    ends, exact = mixture_ends()
    euler, rse, rvv = (
        np.sqrt(np.mean((ends(*case) - exact) ** 2)) for case in (("Euler", 24), ("RSE", 24), ("RVV", 12))
    )
    assert max(rse, rvv) < 0.3 * euler


@pytest.mark.parametrize("cls", [SymplecticEuler, VelocityVerlet])
@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), third_order_langevin(), rotation().process])
@pytest.mark.usefixtures("unchecked")
def test_a_splitting_refuses_other_processes(cls, process):
    with pytest.raises(ValueError, match=f"`{cls.__name__}` needs position and momentum with a stationary law"):
        cls(process, lambda y, v: y)
