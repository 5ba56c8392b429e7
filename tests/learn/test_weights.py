"""Weights are the losses of other predictions, and one of them is a relative entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import degree_three

from diffphys.learn.levels import LogNormalLevels, LogUniformLevels, ProcessLevels
from diffphys.learn.objectives import DenoisingScoreMatching
from diffphys.learn.weights import (
    LikelihoodWeight,
    ResidualWeight,
    data_weight,
    flow_matching_weight,
    multiscale_weight,
    noise_weight,
    score_weight,
    velocity_weight,
)
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers._parameterisations import DataPrediction, NoisePrediction, ResidualPrediction, prediction
from diffphys.targets import Gaussian

TIMES = (0.01, 0.4, 2.0)
POINTS, WEIGHTS = degree_three(2)


@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), PhaseSpaceLangevin()], ids=["ou", "psld"])
@pytest.mark.parametrize(
    ("weight", "predicted"),
    [
        (data_weight, DataPrediction()),
        (noise_weight, NoisePrediction()),
        (velocity_weight, ResidualPrediction(1.0)),
        (ResidualWeight(0.3), ResidualPrediction(0.3)),
    ],
    ids=["data", "noise", "velocity", "residual"],
)
def test_a_weight_is_the_loss_of_what_samplers_call_that_prediction(process, weight, predicted):
    """f = M z + w D, so an error e of the data D is w e of f."""
    for t in TIMES:
        kernel = process.on_host().kernel(t)
        gain = prediction(kernel, predicted)[1]
        np.testing.assert_allclose(weight(kernel.variance), gain @ gain, rtol=1e-12)


@pytest.mark.parametrize("t", TIMES)
def test_weights_of_scores_and_velocities_are_the_losses_at_a_state(t):
    """At one sample, noise and wrong estimate: of the score, of that of NCSN, and of the VP velocity."""
    a, noise, estimate = np.array([0.3, -1.2]), np.array([0.7, 0.4]), np.array([-0.5, 2.0])
    mean, std = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    variance = (std / mean) ** 2
    error = np.sum((estimate - a) ** 2)
    y = a + std / mean * noise
    score = (estimate - y) / variance
    np.testing.assert_allclose(score_weight(variance) * error, np.sum((score + (y - a) / variance) ** 2), rtol=1e-9)
    ncsn = variance * 0.5 * np.sum((score + (y - a) / variance) ** 2)
    np.testing.assert_allclose(multiscale_weight(variance) * error, ncsn, rtol=1e-9)
    z = mean * a + std * noise
    velocity = mean * (z - mean * estimate) / std - std * estimate
    np.testing.assert_allclose(
        velocity_weight(variance) * error, np.sum((velocity - (mean * noise - std * a)) ** 2), rtol=1e-9
    )
    # The straight path passes y / (1 + sigma), at the velocity noise - data.
    u = np.sqrt(variance) / (1 + np.sqrt(variance))
    x = (1 - u) * a + u * noise
    flow = (x - (1 - u) * estimate) / u - estimate
    np.testing.assert_allclose(flow_matching_weight(variance) * error, np.sum((flow - (noise - a)) ** 2), rtol=1e-9)


def entropy(true, other, variance):
    """Relative entropy of N(0, true + v) from N(0, other + v)."""
    ratio = (true + variance) / (other + variance)
    return 0.5 * (ratio - 1 - np.log(ratio))


@pytest.mark.parametrize(
    "levels",
    [LogNormalLevels(), LogUniformLevels(0.01, 30.0), ProcessLevels(PhaseSpaceLangevin(), 1e-3, 1.0)],
    ids=lambda levels: type(levels).__name__,
)
def test_the_likelihood_weight_makes_the_loss_a_relative_entropy_whatever_the_levels(levels):
    """Of paths, above the mutual information that noise destroys on the way: two Gaussians, in closed form."""
    true, other = 0.7, 1.6
    objective = DenoisingScoreMatching(levels, LikelihoodWeight(levels))
    wrong = Gaussian(jnp.zeros(1), other).posterior_mean
    at, weights = np.polynomial.legendre.leggauss(400)
    low, high = 0.03, 0.97
    chosen, weights = low + 0.5 * (high - low) * (1 + at), 0.5 * (high - low) * weights

    def mean_loss(level):
        loss = jax.vmap(lambda p: objective.loss(wrong, jnp.sqrt(true) * p[:1], levels.variance(level), p[1:]))(
            jnp.asarray(POINTS)
        )
        return jnp.sum(loss * WEIGHTS)

    got = weights @ np.asarray(jax.lax.map(mean_loss, jnp.asarray(chosen)))
    ends = [float(levels.variance(end)) for end in (low, high)]
    information = 0.5 * (np.log1p(true / ends[0]) - np.log1p(true / ends[1]))
    wanted = entropy(true, other, ends[0]) - entropy(true, other, ends[1]) + information
    np.testing.assert_allclose(got, wanted, rtol=2e-5)


def test_a_residual_needs_the_variance_of_data():
    with pytest.raises(ValueError, match=r"`ResidualWeight` needs a finite `data_variance > 0`. Got 0.0"):
        ResidualWeight(0.0)
