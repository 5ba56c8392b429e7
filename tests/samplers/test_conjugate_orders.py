"""Whole steps of conjugate integrators: their matrices on linear denoisers, and their order."""

import numpy as np
import pytest
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

from diffphys.clocks import log_snr_grid, quadratic_grid, uniform_grid
from diffphys.processes import OrnsteinUhlenbeck
from diffphys.samplers import conjugate_steps
from diffphys.samplers._conjugate import half_log_snr
from diffphys.samplers._parameterisations import NoisePrediction, ResidualPrediction


def step_matrices(table, jacobian):
    """The matrix of each step on this state and the past ones it uses, the newest first, where D = j y."""
    steps, order = table.pulls.shape[:2]
    gain = np.reshape(table.gain, (steps, 1, -1))
    k = gain.shape[-1]
    reads = np.broadcast_to(jacobian, steps)[:, None, None] * np.reshape(table.of_data, (steps, -1, 1)) * gain
    reads = reads + np.reshape(table.of_state, (steps, -1, k))
    pulls = np.reshape(table.pulls, (steps, order, k, -1))
    matrices = np.zeros((steps, order * k, order * k))
    matrices[:, k:, :-k] = np.eye((order - 1) * k)
    matrices[:, :k, :k] = np.reshape(table.carry, (steps, k, k))
    for i in range(order):
        matrices[i:, :k, i * k : (i + 1) * k] += pulls[i:, i] @ reads[: steps - i]
    if table.damps is not None:
        damps = np.reshape(table.damps, (steps, order - 1, k, k))
        matrices[:, :k, k:] += damps.transpose(0, 2, 1, 3).reshape(steps, k, -1)
    return matrices


def test_multiplier_of_ddim_on_gaussian_data_is_too_small():
    grid, data = quadratic_grid(1.0, 1e-3, 10), 0.4
    mu, sigma = vp_signal_and_noise(grid)
    total = mu**2 * data + sigma**2
    jacobian = data / (data + (sigma / mu) ** 2)[:-1]
    got = step_matrices(conjugate_steps(VP, grid, NoisePrediction()), jacobian)[:, 0, 0]
    close(got, (mu[1:] * mu[:-1] * data + sigma[1:] * sigma[:-1]) / total[:-1])
    assert np.all(got < np.sqrt(total[1:] / total[:-1]))


@pytest.mark.parametrize("process", [PSLD, OrnsteinUhlenbeck()], ids=["psld", "ou"])
def test_step_matrices_are_the_steps_on_a_linear_denoiser(process):
    grid, jacobian, rng = uniform_grid(0.8, 0.1, 4), np.array([0.2, 0.5, 0.6, 0.9]), np.random.default_rng(0)
    k = np.size(process.kernel(1.0).mean)
    table = conjugate_steps(process, grid, NoisePrediction(), damping=0.3, order=2)
    matrices = step_matrices(table, jacobian)
    states, predictions = [rng.normal(size=k)], []
    wide = np.concatenate([states[0], np.zeros(k)])
    for i in range(4):
        y = np.reshape(table.gain[i], k) @ states[-1]
        read = np.reshape(table.of_state[i], (-1, k)) @ states[-1]
        predictions.append(read + np.reshape(table.of_data[i], -1) * jacobian[i] * y)
        new = np.reshape(table.carry[i], (k, k)) @ states[-1]
        for back in range(min(2, i + 1)):
            new = new + np.reshape(table.pulls[i, back], (k, -1)) @ predictions[-1 - back]
        if i:
            new = new + np.reshape(table.damps[i, 0], (k, k)) @ states[-2]
        states.append(new)
        wide = matrices[i] @ wide
        close(wide, np.concatenate(states[:-3:-1]))


def error(process, grid, parameterisation, order, damping, clock):
    """Of the last state on Gaussian data of variance 0.5, started by exact steps."""
    few = np.append(grid[:order], grid[-1])
    exact = [np.eye(np.size(process.kernel(1.0).mean))]
    for carry in conjugate_steps(process, few, ResidualPrediction(0.5)).carry:
        exact.append(np.atleast_2d(carry) @ exact[-1])
    table = conjugate_steps(process, grid, parameterisation, damping=damping, order=order, clock=clock)
    wide = np.concatenate(exact[-2::-1])
    for matrix in step_matrices(table, 0.5 / (0.5 + table.variance))[order - 1 :]:
        wide = matrix @ wide
    return np.abs(wide[: len(exact[0])] - exact[-1]).max()


def slope(process, ends, counts, *arguments):
    errors = [error(process, log_snr_grid(*ends, count), *arguments) for count in counts]
    return np.log2(errors[0] / errors[1])


@pytest.mark.parametrize(("damping", "clock"), [(0.0, half_log_snr), (-0.8, time_itself)])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", ["noise", "data", "residual"])
def test_order_of_scalar_steps_is_that_of_the_polynomials(name, order, damping, clock):
    counts = (80 * order, 160 * order)
    got = slope(OrnsteinUhlenbeck(), (2.0, 0.05), counts, PARAMETERISATIONS[name], order, damping, clock)
    assert abs(got - order) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2, 3])
@every_parameterisation
def test_order_of_phase_space_steps_is_that_of_the_polynomials(parameterisation, order):
    got = slope(PSLD, (0.6, 0.05), (100, 200), parameterisation, order, -0.5 * ONES, half_log_snr)
    assert abs(got - order) < 0.15


def test_order_of_phase_space_steps_in_the_axes_of_the_flow_is_two():
    assert abs(slope(PSLD, (0.6, 0.05), (50, 100), NoisePrediction(), 2, 0.0, half_log_snr) - 2) < 0.15
