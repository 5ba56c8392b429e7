"""Critical exponents of mean-field transitions, with intervals that contain them."""

import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import FOUR, RING, THREE, TWO

from diffphys.thermo import critical_exponents, power_law

CASES = {
    "two points": (TWO, 1.0, [1.0]),
    "four points, axis": (FOUR, 0.5, [1.0, 0.0]),
    "four points, diagonal": (FOUR, 0.5, [1.0, 1.0]),
    "circle": (RING, 0.5, [0.6, 0.8]),
}


@pytest.fixture(scope="module", params=[*list(CASES)[:3], pytest.param("circle", marks=pytest.mark.slow)])
def exponents(request):
    target, variance, direction = CASES[request.param]
    return critical_exponents(target.posterior_mean, jnp.zeros(target.dim), variance, jnp.asarray(direction))


def test_exponents_are_those_of_mean_field_theory(exponents, oracles):
    oracle = oracles["two_delta_exponent_fits"]
    found = [exponents.beta.exponent, exponents.gamma_below.exponent, exponents.delta.exponent]
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])
    np.testing.assert_allclose(found, [0.5, 1, 3], rtol=0, atol=0.002)


def test_intervals_contain_the_limit_and_are_narrow(exponents):
    for fit, limit in ((exponents.beta, 0.5), (exponents.gamma, 1), (exponents.gamma_below, 1), (exponents.delta, 3)):
        assert fit.low <= limit <= fit.high
        assert fit.high - fit.low < 0.002 * limit


def test_susceptibility_above_is_twice_that_below(exponents):
    assert exponents.amplitude_ratio == pytest.approx(2.0, abs=2e-3)
    assert exponents.gamma.amplitude == pytest.approx(1.0, abs=1e-9)


def test_interval_of_a_power_law_with_corrections_contains_its_exponent():
    x = np.geomspace(1e-3, 1e-1, 15)
    fit = power_law(x, np.sqrt(3 * x * (1 + 0.8 * x)))
    assert fit.low < 0.5 < fit.high
    assert abs(fit.exponent - 0.5) > 1e-3
    exact = power_law(x, 2 * x**0.7)
    assert exact.exponent == pytest.approx(0.7, abs=1e-12)
    assert exact.amplitude == pytest.approx(2.0, abs=1e-11)
    assert exact.high - exact.low < 1e-10


def test_interval_of_a_noisy_power_law_covers_at_its_rate():
    rng, x = np.random.default_rng(0), np.geomspace(1, 10, 20)
    fits = [power_law(x, x**2 * np.exp(0.05 * rng.normal(size=20))) for _ in range(200)]
    covered = np.mean([fit.low <= 2 <= fit.high for fit in fits])
    assert covered > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: critical_exponents(lambda y, v: y, jnp.zeros(1, jnp.float32), 1.0, jnp.ones(1)), "needs float64"),
        (lambda: critical_exponents(TWO.posterior_mean, jnp.zeros(1), 1.001, jnp.ones(1)), "`variance` critical"),
        (lambda: critical_exponents(THREE.posterior_mean, jnp.zeros(2), 0.5, jnp.array([1.0, 0])), "continuous trans"),
        (lambda: power_law(np.ones(5), np.ones(5)), "six positive points"),
        (lambda: power_law(np.arange(8.0), np.ones(8)), "six positive points"),
    ],
)
def test_exponents_refuse_what_has_none(call, message):
    with pytest.raises(ValueError, match=message):
        call()
