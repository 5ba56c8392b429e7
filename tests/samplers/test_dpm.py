"""DPM-Solver: its middle evaluation, its extrapolation, the grids it is not for."""

import numpy as np
import pytest
from fast_samplers import VARIANCE, kind, variance_errors, vp_grid
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps

from diffphys.clocks import log_snr_grid, uniform_grid
from diffphys.processes import OrnsteinUhlenbeck
from diffphys.samplers.bridge import Bridge
from diffphys.samplers.dpm import DPMSolver2, DPMSolverMultistep
from diffphys.samplers.exponential import DDIM
from diffphys.samplers.sa_solver import SASolver

OU = OrnsteinUhlenbeck()


@pytest.mark.parametrize("r", [0.3, 0.5, 1.0])
def test_the_middle_evaluation_is_where_r_says_in_log_snr(r):
    ts = np.array([2.0, 0.5, 0.01])
    row = DPMSolver2(OrnsteinUhlenbeck(), lambda y, v: y, r).table(ts)
    logs = np.log(OrnsteinUhlenbeck().table(ts).variance)
    np.testing.assert_allclose(np.log(row.stages[1].variance), (1 - r) * logs[:-1] + r * logs[1:], atol=1e-12)


@pytest.mark.parametrize("stochastic", [False, True])
def test_the_multistep_extrapolates_by_the_ratio_of_steps_and_starts_without(stochastic):
    """As printed, r = h_prev / h on a grid of unequal steps."""
    levels = np.array([4.0, 2.0, 1.5, 0.3])
    row = DPMSolverMultistep(OrnsteinUhlenbeck(), lambda y, v: y, stochastic).table(0.5 * np.log1p(levels**2))
    means, h = OrnsteinUhlenbeck().table(0.5 * np.log1p(levels**2)).mean, np.log(levels[:-1] / levels[1:])
    whole = means[1:] * -np.expm1(-(2 if stochastic else 1) * h)
    share = np.concatenate([[0.0], 0.5 * h[1:] / h[:-1]])
    np.testing.assert_allclose(row.state[("data", 0)], whole * (1 + share), rtol=1e-12)
    np.testing.assert_allclose(row.state[("past", 0)], -whole * share, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("stochastic", "one"), [(False, DDIM), (True, Bridge)], ids=["ddim", "bridge"])
def test_the_multistep_of_order_1_holds_the_prediction(stochastic, one):
    ts = log_snr_grid(2.0, 0.01, 6)
    got, wanted = (
        sampler.table(ts).state
        for sampler in (DPMSolverMultistep(OU, lambda y, v: y, stochastic, 1), one(OU, lambda y, v: y))
    )
    assert got.keys() == wanted.keys()
    for term, values in wanted.items():
        np.testing.assert_allclose(got[term], values, rtol=1e-12)


@pytest.mark.parametrize("stochastic", [False, True])
def test_the_multistep_of_order_3_is_the_predictor_of_stochastic_adams(stochastic):
    """Once it has three predictions: both take the parabola through them."""
    ts = log_snr_grid(2.0, 0.01, 6)
    adams = SASolver(OU, lambda y, v: y, 3, 0, float(stochastic)).table(ts).state
    for term, values in DPMSolverMultistep(OU, lambda y, v: y, stochastic, 3).table(ts).state.items():
        np.testing.assert_allclose(adams[term][2:], values[2:], rtol=1e-11)


def test_the_stochastic_multistep_of_order_3_is_of_weak_order_2():
    grids = [log_snr_grid(6.0, 1e-2, steps) for steps in (400, 800)]
    start, wanted = (marginal(OU, t, VARIANCE) for t in (6.0, 1e-2))
    maps = step_maps(DPMSolverMultistep(OU, gaussian_denoiser(VARIANCE), True, 3), *grids)
    errors = [abs(end_covariance(steps, start) - wanted).item() for steps in maps]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.15, errors


def test_an_order_out_of_range_is_refused():
    with pytest.raises(ValueError, match="`DPMSolverMultistep` needs `order` to be a whole number, 1 to 3"):
        DPMSolverMultistep(OU, lambda y, v: y, order=4)


def test_a_grid_uniform_in_time_spoils_the_stochastic_multistep():
    """A known trap: 1.46 of the variance too much, against .059 on a grid uniform in log-SNR."""
    make = kind(DPMSolverMultistep, True)
    uniform, good = variance_errors(make, 1 / 16, uniform_grid(1.0, 1e-3, 20), vp_grid(20))
    np.testing.assert_allclose([uniform, good], [1.46, 0.059], rtol=5e-3)


@pytest.mark.parametrize("r", [0.0, 1.1, float("nan")])
def test_an_r_out_of_range_is_refused(r):
    with pytest.raises(ValueError, match=r"`DPMSolver2` needs `r` in \(0, 1\]"):
        DPMSolver2(OrnsteinUhlenbeck(), lambda y, v: y, r)
