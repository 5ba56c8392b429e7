"""Laws of noise levels: quantiles and densities that agree, and the processes they come from."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import lognorm

from diffphys import clocks
from diffphys.learn.levels import (
    FlowTimeLevels,
    GeometricLevels,
    LogNormalLevels,
    LogUniformLevels,
    ProcessLevels,
    stratified_levels,
)
from diffphys.processes import Brownian, LinearProcess, OrnsteinUhlenbeck, PhaseSpaceLangevin

CONTINUOUS = {
    "log-normal": LogNormalLevels(),
    "log-uniform": LogUniformLevels(1e-4, 20.0),
    "flow-time": FlowTimeLevels(0.02, 0.97),
    "ou": ProcessLevels(OrnsteinUhlenbeck(), 1e-4, 3.0),
    "psld": ProcessLevels(PhaseSpaceLangevin(), 1e-5, 1.0),
}
LEVELS = jnp.asarray(np.linspace(0.013, 0.991, 23))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_density_is_the_rate_at_which_quantiles_are_passed(name):
    levels = CONTINUOUS[name]

    @jax.jit
    @jax.vmap
    def rate_and_density(level):
        variance, rate = jax.value_and_grad(lambda level: levels.variance(level))(level)
        return rate, levels.density(variance)

    rates, densities = rate_and_density(LEVELS)
    np.testing.assert_allclose(rates * densities, 1.0, rtol=1e-8)
    assert np.all(rates > 0)


def test_log_normal_levels_are_those_of_scipy():
    """Of the standard deviation as in EDM, so that ln v has twice the mean and twice the deviation."""
    law = lognorm(s=2.4, scale=np.exp(-2.4))
    levels = LogNormalLevels(-1.2, 1.2)
    variances = jax.vmap(levels.variance)(LEVELS)
    np.testing.assert_allclose(variances, law.ppf(LEVELS), rtol=1e-10)
    np.testing.assert_allclose(jax.vmap(levels.density)(variances), law.pdf(variances), rtol=1e-10)


def test_the_levels_of_a_process_are_its_own_at_uniform_times():
    times = 1e-4 + (3.0 - 1e-4) * np.asarray(LEVELS)
    got = jax.vmap(CONTINUOUS["ou"].variance)(LEVELS)
    np.testing.assert_allclose(got, clocks.variance_of_time(times), rtol=1e-4)
    process = PhaseSpaceLangevin()
    times = 1e-5 + (1.0 - 1e-5) * np.asarray(LEVELS)
    np.testing.assert_allclose(
        jax.vmap(CONTINUOUS["psld"].variance)(LEVELS), [process.kernel(t).variance for t in times], rtol=1e-4
    )


def test_uniform_times_of_brownian_motion_are_uniform_variances():
    levels = ProcessLevels(Brownian(2.0), 0.25, 4.0)
    np.testing.assert_allclose(jax.vmap(levels.variance)(LEVELS), 1 + 15 * LEVELS, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(levels.density)(1 + 15 * LEVELS), 1 / 15, rtol=1e-10)


def test_flow_times_are_the_clock_of_the_straight_path():
    variances = jax.vmap(FlowTimeLevels(0.02, 0.97).variance)(LEVELS)
    got = clocks.flow_matching_clock(clocks.time_of_variance(np.asarray(variances)))
    np.testing.assert_allclose(got, 0.02 + 0.95 * LEVELS, rtol=1e-12)


def test_geometric_levels_are_the_ten_of_ncsn_alike_often():
    levels = GeometricLevels(1.0, 1e-4, 10)
    variances = np.asarray(jax.vmap(levels.variance)(jnp.asarray((np.arange(1000) + 0.5) / 1000)))
    np.testing.assert_allclose(np.sqrt(variances[::100]), np.geomspace(1, 0.01, 10), rtol=1e-12)
    np.testing.assert_array_equal(variances, np.repeat(variances[::100], 100))


def test_the_highest_level_below_one_is_the_last_of_a_geometric_progression():
    highest = jnp.asarray(np.nextafter(np.float32(1), np.float32(0)))
    np.testing.assert_allclose(GeometricLevels(1.0, 1e-4, 48).variance(highest), 1e-4, rtol=1e-6)


@pytest.mark.parametrize("levels", [*CONTINUOUS.values(), GeometricLevels(1.0, 1e-4)], ids=lambda x: type(x).__name__)
def test_a_level_in_float32_gives_a_variance_in_float32(levels):
    level = jnp.asarray(0.37, jnp.float32)
    variance = levels.variance(level)
    assert variance.dtype == jnp.float32
    np.testing.assert_allclose(variance, levels.variance(0.37), rtol=3e-5)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_density_in_float32_is_that_in_float64(name):
    variance = CONTINUOUS[name].variance(0.37)
    got = CONTINUOUS[name].density(jnp.asarray(variance, jnp.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, CONTINUOUS[name].density(variance), rtol=2e-5)


def test_stratified_levels_are_one_from_each_part_and_uniform():
    number, keys = 8, jr.split(jr.key(0), 4000)
    levels = np.asarray(jax.vmap(lambda key: stratified_levels(key, number))(keys))
    np.testing.assert_array_equal(np.floor(levels * number), np.tile(np.arange(number), (4000, 1)))
    # Of a uniform number in a part, mean and mean square.
    inside = levels * number - np.arange(number)
    for power in (1, 2):
        values = inside**power
        assert abs(values.mean() - 1 / (power + 1)) < 4 * values.std() / np.sqrt(values.size)


@pytest.mark.parametrize(("dtype", "number"), [(jnp.float16, 1), (jnp.float16, 16), (jnp.float32, 2**20)])
def test_stratified_levels_never_reach_their_ends(dtype, number):
    """In half precision a uniform number is 0 once in a thousand draws; of a million parts the last one rounds to 1."""
    keys = jr.split(jr.key(1), max(1, 20_000 // number))
    levels = np.asarray(jax.vmap(lambda key: stratified_levels(key, number, dtype))(keys))
    assert levels.dtype == dtype
    assert levels.min() > 0
    assert levels.max() < 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogNormalLevels(0.0, 0.0), "`std > 0`. Got 0.0 and 0.0"),
        (lambda: LogNormalLevels(np.inf, 1.0), "finite `mean`"),
        (lambda: LogUniformLevels(1.0, 1.0), "`LogUniformLevels` needs finite noise variances 0 < low < high"),
        (lambda: FlowTimeLevels(0.0, 1.1), "0 <= low < high <= 1"),
        (lambda: ProcessLevels(Brownian(), 0.0, 1.0), "`ProcessLevels` needs finite times 0 < low < high"),
        (lambda: ProcessLevels(LinearProcess(np.eye(1), np.eye(1)), 1.0, 100.0), "a noise that grows"),
        (lambda: GeometricLevels(1.0, 0.0), "positive finite ends"),
        (lambda: GeometricLevels(1.0, 0.1, 1), "`number >= 2`"),
        (lambda: stratified_levels(jr.key(0), 0), "`number >= 1`. Got 0"),
    ],
)
def test_bad_levels_are_refused(make, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        make()
