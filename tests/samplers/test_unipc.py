"""UniPC: the algorithm of its authors, step by step; its limits for short steps."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from diffphys.processes import Brownian
from diffphys.samplers import simulate
from diffphys.samplers.dpm import DPMSolverMultistep
from diffphys.samplers.unipc import UniPC

LEVELS = np.array([5.0, 4.0, 2.5, 1.5, 1.0, 0.5, 0.3, 0.2])


def denoise(y, v):
    """That of two points, +-1."""
    return np.tanh(y / v) if isinstance(y, float) else jnp.tanh(y / v)


def update(y, logs, estimates, end, order, variant, new=None):
    """One update as the official code writes it: to `end`, from the last knots, with the estimate there if known."""
    h = end - logs[-1]
    ratios, differences = [], []
    for k in range(2, order + 1):
        ratios.append((logs[-k] - logs[-1]) / h)
        differences.append((estimates[-k] - estimates[-1]) / ratios[-1])
    if new is not None:
        ratios.append(1.0)
        differences.append(new - estimates[-1])
    scale = math.expm1(-h) if variant == "bh2" else -h
    phi, moments = math.expm1(-h) / -h - 1, []
    for k in range(1, len(ratios) + 1):
        moments.append(phi * math.factorial(k) / scale)
        phi = phi / -h - 1 / math.factorial(k + 1)
    matrix = [[ratio**k for ratio in ratios] for k in range(len(ratios))]
    weights = [0.5] if len(ratios) == 1 else np.linalg.solve(matrix, moments) if ratios else []
    base = math.exp(-h) * y - math.expm1(-h) * estimates[-1]
    return base - scale * sum(a * d for a, d in zip(weights, differences, strict=True))


def official(y, order, variant, final):
    """The two states of the official code, predicted and corrected, on Brownian motion."""
    logs, estimates, path, corrected, before = [], [], [y], y, None
    for i, (level, end) in enumerate(zip(LEVELS[:-1], -np.log(LEVELS[1:]), strict=True)):
        new = denoise(path[-1], level**2)
        if before is not None:
            corrected = update(corrected, logs, estimates, -np.log(level), before, variant, new)
        logs.append(-np.log(level))
        estimates.append(new)
        before = min(order, i + 1, final - 1 + LEVELS.size - 1 - i)
        path.append(float(update(corrected, logs, estimates, end, before, variant)))
    return path


@pytest.mark.parametrize("final", [1, 2, 3])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_path_is_that_of_the_official_algorithm(order, variant, final):
    sampler = UniPC(Brownian(), denoise, order, variant, final)
    path = simulate(sampler, jr.key(0), LEVELS**2, jnp.array([2.7]), path=True)[:, 0]
    np.testing.assert_allclose(path, official(2.7, order, variant, final), rtol=1e-11)


def test_the_predictor_of_order_2_is_dpm_solver_multistep():
    """With bh2, where the half is the one of 2M."""
    row = DPMSolverMultistep(Brownian(), denoise).table(LEVELS**2)
    logs = -np.log(LEVELS)
    for i in range(1, LEVELS.size - 1):
        got = UniPC(Brownian(), denoise, 2).weights([logs[i], logs[i - 1]], logs[i + 1])
        np.testing.assert_allclose(got, [row.state[term][i] for term in (("data", 0), ("past", 0))], rtol=1e-11)


@pytest.mark.parametrize("h", [1e-2, 1e-5])
def test_weights_of_short_steps_are_those_of_adams(h):
    """Without the cancellation of the recursion for phi."""
    knots, sampler = [0.0, -h, -2 * h], UniPC(Brownian(), denoise)
    predictor, corrector = sampler.weights(knots, h), sampler.weights(knots, h, corrected=True)
    np.testing.assert_allclose(predictor / h, np.array([23, -16, 5]) / 12, rtol=5 * h)
    np.testing.assert_allclose(corrector / h, np.array([9, 19, -5, 1]) / 24, rtol=5 * h)


def test_an_order_out_of_range_is_refused():
    with pytest.raises(ValueError, match="`UniPC` needs `order` to be a whole number, 1 to 3"):
        UniPC(Brownian(), denoise, 4)


def test_a_final_order_out_of_range_is_refused():
    with pytest.raises(ValueError, match="`UniPC` needs `final_order` to be a whole number, 1 to 3"):
        UniPC(Brownian(), denoise, final_order=0)


def test_an_unknown_variant_is_refused(unchecked):
    with pytest.raises(ValueError, match='`variant` to be "bh1" or "bh2"'):
        UniPC(Brownian(), denoise, 3, "bh3")
