"""The stability matrix, its leading modes by Lanczos iteration, and the susceptibility."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import FOUR, MEMORY, PATTERNS, TWO, points

import diffphys as dp
from diffphys.thermo import fixed_point, leading_modes, stability_matrix, susceptibility

RNG = np.random.default_rng(0)
MIX = dp.IsotropicMixture(np.log([0.3, 0.7]), np.array([[1.0, 0.0], [-0.5, 2.0]]), np.array([0.2, 0.7]))
CLOUD = dp.Empirical(RNG.normal(size=(40, 90)))
COUPLINGS = RNG.normal(size=(90, 90)) / 10


matrix_of, respond = eqx.filter_jit(stability_matrix), eqx.filter_jit(susceptibility)
covariance_of = eqx.filter_jit(lambda target, y, variance: target.posterior_covariance(y, variance))


def skew(y, variance):
    """A denoiser whose Jacobian at zero is a matrix without symmetry."""
    return jnp.asarray(COUPLINGS, y.dtype) @ jnp.tanh(y)


def test_stability_matrix_is_the_posterior_covariance_over_the_variance():
    y = jnp.array([0.4, 0.9])
    for target in (MIX, dp.Empirical(PATTERNS)):
        expected = covariance_of(target, y, 0.3) / 0.3
        np.testing.assert_allclose(matrix_of(target.posterior_mean, y, 0.3), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("tau", ["0.25", "0.5", "0.75", "0.99", "0.999"])
def test_susceptibility_of_two_points_equals_the_exact_values(oracles, tau):
    oracle = oracles[f"two_delta_m_tau{tau}"]
    m, chi = oracle["value"][:2]
    found = respond(TWO.posterior_mean, jnp.array([m]), oracle["inputs"]["tau"])
    assert float(found[0, 0]) == pytest.approx(chi, rel=1e-9)


def test_susceptibility_of_the_memory_equals_the_exact_matrix():
    point = fixed_point(MEMORY.posterior_mean, np.array([0.7, -0.3]), 0.5).magnetisation
    np.testing.assert_allclose(point, [0.70566391, -0.26764831], rtol=0, atol=5e-9)
    found = respond(MEMORY.posterior_mean, jnp.asarray(point), 0.5)
    np.testing.assert_allclose(found, [[0.4916241, -0.0829984], [-0.0829984, 1.1444008]], rtol=0, atol=5e-8)


def test_susceptibility_of_the_trivial_point_of_four_points_diverges_at_one_half():
    for tau in (0.6, 2.0):
        found = respond(FOUR.posterior_mean, jnp.zeros(2), tau)
        np.testing.assert_allclose(found, np.eye(2) / (2 * tau - 1), rtol=1e-12, atol=1e-14)


def test_susceptibility_is_the_derivative_of_the_fixed_point_by_the_field():
    field, step = np.array([0.05, -0.02]), 1e-5
    denoise = MEMORY.posterior_mean
    start = fixed_point(denoise, np.array([0.7, -0.3]), 0.4, field).magnetisation
    rows = [
        fixed_point(denoise, start, 0.4, field + step * e).magnetisation
        - fixed_point(denoise, start, 0.4, field - step * e).magnetisation
        for e in np.eye(2)
    ]
    found = respond(denoise, jnp.asarray(start + field), 0.4)
    np.testing.assert_allclose(found, np.array(rows).T / (2 * step), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
def test_lanczos_finds_the_eigenpairs_of_the_covariance(dtype, tolerance):
    cloud = dp.Empirical(np.asarray(CLOUD.points, dtype))
    y = jnp.asarray(RNG.normal(size=90), dtype)
    modes = leading_modes(cloud.posterior_mean, y, dtype(30.0), 3)
    covariance = np.asarray(covariance_of(CLOUD, jnp.asarray(y, jnp.float64), 30.0)) / 30
    expected = np.linalg.eigvalsh(covariance)[::-1][:3]
    np.testing.assert_allclose(modes.eigenvalues, expected, rtol=tolerance)
    residual = modes.vectors @ covariance - modes.eigenvalues[:, None] * modes.vectors
    assert np.abs(residual).max() < 10 * tolerance


def test_lanczos_and_the_whole_matrix_agree_across_the_size_where_they_change_over():
    padded = points(np.hstack([PATTERNS, np.zeros((4, 68))]))
    small = leading_modes(MEMORY.posterior_mean, np.array([0.2, 0.1]), 0.5)
    large = leading_modes(padded.posterior_mean, np.append([0.2, 0.1], np.zeros(68)), 0.5)
    np.testing.assert_allclose(large.eigenvalues, small.eigenvalues, rtol=1e-12)
    np.testing.assert_allclose(large.susceptibilities, small.eigenvalues / (1 - small.eigenvalues), rtol=1e-12)


def test_arnoldi_finds_the_eigenvalues_of_largest_real_part_of_a_learned_denoiser():
    modes = leading_modes(skew, np.zeros(90), 1.0, 4, symmetric=False)
    expected = np.linalg.eigvals(COUPLINGS)
    expected = expected[np.argsort(-expected.real)][:4]
    np.testing.assert_allclose(np.sort_complex(modes.eigenvalues), np.sort_complex(expected), rtol=1e-9)
    residual = COUPLINGS @ modes.vectors.T - modes.vectors.T * modes.eigenvalues
    assert np.abs(residual).max() < 1e-9


def on_the_host(y, variance):
    return jnp.asarray(np.tanh(np.asarray(y)))


def broken(y, variance):
    """Finite values, an infinite slope."""
    return jnp.sqrt(jnp.abs(y))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leading_modes(skew, np.zeros(90), 1.0), "needs symmetry here"),
        (lambda: leading_modes(lambda y, v: 0.5 * jnp.roll(y, 1), np.zeros(3), 1.0), "needs symmetry here"),
        (lambda: leading_modes(on_the_host, np.zeros(90), 1.0), "that JAX can differentiate"),
        (lambda: leading_modes(TWO.posterior_mean, np.zeros(1), 1.0, 2), "needs `count` from 1"),
        (lambda: leading_modes(skew, np.zeros(90), 1.0, 90), "needs `count` from 1"),
    ],
)
def test_leading_modes_refuse_what_they_cannot_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("size", [3, 70])
def test_leading_modes_refuse_a_slope_that_is_not_finite(size):
    with jax.debug_nans(False), pytest.raises(ValueError, match="needs finite entries"):
        leading_modes(broken, np.zeros(size), 1.0)
