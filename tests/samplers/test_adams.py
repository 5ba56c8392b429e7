"""Adams-Bashforth: integrals in closed form, exactness on polynomials."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from diffphys.clocks import log_snr_grid
from diffphys.processes import Brownian, OrnsteinUhlenbeck
from diffphys.samplers import simulate
from diffphys.samplers.adams import DEIS, FlowAdams
from diffphys.samplers.channel import ChannelStep
from diffphys.samplers.table import Step

GRIDS = {
    "long": np.array([3.0, 1.0, 0.2, 1e-3]),
    "uneven": np.array([3.0, 2.9, 0.5, 0.45]),
    "short": np.array([0.5, 0.4998, 0.4995, 0.4993]),
}


def first_moments(ts, basis):
    r"""$\int (x - x_t)\,d\rho$ over the last step, x the variable of the basis, of OU in closed form."""
    t, s = ts[-2:]
    rho_t, rho_s = np.sqrt(np.expm1(2 * ts[-2:]))
    if basis == "t":
        # The integral of rho dt is rho - arctan(rho).
        area = rho_s - rho_t - np.arctan((rho_s - rho_t) / (1 + rho_s * rho_t))
        return (s - t) * rho_s - area
    if basis == "rho":
        return 0.5 * (rho_s - rho_t) ** 2
    return -rho_s * np.log(rho_s / rho_t) + rho_s - rho_t


@pytest.mark.parametrize("basis", ["t", "rho", "lambda"])
@pytest.mark.parametrize("grid", GRIDS)
def test_integrals_of_the_polynomials_have_their_closed_forms(grid, basis):
    """The polynomials sum to 1, and sum to x with the knots as weights."""
    process, ts = OrnsteinUhlenbeck(), GRIDS[grid]
    step = ChannelStep(Step(process, ts, 2, {}))
    weights = DEIS(process, lambda y, v: y, 3, basis).integrals(step, 3)
    knots = {
        "t": ts[2::-1],
        "rho": np.sqrt(np.expm1(2 * ts[2::-1])),
        "lambda": -0.5 * np.log(np.expm1(2 * ts[2::-1])),
    }[basis]
    size = np.abs(weights).sum()
    assert abs(weights.sum() - (step.rho_s - step.rho)) < 1e-12 * size
    away = abs(weights) @ abs(knots - knots[0])
    # On a short step the closed form cancels, our quadrature does not: hence the rounding of rho.
    assert abs(weights @ (knots - knots[0]) - first_moments(ts, basis)) < 1e-12 * away + 1e-15 * step.rho


@pytest.mark.parametrize("basis", ["t", "rho", "lambda"])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_deis_is_exact_for_noise_that_is_a_polynomial_of_its_basis(order, basis):
    """Once the past is full. On Brownian motion rho = sqrt(t), so that all three integrals are elementary."""
    ts = np.array([4.0, 3.2, 2.0, 1.7, 1.1, 0.6, 0.5])
    power = order - 1
    noise = {
        "t": lambda v: v**power,
        "rho": lambda v: jnp.sqrt(v) ** power,
        "lambda": lambda v: (-0.5 * jnp.log(v)) ** power,
    }[basis]
    sampler = DEIS(Brownian(), lambda y, v: y - jnp.sqrt(v) * noise(v), order, basis)
    path = simulate(sampler, jr.key(0), ts, jnp.zeros(1), path=True)[:, 0]
    rho = np.sqrt(ts)
    if basis == "lambda":
        # The integral of (-log rho)^n is rho sum_k n! / k! (-log rho)^k, k up to n.
        logs, falling = -np.log(rho), np.ones_like(rho)
        for n in range(1, power + 1):
            falling = logs**n + n * falling
        whole = rho * falling
    else:
        exponent = 2 * power + 1 if basis == "t" else power + 1
        whole = rho**exponent / exponent
    np.testing.assert_allclose(np.diff(path)[power:], np.diff(whole)[power:], rtol=1e-11)


def test_deis_in_time_sees_the_clock_and_in_the_noise_level_does_not():
    levels = np.geomspace(5.0, 0.1, 6)
    for basis, same in (("t", False), ("rho", True), ("lambda", True)):
        found = []
        for process, ts in ((Brownian(), levels**2), (OrnsteinUhlenbeck(), 0.5 * np.log1p(levels**2))):
            row = DEIS(process, lambda y, v: y, 2, basis).table(ts)
            found.append(row.state[("past", 0)] / process.table(ts).mean[1:])
        assert np.allclose(*found, rtol=1e-9) == same


@pytest.mark.parametrize("steps", [200, 2000])
def test_integrals_in_time_and_in_the_noise_level_agree_on_short_steps(steps):
    """Where the variables are linear in one another, up to the step."""
    ts = log_snr_grid(3.0, 0.1, steps)[:3]
    step = ChannelStep(Step(OrnsteinUhlenbeck(), ts, 1, {}))
    one, other = (DEIS(OrnsteinUhlenbeck(), lambda y, v: y, 2, basis).integrals(step, 2) for basis in ("t", "rho"))
    np.testing.assert_allclose(one, other, rtol=20 / steps)
    np.testing.assert_allclose(other / (step.rho_s - step.rho), [1.5, -0.5], rtol=20 / steps)


@pytest.mark.parametrize("order", [0, 5])
def test_an_order_out_of_range_is_refused(order):
    with pytest.raises(ValueError, match="`DEIS` needs `order` to be a whole number, 1 to 4"):
        DEIS(OrnsteinUhlenbeck(), lambda y, v: y, order)
    with pytest.raises(ValueError, match="`FlowAdams` needs `order`"):
        FlowAdams(OrnsteinUhlenbeck(), lambda y, v: y, order)


def test_an_unknown_basis_is_refused(unchecked):
    with pytest.raises(ValueError, match='`basis` to be "t", "rho" or "lambda"'):
        DEIS(OrnsteinUhlenbeck(), lambda y, v: y, 3, "sigma")
