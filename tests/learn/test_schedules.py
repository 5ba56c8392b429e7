"""The states that networks see: exact indices, nearest ones, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffphys import clocks
from diffphys.learn.continuous import (
    CosineSchedule,
    EDMSchedule,
    ExplodingSchedule,
    StraightSchedule,
    VariancePreservingSchedule,
)
from diffphys.learn.outputs import ResidualOutput
from diffphys.learn.schedules import DiscreteSchedule

DDPM = DiscreteSchedule.from_betas(clocks.linear_betas())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ddpm_levels_are_found_at_their_index(oracles, dtype):
    entry = oracles["ddpm_linear_time_map"]
    alphas = oracles["ddpm_linear_alphabar"]
    index = np.array(entry["inputs"]["index_0based"])
    level = jax.vmap(DDPM.locate)(jnp.asarray(np.expm1(2 * np.array(entry["value"])), dtype))
    np.testing.assert_array_equal(level.argument, index)
    rounding = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(np.asarray(level.signal) ** 2, alphas["value"], rtol=rounding)
    np.testing.assert_allclose(DDPM.signals[index] ** 2, alphas["value"], rtol=alphas["tol"])
    np.testing.assert_allclose(DDPM.log_variances[index], np.log(np.expm1(2 * np.array(entry["value"]))), rtol=1e-11)


@pytest.mark.parametrize("schedule", [DDPM, DiscreteSchedule(np.ones(30), np.geomspace(9.0, 0.1, 30))])
def test_noise_between_levels_is_asked_at_the_nearest_in_its_logarithm(schedule):
    log_v = np.random.default_rng(0).uniform(*np.log(schedule.variances), 500)
    nearest = np.abs(log_v[:, None] - schedule.log_variances[None]).argmin(1)
    np.testing.assert_array_equal(jax.vmap(schedule.locate)(jnp.asarray(np.exp(log_v))).argument, nearest)


def test_continuous_schedules_show_the_clocks_of_their_papers():
    v = np.geomspace(1e-6, 1e4, 21)
    t = clocks.time_of_variance(v)
    for schedule, clock in (
        (VariancePreservingSchedule(), clocks.vp_clock(t)),
        (VariancePreservingSchedule(0.5, 0.5), 4 * t),
        (StraightSchedule(), clocks.flow_matching_clock(t)),
        (ExplodingSchedule(), clocks.clocks(t)["sigma_v"]),
        (CosineSchedule(0.0), 2 / np.pi * np.arctan(np.sqrt(v))),
    ):
        np.testing.assert_allclose(jax.vmap(schedule.locate)(jnp.asarray(v)).argument, clock, rtol=1e-12)


def test_small_noise_keeps_its_digits_in_float32():
    """sigma / alpha = sqrt(v) of the states at the argument of v = 1e-8, argument and states in float32."""
    v = jnp.float32(1e-8)
    for schedule in (VariancePreservingSchedule(), CosineSchedule(0.0), StraightSchedule(), EDMSchedule()):
        signal, noise_std = schedule.level(schedule.locate(v).argument)
        np.testing.assert_allclose(noise_std / signal, 1e-4, rtol=1e-5)


def test_the_ends_of_a_schedule_bound_its_noise():
    np.testing.assert_allclose(VariancePreservingSchedule(ends=(0.0, 1.0)).times, (0, clocks.vp_time(1.0)), rtol=1e-14)
    np.testing.assert_allclose(EDMSchedule(ends=(0.002, 80.0)).variances, (4e-6, 6400), rtol=1e-14)
    np.testing.assert_allclose(ExplodingSchedule(ends=(0.002, 80.0)).variances, (4e-6, 6400), rtol=1e-14)
    np.testing.assert_allclose(CosineSchedule(0.0, (0.5, 2 / 3)).variances, (1, 3), rtol=1e-14)
    assert CosineSchedule().variances[0] == 0
    np.testing.assert_allclose(StraightSchedule(ends=(0.5, 1.0)).variances, (1, np.inf))
    first, second, *_, last = clocks.ddpm_times(clocks.linear_betas())
    assert DDPM.times[0] < first < second
    assert last < DDPM.times[1] < last + 0.5 * 0.02


def test_noise_that_does_not_rise_throughout_is_refused_by_its_index():
    with pytest.raises(ValueError, match=r"Got v = 9 at index 2 and 4 at index 3"):
        DiscreteSchedule(np.ones(5), [1.0, 2.0, 3.0, 2.0, 5.0])
    with pytest.raises(ValueError, match=r"Got v = 1 at index 1 and 1 at index 2"):
        DiscreteSchedule(np.ones(3), [2.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiscreteSchedule([1.0, 0.0], [1.0, 2.0]), "`signals` needs two or more positive numbers"),
        (lambda: DiscreteSchedule([1.0, 1.0], [np.inf, 2.0]), "`noise_stds` needs two or more positive numbers"),
        (lambda: DiscreteSchedule([1.0, 1.0], [1.0, 2.0, 3.0]), "a signal and a noise for each index. Got 2 and 3"),
        (lambda: DiscreteSchedule.from_betas([0.1, 1.0]), "`betas` needs two or more variances"),
        (
            lambda: DiscreteSchedule.from_betas(np.cumprod(1 - clocks.linear_betas())),
            "`betas` needs the variances of single steps. Got numbers that fall",
        ),
        (lambda: VariancePreservingSchedule(20.0, 0.1), "0 < `beta_min` <= `beta_max`"),
        (lambda: VariancePreservingSchedule(ends=(0.0, 1.5)), r"`ends` with 0 <= first < last <= 1"),
        (lambda: CosineSchedule(-0.1), "`CosineSchedule` needs a finite `offset`"),
        (lambda: EDMSchedule(0.0), "`EDMSchedule` needs a finite `data_std`"),
        (lambda: ResidualOutput(0.0), "`ResidualOutput` needs a finite `data_std`"),
        (lambda: ExplodingSchedule(ends=(80.0, 0.002)), r"`ExplodingSchedule` needs `ends`"),
        (lambda: ExplodingSchedule(jnp.log), "undoes `to_argument`. Got -2.303 back for sigma = 0.1"),
        (lambda: ExplodingSchedule(jnp.log, jnp.exp2, (1.0, 2.0)), "Got 1.617 back for sigma = 2"),
        (lambda: StraightSchedule(ends=(-0.1, 1.0)), r"`StraightSchedule` needs `ends`"),
    ],
)
def test_schedules_that_are_none_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("stds", [[1.0, 2.0, 8.0], [8.0, 2.0, 1.0]], ids=["rising", "falling"])
def test_levels_reach_half_a_step_beyond_the_first_and_the_last(stds):
    """Of the logarithm of the noise: v = 1, 4, 64 has steps of a factor 4 and of 16."""
    np.testing.assert_allclose(DiscreteSchedule(np.ones(3), np.array(stds)).variances, [1 / 2, 64 * 4], rtol=1e-12)
