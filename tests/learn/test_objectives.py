"""Losses against their closed forms for Gaussian data, exactly: a mean of squares needs no sampling."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from cubature import degree_three, hermite

from diffphys.learn.levels import FlowTimeLevels, GeometricLevels, LogUniformLevels
from diffphys.learn.objectives import DenoisingScoreMatching, FlowMatching, denoising_autoencoder
from diffphys.learn.phase_space import FullScoreMatching, HybridScoreMatching
from diffphys.learn.score_matching import ImplicitScoreMatching, NormalProbes, SignProbes, SlicedScoreMatching
from diffphys.learn.weights import (
    ResidualWeight,
    flow_matching_weight,
    multiscale_weight,
    noise_weight,
    score_weight,
    velocity_weight,
)
from diffphys.processes import PhaseSpaceLangevin
from diffphys.targets import Empirical, Gaussian

TARGETS = {
    "one": Gaussian(jnp.array([0.4]), jnp.array([0.7])),
    "three": Gaussian(jnp.array([1.0, -0.3, 0.2]), jnp.array([0.2, 1.0, 2.5])),
}
LEVELS = LogUniformLevels(0.01, 10.0)
# Of each, the least loss per coordinate for data of variance s, with mu^2 + sigma^2 = 1, V = mu^2 s + sigma^2.
LEAST = {
    "noise": (DenoisingScoreMatching(LEVELS, noise_weight), lambda s, v: (s / (1 + v)) / ((s + v) / (1 + v))),
    "autoencoder": (denoising_autoencoder(LEVELS), lambda s, v: (v / (1 + v)) * s / ((s + v) / (1 + v))),
    "velocity": (DenoisingScoreMatching(LEVELS, velocity_weight), lambda s, v: s / ((s + v) / (1 + v))),
    "score": (DenoisingScoreMatching(LEVELS, score_weight), lambda s, v: 1 / v - 1 / (s + v)),
    "multiscale": (
        DenoisingScoreMatching(GeometricLevels(1.0, 1e-4), multiscale_weight),
        lambda s, v: 0.5 * (1 - v / (s + v)),
    ),
    "residual": (DenoisingScoreMatching(LEVELS, ResidualWeight(0.7)), lambda s, v: s / 0.7 * (0.7 + v) / (s + v)),
    "flow": (
        FlowMatching(FlowTimeLevels()),
        lambda s, v: s / (s / (1 + np.sqrt(v)) ** 2 + (1 - 1 / (1 + np.sqrt(v))) ** 2),
    ),
    "implicit": (ImplicitScoreMatching(LEVELS), lambda s, v: -1 / (s + v)),
}


@eqx.filter_jit
def mean_loss(parameters, objective, target, place):
    """The exact mean loss of the affine denoiser with a gain and an offset for each coordinate."""
    gain, offset = parameters
    d = target.dim
    points, weights = degree_three(2 * d)
    shape = eqx.filter_eval_shape(objective.draw, jr.key(0), gain).shape

    def one(point):
        a = target.mean + jnp.sqrt(target.eigenvalues) * point[:d]
        return objective.loss(lambda y, v: offset + gain * y, a, place, point[d:].reshape(shape))

    return jnp.sum(jax.vmap(one)(jnp.asarray(points)) * weights)


def best(target, variance):
    gain = target.eigenvalues / (target.eigenvalues + variance)
    return gain, (1 - gain) * target.mean


def wavy(y, v):
    return jnp.tanh(y) + jnp.sin(v) * y[::-1]


@eqx.filter_jit
def sample_loss(objective, denoise, a, level, key):
    return objective(denoise, a, level, key)


@eqx.filter_jit
def known_loss(objective, denoise, a, place, noise):
    return objective.loss(denoise, a, place, noise)


every_objective = pytest.mark.parametrize("name", LEAST)


@pytest.mark.parametrize("which", TARGETS)
@every_objective
def test_the_least_loss_of_gaussian_data_is_its_closed_form_at_the_posterior_mean(name, which):
    (objective, least), target, variance = LEAST[name], TARGETS[which], 0.6
    loss, gradient = jax.value_and_grad(mean_loss)(best(target, variance), objective, target, jnp.asarray(variance))
    wanted = least(np.asarray(target.eigenvalues), variance)
    np.testing.assert_allclose(loss, np.sum(wanted), rtol=1e-12)
    np.testing.assert_allclose(np.concatenate(gradient), 0.0, atol=1e-12)


@every_objective
def test_any_other_gain_is_worse_by_its_own_square(name):
    """The excess is that of the square error, w (s + v) (g - g*)^2, and positive for every coordinate."""
    (objective, _), target, variance = LEAST[name], TARGETS["three"], 0.6
    gain, offset = best(target, variance)
    least = mean_loss((gain, offset), objective, target, jnp.asarray(variance))
    for off in (jnp.array([0.1, 0.0, 0.0]), jnp.array([-0.3, 0.2, 0.5])):
        worse = (gain + off, offset - off * target.mean)
        excess = mean_loss(worse, objective, target, jnp.asarray(variance)) - least
        weight = {"flow": flow_matching_weight}.get(name) or objective.weight
        wanted = weight(jnp.asarray(variance)) * jnp.sum((target.eigenvalues + variance) * off**2)
        np.testing.assert_allclose(excess, wanted, rtol=1e-10)


def test_edm_asks_for_unit_variance_of_data_of_its_variance():
    objective = DenoisingScoreMatching(LEVELS, ResidualWeight(0.7))
    for variance in (0.01, 0.6, 8.0):
        loss = mean_loss(best(TARGETS["one"], variance), objective, TARGETS["one"], jnp.asarray(variance))
        np.testing.assert_allclose(loss, 1.0, rtol=1e-12)


def test_flow_matching_is_denoising_at_its_weight_sample_by_sample():
    levels = FlowTimeLevels()
    flow, denoising = FlowMatching(levels), DenoisingScoreMatching(levels, flow_matching_weight)
    a = jnp.array([0.3, -1.1])
    for level in (0.01, 0.5, 0.98):
        key = jr.key(3)
        got, wanted = flow(wavy, a, level, key), denoising(wavy, a, level, jr.clone(key))
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_the_residual_of_an_autoencoder_has_its_loss():
    """A network of y - f is asked for the noise in units of the data: Ambrogioni's other convention."""
    a, noise, variance = jnp.array([0.3, -1.1]), jnp.array([0.5, 0.9]), jnp.asarray(0.4)
    y = a + jnp.sqrt(variance) * noise
    residual = y - jnp.tanh(y)
    got = denoising_autoencoder(LEVELS).loss(lambda y, v: jnp.tanh(y), a, variance, noise)
    np.testing.assert_allclose(got, jnp.sum((residual - jnp.sqrt(variance) * noise) ** 2), rtol=1e-12)


def test_the_least_loss_over_a_finite_set_is_that_of_its_posterior_mean():
    """Any other denoiser is worse by its mean square distance from it: the perfect memoriser is the optimum."""
    data, variance = np.array([[-1.0], [0.0], [2.0]]), jnp.asarray(1.0)
    target, objective = Empirical(data), denoising_autoencoder(LEVELS)
    noise, weights = hermite(1, 60)

    def off(y):
        return 0.3 * jnp.sin(1.3 * y + 0.2) - 0.1 * y

    def one(a, e):
        y = a + jnp.sqrt(variance) * e
        exact = objective.loss(target.posterior_mean, a, variance, e)
        other = objective.loss(lambda y, v: target.posterior_mean(y, v) + off(y), a, variance, e)
        return exact, other - exact, jnp.sum(off(y) ** 2), jnp.trace(target.posterior_covariance(y, variance))

    values = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(jnp.asarray(data), jnp.asarray(noise))
    least, excess, distance, spread = (np.sum(np.asarray(value) @ weights) / 3 for value in values)
    # What is left is the error of the rule: the posterior mean has poles off the real line.
    np.testing.assert_allclose(excess, distance, rtol=1e-7)
    np.testing.assert_allclose(least, spread, rtol=1e-7)


DRAWN = {
    **{name: objective for name, (objective, _) in LEAST.items() if name in ("noise", "flow", "implicit")},
    "signs": ImplicitScoreMatching(LEVELS, noise_weight, SignProbes(2)),
    "normals": ImplicitScoreMatching(LEVELS, noise_weight, NormalProbes()),
    "sliced": SlicedScoreMatching(LEVELS, noise_weight, NormalProbes(2)),
    "hybrid": HybridScoreMatching(PhaseSpaceLangevin(), 0.05, 1.0),
    "full": FullScoreMatching(PhaseSpaceLangevin(), 0.05, 1.0),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_sample_with_drawn_noise_has_the_loss_of_that_noise(name):
    """At four keys: the noise is that of the key, of unit variance, and the level that of the law."""
    objective, a, level = DRAWN[name], jnp.array([0.3, -1.1]), 0.3
    place = 0.05 + 0.95 * level if name in ("hybrid", "full") else objective.levels.variance(level)
    for key in jr.split(jr.key(5), 4):
        wanted = known_loss(objective, wavy, a, jnp.asarray(place), objective.draw(jr.clone(key), a))
        np.testing.assert_allclose(sample_loss(objective, wavy, a, jnp.asarray(level), key), wanted, rtol=1e-10)


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_noise_is_white(name):
    """Of two moments, at four standard errors: of each number, and of any two of one draw."""
    objective, a = DRAWN[name], jnp.zeros(2)
    noise = np.asarray(jax.jit(jax.vmap(lambda key: objective.draw(key, a).ravel()))(jr.split(jr.key(7), 4000)))
    assert np.all(np.abs(noise.mean(0)) < 4 / np.sqrt(4000))
    products = noise[:, :, None] * noise[:, None, :] - np.eye(noise.shape[1])
    assert np.all(np.abs(products.mean(0)) <= 4 * products.std(0) / np.sqrt(4000))


@pytest.mark.parametrize("name", DRAWN)
def test_a_sample_in_float32_has_the_loss_of_float64(name):
    objective, a = DRAWN[name], jnp.array([0.3, -1.1], jnp.float32)
    level = jnp.asarray(0.3, jnp.float32)
    loss = sample_loss(objective, wavy, a, level, jr.key(1))
    assert loss.dtype == jnp.float32
    # The same noise, at the precision of the double: rounding is relative to the parts of the loss.
    noise = jnp.asarray(objective.draw(jr.key(1), a), jnp.float64)
    place = 0.05 + 0.95 * 0.3 if name in ("hybrid", "full") else objective.levels.variance(0.3)
    exact = known_loss(objective, wavy, jnp.asarray(a, jnp.float64), jnp.asarray(place), noise)
    np.testing.assert_allclose(loss, exact, rtol=1e-4)
