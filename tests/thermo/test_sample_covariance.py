"""Sample covariances: limits of their spectra, distances to the truth, and mixing of eigenvectors."""

import numpy as np
import pytest
from scipy.special import erf

from diffphys.thermo import (
    draw_second_moments,
    expected_kullback_leibler,
    expected_total_variation,
    expected_wasserstein,
    golden_rule_participation,
    kullback_leibler,
    marchenko_pastur_edges,
    mean_root_eigenvalue,
    participation,
    spectral_law,
    total_variation,
    wasserstein,
)

RATIOS = ("0.01", "0.1", "1.0", "2.0", "5.0")


def quadrature(q, points=600):
    """Nodes between the edges that make the roots at both ends smooth, and their weights."""
    low, high = marchenko_pastur_edges(q)
    angle = (np.arange(points) + 0.5) * np.pi / points
    return 0.5 * (low + high) - 0.5 * (high - low) * np.cos(angle), 0.5 * (high - low) * np.sin(angle) * np.pi / points


@pytest.mark.parametrize("ratio", RATIOS)
def test_spectral_law_of_isotropic_data_is_that_of_marchenko_and_pastur(ratio, oracles):
    low, high, zeros, *rest = oracles[f"mp_q{ratio}"]["value"]
    q = float(ratio)
    np.testing.assert_allclose(marchenko_pastur_edges(q), (low, high), atol=1e-7)
    np.testing.assert_allclose(marchenko_pastur_edges(q, 2.5), np.multiply(2.5, marchenko_pastur_edges(q)), rtol=1e-12)
    x, weights = quadrature(q)
    law = spectral_law(x, [1.0], q)
    np.testing.assert_allclose(law.zeros, zeros, atol=1e-12)
    np.testing.assert_allclose(law.density, np.sqrt((x - low) * (high - x)) / (2 * np.pi * q * x), atol=1e-9)
    for power, moment in zip((1, 2, 3), rest, strict=False):
        np.testing.assert_allclose(weights @ (law.density * x**power), moment, atol=1e-7)


@pytest.mark.parametrize("ratio", RATIOS)
def test_mean_root_and_wasserstein_distance_of_isotropic_data_are_exact(ratio, oracles):
    *_, mean_root, distance = oracles[f"mp_q{ratio}"]["value"]
    np.testing.assert_allclose(mean_root_eigenvalue([1.0], float(ratio)), mean_root, atol=1e-7)
    np.testing.assert_allclose(expected_wasserstein([1.0], float(ratio)), distance, atol=1e-7)


@pytest.mark.parametrize("q", [0.2, 1.0, 4.0])
def test_mean_root_agrees_with_the_density_for_any_spectrum(q):
    # Two routes to one number: on the negative axis, and along the support. One eigenvalue of the truth is 0.
    spectrum = np.array([0.5, 0.5, 2.0, 0.0])
    edges = np.linspace(0, (2 * (1 + q**0.5) ** 2) ** 0.5, 4001) ** 2
    x = 0.5 * (edges[1:] + edges[:-1])
    law = spectral_law(x, spectrum, q)
    np.testing.assert_allclose(law.density @ np.diff(edges) + law.zeros, 1, atol=2e-3)
    np.testing.assert_allclose(law.density @ (np.diff(edges) * x), spectrum.mean(), rtol=1e-4)
    np.testing.assert_allclose(
        law.density @ (np.diff(edges) * np.sqrt(x)), mean_root_eigenvalue(spectrum, q), rtol=2e-4
    )


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_mean_root_scales_with_the_root_of_the_units(scale):
    for q in (0.3, 3.0):
        expected = scale**0.5 * mean_root_eigenvalue([0.5, 2.0], q)
        np.testing.assert_allclose(mean_root_eigenvalue([0.5 * scale, 2.0 * scale], q), expected, rtol=1e-10)


@pytest.mark.parametrize("count", [60, 120, 1200])
def test_limits_of_spectrum_and_distance_are_those_of_large_matrices(count):
    dim, draws = 120, 12
    values = np.linspace(0.2, 3.0, dim)
    rng = np.random.default_rng(count)
    roots, distances = [], []
    for _ in range(draws):
        sample = draw_second_moments(rng, values, count).data
        roots.append(np.sqrt(np.maximum(np.linalg.eigvalsh(sample), 0)).mean())
        distances.append(wasserstein(sample, np.diag(values)) / dim)
    # Corrections are of order 1/N^2 to these linear statistics but 1/N to the law: 1 % allows for both.
    for found, limit in (
        (roots, mean_root_eigenvalue(values, dim / count)),
        (distances, expected_wasserstein(values, dim / count)),
    ):
        error = np.std(found, ddof=1) / draws**0.5
        assert abs(np.mean(found) - limit) < 4 * error + 0.01 * limit


def test_wasserstein_distance_for_many_data_is_that_of_perturbation_theory():
    values = np.linspace(0.5, 2.0, 40)
    pairs = np.mean(values[:, None] * values / (values[:, None] + values))
    np.testing.assert_allclose(expected_wasserstein(values, 1e-4), 0.5e-4 * pairs, rtol=1e-3)


@pytest.mark.parametrize("count", [200, 10000])
def test_mean_relative_entropy_of_a_sample_covariance_is_exact(count, oracles):
    oracle = oracles[f"wishart_Elogdet_N100_P{count}"]
    np.testing.assert_allclose(expected_kullback_leibler(100, count), oracle["value"][0], rtol=1e-10)


def test_mean_relative_entropy_is_that_of_draws_and_does_not_know_the_covariance():
    values = np.array([0.1, 1.0, 7.0])
    rng = np.random.default_rng(3)
    found = [kullback_leibler(draw_second_moments(rng, values, 12).data, np.diag(values)) for _ in range(2000)]
    assert abs(np.mean(found) - expected_kullback_leibler(3, 12)) < 4 * np.std(found) / 2000**0.5
    assert expected_kullback_leibler(3, 2) == np.inf


def test_total_variation_in_the_third_regime_is_an_error_function(oracles):
    oracle = oracles["tv_third_regime_N200_P40000"]
    np.testing.assert_allclose(expected_total_variation(200, 40000), oracle["value"], atol=oracle["tol"])
    np.testing.assert_allclose(expected_total_variation(1000, 10**9), erf(1000 / (4 * 10**4.5)), rtol=1e-3)
    rng = np.random.default_rng(0)
    found = [total_variation(draw_second_moments(rng, np.ones(50), 2500).data, np.eye(50)) for _ in range(6)]
    np.testing.assert_allclose(np.mean(found), expected_total_variation(50, 2500), atol=0.012)
    assert expected_total_variation(50, 20) == 1.0


def test_participation_follows_the_golden_rule_and_then_localises():
    dim = 400
    values = np.linspace(1.0, 2.0, dim)
    rng, central = np.random.default_rng(1), slice(dim // 3, -dim // 3)

    def measured(count):
        vectors = np.linalg.eigh(draw_second_moments(rng, values, count).data)[1]
        return participation(vectors[:, central]).mean()

    predicted = golden_rule_participation(1.5, dim / (values[-1] - values[0]), 60_000)
    np.testing.assert_allclose(measured(60_000), predicted, rtol=0.15)
    assert measured(10**8) < 1.1
    np.testing.assert_allclose(golden_rule_participation(1.5, 1000, 3e5), 49.3, atol=0.05)
    np.testing.assert_allclose(participation(np.array([[1.0, 0.5], [0.0, 0.75**0.5]])), [1.0, 1 / (1 / 16 + 9 / 16)])


def test_what_is_no_ratio_or_no_spectrum_is_refused():
    with pytest.raises(ValueError, match=r"`q` = N / P > 0. Got 0"):
        spectral_law([1.0], [1.0], 0.0)
    with pytest.raises(ValueError, match=r"`points` > 0. Got 0"):
        spectral_law([0.0], [1.0], 1.0)
    with pytest.raises(ValueError, match="eigenvalues of a covariance"):
        mean_root_eigenvalue([-1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="`dim` >= 1 and `count` >= 1"):
        expected_kullback_leibler(0, 5)
