"""The conjugate sampler: published numbers, exact cases, orders, the stability that damping buys."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from fast_samplers import MIXTURE, STARTS, VP, ends, mixture_ends, vp_grid
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps
from scipy.integrate import quad, solve_ivp
from type_checks import types_unchecked

from diffphys.clocks import log_snr_grid, quadratic_grid, uniform_grid
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import Conjugate, DataPrediction, NoisePrediction, ResidualPrediction, simulate, stability

PSLD, OU = PhaseSpaceLangevin(), OrnsteinUhlenbeck()
CLD = PhaseSpaceLangevin(gamma=0.0, nu=4.0)
CHOLESKY, ROOT = NoisePrediction(rotates=False), NoisePrediction()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({}, (6.702788e-2, 3.261194e-2)),
        ({"damping": -0.5}, (2.669212e-2, 1.387074e-2)),
        ({"parameterisation": ResidualPrediction(1.0)}, (2.263644e-2, 1.087311e-2)),
    ],
    ids=["ddim", "damped", "velocity"],
)
def test_errors_on_the_mixture_are_those_published(arguments, wanted):
    sampler = Conjugate(VP, MIXTURE.posterior_mean, **arguments)
    found = [ends(sampler, vp_grid(n), jnp.asarray(STARTS[:, None]))[:, 0] for n in (20, 40)]
    errors = [np.sqrt(np.mean((end - mixture_ends()) ** 2)) for end in found]
    np.testing.assert_allclose(errors, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("grid", "wanted"), [(uniform_grid, (-0.1756609, -0.0937855)), (quadratic_grid, (0.0640194, 0.0570140))]
)
def test_variance_errors_in_phase_space_are_those_published(grid, wanted):
    """Var x at t = 0.001 from the exact law at 1, data of variance 1/16, noise of the Cholesky factor held."""
    start, exact = (marginal(PSLD, t, 0.0625) for t in (1.0, 1e-3))
    sampler = Conjugate(PSLD, gaussian_denoiser(0.0625), CHOLESKY)
    maps = step_maps(sampler, *[grid(1.0, 1e-3, n) for n in (50, 100)])
    errors = [end_covariance(steps, start)[0, 0] / exact[0, 0] - 1 for steps in maps]
    np.testing.assert_allclose(errors, wanted, atol=6e-8)


@pytest.mark.parametrize("parameterisation", [ROOT, DataPrediction()], ids=["root", "data"])
@pytest.mark.parametrize("process", [OU, VP, CLD, PSLD], ids=["ou", "vp", "cld", "psld"])
def test_one_step_is_exact_for_a_single_datum(process, parameterisation):
    """The noise of the root R is constant along the flow, here solved by Dormand and Prince in log time."""
    datum, (t, s) = jnp.array([0.7]), (1.0, 1e-3)
    z = process.kernel(t).sample(jr.key(0), datum)
    once = simulate(Conjugate(process, lambda y, v: datum + 0 * y, parameterisation), jr.key(1), np.array([t, s]), z)

    def slope(log_time, z):
        u = np.exp(log_time)
        drift, noise = map(np.atleast_2d, process.coefficients(u))
        kernel = process.kernel(u)
        score = np.atleast_2d(kernel.precision) @ (np.atleast_1d(kernel.mean) * datum.item() - z)
        return u * (drift @ z - 0.5 * noise @ noise.T @ score)

    with types_unchecked():
        flow = solve_ivp(slope, np.log([t, s]), np.ravel(z), method="DOP853", rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(np.ravel(once), flow.y[:, -1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("process", [OU, VP, PSLD], ids=["ou", "vp", "psld"])
def test_one_step_is_exact_for_gaussian_data_of_the_variance_that_is_matched(process):
    sampler = Conjugate(process, gaussian_denoiser(0.3), ResidualPrediction(0.3))
    (maps,) = step_maps(sampler, np.array([1.0, 1e-3]))
    got = end_covariance(maps, marginal(process, 1.0, 0.3))
    np.testing.assert_allclose(got, marginal(process, 1e-3, 0.3), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("damping", [0.0, -0.6, -0.4 * np.ones((2, 2))], ids=["none", "I", "1"])
@pytest.mark.parametrize("order", [1, 2])
def test_orders_in_phase_space(order, damping):
    start, exact = (marginal(PSLD, t, 0.4) for t in (0.6, 0.05))
    sampler = Conjugate(PSLD, gaussian_denoiser(0.4), DataPrediction(), damping=damping, order=order)
    assert sampler.history == (order - 1) * (2 if np.any(damping) else 1)
    maps = step_maps(sampler, *[log_snr_grid(0.6, 0.05, n) for n in (100, 200)])
    errors = [np.abs(end_covariance(steps, start) - exact).max() for steps in maps]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15, errors


def test_with_more_knots_errors_are_smaller():
    start, exact = (marginal(PSLD, t, 0.4) for t in (1.0, 1e-3))
    errors = []
    for order in (1, 2, 3):
        sampler = Conjugate(PSLD, gaussian_denoiser(0.4), order=order)
        (maps,) = step_maps(sampler, quadratic_grid(1.0, 1e-3, 50))
        errors.append(np.abs(end_covariance(maps, start) / exact - 1)[0, 0])
    assert errors[0] > 4 * errors[1] > 8 * errors[2], errors


def test_root_beats_cholesky_on_the_mixture_at_every_budget():
    """RMS of x to the exact flow, 400 draws of the prior, quadratic grid: published .27 / .154 against 2.7 / 1.3."""
    starts = jax.vmap(lambda key: PSLD.kernel(1.0).prior(key, 1))(jr.split(jr.key(0), 400))

    exact = ends(Conjugate(PSLD, MIXTURE.posterior_mean, order=3), log_snr_grid(1.0, 1e-3, 200), starts)[:, 0]
    for steps, root, cholesky in ((12, 0.27, 2.7), (24, 0.154, 1.3)):
        ts = quadratic_grid(1.0, 1e-3, steps)
        runs = [ends(Conjugate(PSLD, MIXTURE.posterior_mean, kind), ts, starts)[:, 0] for kind in (ROOT, CHOLESKY)]
        errors = [np.sqrt(np.mean((run - exact) ** 2)) for run in runs]
        np.testing.assert_allclose(errors, [root, cholesky], rtol=0.3)


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_damped_multipliers_are_those_of_the_explicit_formula(slope):
    """For scalars, with B = b: 1 - b h - (1 - j) / rho_t * int_s^t e^{b (u - t)} d rho."""
    ts, b = uniform_grid(1.0, 0.2, 8), -0.7
    found = stability(Conjugate(OU, lambda y, v: y, damping=b), ts, (slope,)).eigenvalues[0, :, 0]
    for t, s, got in zip(ts, ts[1:], found, strict=False):
        h, rho = t - s, np.sqrt(np.expm1(2 * t))
        integral = quad(lambda u, t=t: np.exp(b * (u - t) + 2 * u) / np.sqrt(np.expm1(2 * u)), s, t)[0]
        np.testing.assert_allclose(got, 1 - b * h - (1 - slope) / rho * integral, rtol=1e-10)


@pytest.mark.parametrize("value", ["epsilon", NoisePrediction, 0.5])
def test_an_unknown_parameterisation_is_refused(unchecked, value):
    with pytest.raises(ValueError, match="`parameterisation` needs `NoisePrediction"):
        Conjugate(OU, lambda y, v: y, value)


def test_a_grid_too_short_for_the_order_is_refused():
    with pytest.raises(ValueError, match="`ts` needs at least 3 steps for `Conjugate`"):
        Conjugate(OU, lambda y, v: y, order=3, damping=0.1).plan(np.array([1.0, 0.5, 0.1]))
    with pytest.raises(ValueError, match="`order` to be a whole number, 1 or more"):
        Conjugate(OU, lambda y, v: y, order=0)
