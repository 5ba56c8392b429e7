"""Preconditioning by the matched Gaussian."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys.learn.preconditioning import GaussianPreconditioning

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(400, 6)) @ np.diag([3.0, 2.0, 1.0, 0.5, 0.2, 0.0]) + np.arange(6.0)


@pytest.mark.parametrize("rank", [None, 6])
@pytest.mark.parametrize("variance", [1e-3, 1.0, 1e4])
def test_linear_is_the_posterior_mean_of_the_gaussian_with_the_moments_of_the_data(rank, variance):
    gaussian = GaussianPreconditioning.fit(POINTS, rank)
    covariance = np.cov(POINTS.T, bias=True)
    y = RNG.normal(size=6) * np.sqrt(variance)
    exact = POINTS.mean(0) + covariance @ np.linalg.solve(covariance + variance * np.eye(6), y - POINTS.mean(0))
    np.testing.assert_allclose(gaussian.linear(jnp.asarray(y), variance), exact, rtol=2e-6, atol=2e-6)


def test_a_low_rank_has_the_trace_of_the_covariance_and_its_leading_directions():
    points = RNG.normal(size=(200, 20)) * np.linspace(3, 0.1, 20)
    whole, low = GaussianPreconditioning.fit(points), GaussianPreconditioning.fit(points, 3)
    np.testing.assert_allclose(low.eigenvalues, whole.eigenvalues[:3], rtol=1e-5)
    np.testing.assert_allclose(jnp.abs(low.basis.T @ whole.basis[:, :3]), np.eye(3), atol=1e-4)
    np.testing.assert_allclose(low.variance, whole.variance, rtol=1e-5)


@pytest.mark.parametrize(("count", "rank"), [(8, None), (8, 12), (30, 5)])
def test_fewer_points_than_dimensions_span_a_gaussian_too(count, rank):
    points = RNG.normal(size=(count, 40)) * np.linspace(3, 0.1, 40)
    gaussian = GaussianPreconditioning.fit(points, rank)
    exact = np.sort(np.linalg.eigvalsh(np.cov(points.T, bias=True)))[::-1]
    np.testing.assert_allclose(gaussian.eigenvalues, exact[: gaussian.eigenvalues.size], rtol=1e-5, atol=1e-6)
    assert gaussian.eigenvalues.size == min(count, rank or 40)
    np.testing.assert_allclose(gaussian.variance, exact.mean(), rtol=1e-5)


def test_a_fit_takes_the_memory_of_a_block_of_rows():
    points = np.random.default_rng(0).normal(size=(20000, 32)).astype(np.float32)
    GaussianPreconditioning.fit(points[:40])  # What JAX imports the first time is not of the fit.
    tracemalloc.start()
    GaussianPreconditioning.fit(points)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < points.size * 8 / 4


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_data_in_any_unit_are_preconditioned_alike(unit):
    ours, theirs = GaussianPreconditioning.fit(POINTS), GaussianPreconditioning.fit(POINTS * unit)
    y, variance = jnp.asarray(POINTS[0], jnp.float32), np.float32(2.0)
    scaled, power = np.float32(unit) * y, np.float32(unit) ** 2 * variance
    linear = ours.linear(y, variance)
    np.testing.assert_allclose(theirs.linear(scaled, power), np.float32(unit) * linear, rtol=1e-4)
    shown = theirs.inputs(scaled, np.float32(unit) * linear, power)
    np.testing.assert_allclose(shown, ours.inputs(y, linear, variance), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(theirs.output_scale(power), np.float32(unit) * ours.output_scale(variance), rtol=1e-4)


def test_an_isotropic_gaussian_without_decay_is_that_of_edm():
    data_std, std = 0.5, 1.7
    gaussian = GaussianPreconditioning.isotropic(4, data_std**2, decay=0.0)
    total = float(np.sqrt(data_std**2 + std**2))
    y = jnp.asarray(RNG.normal(size=4), jnp.float32)
    linear = gaussian.linear(y, std**2)
    np.testing.assert_allclose(linear, y * data_std**2 / total**2, rtol=1e-6)
    np.testing.assert_allclose(gaussian.output_scale(std**2), data_std * std / total, rtol=1e-6)
    np.testing.assert_allclose(gaussian.inputs(y, linear, std**2)[:, 0], y / total, rtol=1e-6)


@pytest.mark.parametrize("variance", [1e-2, 1.0, 30.0])
def test_inputs_have_unit_variance_and_the_weight_makes_the_linear_error_one(variance):
    gaussian = GaussianPreconditioning.fit(POINTS)
    draws = RNG.multivariate_normal(POINTS.mean(0), np.cov(POINTS.T, bias=True), size=40_000)
    y = jnp.asarray(draws + np.sqrt(variance) * RNG.normal(size=draws.shape), jnp.float32)
    linear = jax.vmap(lambda y: gaussian.linear(y, variance))(y)
    shown = jax.vmap(lambda y, linear: gaussian.inputs(y, linear, variance))(y, linear)
    # The largest coordinate dominates: its square has a relative error of sqrt(2 / 40000).
    np.testing.assert_allclose(jnp.mean(shown**2, (0, 1)), 1.0, atol=4 * np.sqrt(2 / 40_000))
    loss = float(gaussian.relative_weight(variance)) * np.mean(np.sum((np.asarray(linear) - draws) ** 2, 1))
    np.testing.assert_allclose(loss, 1.0, atol=4 * np.sqrt(2 / 40_000))


def test_what_is_left_falls_with_the_square_of_the_noise_as_its_factor_does():
    target = dp.mixture(np.array([[1.0], [-4.0]]), covariance=0.04, weights=np.array([0.8, 0.2]))
    weights, means = np.array([0.8, 0.2]), np.array([1.0, -4.0])
    mean, variance = weights @ means, 0.04 + weights @ (means - weights @ means) ** 2
    gaussian = GaussianPreconditioning.of(np.array([mean]), np.zeros((1, 0)), np.zeros(0), variance)
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(60)

    def left(v):
        """E |exact - linear|^2 over the factor squared, by quadrature."""
        total = 0.0
        for weight, centre in zip(weights, means, strict=True):
            ys = jnp.asarray(centre + np.sqrt(v + 0.04) * nodes)[:, None]
            gap = jax.vmap(lambda y: target.posterior_mean(y, v) - gaussian.linear(y, v))(ys)
            total += weight * node_weights @ np.asarray(gap[:, 0] ** 2) / np.sqrt(2 * np.pi)
        return total / float(gaussian.output_scale(v)) ** 2

    far, further = left(1e3), left(4e3)
    # In float32 parameters; the third cumulant is all that is left at large v.
    cumulant = weights @ (means - mean) ** 3
    np.testing.assert_allclose(further * 1.0, cumulant**2 / (2 * variance**3), rtol=0.05)
    np.testing.assert_allclose(far, further, rtol=0.1)


@pytest.mark.parametrize(
    ("points", "rank", "match"),
    [
        (np.zeros((1, 3)), None, "two points"),
        (np.ones((5, 3)), None, "vary"),
        (POINTS, 7, "rank"),
    ],
)
def test_bad_data_are_refused(points, rank, match):
    with pytest.raises(ValueError, match=match):
        GaussianPreconditioning.fit(points, rank)


@pytest.mark.parametrize("unit", [1e-20, 1e18])
def test_data_whose_variance_float32_cannot_hold_are_refused(unit):
    with pytest.raises(ValueError, match=r"a variance that float32 can hold\. Got .* a coordinate"):
        GaussianPreconditioning.fit(POINTS * unit)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ((np.zeros(3), np.eye(2), np.ones(2), 0.0), r"a basis \(d, r\).* Got \(3,\), \(2, 2\), \(2,\), \(\)"),
        ((np.zeros(3), np.eye(3), np.array([1.0, 0.5, -0.1]), 0.0), "`eigenvalues` needs variances"),
        ((np.zeros(3), np.zeros((3, 0)), np.zeros(0), np.nan), "`rest` needs finite values"),
        ((np.zeros(3), np.zeros((3, 0)), np.zeros(0), 0.0), "an eigenvalue above 0"),
    ],
)
def test_arrays_that_are_no_gaussian_are_refused(arrays, match, unchecked):
    with jax.debug_nans(False), pytest.raises(ValueError, match=match):
        GaussianPreconditioning.of(*arrays)
