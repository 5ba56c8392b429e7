"""Mixtures of pure states against enumeration, and the mean-field models that they come from."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spins import all_states, posterior

from diffphys.targets import CurieWeiss, ProductStates, low_load_hopfield, potts_mean_field, pure_states

MEANS = np.array([[0.5, -1.0, 0.2, 0.9], [-0.5, 0.3, 1.0, 0.0], [0.1, 0.2, -0.3, -0.9]])
WEIGHTS = np.array([1.0, 2.0, 0.5])
Y = np.array([0.4, -0.8, 0.9, 0.1])


@eqx.filter_jit
def ask(target, y, variance):
    return (
        target.log_evidence(y, variance),
        target.posterior_mean(y, variance),
        target.posterior_covariance(y, variance),
        target.label_log_posterior(y, variance),
    )


def log_joint(target, states):
    """Log-probability of each label and each configuration of a list, from the probabilities of the sites."""
    sites = states.reshape(len(states), -1, target.alphabet.shape[1])
    which = np.argmin(np.sum((sites[:, :, None] - np.asarray(target.alphabet)) ** 2, -1), -1)
    with np.errstate(divide="ignore"):
        logs = np.log(np.exp(np.asarray(target.log_probs)))
    per_site = np.stack([logs[:, i, which[:, i]] for i in range(which.shape[1])], -1)
    return np.log(np.asarray(target.label_weights))[:, None] + per_site.sum(-1)


def assert_equals_enumeration(target, states, y):
    joint = log_joint(target, states)
    prior = np.logaddexp.reduce(joint, axis=0)
    possible = np.isfinite(prior)
    states, joint, prior = states[possible], joint[:, possible], prior[possible]
    for variance in (1e-3, 0.3, 5.0):
        expected = posterior(states, prior, y, variance)
        evidence, mean, covariance, label = ask(target, jnp.asarray(y), jnp.asarray(variance))
        np.testing.assert_allclose(evidence, expected.log_evidence, rtol=1e-12)
        np.testing.assert_allclose(mean, expected.mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(covariance, expected.covariance, rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.exp(label), np.exp(joint - prior) @ expected.weights, rtol=1e-9)


def test_spins_equal_enumeration_also_where_some_are_frozen():
    assert_equals_enumeration(pure_states(MEANS, WEIGHTS), all_states(4), Y)


def test_colours_equal_enumeration():
    colours = np.eye(3)
    states = np.array([np.concatenate([colours[a], colours[b]]) for a, b in itertools.product(range(3), repeat=2)])
    target = potts_mean_field(2, 3, 3.5)
    assert_equals_enumeration(target, states, np.array([0.3, 0.2, -0.4, 1.1, 0.6, 0.0]))


@pytest.mark.parametrize(("colours", "beta"), [(2, 2.4), (3, 2.9), (5, 4.0)])
def test_a_potts_state_is_a_fixed_point_of_its_mean_field(colours, beta):
    probs = np.exp(np.asarray(potts_mean_field(1, colours, beta).log_probs))[:, 0]
    np.testing.assert_allclose(probs, np.exp(beta * probs) / np.exp(beta * probs).sum(1, keepdims=True), rtol=1e-12)
    assert np.all(np.argmax(probs, 1) == np.arange(colours))


@pytest.mark.parametrize("colours", [3, 4, 10])
def test_the_order_of_a_potts_model_jumps_by_its_exact_amount(colours):
    critical = 2 * (colours - 1) / (colours - 2) * np.log(colours - 1)
    target = potts_mean_field(1, colours, critical * (1 + 1e-12))
    probs = np.exp(np.asarray(target.log_probs))[0, 0]
    np.testing.assert_allclose(probs[0] - probs[1], (colours - 2) / (colours - 1), rtol=1e-9)
    with pytest.raises(ValueError, match=rf"`beta` needs to be above {critical:.6g}, where {colours} colours order"):
        potts_mean_field(1, colours, critical * (1 - 1e-9))


@pytest.mark.parametrize("beta", ["1.05", "1.5", "3.0"])
def test_two_colours_order_as_spins_at_half_the_inverse_temperature(oracles, beta):
    oracle = oracles[f"cw_mstar_beta{beta}"]
    probs = np.exp(np.asarray(potts_mean_field(1, 2, 2 * float(beta)).log_probs))[0, 0]
    np.testing.assert_allclose(probs[0] - probs[1], oracle["value"][0], rtol=0, atol=oracle["tol"])


def test_a_large_magnet_is_a_mixture_of_its_two_pure_states():
    dim, beta, field = 4000, 1.5, 0.3
    magnet = CurieWeiss(dim, beta, field)
    (up, _) = np.exp(np.asarray(low_load_hopfield(np.ones((1, dim)), beta).log_probs))[0, 0]
    order = 2 * up - 1
    states = pure_states(order * np.outer([1, -1], np.ones(dim)), [np.exp(field * order), np.exp(-field * order)])
    rng = np.random.default_rng(0)
    y, variance = jnp.asarray(rng.choice([-1.0, 1.0], dim) + 50 * rng.normal(size=dim)), jnp.asarray(2500.0)
    found, expected = (
        eqx.filter_jit(lambda target: (target.posterior_mean(y, variance), target.label_log_posterior(y, variance)))(t)
        for t in (states, magnet)
    )
    # What is left out is the susceptibility within a state: smaller by the field 1 / 50 of each spin, and by 1 / N.
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=0.02)
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=0.02)


def test_hopfield_states_are_the_patterns_and_their_opposites():
    patterns = np.array([[1.0, 1.0, -1.0, 1.0], [1.0, -1.0, 1.0, 1.0]])
    target = low_load_hopfield(patterns, 1.5)
    probs = np.exp(np.asarray(target.log_probs))
    means = probs[..., 0] - probs[..., 1]
    np.testing.assert_allclose(means, 0.8585596366401104 * np.concatenate([patterns, -patterns]), rtol=1e-12)
    np.testing.assert_allclose(target.label_weights, 1 / 4, rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pure_states([[1.5, 0.0]]), r"`magnetisations` needs means of spins, within \[-1, 1\]. Got 1.5"),
        (lambda: pure_states(np.array([[np.nan, 0.0]])), r"`magnetisations` needs means of spins"),
        (lambda: pure_states([0.5, 0.0]), r"`magnetisations` needs shape \(k, d\)"),
        (lambda: pure_states(MEANS, [1.0, 1.0, 0.0]), "`weights` needs positive numbers"),
        (lambda: pure_states(MEANS, [1.0, 1.0]), r"`weights` needs shape \(3,\)"),
        (lambda: low_load_hopfield(0.5 * np.ones((1, 3)), 2.0), r"`patterns` needs rows of \+1 and -1"),
        (lambda: low_load_hopfield(np.ones((1, 3)), 1.0), "`beta` needs to be above 1, the critical one. Got 1"),
        (lambda: potts_mean_field(0, 3, 4.0), "`potts_mean_field` needs `sites` >= 1 and `colours` >= 2"),
        (lambda: potts_mean_field(2, 1, 4.0), "`potts_mean_field` needs `sites` >= 1 and `colours` >= 2"),
        (lambda: ProductStates(np.ones((1, 2, 2)), np.eye(2)), "`probabilities` needs rows that are not negative"),
        (lambda: ProductStates(np.ones((1, 2, 3)) / 3, np.eye(2)), r"`probabilities` needs shape \(k, n, q\)"),
        (lambda: ProductStates(np.ones((1, 0, 2)), np.eye(2)), "`probabilities` needs states, sites and values"),
        (lambda: ProductStates(np.ones((1, 1, 1)), [[np.inf]]), "`alphabet` needs finite values"),
    ],
)
def test_what_are_no_states_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_frozen_spin_has_a_finite_derivative():
    """Its log-probability is minus infinity, which no derivative may meet with a zero."""
    target = pure_states([[1.0, 0.3], [-1.0, 0.2]])
    jacobian = jax.jit(jax.jacrev(target.posterior_mean))(jnp.asarray([0.1, 0.2]), jnp.asarray(0.7))
    np.testing.assert_allclose(jacobian, ask(target, jnp.asarray([0.1, 0.2]), jnp.asarray(0.7))[2] / 0.7, rtol=1e-12)
