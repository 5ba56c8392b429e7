"""The engine at the sizes it is made for; the small siblings are in `test_speciation.py`."""

import jax
import numpy as np
import pytest

import diffphys as dp

OU = dp.OrnsteinUhlenbeck()


@pytest.mark.slow
def test_a_million_trajectories_in_low_dimension_agree_to_the_bias():
    target = dp.symmetric_mixture(np.full(2, 1.5, np.float32))
    ds = dp.speciation(
        target, OU, [0.8], key=jax.random.key(0), samples=None, clones=1_000_000, steps=32, stop=0.3
    )  # fmt: skip
    assert float(ds.phi_clones_stderr[0]) < 5e-4
    bias = abs(float(ds.phi_clones_bias[0])) + 2 * float(ds.phi_clones_bias_stderr[0])
    assert abs(float(ds.phi_clones[0] - ds.phi_theory[0])) < 4 * float(ds.phi_clones_stderr[0]) + bias


@pytest.mark.slow
def test_ten_thousand_trajectories_at_the_largest_dimension_of_the_paper():
    target = dp.symmetric_mixture(np.ones(16_384, np.float32))
    t_s = 0.5 * np.log(16_384)
    ds = dp.speciation(
        target, OU, [t_s], key=jax.random.key(0), samples=None, clones=10_000, steps=8, stop=t_s - 1.5,
        sampler=dp.ReverseSDE(OU, target.posterior_mean), grid=dp.clocks.uniform_grid,
    )  # fmt: skip
    bias = abs(float(ds.phi_clones_bias[0])) + 2 * float(ds.phi_clones_bias_stderr[0])
    assert abs(float(ds.phi_clones[0]) - 0.7752) < 4 * float(ds.phi_clones_stderr[0]) + bias
