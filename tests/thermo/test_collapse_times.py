"""Collapse of Gaussian data in theory: times, widths, excess entropy, random energies."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import brentq

from diffphys.thermo import (
    class_information,
    collapse_time,
    collapse_time_isotropic,
    collapse_variance,
    collapse_width,
    effective_dimension,
    excess_entropy,
    log_capacity,
    separation,
)

RANK = np.arange(1.0, 1001.0)
SPECTRA = {
    "1_over_i_d1000": 1 / RANK,
    "i_pow_-2_d1000": RANK**-2,
    "128x4_128x0.25": np.repeat([4.0, 0.25], 128),
    "10x100_990x0": np.repeat([100.0, 0.0], [10, 990]),
}
ANISOTROPIC = [
    f"tC_aniso_{name}"
    for name in (
        "1_over_i_d1000_n1000",
        "1_over_i_d1000_n10000",
        "i_pow_-2_d1000_n1000",
        "i_pow_-2_d1000_n10000",
        "i_pow_-2_d1000_n1000000",
        "128x4_128x0.25_n1000",
        "128x4_128x0.25_n1000000",
        "10x100_990x0_n1000",
        "10x100_990x0_n10000",
        "10x100_990x0_n1000000",
    )
]


@pytest.mark.parametrize("dim", [256, 1024, 4096])
def test_isotropic_collapse_time_equals_the_exact_values(oracles, dim):
    oracle = oracles[f"tC_gm_d{dim}_n20000"]
    found = collapse_time_isotropic(np.array([20_000, 10_000]), dim)
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])


@pytest.mark.parametrize("name", ANISOTROPIC)
def test_anisotropic_collapse_equals_the_exact_values(oracles, name):
    oracle = oracles[name]
    spectrum, n = SPECTRA[oracle["inputs"]["spectrum"]], oracle["inputs"]["n"]
    v = collapse_variance(n, spectrum)
    found = [collapse_time(n, spectrum), v, effective_dimension(v, spectrum)]
    np.testing.assert_allclose(found, oracle["value"], rtol=oracle["tol"])


def test_isotropic_collapse_time_is_that_of_a_flat_spectrum_at_any_temperature():
    n = np.array([2.0, 1e3, 1e9])
    for temperature in (0.3, 2.0):
        flat = collapse_time(n, np.full(40, 1.7), temperature)
        np.testing.assert_allclose(collapse_time_isotropic(n, 40, 1.7, temperature), flat, rtol=1e-12)


def test_isotropic_collapse_time_has_both_limits_of_the_load():
    assert collapse_time_isotropic(100, 1e9) == pytest.approx(0.5 * np.log(1e9 / (2 * np.log(100))), rel=1e-9)
    assert collapse_time_isotropic(1e9, 2.0, 3.0) == pytest.approx(1.5e-9, rel=1e-8)
    assert collapse_time_isotropic(1e300, 1.0) == 0


def test_rank_deficient_data_collapse_as_in_their_own_dimension():
    spectrum = SPECTRA["10x100_990x0"]
    assert collapse_time(1e4, spectrum) == pytest.approx(float(collapse_time_isotropic(1e4, 10, 100.0)), rel=1e-13)


def test_collapse_variance_survives_extreme_counts():
    for n in (1 + 1e-9, 1e100):
        for spectrum in (RANK**-4, np.array([1.0, 0.0]), np.full(3000, 1e-9)):
            v = collapse_variance(n, spectrum)
            assert log_capacity(v, spectrum) == pytest.approx(np.log(n), rel=1e-10)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(0.1, 50), st.floats(0.01, 100))
def test_collapse_noise_scales_with_the_spectrum_and_solves_its_equation(seed, log_n, unit):
    spectrum = np.random.default_rng(seed).exponential(size=20) ** 4
    v = collapse_variance(np.exp(log_n), spectrum)
    assert log_capacity(v, spectrum) == pytest.approx(log_n, rel=1e-10)
    assert collapse_variance(np.exp(log_n), unit * spectrum) == pytest.approx(unit * v, rel=1e-10)


def test_power_law_capacity_is_the_infinite_product_of_the_hyperbolic_sine():
    """`prod (1 + 1 / (i^2 v)) = sinh(x) / x` at `x = pi / sqrt(v)`; the tail beyond d adds `1 / (2 v d)`."""
    v, dim = np.array([0.02, 0.3, 5.0]), 1_000_000
    x = np.pi / np.sqrt(v)
    spectrum = np.arange(1.0, dim + 1.0) ** -2
    found = log_capacity(v, spectrum) + 1 / (2 * v * dim)
    np.testing.assert_allclose(found, 0.5 * np.log(np.sinh(x) / x), rtol=1e-9)


def test_power_law_collapse_noise_needs_many_dimensions_to_converge():
    exact = brentq(lambda v: 0.5 * np.log(np.sinh(np.pi / v**0.5) / (np.pi / v**0.5)) - np.log(1e4), 0.01, 0.05)
    assert exact == pytest.approx(0.02000, abs=5e-6)
    assert collapse_variance(1e4, RANK**-2) == pytest.approx(0.01991, abs=5e-6)


def test_effective_dimension_is_the_slope_of_the_capacity():
    spectrum, v, step = SPECTRA["1_over_i_d1000"], np.geomspace(1e-3, 10, 5), 1e-4
    slope = (log_capacity(v * np.exp(step), spectrum) - log_capacity(v * np.exp(-step), spectrum)) / (2 * step)
    np.testing.assert_allclose(effective_dimension(v, spectrum), -2 * slope, rtol=1e-7)


def test_collapse_width_is_the_spread_of_the_log_weight_over_its_slope():
    """The log-likelihood ratio of the generating point to the whole law has variance `d_eff`."""
    spectrum, v, count = np.array([4.0, 1.0, 0.1, 0.0]), 0.7, 200_000
    rng = np.random.default_rng(0)
    a, noise = rng.normal(size=(count, 4)) * np.sqrt(spectrum), rng.normal(size=(count, 4)) * np.sqrt(v)
    log_weight = -((a + noise) ** 2 / (spectrum + v)).sum(1) / 2 + (noise**2 / v).sum(1) / 2
    share = effective_dimension(v, spectrum)
    fourth = ((log_weight - log_weight.mean()) ** 4).mean()
    assert abs(log_weight.var() - share) < 4 * np.sqrt((fourth - share**2) / count)
    assert collapse_width(v, spectrum) == pytest.approx(np.sqrt(share) / (share / 2), rel=1e-14)


def test_excess_entropy_of_the_mixture_equals_both_theory_curves(oracles):
    oracle = oracles["fe_gm_repo_d1024"]
    v, n, dim = np.expm1(2 * np.array(oracle["inputs"]["t"])), 20_000, 1024
    flat, alpha = np.ones(dim), np.log(n) / dim
    paper = np.maximum(excess_entropy(v, flat, n), 0) / alpha
    whole = excess_entropy(v, flat, n, class_information(separation(np.ones(dim), 1.0, v))) / alpha
    np.testing.assert_allclose(paper, oracle["value"]["paper_theory"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(whole, oracle["value"]["class_corrected"], rtol=0, atol=1e-10)


def test_excess_entropy_simulated_by_the_authors_needs_the_class_term(oracles):
    oracle = oracles["fe_gm_repo_d1024"]
    times, n, dim = np.array(oracle["inputs"]["t"]), 20_000, 1024
    above = times > 1.25 * collapse_time_isotropic(n, dim)
    v, flat = np.expm1(2 * times[above]), np.ones(dim)
    alpha, repo, stderr = np.log(n) / dim, *(np.array(oracle["value"][key])[above] for key in ("repo", "se"))
    whole = excess_entropy(v, flat, n, class_information(separation(flat, 1.0, v))) / alpha
    assert np.max(np.abs(repo - whole) / stderr) < 4
    assert np.max(np.abs(repo - excess_entropy(v, flat, n) / alpha) / stderr) > 10


def test_excess_entropy_vanishes_at_the_collapse_and_tends_to_the_load():
    spectrum, n = SPECTRA["128x4_128x0.25"], 5000
    assert excess_entropy(collapse_variance(n, spectrum), spectrum, n) == pytest.approx(0, abs=1e-14)
    assert excess_entropy(1e12, spectrum, n) == pytest.approx(np.log(n) / 256, rel=1e-9)


def test_two_separated_classes_collapse_as_one_of_half_the_size():
    flat, n = np.ones(300), 20_000
    v = collapse_variance(n / 2, flat)
    assert excess_entropy(v, flat, n, np.log(2)) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_capacity(0.0, 1.0), "`variance` needs to be > 0"),
        (lambda: log_capacity(1.0, np.array([1.0, -1.0])), "`spectrum` needs one row of eigenvalues"),
        (lambda: excess_entropy(1.0, 1.0, 0), "`excess_entropy` needs `n` >= 1"),
        (lambda: collapse_variance(1, 1.0), "`n` needs to be > 1"),
        (lambda: collapse_variance(10, 0.0), "`spectrum` needs a positive eigenvalue"),
        (lambda: collapse_time(10, 1.0, 0.0), "`temperature` needs to be > 0"),
        (lambda: collapse_time_isotropic(10, 0), "needs `dim` > 0 and `variance` > 0"),
    ],
)
def test_collapse_refuses_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
