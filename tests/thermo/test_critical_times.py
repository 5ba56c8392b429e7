"""The three critical times and the crossing of a level."""

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from diffphys.thermo import agreement, critical_times, crossing_time, separation, threshold

TEMPERATURES = [0.5, 1.0, 2.0]


def noise_variance(t, temperature):
    """`Gamma_t` without the share of the data: `T (1 - e^{-2t})`."""
    return -temperature * np.expm1(-2 * t)


@pytest.mark.parametrize("case", ["m2_256.0_s2_1.0", "m2_1.0_s2_0.0", "m2_10.0_s2_0.25"])
def test_critical_times_equal_the_exact_values(oracles, case):
    oracle = oracles[f"tcrit_two_gaussian_{case}"]
    times = critical_times(oracle["inputs"]["m2"], oracle["inputs"]["sigma2"])
    found = [times.score_zero, times.drift, times.spectral]
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("norm", "within"), [(16.0, 1.0), (3.0, 0.2), (5.0, 4.0)])
def test_critical_times_meet_their_defining_conditions_at_any_temperature(norm, within, temperature):
    times = critical_times(norm, within, temperature)
    assert (norm + within) * np.exp(-2 * times.spectral) == pytest.approx(temperature, rel=1e-12)

    def curvature(t, of_score, of_state):
        """Of the density's logarithm, and of the reverse drift, along the means at the origin."""
        gamma = noise_variance(t, temperature) + within * np.exp(-2 * t)
        return of_state + of_score * (norm * np.exp(-2 * t) / gamma**2 - 1 / gamma)

    assert curvature(times.score_zero, 1.0, 0.0) == pytest.approx(0, abs=1e-12)
    assert curvature(times.drift, 2 * temperature, 1.0) == pytest.approx(0, abs=1e-12)


def test_score_zero_time_is_where_the_separation_is_one():
    times = critical_times(7.0, 0.6, 1.7)
    v = 1.7 * np.expm1(2 * times.score_zero)
    assert separation(np.sqrt(7.0), 0.6, v) == pytest.approx(1.0, abs=1e-13)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.1, 100), st.floats(0, 10), st.floats(0.1, 10), st.floats(0.1, 10))
def test_critical_times_do_not_know_the_unit_of_length(norm, within, temperature, unit):
    scaled, plain = (critical_times(c * norm, c * within, c * temperature) for c in (unit, 1.0))
    # A criterion that is met at the data themselves is met or not by rounding.
    assume(not np.any(np.less(scaled, 1e-12) | np.less(plain, 1e-12)))
    np.testing.assert_allclose(scaled, plain, rtol=1e-9, atol=1e-12)


def test_critical_times_are_nan_rather_than_negative():
    broad = critical_times(1.0, 4.0)
    assert np.isnan(broad.score_zero)
    assert broad.spectral > 0
    narrow = critical_times(0.1, 0.2)
    assert np.isnan(narrow.spectral)
    assert np.isnan(narrow.drift)


def test_critical_times_broadcast_over_the_dimension():
    dims = np.array([16.0, 256.0, 4096.0])
    many = critical_times(dims, 1.0)
    np.testing.assert_allclose(many.score_zero, 0.5 * np.log(dims), rtol=1e-14)
    np.testing.assert_allclose(many.drift - many.score_zero, 0.5 * np.log(2), rtol=1e-13)
    np.testing.assert_allclose(many.spectral, 0.5 * np.log1p(dims), rtol=1e-14)


def test_spectral_times_of_the_table_and_its_ratios_in_ou_time_are_arithmetic(oracles):
    table = oracles["table1"]["value"]
    times = critical_times(np.array(table["Lambda"]), 0.0).spectral
    np.testing.assert_allclose(times, table["t_S_exact"], rtol=1e-13)
    np.testing.assert_allclose(table["t_cross_OU"] / times, table["ratio_in_OU_time"], rtol=0, atol=2e-5)


def test_crossing_time_of_an_isotropic_pair_is_the_score_zero_time():
    for temperature in TEMPERATURES:
        crossing = crossing_time(np.ones(50), 1.0, temperature=temperature)
        assert crossing == pytest.approx(float(critical_times(50.0, 1.0, temperature).score_zero), abs=1e-13)


def test_crossing_at_temperature_two_is_the_spectral_time_by_coincidence():
    """Score zero and spectral time agree at T = 2 sigma^2; any other temperature parts them."""
    hot = critical_times(1024.0, 1.0, 2.0)
    assert crossing_time(np.ones(1024), 1.0, temperature=2.0) == pytest.approx(3.1197, abs=5e-5)
    assert hot.score_zero == pytest.approx(float(hot.spectral), abs=1e-14)
    warm = critical_times(1024.0, 1.0, 1.5)
    assert abs(warm.score_zero - warm.spectral) > 1e-4


@pytest.mark.parametrize("covariance", [np.array([4.0, 1.0]), np.diag([4.0, 1.0])], ids=["diagonal", "matrix"])
def test_crossing_time_of_the_anisotropic_pair_is_exact_and_not_spectral(covariance):
    found = crossing_time(np.array([3.0, 2.0]), covariance)
    assert found == pytest.approx(0.5 * np.log(5 + np.sqrt(37)), abs=1e-13)
    spectral = 0.5 * np.log(np.linalg.eigvalsh(np.diag([4.0, 1.0]) + np.outer([3.0, 2.0], [3.0, 2.0]))[-1])
    assert spectral == pytest.approx(1.3928481750740926, abs=1e-13)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.01, 0.99), st.floats(0.3, 0.7))
def test_agreement_at_the_crossing_is_the_level(seed, share, p):
    rng = np.random.default_rng(seed)
    half, spectrum, floor = rng.normal(size=6), rng.exponential(size=6) ** 3, p**2 + (1 - p) ** 2
    level = floor + share * (agreement(separation(half, spectrum, 0.0), p) - floor)
    time = crossing_time(half, spectrum, level, p)
    assert agreement(separation(half, spectrum, np.expm1(2 * time)), p) == pytest.approx(level, abs=1e-12)


def test_crossing_of_the_balanced_level_by_unbalanced_classes_is_late_or_never():
    own, balanced = (crossing_time(np.ones(1024), 1.0, level, 0.8) for level in (None, threshold()))
    assert balanced - own == pytest.approx(0.33, abs=0.005)
    assert agreement(0.0, 0.9) == pytest.approx(0.82, abs=1e-14)
    assert np.isnan(crossing_time(np.ones(1024), 1.0, threshold(), 0.9))


def test_a_single_class_has_the_spectral_time_of_its_width():
    found = critical_times(0.0, 2.0)
    assert found.spectral == pytest.approx(0.5 * np.log(2), abs=1e-14)
    assert np.isnan(found.score_zero)


def test_crossing_is_none_where_overlapping_classes_never_agree_so_well():
    assert np.isnan(crossing_time(1.0, 4.0))
    assert np.isnan(crossing_time(np.zeros(3), 1.0))
    assert np.isnan(crossing_time(1.0, 0.0, 1.0))
    assert crossing_time(1.0, 0.0) == pytest.approx(0.5 * np.log(2), abs=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: critical_times(-1.0, 1.0), "`mean_norm_squared` >= 0"),
        (lambda: critical_times(1.0, 1.0, 0.0), "`temperature` > 0"),
        (lambda: crossing_time(1.0, 1.0, 1.5), r"`level` in \[0, 1\]"),
        (lambda: crossing_time(1.0, 1.0, temperature=-1.0), "`temperature` > 0"),
        (lambda: crossing_time(1.0, 1.0, p=0.0), r"needs `p` in \(0, 1\)"),
    ],
)
def test_critical_times_refuse_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
