"""The Gaussian against scipy, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from diffphys.targets import Gaussian

RNG = np.random.default_rng(1)
MEAN, Y, ROOT = RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=(3, 3))
COVARIANCES = {
    "scalar": 0.7,
    "diagonal": np.array([0.1, 1.0, 3.0]),
    "full": ROOT @ ROOT.T,
    "singular": np.outer(ROOT[0], ROOT[0]),
    "point": 0.0,
}


@pytest.mark.parametrize("covariance", COVARIANCES.values(), ids=COVARIANCES)
def test_gaussian_matches_the_joint_normal_law_in_scipy(covariance):
    variance = 0.4
    dense = covariance * np.eye(3) if np.ndim(covariance) < 2 else covariance
    gain = dense @ np.linalg.inv(dense + variance * np.eye(3))
    target, y = Gaussian(MEAN, covariance), jnp.asarray(Y)
    expected = scipy.stats.multivariate_normal(MEAN, dense + variance * np.eye(3)).logpdf(Y)
    np.testing.assert_allclose(target.log_evidence(y, variance), expected, rtol=1e-12)
    np.testing.assert_allclose(target.posterior_mean(y, variance), MEAN + gain @ (Y - MEAN), rtol=1e-12)
    np.testing.assert_allclose(target.posterior_covariance(y, variance), dense - gain @ dense, atol=1e-12)


def test_gaussian_in_float32_keeps_the_small_directions_of_a_float64_covariance():
    """Eigenvalues 1e-6 of the largest survive, since the matrix is diagonalised before it is rounded."""
    basis = np.linalg.qr(ROOT)[0]
    small = Gaussian(MEAN.astype(np.float32), basis @ np.diag([1e-9, 1e-3, 1.0]) @ basis.T)
    np.testing.assert_allclose(small.eigenvalues, [1e-9, 1e-3, 1.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (np.zeros((2, 2)), 1.0, "`mean` needs shape"),
        (np.array([0.0, np.nan]), 1.0, "`mean` needs finite values. Got 1"),
        (np.zeros(2), np.ones(3), r"`covariance` needs shape \(\), \(2,\) or \(2, 2\). Got \(3,\)"),
        (np.zeros(2), np.array([1.0, -1.0]), "`covariance` needs variances"),
        (np.zeros(2), np.array([1.0, np.inf]), "`covariance` needs finite values"),
        (np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]), "`covariance` needs a symmetric matrix"),
        (
            np.zeros(2),
            np.array([[1.0, 2.0], [2.0, 1.0]]),
            "`covariance` needs eigenvalues that are not negative",
        ),
        (np.zeros(2), np.full((2, 2), np.nan), "`covariance` needs finite values"),
    ],
)
def test_gaussian_refuses_what_is_no_normal_law(mean, covariance, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(mean, covariance)
