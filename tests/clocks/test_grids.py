"""Grids that only go down."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from diffphys import clocks as dc

GRIDS = {
    "uniform": dc.uniform_grid,
    "quadratic": dc.quadratic_grid,
    "log_snr": dc.log_snr_grid,
    "karras": dc.karras_grid,
}


@pytest.mark.parametrize("make", GRIDS.values(), ids=GRIDS)
@settings(max_examples=50, deadline=None)
@given(st.floats(1e-2, 10.0), st.floats(1e-7, 0.9), st.integers(1, 200))
def test_grid_goes_down_from_end_to_end(make, t, part, steps):
    ts = make(t, part * t, steps)
    assert (len(ts), ts[0], ts[-1]) == (steps + 1, t, part * t)
    assert (np.diff(ts) < 0).all()


def assert_equal_steps(values):
    steps = np.diff(values)
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-9)


def test_each_grid_is_uniform_in_its_own_clock():
    t, s, steps = 3.0, 1e-3, 40
    assert_equal_steps(dc.uniform_grid(t, s, steps))
    assert_equal_steps(np.sqrt(dc.quadratic_grid(t, s, steps) - s))
    for temperature in (1.0, 0.3):
        assert_equal_steps(dc.log_snr(dc.log_snr_grid(t, s, steps), temperature))
        noise = np.sqrt(dc.variance_of_time(dc.karras_grid(t, s, steps), temperature))
        assert_equal_steps(noise ** (1 / 7))
    assert_equal_steps(np.sqrt(dc.variance_of_time(dc.karras_grid(t, s, steps, rho=1.0))))


def test_karras_grid_is_equation_five_of_the_paper():
    k, n, rho, high, low = np.arange(19), 18, 7.0, 80.0, 0.002
    wanted = (high ** (1 / rho) + k / n * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    ts = dc.karras_grid(float(dc.time_of_variance(high**2)), float(dc.time_of_variance(low**2)), n, rho)
    np.testing.assert_allclose(np.sqrt(dc.variance_of_time(ts)), wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ["uniform", "quadratic", "karras"])
def test_grid_may_end_at_the_data(name):
    assert GRIDS[name](1.0, 0.0, 5)[-1] == 0.0


@pytest.mark.parametrize(
    ("ts", "message"),
    [
        ([1.0], r"at least two .* shape \(1,\)"),
        ([[1.0, 0.5]], r"shape \(1, 2\)"),
        ([1.0, np.nan, 0.1], "Got nan"),
        ([1.0, 0.5, 0.5], r"ts\[1\] = 0\.5 and ts\[2\] = 0\.5"),
        ([0.1, 0.5], "runs from noise down to data"),
        ([1.0, 0.0], r"last time above 0\. Got 0"),
        ([1.0, -0.5], r"last time above 0\. Got -0\.5"),
    ],
)
def test_grid_that_cannot_be_walked_is_refused(ts, message):
    with pytest.raises(ValueError, match=message):
        dc.check_grid(ts)


def test_grid_to_the_data_is_walked_where_asked():
    np.testing.assert_array_equal(dc.check_grid([1, 0], zero=True), [1.0, 0.0])
    with pytest.raises(ValueError, match="last time at least 0"):
        dc.check_grid([1.0, -1e-9], zero=True)


@pytest.mark.parametrize("make", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(
    ("t", "s", "steps"),
    [(0.1, 1.0, 4), (1.0, 1.0, 4), (1.0, -0.1, 4), (np.inf, 0.1, 4), (1.0, 0.1, 0), (1.0, 0.1, 2.5)],
)
def test_grid_with_bad_ends_is_refused(make, t, s, steps, unchecked):
    with pytest.raises(ValueError, match=r"`t` and `s` need 0 <= s < t|`steps` needs a whole number, at least one"):
        make(t, s, steps)


def test_grids_refuse_what_they_cannot_space():
    with pytest.raises(ValueError, match="`s` needs to be above 0"):
        dc.log_snr_grid(1.0, 0.0, 4)
    with pytest.raises(ValueError, match="`rho` needs a positive number"):
        dc.karras_grid(1.0, 0.1, 4, rho=0.0)
