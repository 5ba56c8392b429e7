"""One exponential step: what it is at its limits, its coefficients, its refusals."""

import numpy as np
import pytest
from fast_samplers import VP, kind
from scipy.integrate import solve_ivp

from diffphys.processes import Brownian, OrnsteinUhlenbeck
from diffphys.samplers import Bridge
from diffphys.samplers.adams import DEIS
from diffphys.samplers.exponential import DDIM, ExponentialSDE

TIMES = np.array([4.0, 1.0, 0.9, 0.1, 1e-4])
SAME = {
    "ancestral": (Bridge, kind(DDIM, 1.0), ExponentialSDE),
    "deterministic": (
        DDIM,
        kind(ExponentialSDE, 0.0),
        kind(ExponentialSDE, 0.0, "noise"),
        *(kind(DEIS, 1, basis) for basis in ("t", "rho", "lambda")),
    ),
}


@pytest.mark.parametrize("names", SAME)
def test_samplers_that_are_one_have_the_same_table(names):
    first, *others = (make(OrnsteinUhlenbeck(1.7), lambda y, v: y).plan(TIMES) for make in SAME[names])
    for other in others:
        assert first.state.keys() == other.state.keys()
        for term, values in first.state.items():
            np.testing.assert_allclose(other.state[term], values, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("level", [0.3, 1.0, 1.8])
@pytest.mark.parametrize("prediction", ["data", "noise", "score"])
def test_exponential_step_has_the_coefficients_of_its_papers(level, prediction):
    """In x, with mu = e^-t: as printed, but for the factor 2 of SEEDS-1, which is 1 + tau^2 at any level."""
    t, s = 1.2, 0.3
    mu, sigma = np.exp([-t, -s]), np.sqrt(-np.expm1([-2 * t, -2 * s]))
    h = np.log(mu[1] / sigma[1]) - np.log(mu[0] / sigma[0])
    row = ExponentialSDE(OrnsteinUhlenbeck(), lambda y, v: y, level, prediction).plan(np.array([t, s]))
    if prediction == "data":
        state = sigma[1] / sigma[0] * np.exp(-(level**2) * h)
        data = mu[1] * (1 - np.exp(-(1 + level**2) * h))
        noise = sigma[1] * np.sqrt(1 - np.exp(-2 * level**2 * h))
    elif prediction == "score":
        # e^(t - s) x + (1 + tau^2) (e^(t - s) - 1) score, the score (mu a - x) / sigma^2.
        pull, noise = (1 + level**2) * np.expm1(t - s) / sigma[0] ** 2, level * np.sqrt(np.expm1(2 * (t - s)))
        state, data = mu[1] / mu[0] - pull, pull * mu[0]
    else:
        pull = -(1 + level**2) * sigma[1] * (np.exp(h) - 1)
        state, data = mu[1] / mu[0] + pull / sigma[0], -pull * mu[0] / sigma[0]
        noise = level * sigma[1] * np.sqrt(np.exp(2 * h) - 1)
    got = [row.state[term].item() for term in (("state", 0), ("data", 0), ("noise", 0))]
    np.testing.assert_allclose(got, [state, data, noise], rtol=1e-12)


@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(0.7), Brownian(1.3), VP], ids=["ou", "ve", "vp"])
def test_a_held_score_is_exact_where_the_score_is_constant(process):
    """Far off one datum it nearly is: there x moves by the integral of its own linear equation."""
    t, s = 0.9, 0.4
    row = ExponentialSDE(process, lambda y, v: y, 0.0, "score").plan(np.array([t, s]))
    flow = solve_ivp(
        lambda u, x: process.coefficients(u)[0] * x - 0.5 * process.coefficients(u)[1] ** 2,
        (t, s), [0.0], rtol=1e-11, atol=1e-13,
    )  # fmt: skip
    # A score of 1 at x = 0 is an estimate of sigma^2 / mu there.
    kernel = process.kernel(t)
    np.testing.assert_allclose(row.state["data", 0] * kernel.factor**2 / kernel.mean, flow.y[0, -1], rtol=1e-9)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_an_eta_out_of_range_is_refused(eta):
    with pytest.raises(ValueError, match=r"`DDIM` needs `eta` in \[0, 1\]"):
        DDIM(OrnsteinUhlenbeck(), lambda y, v: y, eta)


@pytest.mark.parametrize("level", [-1.0, float("nan"), float("inf")])
def test_a_noise_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="`ExponentialSDE` needs a finite `noise_level >= 0`"):
        ExponentialSDE(OrnsteinUhlenbeck(), lambda y, v: y, level)


def test_an_unknown_prediction_is_refused(unchecked):
    with pytest.raises(ValueError, match='`prediction` to be "data", "noise" or "score"'):
        ExponentialSDE(OrnsteinUhlenbeck(), lambda y, v: y, prediction="velocity")
