"""The classifier that labels what a model generates."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys.learn import ClassifierConfig, train_classifier

FOUR, PAIRS = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])


@pytest.fixture(autouse=True)
def _as_optax_needs():
    with jax.numpy_dtype_promotion("standard"):
        yield


@functools.cache
def digits():
    images = dp.load("digits", classes=[0, 1, 2], scale=(-1, 1))
    config = ClassifierConfig(channels=4, features=16, steps=120, batch=64)
    return images, train_classifier(images.points, images.labels, config, shape=images.shape)


def test_it_tells_images_apart_that_it_has_not_seen():
    images, classify = digits()
    assert classify.accuracy > 0.95
    logs = eqx.filter_vmap(classify)(jnp.asarray(images.points[:50]))
    np.testing.assert_allclose(jnp.sum(jnp.exp(logs), 1), 1, rtol=1e-5)
    assert np.mean(np.argmax(logs, 1) == images.labels[:50]) > 0.95
    assert classify.features(jnp.asarray(images.points[0])).shape == (16,)


def test_of_two_gaussian_classes_it_learns_the_posterior():
    target = dp.symmetric_mixture(jnp.full(2, 0.5, jnp.float32), 1.0)
    points, labels = jax.jit(jax.vmap(target.sample_labelled))(jax.random.split(jax.random.key(0), 4000))
    config = ClassifierConfig(channels=16, features=16, steps=400, noise=0.0)
    classify = train_classifier(np.asarray(points), np.asarray(labels), config, held_out=0.0)
    assert np.isnan(classify.accuracy)
    # The posterior of a Gaussian pair: log-odds 2 m.a / sigma^2.
    a = jnp.asarray(np.random.default_rng(1).normal(size=(200, 2)), jnp.float32)
    logs = eqx.filter_vmap(classify)(a)
    exact = np.asarray(2 * 0.5 * a.sum(1))
    sign = 1 if target.means[0, 0] > 0 else -1
    assert np.corrcoef(sign * np.asarray(logs[:, 0] - logs[:, 1]), exact)[0, 1] > 0.97


@pytest.mark.parametrize(
    ("points", "labels", "options", "match"),
    [
        (FOUR, np.zeros(4, int), {}, "two classes"),
        (FOUR, np.array([0, 1]), {}, "one label each"),
        (FOUR, np.array([0.5, 1.5, 0.5, 1.5]), {}, "whole numbers 0, 1, ..., of two"),
        (FOUR, np.array([0, 2, 0, 2]), {}, r"each of them used. Got int64 \[0, 2\]"),
        (FOUR, PAIRS, {"shape": (3,)}, "2 numbers"),
        (FOUR, PAIRS, {"shape": (1, 1, 1, 2)}, r"as \(d,\) or \(height, width"),
        (FOUR, PAIRS, {"held_out": 1.0}, "share"),
        (np.where(FOUR == 3, np.nan, FOUR), PAIRS, {}, "`points` needs finite values. Got 1"),
        (np.ones((4, 2)), PAIRS, {}, "data that vary"),
    ],
)
def test_data_that_do_not_fit_are_refused(points, labels, options, match, unchecked):
    with pytest.raises(ValueError, match=match):
        train_classifier(points, labels, **options)


def test_samples_that_are_not_one_of_its_shape_are_refused_and_whole_numbers_taken(unchecked):
    _, classify = digits()
    for a in (jnp.zeros(63), jnp.zeros((8, 8)), jnp.zeros((2, 64))):
        for of in (classify, classify.features):
            with pytest.raises(ValueError, match=r"`a` needs one flat sample of shape \(64,\)"):
                of(a)
    ones = np.ones(64)
    np.testing.assert_array_equal(classify(ones.astype(int)), classify(ones))


def test_classes_far_from_zero_are_told_apart_as_those_around_it():
    draws = np.random.default_rng(0)
    labels = draws.integers(2, size=1000)
    points = 1.5 * (2.0 * labels - 1)[:, None] + draws.normal(size=(1000, 2)) + [300.0, -100.0]
    classify = train_classifier(points, labels, ClassifierConfig(channels=8, features=8, steps=150, batch=64))
    # Of a distance of 3 sqrt(2) standard deviations 98 % are right; of the coin, 50 %.
    assert classify.accuracy > 0.9


@pytest.mark.parametrize(
    "bad", [{"learning_rate": 0.0}, {"noise": -1.0}, {"steps": 2.5}, {"seed": -1}, {"seed": 2**32}]
)
def test_sizes_that_mean_nothing_are_refused(bad, unchecked):
    with pytest.raises(ValueError, match=f"`ClassifierConfig` needs .*`{next(iter(bad))}`"):
        ClassifierConfig(**bad)
