"""The Frechet distance of samples: shifts, scales and features."""

import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp

POINTS = np.random.default_rng(0).normal(size=(40, 3))


def test_a_shift_costs_its_square_and_a_scale_the_square_of_what_it_adds():
    distance = dp.frechet_distance(None, POINTS)
    np.testing.assert_allclose(distance(POINTS), 0, atol=1e-12)
    np.testing.assert_allclose(distance(POINTS + 0.3), 3 * 0.09)
    centred = POINTS - POINTS.mean(0)
    # (c - 1)^2 times the variance, for commuting covariances.
    np.testing.assert_allclose(
        dp.frechet_distance(None, centred)(1.5 * centred), 0.25 * centred.var(0, ddof=1).sum(), rtol=1e-9
    )


def test_features_are_what_is_compared():
    def features(a):
        return jnp.stack([2 * a[0] + 1, a[1] ** 2])

    seen = np.stack([2 * POINTS[:, 0] + 1, POINTS[:, 1] ** 2], 1)
    other = POINTS[:25] * 1.2
    of_other = np.stack([2 * other[:, 0] + 1, other[:, 1] ** 2], 1)
    np.testing.assert_allclose(
        dp.frechet_distance(features, POINTS)(other), dp.frechet_distance(None, seen)(of_other), rtol=1e-10
    )
    # One feature is enough: the square difference of means and of standard deviations.
    first = dp.frechet_distance(lambda a: a[:1], POINTS)(other)
    means, stds = POINTS[:, 0].mean() - other[:, 0].mean(), POINTS[:, 0].std(ddof=1) - other[:, 0].std(ddof=1)
    np.testing.assert_allclose(first, means**2 + stds**2, rtol=1e-9)


def test_samples_that_diverged_are_refused():
    with pytest.raises(ValueError, match=r"`frechet_distance` needs two samples or more with finite features"):
        dp.frechet_distance(None, POINTS)(POINTS * np.inf)


def test_samples_of_another_length_than_the_reference_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"needs samples of shape \(m, 3\).*Got \(40, 2\)"):
        dp.frechet_distance(None, POINTS)(POINTS[:, :2])
    with pytest.raises(ValueError, match=r"two samples or more with finite features, \(m, f\). Got shape \(3,\)"):
        dp.frechet_distance(None, POINTS[0])
