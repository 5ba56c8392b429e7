"""The free energy: closed forms of points, its gradient, and float32."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import FOUR, PATTERNS, TWO, points

import diffphys as dp
from diffphys.thermo import free_energy, magnetisation, regularised_free_energy

TARGETS = {
    "gaussian": dp.Gaussian(np.array([0.3, -1.0]), np.array([[2.0, 0.4], [0.4, 0.5]])),
    "mixture": dp.IsotropicMixture(np.log([0.3, 0.7]), np.array([[1.0, 0.0], [-0.5, 2.0]]), np.array([0.2, 0.7])),
    "data": dp.Empirical(PATTERNS),
}
energy, free = eqx.filter_jit(regularised_free_energy), eqx.filter_jit(free_energy)
mean = eqx.filter_jit(magnetisation)
slope = eqx.filter_jit(lambda target, y, variance: jax.grad(lambda y: regularised_free_energy(target, y, variance))(y))
every_target = pytest.mark.parametrize("name", TARGETS)


@pytest.mark.parametrize("tau", ["0.1", "0.25", "0.5", "0.75", "0.99", "0.999"])
def test_free_energy_of_two_points_falls_by_the_exact_values(oracles, tau):
    oracle = oracles[f"two_delta_m_tau{tau}"]
    m = oracle["value"][0]
    ends = [energy(TWO, jnp.array([x]), jnp.asarray(oracle["inputs"]["tau"])) for x in (0.0, m)]
    assert float(ends[0] - ends[1]) == pytest.approx(oracle["value"][2], abs=oracle["tol"])


@pytest.mark.parametrize("tau", ["0.1", "0.25", "0.45"])
def test_free_energy_of_four_points_equals_the_exact_values(oracles, tau):
    oracle = oracles[f"four_delta_tau{tau}"]
    m, u = oracle["value"][:2]
    places = jnp.array([[0.0, 0.0], [0.0, m], [u, u]])
    found = [energy(FOUR, y, jnp.asarray(oracle["inputs"]["tau"])) for y in places]
    np.testing.assert_allclose(found, oracle["value"][2:], rtol=0, atol=oracle["tol"])


@every_target
def test_gradient_of_the_regularised_free_energy_is_the_residual_of_the_denoiser(name):
    y, v, target = jnp.array([0.4, 0.9]), jnp.asarray(0.6), TARGETS[name]
    np.testing.assert_allclose(slope(target, y, v), y - mean(target, y, v), rtol=0, atol=1e-13)


@every_target
def test_magnetisation_is_the_response_of_the_free_energy_to_the_field(name):
    y, v, step, target = jnp.array([0.4, 0.9]), jnp.asarray(0.6), 1e-5, TARGETS[name]
    rises = [(free(target, y + step * e, v) - free(target, y - step * e, v)) / (2 * step) for e in jnp.eye(2)]
    np.testing.assert_allclose(mean(target, y, v), -np.array(rises), rtol=0, atol=1e-9)


def test_free_energy_of_one_point_is_the_energy_of_a_spring():
    one = points([[2.0, -1.0]])
    y = jnp.array([0.5, 0.5])
    assert float(energy(one, y, jnp.asarray(0.3))) == pytest.approx(0.5 * (1.5**2 + 1.5**2), abs=1e-14)
    assert float(free(one, y, jnp.asarray(0.3))) == pytest.approx(-(2 * 0.5 - 0.5) + 0.5 * 5, abs=1e-14)


def test_free_energy_keeps_its_digits_in_float32():
    """Below the critical variance, where exp(x / v) would overflow."""
    single = dp.IsotropicMixture(*(np.asarray(part, np.float32) for part in ([0, 0], [[1.0], [-1.0]], [0, 0])))
    for x, v in ((0.3, 1e-3), (0.9, 0.01), (0.5, 0.5)):
        found = energy(single, jnp.asarray([x], jnp.float32), jnp.asarray(v, jnp.float32))
        assert found.dtype == jnp.float32
        assert float(found) == pytest.approx(float(energy(TWO, jnp.array([x]), jnp.asarray(v))), abs=1e-6)
