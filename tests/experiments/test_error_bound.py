"""The generated law on a Gaussian: exact against simulation, against closed forms, and below its bounds."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments._gaussian_flow import GaussianLaw, push
from diffphys.thermo import generated_spectrum

SPECTRUM = np.array([0.5, 1.0, 2.0, 0.1])


@pytest.fixture(scope="module")
def run():
    return dp.error_bound(SPECTRUM, steps=(64, 256, 1024), horizons=(1.0, 2.0, 4.0), score_errors=(0.0, 0.1, 0.4))


def test_a_law_pushed_through_a_sampler_is_that_of_its_simulation():
    law = dp.Gaussian(np.array([1.0, -0.5]), np.array([0.5, 2.0]))
    process = dp.OrnsteinUhlenbeck(1.5)
    sampler = dp.ReverseSDE(process, law.posterior_mean)
    ts, count = np.geomspace(1.5, 0.1, 9), 20_000

    def linear(variance, t):
        slope = np.array([0.5, 2.0]) / (np.array([0.5, 2.0]) + variance)
        return slope, (1 - slope) * np.array([1.0, -0.5])

    start = GaussianLaw(np.array([0.3, 0.0]), np.array([1.0, 2.0]))
    pushed = push(sampler, linear, start, ts)
    noise_key, walk_key = jax.random.split(jax.random.key(0))
    z = start.mean[None] + np.sqrt(start.variance)[None] * jax.random.normal(noise_key, (count, 2))
    ends = np.asarray(
        jax.jit(jax.vmap(lambda key, z: dp.simulate(sampler, key, ts, z)))(jax.random.split(walk_key, count), z)
    )
    assert np.all(np.abs(ends.mean(0) - pushed.mean) < 4 * ends.std(0) / count**0.5)
    assert np.all(np.abs(ends.var(0) - pushed.variance) < 4 * ends.var(0) * (2 / count) ** 0.5)


def test_two_stages_are_pushed_as_one_map():
    # Heun on the flow of a Gaussian: against its own step, whose Jacobian is exact.
    law = dp.Gaussian(np.zeros(1), np.array([0.5]))
    sampler = dp.ProbabilityFlow(dp.OrnsteinUhlenbeck(), law.posterior_mean)
    ts = np.array([1.0, 0.6, 0.3])
    end = dp.simulate(sampler, jax.random.key(0), ts, jax.numpy.ones(1))
    pushed = push(
        sampler, lambda v, t: (np.array([0.5 / (0.5 + v)]), np.zeros(1)), GaussianLaw(np.ones(1), np.ones(1)), ts
    )
    np.testing.assert_allclose(pushed.mean, end, rtol=1e-12)
    np.testing.assert_allclose(pushed.variance, end**2, rtol=1e-12)


def test_steps_converge_to_the_closed_form_of_the_continuous_limit():
    spectrum, t_max = np.array([0.5, 2.0]), 2.0
    ds = dp.error_bound(
        spectrum, mean=0.0, score_errors=[0.0], steps=[200, 400, 800], horizons=[t_max], stop=1e-3,
        grid=dp.clocks.log_snr_grid,
    )  # fmt: skip
    variance = np.asarray(generated_spectrum(spectrum, t_max))
    limit = float(np.sum((np.sqrt(variance) - np.sqrt(spectrum)) ** 2)) ** 0.5
    distances = np.sqrt(ds.wasserstein.values[0, :, 0])
    # First order, towards the error of the prior alone; the stop at 1e-3 adds less than that to it.
    gaps = np.abs(distances - limit)
    assert gaps[2] < 1e-2
    np.testing.assert_allclose(gaps[0] / gaps[1], 2, atol=0.35)


def test_total_variation_stays_below_its_bound_up_to_the_steps(run):
    excess = run.total_variation - run.bound
    assert np.all(excess.sel(steps=1024) < 0.008)
    # First order in the step: what is above the limit halves with it, twice over.
    error = run.total_variation.sel(score_error=0.0, horizon=4.0)
    np.testing.assert_allclose(error.sel(steps=64) / error.sel(steps=256), 4, atol=0.6)


def test_an_error_of_the_score_costs_a_root_of_the_horizon_and_not_its_exponential(run):
    fine = run.sel(steps=1024)
    growth = float(
        fine.total_variation.sel(score_error=0.4, horizon=4.0) / fine.total_variation.sel(score_error=0.4, horizon=2.0)
    )
    assert 1 < growth < 2**0.5 < np.exp(2.0)
    # Linear in the error of the score where that is most of it.
    np.testing.assert_allclose(
        fine.total_variation.sel(score_error=0.4, horizon=4.0) / fine.total_variation.sel(score_error=0.1, horizon=4.0),
        4,
        rtol=0.15,
    )


def test_prior_mismatch_falls_with_the_mean(run):
    # e^{-t}, to leading order: the mean is the first cumulant in which data and prior differ.
    ratio = run.prior_mismatch.sel(horizon=2.0) / run.prior_mismatch.sel(horizon=4.0)
    np.testing.assert_allclose(np.log(ratio) / 2, 1, atol=0.02)


def test_stopping_early_costs_a_root_of_time_where_data_do_not_vary():
    found = [
        dp.error_bound([0.0, 0.0, 1.0], mean=0.0, steps=[4], horizons=[1.0], stop=stop).attrs["stopping_wasserstein"]
        for stop in (1e-4, 1e-3)
    ]
    np.testing.assert_allclose(found, [2 * 2e-4, 2 * 2e-3], rtol=2e-3)


def test_what_means_nothing_is_refused(unchecked):
    with pytest.raises(ValueError, match="`spectrum` needs eigenvalues of a covariance"):
        dp.error_bound([-1.0])
    with pytest.raises(ValueError, match="0 < `stop` < `horizons`"):
        dp.error_bound([1.0], stop=2.0)
    with pytest.raises(ValueError, match=r"needs an overdamped sampler.* Got `PNDM` of `OrnsteinUhlenbeck`"):
        dp.error_bound([1.0], sampler=dp.PNDM)
