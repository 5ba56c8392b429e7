"""Clocks: exact values and round trips."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from diffphys import clocks as dc

TIMES = st.floats(1e-8, 12.0)
TEMPERATURES = st.floats(1e-3, 1e3)


def expm1_series(x):
    """exp(x) - 1 for a tiny float x, to 1e-30, without rounding."""
    x = Fraction(x)
    return x + x**2 / 2 + x**3 / 6 + x**4 / 24


# Exact values.


@pytest.mark.parametrize(
    "entry", ["ou_delta_t0.5_T1.0", "ou_delta_t0.1_T1.0", "ou_delta_t0.0001_T1.0", "ou_delta_t0.7_T0.5"]
)
def test_variance_is_that_of_the_transition_over_its_lift(oracles, entry):
    t, temperature = oracles[entry]["inputs"]["t"], oracles[entry]["inputs"]["T"]
    lifted = np.exp(-2.0 * t) * dc.variance_of_time(t, temperature)
    np.testing.assert_allclose(lifted, oracles[entry]["value"], rtol=1e-14)


def test_variance_exploding_temperature_has_its_time(oracles):
    entry = oracles["ve_tau1"]
    got = dc.time_of_variance(entry["inputs"]["tau"], entry["inputs"]["T"])
    np.testing.assert_allclose(got, entry["value"], rtol=entry["tol"])


def test_ddpm_times_are_those_of_the_linear_schedule(oracles):
    entry = oracles["ddpm_linear_time_map"]
    index = np.array(entry["inputs"]["index_0based"])
    times = dc.ddpm_times(dc.linear_betas())
    np.testing.assert_allclose(times[index], entry["value"], rtol=entry["tol"])
    alphas = oracles["ddpm_linear_alphabar"]
    np.testing.assert_allclose(np.exp(-2.0 * times[index]), alphas["value"], rtol=alphas["tol"])


def test_ddpm_time_is_not_half_the_sum_of_betas(oracles):
    wrong = oracles["ddpm_half_sum_beta"]["value"]
    np.testing.assert_allclose(0.5 * dc.linear_betas().sum(), wrong, rtol=1e-12)
    assert dc.ddpm_times(dc.linear_betas())[-1] - wrong > 0.03


def test_continuous_linear_schedule_ends_at_its_time(oracles):
    entry = oracles["vp_linear_t_end"]
    np.testing.assert_allclose(dc.vp_time(1.0), entry["value"], rtol=entry["tol"])
    np.testing.assert_allclose(np.exp(-dc.vp_time(1.0)), 0.006571586494929619, rtol=1e-12)


def test_small_times_keep_their_digits():
    t = 1e-8
    exact = expm1_series(2 * Fraction(t))
    shown = dc.clocks(t)
    for got, power in [
        (dc.variance_of_time(t), 1),
        (shown["sigma_v"], 2),
        (np.exp(-shown["log_snr"] / 2), 2),
    ]:
        assert abs(Fraction(float(got)) ** power / exact - 1) < 1e-14
    ratio = Fraction(float(shown["flow_matching"])) / (1 - Fraction(float(shown["flow_matching"])))
    assert abs(ratio**2 / exact - 1) < 1e-13
    np.testing.assert_allclose(dc.time_of_variance(dc.variance_of_time(t)), t, rtol=1e-15)
    np.testing.assert_allclose(dc.vp_time(shown["vp_linear"]), t, rtol=1e-14)


# Round trips.


@settings(max_examples=100, deadline=None)
@given(TIMES, TEMPERATURES)
def test_time_and_variance_are_inverse(t, temperature):
    np.testing.assert_allclose(dc.time_of_variance(dc.variance_of_time(t, temperature), temperature), t, rtol=1e-14)


@settings(max_examples=100, deadline=None)
@given(TIMES, st.floats(1e-3, 30.0), st.floats(0.0, 30.0))
def test_continuous_schedule_and_its_clock_are_inverse(t, beta_min, rise):
    got = dc.vp_time(dc.vp_clock(t, beta_min, beta_min + rise), beta_min, beta_min + rise)
    np.testing.assert_allclose(got, t, rtol=1e-13)


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-8, 0.999))
def test_flow_matching_time_and_its_clock_are_inverse(u):
    np.testing.assert_allclose(dc.flow_matching_clock(dc.flow_matching_time(u)), u, rtol=1e-13)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.0, 999.0))
def test_ddpm_index_and_its_times_are_inverse(index):
    betas = dc.linear_betas()
    t = np.interp(index, np.arange(1000.0), dc.ddpm_times(betas))
    np.testing.assert_allclose(dc.ddpm_index(t, betas), index, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(TIMES, TEMPERATURES)
def test_clocks_of_one_moment_agree(t, temperature):
    shown = dc.clocks(np.array([t]), temperature)
    variance = shown["sigma_v"] ** 2
    np.testing.assert_allclose(np.exp(-shown["log_snr"]), variance, rtol=1e-13)
    # The straight path scaled back to unit signal has this noise: u / (1 - u) = sigma_v.
    np.testing.assert_allclose(shown["flow_matching"], shown["sigma_v"] / (1.0 + shown["sigma_v"]), rtol=1e-13)
    np.testing.assert_allclose(np.expm1(2.0 * dc.vp_time(shown["vp_linear"])), variance, rtol=1e-11)


def test_clocks_show_the_index_inside_the_schedule_and_nan_outside():
    times = dc.ddpm_times(dc.linear_betas())
    t = np.array([0.0, times[0], times[400], 0.5 * (times[400] + times[401]), times[999], 6.0])
    index = dc.clocks(t)["ddpm_index"]
    np.testing.assert_allclose(index, [np.nan, 0.0, 400.0, 400.5, 999.0, np.nan], rtol=1e-12)


def test_clocks_show_the_limits_at_the_data():
    shown = dc.clocks(0.0)
    assert (shown["sigma_v"], shown["log_snr"], shown["vp_linear"], shown["flow_matching"]) == (
        0.0,
        np.inf,
        0.0,
        0.0,
    )


def test_log_snr_and_flow_matching_do_not_overflow_late():
    np.testing.assert_allclose(dc.log_snr(1e4), -2e4, rtol=1e-15)
    assert dc.flow_matching_clock(1e4) == 1.0


def test_nearest_index_is_the_nearest():
    betas = dc.linear_betas()
    times = dc.ddpm_times(betas)
    t = np.random.default_rng(0).uniform(times[0], times[-1], 500)
    wanted = np.abs(t[:, None] - times[None]).argmin(axis=1)
    np.testing.assert_array_equal(dc.nearest_ddpm_index(t, betas), wanted)
    assert dc.nearest_ddpm_index(times[-1] * (1 + 1e-15), betas) == 999


# Refusals.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dc.variance_of_time(-0.1), r"`t` needs finite numbers >= 0\. Got -0\.1"),
        (lambda: dc.vp_time([0.1, np.nan]), "`u` needs finite numbers >= 0"),
        (lambda: dc.variance_of_time(1.0, 0.0), "`temperature` needs a finite number above 0"),
        (lambda: dc.time_of_variance(1.0, -1.0), "`temperature` needs a finite number above 0"),
        (lambda: dc.log_snr(1.0, np.nan), "`temperature` needs a finite number above 0"),
        (lambda: dc.flow_matching_time(1.0), "`u` needs to be below 1"),
        (lambda: dc.ddpm_times([0.1, 1.0]), "`betas` needs two or more variances"),
        (lambda: dc.linear_betas(1), "`linear_betas` needs n >= 2"),
        (lambda: dc.linear_betas(10, 0.2, 0.1), "`linear_betas` needs n >= 2, 0 < low <= high < 1"),
        (lambda: dc.nearest_ddpm_index(6.0, dc.linear_betas()), "`t` needs times of the schedule"),
        (lambda: dc.nearest_ddpm_index(0.0, dc.linear_betas()), "`t` needs times of the schedule"),
    ],
)
def test_arguments_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
