"""The classifier that labels what a model generates."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys.learn import ClassifierConfig, train_classifier


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
        (np.zeros((4, 2)), np.zeros(4, int), {}, "two classes"),
        (np.zeros((4, 2)), np.array([0, 1]), {}, "one label each"),
        (np.zeros((4, 2)), np.array([0, 1, 0, 1]), {"shape": (3,)}, "2 numbers"),
        (np.zeros((4, 2)), np.array([0, 1, 0, 1]), {"held_out": 1.0}, "share"),
    ],
)
def test_data_that_do_not_fit_are_refused(points, labels, options, match, unchecked):
    with pytest.raises(ValueError, match=match):
        train_classifier(points, labels, **options)
