"""Coefficients of conjugate integrators: published closed forms, the definition by brute force, exactness."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from conjugate_integrators import (
    ONES,
    PARAMETERISATIONS,
    PSLD,
    VP,
    close,
    every_parameterisation,
    time_itself,
    vp_signal_and_noise,
)
from exact_laws import PROCESSES, assert_close_by_rows
from linear_maps import marginal
from type_checks import types_unchecked

from diffphys.clocks import quadratic_grid, uniform_grid
from diffphys.processes import Brownian, LinearSchedule, PhaseSpaceLangevin, Scheduled
from diffphys.samplers import conjugate_steps
from diffphys.samplers._conjugate import half_log_snr, root_propagator
from diffphys.samplers._parameterisations import DataPrediction, NoisePrediction, ResidualPrediction, prediction

# The rows of the published table, and the score as it is split.


@pytest.mark.parametrize(
    "grid", [uniform_grid(1.0, 1e-3, 8), quadratic_grid(1.0, 1e-5, 8), np.array([1.0, 1e-5])], ids=str
)
@pytest.mark.parametrize("name", ["root-noise", "noise", "data"])
def test_noise_and_data_of_the_variance_preserving_process_give_ddim(name, grid):
    table = conjugate_steps(VP, grid, PARAMETERISATIONS[name])
    (mu, mu_s), (sigma, sigma_s) = ((part[:-1], part[1:]) for part in vp_signal_and_noise(grid))
    # x_s = mu_s a + sigma_s eps: of the state and of the data that are seen in it.
    close(table.carry + table.pulls[:, 0] * table.of_state, sigma_s / sigma)
    close(table.pulls[:, 0] * table.of_data, mu_s - mu * sigma_s / sigma)
    if name == "data":
        close(table.of_state, 0.0)
        close(table.of_data, 1.0)
    else:
        np.testing.assert_allclose(table.carry, mu_s / mu, rtol=1e-12)
        np.testing.assert_allclose(table.pulls[:, 0], mu_s * (sigma_s / mu_s - sigma / mu), rtol=1e-12)


def test_a_and_phi_follow_from_the_table_of_noise():
    """As its docstring says: A = mu_0 / mu, and Phi / mu_0 the change of rho."""
    grid = quadratic_grid(1.0, 1e-3, 8)
    table, A, phi = conjugate_steps(VP, grid, NoisePrediction()), [1.0], [0.0]
    for carry, pull in zip(table.carry, table.pulls[:, 0], strict=True):
        A.append(A[-1] / carry)
        phi.append(phi[-1] + A[-1] * pull)
    mu, sigma = vp_signal_and_noise(grid)
    np.testing.assert_allclose(A, mu[0] / mu, rtol=1e-12)
    np.testing.assert_allclose(phi / mu[0], sigma / mu - sigma[0] / mu[0], rtol=1e-12)


def test_velocity_of_the_variance_preserving_process_turns_by_an_angle():
    grid = quadratic_grid(1.0, 1e-4, 6)
    table = conjugate_steps(VP, grid, ResidualPrediction(1.0))
    mu, sigma = vp_signal_and_noise(grid)
    # f is minus the velocity mu eps - sigma a.
    close(table.carry, 1.0)
    close(table.pulls[:, 0], -np.diff(np.arctan2(sigma, mu)))
    close(table.of_state, -mu[:-1] / sigma[:-1])
    close(table.of_data, 1 / sigma[:-1], 1e-9)


def test_noise_of_the_variance_exploding_process_gives_euler_steps_of_the_noise_level():
    sigma = np.geomspace(80.0, 0.002, 9)
    table = conjugate_steps(Brownian(1.3), (sigma / 1.3) ** 2, NoisePrediction())
    close(table.carry, 1.0)
    np.testing.assert_allclose(table.pulls[:, 0], np.diff(sigma), rtol=1e-12)


@pytest.mark.parametrize("process", [Brownian(), VP], ids=["ve", "vp"])
def test_network_of_edm_takes_its_arctangent_step(process):
    """At any process, for the channel x / mu."""
    grid, data = quadratic_grid(1.0, 1e-4, 6), 0.5
    table = conjugate_steps(process, grid, ResidualPrediction(data**2))
    kernels = process.table(grid)
    scale = kernels.mean * np.sqrt(kernels.variance + data**2)
    close(table.carry, scale[1:] / scale[:-1])
    close(table.pulls[:, 0], scale[1:] * -np.diff(np.arctan(np.sqrt(kernels.variance) / data)))


@pytest.mark.parametrize("t", [1e-3, 0.7])
def test_coefficients_are_those_of_the_published_table(t):
    mu, sigma = vp_signal_and_noise(t)
    np.testing.assert_allclose(NoisePrediction().coefficients(VP, t), [0.0, -1 / sigma], rtol=1e-12)
    np.testing.assert_allclose(DataPrediction().coefficients(VP, t), [-1 / sigma**2, mu / sigma**2], rtol=1e-12)
    np.testing.assert_allclose(ResidualPrediction(1.0).coefficients(VP, t), [-1.0, mu / sigma], rtol=1e-11)
    noise, data = np.sqrt(t), 0.5
    total = noise**2 + data**2
    edm = ResidualPrediction(data**2).coefficients(Brownian(), t)
    np.testing.assert_allclose(edm, [-1 / total, data / (noise * np.sqrt(total))], rtol=1e-12)
    factor, law = PSLD.kernel(t).factor, marginal(PSLD, t, 0.3)
    skip, out = NoisePrediction().coefficients(PSLD, t)
    close(skip, 0.0)
    np.testing.assert_allclose(out, -np.linalg.inv(factor).T, rtol=1e-12, atol=1e-12)
    skip, out = ResidualPrediction(0.3).coefficients(PSLD, t)
    np.testing.assert_allclose(skip, -np.linalg.inv(law), rtol=1e-9)
    # The published root (I - L' P^-1 L)^{1/2} is of rank one; this is it on the line where it is not 0.
    rest = np.eye(2) - factor.T @ np.linalg.solve(law, factor)
    np.testing.assert_allclose(factor.T @ out @ out.T @ factor, rest, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rest), 0.0, atol=1e-12)


@every_parameterisation
@pytest.mark.parametrize("name", PROCESSES)
def test_score_is_what_is_skipped_and_what_is_predicted(name, parameterisation):
    process, rng = PROCESSES[name], np.random.default_rng(0)
    for t in (1e-3, 0.4):
        kernel = process.kernel(t)
        z, a = rng.normal(size=(*np.shape(kernel.mean), 3)), rng.normal(size=3)
        of_state, of_data = prediction(kernel, parameterisation)
        f = of_state @ np.reshape(z, (-1, 3)) + np.outer(of_data, a)
        skip, out = map(np.atleast_2d, parameterisation.coefficients(process, t))
        wanted = kernel.score(jnp.asarray(z), jnp.asarray(a)).reshape(-1, 3)
        got = skip @ np.reshape(z, (-1, 3)) + out @ f
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


def test_residual_of_gaussian_data_is_nothing():
    kernel, data = PSLD.kernel(0.2), 0.3
    of_state, of_data = prediction(kernel, ResidualPrediction(data))
    jacobian = data / (data + kernel.variance)
    close(of_state + jacobian * of_data * kernel.gain, 0.0)


# The definition, by brute force.


def brute_force(process, grid, parameterisation, rates, left):
    """Steps of A and Phi as they are defined, from A = `left` at the first time: solved as one initial-value problem.

    The root R is carried along, from L. Returns A, Phi (to be multiplied by f, in axes of L at the first time) and R.
    """
    k = len(left)

    def slopes(t, flat):
        A, _, R = np.split(flat.reshape(k, -1), [k, flat.size // k - k], axis=1)
        drift, noise = map(np.atleast_2d, process.coefficients(t))
        skip, out = map(np.atleast_2d, parameterisation.coefficients(process, t))
        if parameterisation.rotates:
            out = -np.linalg.inv(R).T
        force = 0.5 * noise @ noise.T
        root = (drift + force @ np.atleast_2d(process.kernel(t).precision)) @ R
        return np.hstack([A @ (rates - drift + force @ skip), -A @ force @ out, root]).ravel()

    j = np.atleast_2d(parameterisation.coefficients(process, 1.0)[1]).shape[-1]
    start = np.hstack([left, np.zeros((k, j)), np.atleast_2d(process.kernel(grid[0]).factor)])
    with types_unchecked():
        found = scipy.integrate.solve_ivp(
            slopes, (grid[0], grid[-1]), start.ravel(), t_eval=grid, method="DOP853", rtol=3e-14, atol=1e-15
        )
    return np.split(found.y.T.reshape(len(grid), k, -1), [k, k + j], axis=2)


BRUTE = {
    "psld": (PSLD, -0.5 * ONES),
    "psld-growing-rate": (Scheduled(PhaseSpaceLangevin(beta=1.0), LinearSchedule(1.0, 12.0)), 0.7 * ONES),
    "vp": (VP, np.array([[-0.4]])),
}


@every_parameterisation
@pytest.mark.parametrize("name", BRUTE)
def test_step_is_its_definition_whatever_the_constant_left_factor(name, parameterisation):
    """With any damping. For a rate that changes and a matrix of ones no exponential of an integral would do."""
    process, rates = BRUTE[name]
    grid, k = np.array([0.9, 0.5, 0.2]), len(rates)
    left = np.random.default_rng(1).normal(size=(k, k)) + 2 * np.eye(k)
    A, phi, R = brute_force(process, grid, parameterisation, rates, left)
    table = conjugate_steps(process, grid, parameterisation, damping=rates)
    for i in range(2):
        h = grid[i + 1] - grid[i]
        carry = np.linalg.solve(A[i + 1], A[i] @ (np.eye(k) + h * rates))
        pull = np.linalg.solve(A[i + 1], phi[i + 1] - phi[i])
        np.testing.assert_allclose(np.atleast_2d(table.carry[i]), carry, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(table.pulls[i, 0].reshape(k, -1), pull, rtol=1e-10, atol=1e-10)
        of_state, of_data = prediction(process.kernel(grid[i]), parameterisation)
        if parameterisation.rotates:
            inverse = np.linalg.inv(R[i])
            of_state, of_data = inverse, -inverse @ np.atleast_1d(process.kernel(grid[i]).mean)
        np.testing.assert_allclose(np.atleast_2d(table.of_state[i]), of_state, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(np.atleast_1d(table.of_data[i]), of_data, rtol=1e-10, atol=1e-10)


def test_damping_by_ones_at_a_changing_rate_is_not_the_exponential_of_its_integral():
    process, rates = BRUTE["psld-growing-rate"]
    t, s = 0.9, 0.2
    carry = conjugate_steps(process, np.array([t, s]), NoisePrediction(), damping=rates).carry[0]
    rise = process.schedule.clock(t) - process.schedule.clock(s)
    integral = (t - s) * rates - rise * process.process.coefficients(0.0)[0]
    wrong = scipy.linalg.expm(integral) @ (np.eye(2) + (s - t) * rates)
    assert np.abs(carry / wrong - 1).max() > 0.01


def test_damped_ddim_is_its_explicit_formula():
    grid, damping = np.array([0.8, 0.5, 0.05]), -0.6
    table = conjugate_steps(VP, grid, NoisePrediction(), damping=damping)
    for i, (t, s) in enumerate(itertools.pairwise(grid)):
        h, mu_s = t - s, vp_signal_and_noise(s)[0]

        def integrand(u, s=s, mu_s=mu_s):
            mu, sigma = vp_signal_and_noise(u)
            return np.exp(damping * (u - s)) * mu_s / mu * (0.1 + 19.9 * u) / (2 * sigma)

        carry = (1 - damping * h) * np.exp(damping * h) * mu_s / vp_signal_and_noise(t)[0]
        close(table.carry[i], carry)
        close(table.pulls[i, 0], -scipy.integrate.quad(integrand, s, t, epsabs=1e-13, epsrel=1e-13)[0])


@pytest.mark.parametrize("clock", [time_itself, half_log_snr])
def test_multistep_weights_are_integrals_of_lagrange_polynomials(clock):
    grid, damping = np.array([0.9, 0.7, 0.4, 0.15, 0.1]), 0.8
    table = conjugate_steps(VP, grid, NoisePrediction(), damping=damping, order=3, clock=clock)

    def show(u):
        mu, sigma = vp_signal_and_noise(u)
        return clock(np.reshape(u, (-1,)), np.reshape((sigma / mu) ** 2, (-1,))).reshape(np.shape(u))

    for row, (t, s) in enumerate(itertools.pairwise(grid)):
        nodes = show(grid[row::-1][:3])
        for i in range(len(nodes)):

            def share(u, i=i, nodes=nodes):
                others = np.delete(nodes, i)
                return np.prod((show(u) - others) / (nodes[i] - others))

            def propagator(u, s=s):
                return np.exp(damping * (u - s)) * vp_signal_and_noise(s)[0] / vp_signal_and_noise(u)[0]

            def pulled(u, share=share, propagator=propagator):
                return propagator(u) * share(u) * (0.1 + 19.9 * u) / (2 * vp_signal_and_noise(u)[1])

            pull, span = (scipy.integrate.quad(f, t, s, epsabs=1e-13, epsrel=1e-13)[0] for f in (pulled, share))
            close(table.pulls[row, i], pull)
            kick = propagator(grid[row - i]) * damping * span
            close(table.damps[row, i - 1] if i else table.carry[row] - propagator(t), kick)
        close(table.pulls[row, len(nodes) :], 0.0)
        close(table.damps[row, max(len(nodes) - 1, 0) :], 0.0)


@pytest.mark.parametrize("rotates", [True, False])
def test_multistep_weights_sum_to_those_of_one_step(rotates):
    """Polynomials through equal values are that value."""
    grid, noise = quadratic_grid(1.0, 1e-3, 6), NoisePrediction(rotates)
    one, three = (conjugate_steps(PSLD, grid, noise, order=order) for order in (1, 3))
    close(three.pulls.sum(axis=1), one.pulls[:, 0], 1e-11)
    np.testing.assert_array_equal(three.carry, one.carry)
    assert three.damps is None


# Exactness.


@pytest.mark.parametrize(
    ("name", "parameterisation", "tolerance"),
    [
        *((name, DataPrediction(), 1e-12) for name in ("ou", "psld", "psld-mirrored", "cld", "recipe")),
        # Here large terms cancel: the linear part alone runs the drift backwards. Of CLD they are 7e4 in a state of
        # order 1, and known to 1e-12 of that: finer panels of the quadrature make it no better. By its data, which is
        # the same step, nothing cancels.
        *((name, NoisePrediction(), 1e-9) for name in ("ou", "psld", "psld-mirrored")),
        ("cld", NoisePrediction(), 1e-7),
    ],
)
def test_one_step_on_a_single_datum_is_exact(name, parameterisation, tolerance):
    """It arrives at the lift of the datum, with the noise that the flow carries."""
    process, a, t, s = PROCESSES[name], 0.7, 1.0, 1e-5
    now, then = process.kernel(t), process.kernel(s)
    with types_unchecked():
        table, root = conjugate_steps(process, np.array([t, s]), parameterisation), root_propagator(process, s, t)
    k = np.size(now.mean)
    noise = np.atleast_2d(now.factor) @ np.arange(1.0, k + 1)
    z = np.atleast_1d(now.mean) * a + noise
    f = table.of_state[0].reshape(-1, k) @ z + table.of_data[0] * a
    got = np.atleast_2d(table.carry[0]) @ z + table.pulls[0, 0].reshape(k, -1) @ f
    wanted = np.atleast_1d(then.mean) * a + np.atleast_2d(root) @ noise
    close(got, wanted, tolerance)


@pytest.mark.parametrize("name", PROCESSES)
def test_root_propagator_carries_the_covariance_and_is_a_semigroup(name):
    process = PROCESSES[name]
    t, r, s = 1.0, 0.07, 1e-3
    with types_unchecked():
        root, low, high = (np.atleast_2d(root_propagator(process, *span)) for span in ((s, t), (s, r), (r, t)))
    factor = root @ np.atleast_2d(process.kernel(t).factor)
    assert_close_by_rows(factor @ factor.T, process.kernel(s).cov, 1e-12)
    assert_close_by_rows(low @ high, root, 1e-11)


def test_root_propagator_obeys_its_equation():
    t, h = 0.3, 1e-4
    up, down = root_propagator(PSLD, t - h, t), root_propagator(PSLD, t, t + h)
    slope = (np.linalg.inv(down) - up) / (2 * h)
    drift, noise = PSLD.coefficients(t)
    wanted = drift + 0.5 * noise @ noise.T @ PSLD.kernel(t).precision
    np.testing.assert_allclose(slope, wanted, atol=1e-4)


@pytest.mark.parametrize("name", PROCESSES)
def test_matched_residual_carries_gaussian_data_exactly_in_one_step(name):
    process, t, s, variance = PROCESSES[name], 1.0, 1e-3, 2.0
    with types_unchecked():
        carry = np.atleast_2d(conjugate_steps(process, np.array([t, s]), ResidualPrediction(variance)).carry[0])
    law, wanted = marginal(process, t, variance), marginal(process, s, variance)
    # Rows of third-order Langevin differ by many orders of magnitude in what the matched guess changes.
    assert_close_by_rows(carry @ law @ carry.T, wanted, 1e-7 if name == "third-order" else 1e-9)
    if len(carry) == 1:
        np.testing.assert_allclose(carry, np.sqrt(wanted / law), rtol=1e-12)


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 0}, "`order` to be a whole number, 1 or more"),
        ({"damping": np.eye(3)}, "`damping` needs a finite number or 2 x 2 matrix"),
        ({"damping": np.nan}, "`damping` needs a finite number"),
        ({"clock": lambda t, v: np.floor(7 * t)}, "need to be smooth between the knots"),
    ],
)
def test_steps_that_cannot_be_made_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        conjugate_steps(PSLD, np.array([0.9, 0.1]), NoisePrediction(), **arguments)


def test_a_grid_that_goes_up_is_refused():
    with pytest.raises(ValueError, match="runs from noise down to data"):
        conjugate_steps(PSLD, np.array([0.1, 0.9]), NoisePrediction())


@pytest.mark.parametrize("variance", [0.0, -1.0, np.inf, np.nan])
def test_a_residual_needs_a_positive_variance(variance):
    with pytest.raises(ValueError, match="`ResidualPrediction` needs a finite `variance > 0`"):
        ResidualPrediction(variance)
