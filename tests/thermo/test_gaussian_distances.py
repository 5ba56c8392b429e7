"""Distances of Gaussian laws: against closed forms, other formulas, sampling, and their own symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.linalg import sqrtm
from scipy.special import erf
from scipy.stats import norm

from diffphys.thermo import kullback_leibler, total_variation, wasserstein

RNG = np.random.default_rng(0)
TWO = ([[2.0, 0.5], [0.5, 1.0]], [[1.0, -0.3], [-0.3, 1.5]])


def covariance(dim, rng=RNG):
    root = rng.normal(size=(dim, dim))
    return root @ root.T / dim + 0.1 * np.eye(dim)


def test_distances_of_two_by_two_matrices_are_exact(oracles):
    first, second = (np.array(oracles["kl_2x2"]["inputs"][name]) for name in "AB")
    there, back = oracles["kl_2x2"]["value"]
    np.testing.assert_allclose(kullback_leibler(first, second), there, atol=1e-12)
    np.testing.assert_allclose(kullback_leibler(second, first), back, atol=1e-12)
    np.testing.assert_allclose(total_variation(first, second), oracles["tv_2x2"]["value"], atol=1e-9)


@pytest.mark.parametrize("name", ["tv_1d_1.1", "tv_1d_1.5", "tv_1d_4.0"])
def test_total_variation_of_one_variable_is_exact(name, oracles):
    variance = oracles[name]["inputs"]["s2"]
    np.testing.assert_allclose(total_variation([1.0], [variance]), oracles[name]["value"], atol=1e-12)


def test_wasserstein_is_that_of_matrix_square_roots():
    a, b = covariance(6), covariance(6)
    root = sqrtm(a)
    expected = np.trace(a + b - 2 * np.real(sqrtm(root @ b @ root))) + 6 * 0.25
    np.testing.assert_allclose(wasserstein(a, b, 0.5), expected, rtol=1e-10)
    # Along common axes it is the distance of the standard deviations; singular matrices are no exception.
    flat, wide = np.array([0.0, 1.0, 4.0]), np.array([1.0, 0.0, 9.0])
    np.testing.assert_allclose(wasserstein(np.diag(flat), np.diag(wide)), 3.0, rtol=1e-12)
    np.testing.assert_allclose(wasserstein(flat, wide), 3.0, rtol=1e-12)


@pytest.mark.parametrize("shift", [1e-6, 0.01, 1.0, 6.0])
def test_total_variation_of_a_shift_is_an_error_function(shift):
    identity = np.ones(5)
    along = shift * np.array([0.6, 0.0, 0.8, 0.0, 0.0])
    np.testing.assert_allclose(total_variation(identity, identity, along), erf(shift / 8**0.5), atol=1e-13)


def by_roots(variance, shift):
    """Of N(shift, variance) and N(0, 1): the log-ratio is quadratic, positive on one side of its two roots."""
    quadratic = [0.5 - 0.5 / variance, shift / variance, -0.5 * shift**2 / variance - 0.5 * np.log(variance)]
    low, high = np.sort(np.roots(quadratic).real)
    inside = [norm.cdf(high, m, s) - norm.cdf(low, m, s) for m, s in ((shift, variance**0.5), (0.0, 1.0))]
    return abs(inside[0] - inside[1])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(-3.0, 3.0).filter(lambda x: abs(x) > 1e-3), st.floats(-8.0, 8.0))
def test_total_variation_of_one_shifted_variable_is_that_between_the_roots(log_variance, shift):
    variance = np.exp(log_variance)
    np.testing.assert_allclose(total_variation([variance], [1.0], shift), by_roots(variance, shift), atol=1e-11)


@pytest.mark.parametrize("log_variance", [-28.0, -20.0, -12.0, 20.0])
@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0, 3.0])
def test_total_variation_of_a_law_far_narrower_than_the_other_is_that_between_the_roots(log_variance, shift):
    # A difference of the level and of the squares of shifts in standard deviations, as large as 1e12, would show.
    variance = np.exp(log_variance)
    np.testing.assert_allclose(total_variation([variance], [1.0], shift), by_roots(variance, shift), atol=2e-11)


def test_laws_of_very_different_but_finite_widths_are_at_a_finite_distance():
    np.testing.assert_allclose(kullback_leibler([1e-18], [1.0]), 0.5 * (18 * np.log(10) - 1), rtol=1e-14)
    # 1 - TV is the mass of the wide law where the narrow one is denser, and of the narrow one elsewhere.
    edge = np.sqrt(18 * np.log(10))
    missed = 2 * 1e-9 * edge * norm.pdf(0) + 2 * norm.sf(edge)
    np.testing.assert_allclose(1 - total_variation([1e-18], [1.0]), missed, atol=1e-12)


def test_rounding_below_zero_is_zero():
    assert wasserstein([1.0, -1e-13], [1.0, 0.0]) == 0.0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 5), st.floats(-4.0, 0.5), st.floats(-4.0, 0.7))
def test_total_variation_is_symmetric_and_obeys_pinsker(seed, dim, log_spread, log_shift):
    rng = np.random.default_rng(seed)
    variances = np.exp(rng.normal(size=dim) * 10**log_spread)
    shift = rng.normal(size=dim) * 10**log_shift
    there = total_variation(variances, np.ones(dim), shift)
    np.testing.assert_allclose(there, total_variation(np.ones(dim), variances, -shift), atol=1e-12)
    assert there <= np.sqrt(kullback_leibler(variances, np.ones(dim), shift) / 2) + 1e-12


def test_distances_do_not_depend_on_the_basis_nor_on_its_units():
    a, b, shift = covariance(4), covariance(4), RNG.normal(size=4)
    change = RNG.normal(size=(4, 4))
    moved = change @ a @ change.T, change @ b @ change.T, change @ shift
    for distance in (total_variation, kullback_leibler):
        np.testing.assert_allclose(distance(*moved), distance(a, b, shift), rtol=1e-9)


def test_total_variation_is_the_mean_of_the_missing_density():
    variances, other = np.array([2.0, 0.5, 1.0, 3.0]), np.array([1.0, 1.5, 1.0, 0.2])
    shift = np.array([0.3, -1.0, 0.5, 0.0])
    x = shift + np.sqrt(variances) * np.random.default_rng(1).normal(size=(400_000, 4))
    log_ratio = norm.logpdf(x, shift, variances**0.5).sum(1) - norm.logpdf(x, 0, other**0.5).sum(1)
    missing = np.maximum(-np.expm1(-log_ratio), 0)
    assert abs(total_variation(variances, other, shift) - missing.mean()) < 4 * missing.std() / 400_000**0.5


def test_singular_laws_are_as_far_apart_as_can_be():
    flat, full = np.diag([1.0, 0.0]), np.eye(2)
    assert total_variation(flat, full) == total_variation([1.0, 0.0], [1.0, 1.0]) == 1.0
    assert kullback_leibler(flat, full) == kullback_leibler([1.0, 1.0], [1.0, 0.0]) == np.inf
    assert total_variation(full, full) == 0.0


def test_what_is_no_covariance_is_refused():
    with pytest.raises(ValueError, match=r"two covariances of one shape.*Got \(2, 2\) and \(2,\)"):
        wasserstein(np.eye(2), np.ones(2))
    with pytest.raises(ValueError, match=r"symmetric, with no negative eigenvalue. Got -1"):
        kullback_leibler(np.diag([1.0, -1.0]), np.eye(2))
    with pytest.raises(ValueError, match="symmetric"):
        total_variation(np.array([[1.0, 0.5], [0.0, 1.0]]), np.eye(2))


@pytest.mark.parametrize("excess", [-1e-3, -3e-5, -1e-7, 1e-9, 3e-5])
def test_a_direction_of_nearly_equal_variance_counts_as_one_of_equal_variance(excess):
    # Its square completed is far away, on the other side than the level: which says nothing about where the mass is.
    variances = np.append(1 + 0.08 * np.linspace(1, 0.05, 10) ** 2, [1.0, 0.996])
    nearly = np.append(variances[:-2], [1.0 + excess, 0.996])
    equal = total_variation(variances, np.ones(12), -0.006)
    assert 0.03 < equal < 0.06
    np.testing.assert_allclose(total_variation(nearly, np.ones(12), -0.006), equal, atol=abs(excess))
