"""Heun's rule in the noise level, and the churn before it."""

import numpy as np
import pytest

from diffphys.clocks import karras_grid
from diffphys.processes import Brownian, OrnsteinUhlenbeck
from diffphys.samplers.edm import EDM

LEVELS = np.geomspace(50.0, 0.02, 9)


def noise_weights(**options):
    """Of the churn's noise in the observation at the start of each step, in units of the noise level there."""
    row = EDM(Brownian(), lambda y, v: y, **options).plan(LEVELS**2)
    return row.stages[0].channel[("noise", 0)] / LEVELS[:-1], row.stages[0].variance / LEVELS[:-1] ** 2


def test_churn_goes_up_by_gamma_of_the_paper():
    noise, variance = noise_weights(churn=2.0, noise_factor=1.007)
    np.testing.assert_allclose(variance, (1 + 2.0 / 8) ** 2, rtol=1e-12)
    np.testing.assert_allclose(noise, 1.007 * np.sqrt((1 + 2.0 / 8) ** 2 - 1), rtol=1e-12)


def test_churn_at_most_doubles_the_variance():
    noise, variance = noise_weights(churn=80.0)
    np.testing.assert_allclose(variance, 2.0, rtol=1e-12)
    np.testing.assert_allclose(noise, 1.0, rtol=1e-12)


def test_there_is_no_churn_outside_of_its_range():
    noise, variance = noise_weights(churn=2.0, noise_range=(0.05, 5.0))
    inside = (LEVELS[:-1] >= 0.05) & (LEVELS[:-1] <= 5.0)
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(noise > 0, inside)
    np.testing.assert_allclose(variance[~inside], 1.0, rtol=1e-12)


def test_both_evaluations_are_at_the_noise_levels_of_the_step():
    ts = karras_grid(3.0, 1e-3, 6)
    row = EDM(OrnsteinUhlenbeck(), lambda y, v: y).plan(ts)
    variances = OrnsteinUhlenbeck().table(ts).variance
    np.testing.assert_allclose(row.stages[0].variance, variances[:-1], rtol=1e-12)
    np.testing.assert_allclose(row.stages[1].variance, variances[1:], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"churn": -1.0}, "`EDM` needs a finite `churn >= 0`"),
        ({"churn": float("inf")}, "`EDM` needs a finite `churn >= 0`"),
        ({"noise_range": (2.0, 1.0)}, "`EDM` needs a `noise_range` with 0 <= low <= high"),
        ({"noise_range": (-1.0, 1.0)}, "`EDM` needs a `noise_range` with 0 <= low <= high"),
        ({"noise_factor": 0.0}, "`EDM` needs a finite `noise_factor > 0`"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EDM(OrnsteinUhlenbeck(), lambda y, v: y, **options)
