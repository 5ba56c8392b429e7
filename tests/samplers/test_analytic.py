"""Analytic-DPM: exact for a Gaussian; its variance by estimate and by formula."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps

from diffphys.clocks import log_snr_grid
from diffphys.processes import Brownian, OrnsteinUhlenbeck
from diffphys.samplers import Bridge
from diffphys.samplers.analytic import AnalyticDDPM, mean_square_score
from diffphys.targets import Gaussian

VARIANCE = 0.3


@pytest.mark.parametrize(
    "process", [OrnsteinUhlenbeck(), OrnsteinUhlenbeck(3.0), Brownian(1.3)], ids=["ou", "warm", "brownian"]
)
def test_analytic_ddpm_is_exact_for_a_gaussian_on_any_grid(process):
    """Mean squares of the score from the marginal, as a function and as values at the times of the grid."""
    inverse = lambda t: 1 / marginal(process, t, VARIANCE).item()  # noqa: E731
    for steps in (1, 5, 20):
        ts = log_snr_grid(3.0, 1e-3, steps)
        start, wanted = (marginal(process, ts[i], VARIANCE) for i in (0, -1))
        for squares in (inverse, np.array([inverse(t) for t in ts])):
            (maps,) = step_maps(AnalyticDDPM(process, gaussian_denoiser(VARIANCE), squares), ts)
            np.testing.assert_allclose(end_covariance(maps, start), wanted, rtol=1e-12)


def test_the_noise_lies_between_that_of_the_bridge_and_the_bound_of_the_paper():
    """Whatever the estimate: free variance 0 where it is too large, that of the channel where it is negative."""
    ts = log_snr_grid(2.0, 0.01, 4)
    bridge = Bridge(OrnsteinUhlenbeck(), lambda y, v: y).plan(ts).state[("noise", 0)]
    table = OrnsteinUhlenbeck().table(ts)
    new = 1 - table.variance[1:] / table.variance[:-1]
    bound = np.sqrt(bridge**2 + table.mean[1:] ** 2 * new**2 * table.variance[:-1])
    for square, wanted in ((1e9, bridge), (-1.0, bound)):
        row = AnalyticDDPM(OrnsteinUhlenbeck(), lambda y, v: y, lambda t, square=square: square).plan(ts)
        np.testing.assert_allclose(row.state[("noise", 0)], wanted, rtol=1e-11)


def test_the_mean_square_score_of_gaussian_data_is_the_inverse_variance():
    process, ts, shape = OrnsteinUhlenbeck(), [2.0, 0.4, 0.01], (2000, 3)
    data = jnp.sqrt(VARIANCE) * jr.normal(jr.key(1), shape)
    squares = mean_square_score(jr.key(2), process, Gaussian(jnp.zeros(3), VARIANCE).posterior_mean, data, ts)
    wanted = np.array([1 / marginal(process, t, VARIANCE).item() for t in ts])
    assert (abs(squares / wanted - 1) < 4 * np.sqrt(2 / np.prod(shape))).all()


def test_values_for_another_grid_are_refused():
    sampler = AnalyticDDPM(OrnsteinUhlenbeck(), lambda y, v: y, np.ones(4))
    with pytest.raises(ValueError, match="`mean_square_score` needs a value for each of the 6 times"):
        sampler.plan(np.linspace(1.0, 0.1, 6))
