"""Critical points by three criteria in every clock, and the phase diagram of diffused spins."""

import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import FOUR, LOPSIDED, TWO, CurieWeiss

import diffphys as dp
from diffphys.thermo import (
    DriftMap,
    critical_points,
    critical_times,
    critical_variance,
    fixed_point,
    phase_diagram,
    spectral_eigenvalue,
)


@pytest.fixture(scope="module")
def two():
    return critical_points(TWO.posterior_mean, jnp.zeros(1))


def test_drift_criterion_of_two_points_is_exact_in_every_clock(two, oracles):
    oracle = oracles["raya_theta_c"]
    at = two.sel(criterion="drift")
    found = [np.exp(-at.time), at.time, at.vp_linear, at.ddpm_index]
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])


def test_score_zero_of_two_points_is_exact_in_every_clock(two, oracles):
    oracle = oracles["score_bifurcation_two_delta"]
    at = two.sel(criterion="score_zero")
    np.testing.assert_allclose([at.time, at.vp_linear, at.ddpm_index], oracle["value"], rtol=0, atol=oracle["tol"])
    assert float(at.variance) == pytest.approx(1.0, abs=1e-12)


def test_spectral_criterion_of_two_points_at_unit_bath_is_met_at_time_zero(two):
    assert float(two.sel(criterion="spectral").time) == 0.0
    assert two.attrs["eigenvalue"] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_critical_points_of_two_gaussians_agree_with_their_closed_form(temperature):
    denoise = dp.symmetric_mixture(jnp.array([1.5, 0.0, -1.0]), 0.25).posterior_mean
    found = critical_points(denoise, jnp.zeros(3), temperature)
    expected = critical_times(3.25, 0.25, temperature)
    np.testing.assert_allclose(found.time, [getattr(expected, name) for name in found.criterion.values], rtol=1e-9)


def test_criteria_that_are_never_met_are_nan():
    broad = critical_points(dp.symmetric_mixture(jnp.array([0.3]), 0.5).posterior_mean, jnp.zeros(1))
    expected = critical_times(0.09, 0.5)
    np.testing.assert_array_equal(
        np.isnan(broad.time), np.isnan([expected.spectral, expected.score_zero, expected.drift])
    )
    assert np.isnan(broad.variance).all()


@pytest.mark.parametrize("theta", ["0.7", "0.8", "0.95"])
def test_zeros_of_the_reverse_drift_equal_the_exact_values(oracles, theta):
    oracle = oracles[f"raya_fixed_point_{theta}"]
    alpha = oracle["inputs"]["theta"]
    found = fixed_point(DriftMap(TWO.posterior_mean), np.array([1.2]), 1 / alpha**2 - 1)
    assert alpha * found.magnetisation[0] == pytest.approx(oracle["value"], abs=oracle["tol"])


def test_critical_variance_of_equal_norms_is_the_covariance_of_the_data():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 3))
    rows = 2.0 * np.concatenate([rows, -rows]) / np.tile(np.linalg.norm(rows, axis=1), 2)[:, None]
    symmetric = dp.IsotropicMixture(np.zeros(10), rows, np.zeros(10))
    expected = np.linalg.eigvalsh(rows.T @ rows / 10)[-1]
    assert critical_variance(symmetric.posterior_mean, jnp.zeros(3)) == pytest.approx(expected, rel=1e-12)
    assert critical_variance(FOUR.posterior_mean, jnp.zeros(2)) == pytest.approx(0.5, rel=1e-12)


def test_spectral_eigenvalue_is_that_of_the_covariance_in_both_precisions():
    spectrum = np.array([3.0, 0.2, 1e-3])
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4)):
        bell = dp.Gaussian(np.zeros(3, dtype), spectrum.astype(dtype))
        assert spectral_eigenvalue(bell.posterior_mean, jnp.zeros(3, dtype)) == pytest.approx(3.0, rel=tolerance)


@pytest.mark.parametrize("dim", [pytest.param(6, marks=pytest.mark.slow), 10])
def test_critical_variance_of_coupled_spins_equals_the_exact_value(oracles, dim):
    oracle = oracles[f"ising_cw_d{dim}_b0.5"]
    diagram = phase_diagram(lambda beta: CurieWeiss(jnp.asarray(beta), dim), [0.5])
    assert float(diagram.critical_variance[0]) == pytest.approx(oracle["value"][0], abs=oracle["tol"])


@pytest.mark.slow
def test_critical_variance_of_many_coupled_spins_tends_to_the_mean_field_limit():
    """`1 / (1 - b)` with corrections of order `1 / d`; and of order d beyond the critical coupling."""
    small, large = (
        phase_diagram(lambda beta, dim=dim: CurieWeiss(jnp.asarray(beta), dim), [0.0, 0.5, 1.5]) for dim in (25, 50)
    )
    limit = 2 * large.critical_variance.values - small.critical_variance.values
    np.testing.assert_allclose(limit[:2], [1.0, 2.0], rtol=0.02)
    # E M^2 / d^2 tends to m*^2, with m* = tanh(1.5 m*).
    order = 2 * large.critical_variance.values[2] / 50 - small.critical_variance.values[2] / 25
    assert order == pytest.approx(0.8585596366401104**2, rel=0.02)
    np.testing.assert_allclose(large.eigenvalue, large.critical_variance, rtol=1e-6)
    assert large.continuous.values.tolist() == [True, True, True]


def test_critical_points_run_in_float32():
    single = dp.IsotropicMixture(*(np.asarray(part, np.float32) for part in ([0, 0], [[1.0], [-1.0]], [0, 0])))
    found = critical_points(single.posterior_mean, jnp.zeros(1, jnp.float32))
    np.testing.assert_allclose(found.variance[1:], [1.0, np.sqrt(2)], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: critical_points(TWO.posterior_mean, jnp.zeros(1), -1.0), "`temperature` > 0"),
        (lambda: critical_variance(LOPSIDED.posterior_mean, jnp.zeros(1), 1.0), "needs the origin for a fixed point"),
        (lambda: critical_variance(TWO.posterior_mean, jnp.zeros(1), 1e-4), "stable at large variances"),
        (lambda: spectral_eigenvalue(lambda y, v: 0.0 * y, jnp.zeros(2)), "data of finite variance above 0"),
    ],
)
def test_critical_points_refuse_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_spectral_eigenvalue_needs_no_symmetry():
    heavy = dp.deltas([[1.0], [-1.0]], [0.6, 0.4])
    np.testing.assert_allclose(spectral_eigenvalue(heavy.posterior_mean, jnp.zeros(1)), 0.96, rtol=1e-8)


@pytest.mark.parametrize("unit", [1e-9, 1e13])
def test_spectral_eigenvalue_goes_with_the_square_of_the_unit_of_the_data(unit):
    """What settles it is relative to itself."""
    bell = dp.Gaussian(np.zeros(2), unit**2 * np.array([3.0, 0.2]))
    assert spectral_eigenvalue(bell.posterior_mean, jnp.zeros(2)) == pytest.approx(3.0 * unit**2, rel=1e-9)
