"""SA-Solver: its algorithm step by step, its limits, noise that depends on time."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from fast_samplers import kind

from diffphys.processes import Brownian
from diffphys.samplers import box_muller, simulate
from diffphys.samplers.exponential import DDIM, ExponentialSDE
from diffphys.samplers.sa_solver import SASolver

LEVELS = np.array([5.0, 4.0, 2.5, 1.5, 1.0, 0.5, 0.3, 0.2])


def denoise(y, v):
    """That of two points, +-1."""
    return np.tanh(y / v) if isinstance(y, float) else jnp.tanh(y / v)


def integrals(knots, start, end, level):
    """Of the Lagrange polynomials, from the moments of the exponential: exact, for long steps."""
    rate, moments = 1 + level**2, [-np.expm1(-(1 + level**2) * (end - start))]
    for k in range(1, len(knots)):
        moments.append(end**k - start**k * np.exp(-rate * (end - start)) - k / rate * moments[-1])
    return np.linalg.solve(np.vander(knots, increasing=True).T, moments)


def two_states(y, noises, predictor, corrector, level):
    """Predicted and corrected states, on Brownian motion: the corrector starts over with the same noise."""
    logs, estimates, path, corrected = -np.log(LEVELS), [], [y], y
    for i in range(LEVELS.size - 1):
        estimates.append(denoise(path[-1], LEVELS[i] ** 2))
        if i and corrector:
            knots = range(i, max(i - corrector, -1), -1)
            weights = integrals(logs[list(knots)], logs[i - 1], logs[i], level)
            corrected = base + sum(w * estimates[k] for w, k in zip(weights, knots, strict=True))
        else:
            corrected = path[-1]
        h = logs[i + 1] - logs[i]
        base = np.exp(-(1 + level**2) * h) * corrected
        base += LEVELS[i + 1] * np.sqrt(-np.expm1(-2 * level**2 * h)) * noises[i]
        knots = range(i, max(i - predictor, -1), -1)
        weights = integrals(logs[list(knots)], logs[i], logs[i + 1], level)
        path.append(float(base + sum(w * estimates[k] for w, k in zip(weights, knots, strict=True))))
    return path


@pytest.mark.parametrize("level", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(("predictor", "corrector"), [(2, 2), (3, 1), (1, 3), (3, 0)])
def test_the_path_is_that_of_predictor_and_corrector_step_by_step(predictor, corrector, level):
    sampler, key = SASolver(Brownian(), denoise, predictor, corrector, level), jr.key(0)
    path = simulate(sampler, key, LEVELS**2, jnp.array([2.7]), path=True)[:, 0]
    noises = [float(box_muller(jr.fold_in(jr.clone(key), i), (1, 1))[0, 0]) for i in range(LEVELS.size - 1)]
    np.testing.assert_allclose(path, two_states(2.7, noises, predictor, corrector, level), rtol=1e-9)


@pytest.mark.parametrize(
    ("level", "other"),
    [(0.0, DDIM), (0.7, kind(ExponentialSDE, 0.7)), (1.0, ExponentialSDE)],
    ids=["flow", "half", "ddpm"],
)
def test_one_prediction_and_no_correction_is_the_exponential_step(level, other):
    one, two = (make(Brownian(), denoise).plan(LEVELS**2) for make in (kind(SASolver, 1, 0, level), other))
    assert one.state.keys() == two.state.keys()
    for term, values in one.state.items():
        np.testing.assert_allclose(values, two.state[term], rtol=1e-11)


def test_a_noise_level_of_time_is_that_of_the_time_at_which_a_step_starts():
    rows = [
        SASolver(Brownian(), denoise, 2, 1, level).plan(LEVELS**2)
        for level in (lambda t: 1.0 if t > 1.0 else 0.0, 1.0, 0.0)
    ]
    sizes = [row.state.get(("noise", 0), np.zeros(7)) for row in rows]
    np.testing.assert_array_equal(sizes[0], np.where(LEVELS[:-1] > 1.0, sizes[1], sizes[2]))
    assert not SASolver(Brownian(), denoise, noise_level=lambda t: 1.0).is_time_reversal


@pytest.mark.parametrize(("predictor", "corrector"), [(0, 2), (5, 2), (2, -1), (2, 5)])
def test_numbers_of_predictions_out_of_range_are_refused(predictor, corrector):
    with pytest.raises(ValueError, match=r"needs `(predictor|corrector)` to be a whole number, [01] to 4"):
        SASolver(Brownian(), denoise, predictor, corrector)


@pytest.mark.parametrize("level", [-1.0, lambda t: float("nan")], ids=["number", "function"])
def test_a_noise_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="`SASolver` needs a finite `noise_level >= 0`"):
        SASolver(Brownian(), denoise, noise_level=level).plan(LEVELS**2)
