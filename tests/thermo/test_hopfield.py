"""Associative memories: the modern energy is the free energy, and updates never climb."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import PATTERNS, points

import diffphys as dp
from diffphys.thermo import (
    classical_energy,
    fixed_point,
    free_energy_bias,
    hebbian_weights,
    hopfield_energy,
    hopfield_update,
    magnetisation,
    regularised_free_energy,
    retrieve,
    retrieve_classical,
    sign_sweep,
)

X = jnp.array([0.2, 0.1])
RNG = np.random.default_rng(0)


def compiled(function):
    """With numbers as arrays, so that another number needs no other program."""
    program = eqx.filter_jit(function)
    return lambda *args: program(*(jnp.asarray(arg) if isinstance(arg, float | np.ndarray) else arg for arg in args))


energy_at, update_at, free_energy_at = map(compiled, (hopfield_energy, hopfield_update, regularised_free_energy))
classical_at, sweep_at = map(compiled, (classical_energy, sign_sweep))


def test_energy_of_the_memory_equals_the_exact_values(oracles):
    oracle = oracles["hopfield_map"]
    free, short, full = oracle["value"]
    energy = energy_at(PATTERNS, X, 0.5)
    assert float(energy) == pytest.approx(full, abs=oracle["tol"])
    assert float(free_energy_at(dp.Empirical(PATTERNS), X, 0.5)) == pytest.approx(free, abs=oracle["tol"])
    # What the paper leaves out of its energy.
    assert float(energy - 0.5 * np.log(4) - 0.5) == pytest.approx(short, abs=oracle["tol"])


@pytest.mark.parametrize("variance", [0.05, 0.5, 1.0, 20.0])
def test_energy_is_the_free_energy_at_every_variance(variance):
    energy = energy_at(PATTERNS, X, variance)
    expected = free_energy_at(dp.Empirical(PATTERNS), X, variance)
    assert float(energy) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("variance", [0.05, 1.0, 20.0])
def test_a_bias_makes_it_the_free_energy_of_any_norms_and_weights(variance):
    rows, log_weights = RNG.normal(size=(5, 2)), RNG.normal(size=5)
    target = points(rows, np.exp(log_weights))
    bias = free_energy_bias(rows, variance, jnp.asarray(log_weights))
    energy = energy_at(rows, X, variance, bias)
    assert float(energy) == pytest.approx(float(free_energy_at(target, X, variance)), abs=1e-12)
    update = update_at(rows, X, variance, bias)
    np.testing.assert_allclose(update, magnetisation(target, X, variance), rtol=0, atol=1e-13)
    np.testing.assert_allclose(free_energy_bias(PATTERNS, variance), 0, rtol=0, atol=1e-13)


def test_update_is_a_unit_gradient_step_of_the_energy():
    slope = jax.grad(lambda x: hopfield_energy(PATTERNS, x, 0.3))(X)
    np.testing.assert_allclose(hopfield_update(PATTERNS, X, 0.3), X - slope, rtol=0, atol=1e-14)


def test_retrieval_ends_at_the_fixed_point_and_never_climbs():
    def denoise(y, variance):
        return hopfield_update(PATTERNS, y, variance)

    found, count = retrieve(denoise, jnp.array([0.7, -0.3]), 0.5)
    assert int(count) < 100
    np.testing.assert_allclose(found, fixed_point(denoise, np.array([0.7, -0.3]), 0.5).magnetisation, atol=1e-12)
    np.testing.assert_allclose(found, [0.70566391, -0.26764831], rtol=0, atol=5e-9)
    states = [X]
    for _ in range(10):
        states.append(denoise(states[-1], 0.5))
    energies = np.array([energy_at(PATTERNS, x, 0.5) for x in states])
    assert np.all(np.diff(energies) < 1e-15)


def test_retrieval_stops_when_told_to():
    count = retrieve(lambda y, _: y + 1, jnp.zeros(2), 1.0, most=7)[1]
    assert int(count) == 7


def test_sign_sweeps_never_raise_the_classical_energy():
    patterns = RNG.choice([-1.0, 1.0], (12, 40))
    weights, state = hebbian_weights(patterns), jnp.asarray(RNG.choice([-1.0, 1.0], 40))
    energies = [float(classical_at(weights, state))]
    for _ in range(5):
        state = sweep_at(weights, state)
        energies.append(float(classical_at(weights, state)))
    assert np.all(np.diff(energies) <= 0)
    assert energies[-1] < energies[0]


def test_energy_of_one_stored_pattern_counts_its_pairs():
    pattern = RNG.choice([-1.0, 1.0], (1, 11))
    weights = hebbian_weights(pattern)
    assert float(classical_at(weights, jnp.asarray(pattern[0]))) == pytest.approx(-0.5 * (11 - 1), abs=1e-12)
    cue = jnp.asarray(pattern[0]).at[:3].multiply(-1)
    found, count = retrieve_classical(weights, cue)
    np.testing.assert_array_equal(found, pattern[0])
    assert int(count) == 2


def test_a_spin_in_no_field_stays():
    state = jnp.array([1.0, -1.0])
    np.testing.assert_array_equal(sweep_at(jnp.zeros((2, 2)), state), state)


def test_couplings_refuse_patterns_that_are_no_spins():
    with pytest.raises(ValueError, match="patterns of 1 and -1"):
        hebbian_weights(np.array([[1.0, 0.5]]))
