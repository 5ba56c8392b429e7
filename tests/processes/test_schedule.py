"""Processes run by another clock: published schedules, the moment equations, and what the clock leaves as it is."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_laws import assert_close_by_rows

import diffphys._block as block
from diffphys.clocks import vp_time
from diffphys.processes import (
    AbstractSchedule,
    LinearProcess,
    LinearSchedule,
    OrnsteinUhlenbeck,
    PhaseSpaceLangevin,
    Scheduled,
    ScheduledStationary,
)

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "data/psld_kernel.json").read_text())


class Exponential(AbstractSchedule):
    """beta(t) = exp(c t): a schedule of a user's own."""

    growth: float

    def rate(self, t):
        xp, (t, growth) = block.scalars(t, self.growth)
        return xp.exp(growth * t)

    def clock(self, t):
        xp, (t, growth) = block.scalars(t, self.growth)
        return xp.expm1(growth * t) / growth


VP = ScheduledStationary(OrnsteinUhlenbeck(), LinearSchedule(0.05, 10.0))
SCHEDULED = {
    "vp": VP,
    "psld": ScheduledStationary(PhaseSpaceLangevin(beta=1.0), LinearSchedule(0.5, 8.0)),
    "psld-exponential": ScheduledStationary(PhaseSpaceLangevin(beta=1.0), Exponential(2.0)),
    "twice": Scheduled(VP, LinearSchedule(0.0, 1.0)),
    "recipe": Scheduled(
        LinearProcess(np.array([[-0.5, 1.0], [-1.0, -2.0]]), np.array([[0.2, 0.0], [0.3, 0.8]])), Exponential(0.7)
    ),
}
every_process = pytest.mark.parametrize("process", SCHEDULED.values(), ids=SCHEDULED)


@pytest.mark.parametrize("t", [1e-5, 0.02, 0.5, 1.0])
def test_variance_preserving_process_has_its_published_kernel(t):
    b = 0.1 * t + 0.5 * (20.0 - 0.1) * t**2
    kernel = VP.kernel(t)
    np.testing.assert_allclose(kernel.mean, np.exp(-0.5 * b), rtol=1e-14)
    np.testing.assert_allclose(kernel.cov, -np.expm1(-b), rtol=1e-14)
    drift, noise = VP.coefficients(t)
    np.testing.assert_allclose([drift, noise**2], [-0.5 * (0.1 + 19.9 * t), 0.1 + 19.9 * t], rtol=1e-14)


@pytest.mark.parametrize("t", [1e-5, 0.02, 0.5, 1.0])
def test_variance_preserving_clock_is_that_of_the_grids(t):
    np.testing.assert_allclose(LinearSchedule(0.05, 10.0).clock(t), vp_time(t, 0.1, 20.0), rtol=1e-14)


@pytest.mark.parametrize("row", GOLDEN["psld"], ids=lambda row: f"t={row['t']:g}")
def test_constant_schedule_of_langevin_matches_the_precomputed_law(row):
    process = Scheduled(PhaseSpaceLangevin(0.01, 4.01, 1.0, 0.04), LinearSchedule(8.0, 8.0))
    propagator, _ = process.transition(0.0, row["t"])
    np.testing.assert_allclose(propagator.ravel(), row["propagator"], rtol=1e-11)
    np.testing.assert_allclose(process.kernel(row["t"]).cov[np.tril_indices(2)], row["cov"], rtol=1e-11)


@every_process
def test_law_obeys_the_moment_equations_of_the_coefficients(process):
    """dm/dt = F m, dE/dt = F E and dS/dt = F S + S F' + G G'."""

    def moments(t):
        kernel, (propagator, _) = process.kernel(t), process.transition(jnp.zeros_like(t), t)
        return kernel.mean, kernel.cov, propagator

    compiled = jax.jit(lambda t: jax.jvp(moments, (t,), (jnp.ones_like(t),)))
    for t in (0.05, 0.6):
        (mean, cov, propagator), rates = compiled(jnp.asarray(t))
        drift, noise = map(np.atleast_2d, process.coefficients(t))
        mean, cov, propagator = np.atleast_1d(mean), np.atleast_2d(cov), np.atleast_2d(propagator)
        np.testing.assert_allclose(np.atleast_1d(rates[0]), drift @ mean, rtol=1e-9, atol=1e-12)
        wanted = drift @ cov + cov @ drift.T + noise @ noise.T
        np.testing.assert_allclose(np.atleast_2d(rates[1]), wanted, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(np.atleast_2d(rates[2]), drift @ propagator, rtol=1e-9, atol=1e-11)


@every_process
@pytest.mark.parametrize(("s", "t"), [(1e-4, 2e-4), (0.1, 0.4), (0.3, 1.2)])
def test_transition_is_a_semigroup(process, s, t):
    (first, noise), (then, more), (whole, all_noise) = (
        tuple(map(np.atleast_2d, process.transition(*times))) for times in ((0.0, s), (s, t), (0.0, t))
    )
    np.testing.assert_allclose(whole, then @ first, rtol=1e-11, atol=1e-12)
    assert_close_by_rows(block.join(then @ noise, more), all_noise, 1e-10)
    spread = np.atleast_2d(process.start()[1])
    assert_close_by_rows(process.kernel(t).factor, block.join(whole @ spread, all_noise), 1e-11)


@pytest.mark.parametrize("process", [SCHEDULED["psld"], SCHEDULED["vp"]], ids=["psld", "vp"])
def test_stationary_law_is_kept_at_every_rate(process):
    cov = np.atleast_2d(block.outer(process.stationary()))
    np.testing.assert_array_equal(process.stationary(), process.process.stationary())
    for t in (0.0, 0.3, 2.0):
        drift, noise = map(np.atleast_2d, process.coefficients(t))
        np.testing.assert_allclose(drift @ cov + cov @ drift.T, -noise @ noise.T, atol=1e-13)
    np.testing.assert_allclose(np.atleast_2d(process.kernel(2.0).cov), cov, rtol=1e-10, atol=1e-10)


@every_process
def test_numbers_give_float64_and_jax_times_keep_their_dtype(process):
    host = process.kernel(0.25), process.transition(0.1, 0.25), process.coefficients(0.25)
    assert {type(leaf) for leaf in jax.tree.leaves(host)} <= {np.ndarray, np.float64}
    assert {leaf.dtype for leaf in jax.tree.leaves(host)} == {np.dtype(np.float64)}
    s, t = jnp.float32(0.1), jnp.float32(0.25)
    got = process.kernel(t), process.transition(s, t), process.coefficients(t)
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {jnp.dtype(jnp.float32)}
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=3e-5, atol=1e-5), got, host)


def test_rates_can_be_swept_and_differentiated_and_tabulated():
    variance = lambda rate: Scheduled(OrnsteinUhlenbeck(), LinearSchedule(rate, 3.0)).kernel(0.5).variance  # noqa: E731
    rates = jnp.array([0.5, 2.0])
    b = 0.5 * rates + 0.125 * (3.0 - rates)
    values, slopes = jax.vmap(jax.value_and_grad(variance))(rates)
    np.testing.assert_allclose(values, np.expm1(2 * b), rtol=1e-13)
    # db/drate = t - t^2 / 2.
    np.testing.assert_allclose(slopes, 2 * np.exp(2 * b) * 0.375, rtol=1e-13)
    table = Scheduled(OrnsteinUhlenbeck(), LinearSchedule(rates[0], 3.0)).table(np.array([0.5]))
    assert isinstance(table.variance, np.ndarray)
    np.testing.assert_allclose(table.variance[0], values[0], rtol=1e-13)


@pytest.mark.parametrize(
    ("start", "end"), [(-0.1, 1.0), (2.0, 1.0), (0.0, 0.0), (0.1, np.inf), (np.nan, 1.0), (0.1, np.nan)]
)
def test_rates_out_of_range_are_refused(start, end):
    with pytest.raises(ValueError, match="`LinearSchedule` needs finite rates"):
        LinearSchedule(start, end)


def test_times_that_do_not_go_up_are_refused_in_the_caller_s_time():
    with pytest.raises(ValueError, match=r"s = 0\.5 and t = 0\.4"):
        VP.transition(0.5, 0.4)
    with pytest.raises(ValueError, match="`kernel` t > 0"):
        VP.kernel(0.0)
