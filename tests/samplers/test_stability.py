"""Eigenvalues of steps: against the step's own Jacobian, known multipliers, and what then happens to errors."""

import dataclasses
import functools

import numpy as np
import pytest
from linear_maps import step_maps

from diffphys.clocks import log_snr_grid, uniform_grid
from diffphys.processes import Brownian, OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import (
    DEIS,
    Bridge,
    Conjugate,
    DataPrediction,
    NoisePrediction,
    ProbabilityFlow,
    ResidualPrediction,
    ReverseSDE,
    UniPC,
    stability,
)
from diffphys.samplers.affine import affine_steps

TS = np.array([2.0, 1.2, 0.7, 0.3, 0.1])


def linear(slope):
    return lambda y, v: slope * y


def step_matrices(sampler, ts, slope):
    """Those on the state and what is remembered, counted from the step."""
    return np.stack(
        [step.matrix[0] for step in affine_steps(sampler, ts, lambda v, t: (np.array([slope]), np.zeros(1)))]
    )


@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), PhaseSpaceLangevin()], ids=["ou", "psld"])
@pytest.mark.parametrize("kind", [ReverseSDE, Bridge, ProbabilityFlow])
def test_matrices_are_the_jacobians_of_the_steps(kind, process):
    sampler = kind(process, linear(0.3))
    wanted = step_maps(sampler, TS)[0][0]
    got = step_matrices(sampler, TS, 0.3)
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)


REMEMBERING = {
    "deis": DEIS(OrnsteinUhlenbeck(), linear(0.3)),
    "unipc": UniPC(OrnsteinUhlenbeck(), linear(0.3)),
    "damped": Conjugate(PhaseSpaceLangevin(), linear(0.3), damping=-0.4, order=3),
}


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_run_that_keeps_predictions_in_slots_is_that_of_its_table(name):
    """Where they are counted from the step, and move at each."""
    sampler, ts = REMEMBERING[name], log_snr_grid(2.0, 0.1, 9)
    k = np.size(sampler.process.kernel(1.0).mean)
    run = functools.reduce(lambda done, step: step @ done, step_maps(sampler, ts)[0][0])
    moved = functools.reduce(lambda done, step: step @ done, step_matrices(sampler, ts, 0.3))
    np.testing.assert_allclose(run[:k, :k], moved[:k, :k], rtol=1e-10)


def test_euler_of_the_exploding_flow_has_the_multiplier_of_its_formula():
    """In y = a + sigma noise Euler's step in t of dy/dt = (1 - j) y / (2 t) multiplies by 1 - (1 - j) h / (2 t)."""
    found = stability(ReverseSDE(Brownian(), linear(0.0), 0.0), TS, (0.0, 0.5, 1.0))
    h = -np.diff(TS)
    for slope, values in zip(found.slopes, found.eigenvalues, strict=True):
        np.testing.assert_allclose(values[:, 0], 1 - (1 - slope) * h / (2 * TS[:-1]), rtol=1e-12)


@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(0.5), PhaseSpaceLangevin()], ids=["ou", "psld"])
def test_fine_steps_of_the_flow_neither_grow_nor_turn(process):
    found = stability(ProbabilityFlow(process, linear(0.0)), uniform_grid(1.0, 0.2, 400))
    assert (found.growth < 1 + 1e-5).all()
    np.testing.assert_allclose(found.growth[-1], 1, atol=1e-5)  # j = 1: what is known of the data is held.


def test_a_step_too_long_is_found_unstable_and_its_errors_grow():
    """Reverse Euler in equal times: near the data the score's slope -1/v makes 1 - 2 h / (2 t) fall below -1."""
    sampler, ts = ReverseSDE(Brownian(), linear(0.0), 1.0), uniform_grid(1.0, 0.01, 12)
    found = stability(sampler, ts, (0.0,))
    assert set(found.unstable) == set(ts[:-1][np.abs(1 + np.diff(ts) / ts[:-1]) > 1])
    assert stability(sampler, log_snr_grid(1.0, 0.01, 12), (0.0,)).unstable.size == 0


DAMPED = {
    "ou": (OrnsteinUhlenbeck(), np.array([[-0.7]])),
    "psld identity": (PhaseSpaceLangevin(), 0.8 * np.eye(2)),
    "psld ones": (PhaseSpaceLangevin(), -0.5 * np.ones((2, 2))),
}


@pytest.mark.parametrize("parameterisation", [NoisePrediction(), DataPrediction(), ResidualPrediction(0.3)])
@pytest.mark.parametrize("name", DAMPED)
def test_a_damped_step_has_the_multipliers_of_the_formula_to_the_square_of_its_length(name, parameterisation):
    """1 + h eig(G G' / 2 d score - B), in its own coordinates: an error of order h would be one of the eigenvalues."""
    (process, damping), t, slopes, errors = DAMPED[name], 0.6, (0.0, 0.5), []
    kernel, noise = process.kernel(t), np.atleast_2d(process.coefficients(t)[1])
    lift, gain, precision = np.atleast_1d(kernel.mean), np.atleast_1d(kernel.gain), np.atleast_2d(kernel.precision)
    for h in (0.004, 0.002):
        sampler = Conjugate(process, linear(0.0), parameterisation, damping=damping)
        found = stability(sampler, np.array([t, t - h]), slopes).eigenvalues[:, 0]
        for j, values in zip(slopes, found, strict=True):
            score = precision @ (j * np.outer(lift, gain) - np.eye(lift.size))
            wanted = 1 + h * np.linalg.eigvals((0.5 * noise @ noise.T @ score - damping).astype(complex))
            errors.append(np.abs(np.sort_complex(values) - np.sort_complex(wanted)).max())
    np.testing.assert_allclose(np.log2(np.array(errors[:2]) / errors[2:]), 2, atol=0.1)


def test_a_sampler_without_a_table_is_refused(unchecked):
    with pytest.raises(ValueError, match="`stability` needs a sampler whose steps are linear"):
        stability(dataclasses.make_dataclass("Other", [])(), TS)


def test_stability_is_shown_in_a_line_that_tells_its_largest_growth():
    found = stability(Bridge(OrnsteinUhlenbeck(), lambda y, v: y), np.linspace(2.0, 0.1, 200))
    assert len(repr(found)) < 200
    assert repr(found).startswith(f"Stability(199 steps from t = 2 to 0.1, {len(found.unstable)} of them unstable")
    assert f"largest growth is {found.growth.max():.6g}" in repr(found)
