"""Grids with most steps where the class is decided."""

import jax.random as jr
import numpy as np
import pytest

import diffphys as dp
from diffphys.clocks import log_snr, log_snr_grid

OU = dp.OrnsteinUhlenbeck()


@pytest.fixture(scope="module")
def measured():
    target = dp.reduce(dp.symmetric_mixture(np.ones(4096))).target
    times = np.linspace(2.0, 8.0, 25)
    return target, dp.speciation(target, OU, times, key=jr.key(0), samples=2000, progress=False)


def test_steps_are_dense_where_information_falls(measured):
    _, ds = measured
    ts = dp.focused_grid(ds)(9.0, 0.5, 40)
    assert (ts[0], ts[-1], len(ts)) == (9.0, 0.5, 41)
    about = ds.attrs["crossing_time"]
    lengths = np.diff(log_snr(ts))
    near = np.abs(ts[:-1] - about) < 0.5
    assert lengths[near].max() < 0.4 * lengths.mean()
    # A quarter of the steps is spread evenly: none is longer than four times the mean.
    assert lengths.max() < 4.01 * lengths.mean()


def test_no_share_is_the_uniform_grid(measured):
    np.testing.assert_allclose(dp.focused_grid(measured[1], 0.0)(3.0, 0.2, 12), log_snr_grid(3.0, 0.2, 12), rtol=1e-12)


def test_where_nothing_falls_steps_are_even(measured):
    np.testing.assert_allclose(dp.focused_grid(measured[1])(0.9, 0.1, 12), log_snr_grid(0.9, 0.1, 12), rtol=1e-12)


def test_clones_are_less_biased_by_as_many_steps(measured):
    target, ds = measured
    sampler = dp.DPMSolverMultistep(OU, target.posterior_mean, stochastic=True)
    excess = [
        dp.speciation(
            target, OU, [4.0], key=jr.key(1), clones=10_000, samples=None, steps=8, stop=0.5, sampler=sampler,
            grid=grid, progress=False,
        ).phi_clones_excess
        for grid in (log_snr_grid, dp.focused_grid(ds))
    ]  # fmt: skip
    # Both errors are 0.005; the biases 0.049 and 0.004.
    assert abs(float(excess[1][0])) + 0.015 < abs(float(excess[0][0]))


@pytest.mark.parametrize(("share", "words"), [(1.0, "`share` needs"), (-0.1, "`share` needs")])
def test_a_share_outside_its_range_is_refused(measured, share, words):
    with pytest.raises(ValueError, match=words):
        dp.focused_grid(measured[1], share)


def test_a_result_without_information_is_refused(measured):
    with pytest.raises(ValueError, match="needs `class_information`"):
        dp.focused_grid(measured[1].drop_vars("class_information"))
