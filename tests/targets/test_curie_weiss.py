"""The Curie-Weiss ferromagnet against enumeration, against recursion over spins, and in large."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.special import log_ndtr, logsumexp, ndtr
from spins import all_states, curie_weiss_log_probs, posterior

from diffphys.targets import CurieWeiss

RNG = np.random.default_rng(4)
Y8 = np.array([0.5, -0.3, 1.2, 0.1, -0.7, 0.9, -0.2, 0.4])


@eqx.filter_jit
def ask(target, y, variance):
    return (
        target.log_evidence(y, variance),
        target.posterior_mean(y, variance),
        target.label_log_posterior(y, variance),
    )


@eqx.filter_jit
def covariance(target, y, variance):
    return target.posterior_covariance(y, variance)


@pytest.mark.parametrize(
    ("dim", "beta", "field"),
    [(1, 1.0, 0.4), (9, 0.3, -0.5), (12, 4.0, 1.0)],
)
def test_small_magnets_equal_enumeration_at_any_noise(dim, beta, field):
    target = CurieWeiss(dim, beta, field)
    states = all_states(dim)
    log_probs = curie_weiss_log_probs(states, beta, field)
    # Given the spins, the decoupling field is positive with this probability.
    up = ndtr(states.sum(1) * math.sqrt(beta / dim))
    y = np.resize(Y8, dim)
    for variance in (1e-4, 0.03, 0.5, 4.0, 300.0):
        expected = posterior(states, log_probs, y, variance)
        evidence, mean, label = ask(target, jnp.asarray(y), jnp.asarray(variance))
        np.testing.assert_allclose(evidence, expected.log_evidence, rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(mean, expected.mean, rtol=0, atol=1e-13)
        np.testing.assert_allclose(np.exp(label), [expected.weights @ up, expected.weights @ (1 - up)], rtol=1e-9)
        assert math.isfinite(label.min())


def test_covariance_equals_enumeration_by_differentiation_through_the_quadrature():
    target = CurieWeiss(8, 1.5, 0.3)
    states = all_states(8)
    for variance in (0.03, 0.5, 4.0):
        expected = posterior(states, curie_weiss_log_probs(states, 1.5, 0.3), Y8, variance).covariance
        found = covariance(target, jnp.asarray(Y8), jnp.asarray(variance))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_a_state_that_is_ruled_out_keeps_the_relative_precision_of_its_weight():
    """All spins seen down beyond doubt: the weight of the state up is exp(-27), and not lost in that of down."""
    target = CurieWeiss(10, 3.0)
    _, _, label = ask(target, -jnp.ones(10), jnp.asarray(0.01))
    # All spins are down: the field is normal about -beta.
    np.testing.assert_allclose(label[0], log_ndtr(-math.sqrt(30.0)), rtol=1e-9)


@pytest.mark.parametrize("beta", [1e-12, 1e-4])
def test_a_very_hot_magnet_is_one_of_independent_spins(beta):
    _, mean, label = ask(CurieWeiss(8, beta), jnp.asarray(Y8), jnp.asarray(0.5))
    np.testing.assert_allclose(mean, np.tanh(Y8 / 0.5), rtol=0, atol=10 * beta)
    np.testing.assert_allclose(np.exp(label[0]), 0.5, rtol=0, atol=10 * beta**0.5)


def recursion(fields, beta):
    """Log-weight of each magnetisation of spins in these fields, by adding spin after spin."""
    logs = np.zeros(1)
    for field in fields:
        logs = np.logaddexp(np.append(-np.inf, logs) + field, np.append(logs, -np.inf) - field)
    total = 2 * np.arange(len(fields) + 1) - len(fields)
    return logs + beta * total**2 / (2 * len(fields)), total


# The last is so cold, its spins so clearly down, that each factor of its partition function is next to nothing.
@pytest.mark.parametrize(("beta", "variance", "shift"), [(1.5, 200.0, 0.0), (0.8, 5.0, 0.0), (30.0, 0.05, -3.0)])
def test_a_magnet_of_two_hundred_spins_equals_the_recursion_over_spins(beta, variance, shift):
    dim, field = 200, 0.3
    y = shift + RNG.normal(size=dim) * (1 + variance) ** 0.5
    evidence, mean, label = ask(CurieWeiss(dim, beta, field), jnp.asarray(y), jnp.asarray(variance))
    logs, total = recursion(y / variance + field / dim, beta)
    prior, _ = recursion(np.full(dim, field / dim), beta)
    expected = logsumexp(logs) - logsumexp(prior) - np.sum(y**2 + 1) / (2 * variance)
    np.testing.assert_allclose(evidence, expected - dim / 2 * np.log(2 * np.pi * variance), rtol=1e-12)
    weights = np.exp(logs - logsumexp(logs))
    np.testing.assert_allclose(mean.sum(), weights @ total, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.exp(label[0]), weights @ ndtr(total * math.sqrt(beta / dim)), rtol=1e-10)


def plain_trapezoid(fields, beta):
    """Log-weights and nodes of the integral over the decoupling field, spin by spin and node by node."""
    dim = len(fields)
    width = math.sqrt(beta / dim)
    nodes = np.arange(-beta - 9 * width, beta + 9 * width, width / 2)
    sums = np.array([np.sum(np.logaddexp(node + fields, -node - fields)) for node in nodes])
    return sums - dim * nodes**2 / (2 * beta), nodes


@pytest.mark.parametrize("variance", [0.5, 4e4], ids=["one-state", "two-states"])
def test_a_large_magnet_equals_the_plain_trapezoid(variance):
    dim, beta, field = 20_000, 1.5, 0.3
    y = 0.86 + variance**0.5 * RNG.normal(size=dim)
    _, mean, label = ask(CurieWeiss(dim, beta, field), jnp.asarray(y), jnp.asarray(variance))
    fields = y / variance + field / dim
    logs, nodes = plain_trapezoid(fields, beta)
    weights = np.exp(logs - logsumexp(logs))
    few = slice(0, 50)
    np.testing.assert_allclose(mean[few], weights @ np.tanh(nodes[:, None] + fields[None, few]), rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.exp(label[0]), weights[nodes > 0].sum(), rtol=1e-8)


@pytest.mark.parametrize("variance", [0.5, 3e5], ids=["one-state", "two-states"])
def test_float32_knows_the_state_and_the_mean_of_a_hundred_thousand_spins(variance):
    dim = 100_000
    target = CurieWeiss(dim, 1.5, 0.3)
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, target)
    # A random half of the spins is up, so that the states compete at any noise.
    y = (RNG.choice([-1.0, 1.0], dim) + variance**0.5 * RNG.normal(size=dim)).astype(np.float32)
    exact = ask(target, jnp.asarray(y, jnp.float64), jnp.asarray(variance))
    found = ask(single, jnp.asarray(y), jnp.asarray(variance, jnp.float32))
    np.testing.assert_allclose(found[0], exact[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], exact[1], rtol=0, atol=5e-3 if variance > 1 else 1e-4)
    log_odds = [float(label[0]) - float(label[1]) for label in (found[2], exact[2])]
    assert abs(log_odds[0] - log_odds[1]) < 0.02 + 1e-4 * abs(log_odds[1])


@pytest.mark.parametrize(("dim", "beta", "field"), [(10, 1.5, 0.3), (1000, 1.5, 0.3), (1000, 1.0, 0.0)])
def test_the_sum_over_states_and_the_weights_of_the_states_are_the_exact_ones(oracles, dim, beta, field):
    weight, _, _, _, log_partition = oracles[f"cw_finiteN_N{dim}_b{beta}_h{field}"]["value"]
    target = CurieWeiss(dim, beta, field)
    np.testing.assert_allclose(target.log_partition - beta / 2, log_partition, rtol=0, atol=1e-10)
    # The sign of the decoupling field and of the magnetisation differ at most by a fluctuation of the former.
    sign = target.label_weights[0] - weight
    assert abs(sign) < (1e-10 if dim == 1000 else 2e-2)


def test_samples_have_the_exact_law_of_the_magnetisation(oracles):
    oracle = oracles["cw_finiteN_N10_b1.5_h0.3"]
    target = CurieWeiss(10, 1.5, 0.3)
    count = 40_000
    spins, labels = eqx.filter_jit(eqx.filter_vmap(target.sample_labelled))(jr.split(jr.key(2), count))
    total = np.asarray(spins).sum(1)
    by_state = np.sign(total) / 2 + 0.5
    measured = [by_state, np.abs(total) / 10, total / 10, total**2 / 10]
    for values, expected in zip(measured, oracle["value"], strict=False):
        assert abs(values.mean() - expected) < 4 * values.std() / count**0.5
    # The label follows the magnetisation, up to the fluctuation of the field.
    up = ndtr(total * math.sqrt(0.15))
    assert abs(np.mean((np.asarray(labels) == 0) - up)) < 4 * np.sqrt(np.mean(up * (1 - up)) / count)


def test_a_sample_of_a_million_spins_has_the_magnetisation_of_its_state():
    target = CurieWeiss(1_000_000, 1.5)
    spins, label = eqx.filter_jit(target.sample_labelled)(jr.key(0))
    magnetisation = float(jnp.mean(spins)) * (1 if label == 0 else -1)
    # The variance of M / N within a state is chi / N, with the values of the reference sheet for beta = 1.5.
    assert abs(magnetisation - 0.8585596366) < 4 * (0.4340118929 / 1e6) ** 0.5


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_none_is_refused(beta):
    with pytest.raises(ValueError, match=r"`CurieWeiss` needs `beta` > 0"):
        CurieWeiss(8, beta)


@pytest.mark.parametrize("dim", [0, 4.0])
def test_what_is_no_number_of_spins_is_refused(dim, unchecked):
    with pytest.raises(ValueError, match=r"`CurieWeiss` needs a whole `dim` >= 1"):
        CurieWeiss(dim, 1.0)


def test_spins_without_any_freedom_are_refused():
    with pytest.raises(ValueError, match=r"`beta` needs to leave the spins some freedom"):
        CurieWeiss(100, 50.0)


def test_a_derivative_with_respect_to_parameters_is_refused():
    with pytest.raises(ValueError, match="`CurieWeiss` needs fixed parameters"):
        eqx.filter_grad(lambda target: target.log_evidence(jnp.asarray(Y8), 0.5))(CurieWeiss(8, 1.5))
