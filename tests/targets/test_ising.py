"""Ising models against enumeration, the exact values of the reference sheet, and transfer matrices."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from same_laws import ask
from scipy.optimize import brentq
from scipy.special import logsumexp
from spins import all_states, posterior

from diffphys.targets import CurieWeiss, Ising, curie_weiss_couplings, ring_couplings

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_any_couplings_equal_enumeration_at_any_noise(dim):
    couplings = RNG.normal(size=(dim, dim))
    couplings += couplings.T
    field, y = RNG.normal(size=dim), RNG.normal(size=dim)
    states = all_states(dim)
    off_diagonal = couplings - np.diag(np.diag(couplings))
    logs = 0.5 * np.einsum("si,ij,sj->s", states, off_diagonal, states) + states @ field
    target = Ising(couplings, field)
    for variance in (1e-4, 0.1, 1.0, 30.0):
        expected = posterior(states, logs - logsumexp(logs), y, variance)
        evidence, mean, covariance = ask(target, jnp.asarray(y), jnp.asarray(variance))
        np.testing.assert_allclose(evidence, expected.log_evidence, rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(mean, expected.mean, rtol=0, atol=1e-13)
        np.testing.assert_allclose(covariance, expected.covariance, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dim", [6, 10])
def test_equal_couplings_have_the_exact_critical_temperature_and_magnetisation(oracles, dim):
    oracle = oracles[f"ising_cw_d{dim}_b0.5"]
    target = Ising(curie_weiss_couplings(dim, 0.5))
    # In infinite noise the posterior is the law itself; the symmetric point is critical at its leading eigenvalue.
    _, _, covariance = ask(target, jnp.zeros(dim), jnp.asarray(1e12))
    critical = float(np.linalg.eigvalsh(covariance)[-1])
    mean = jax.jit(lambda m, v: target.posterior_mean(jnp.full(dim, m), v)[0])
    roots = [brentq(lambda m, v=v: float(mean(m, v)) - m, 0.1, 1, xtol=1e-13) for v in (0.5 * critical, 0.9 * critical)]
    np.testing.assert_allclose([critical, *roots], oracle["value"], rtol=0, atol=oracle["tol"])


def test_a_ring_has_the_covariance_of_its_transfer_matrix():
    dim, strength = 8, 0.4
    _, _, covariance = ask(Ising(ring_couplings(dim, strength)), jnp.zeros(dim), jnp.asarray(1e12))
    bond, distance = np.tanh(strength), np.arange(dim)
    expected = (bond**distance + bond ** (dim - distance)) / (1 + bond**dim)
    np.testing.assert_allclose(covariance[0], expected, rtol=1e-11)
    assert np.linalg.eigvalsh(covariance)[-1] == pytest.approx(expected.sum(), rel=1e-11)


def test_equal_couplings_are_those_of_the_curie_weiss_ferromagnet():
    """The same law by enumeration and by the integral over the decoupling field."""
    dim, beta, field = 13, 1.3, 0.4
    y = jnp.asarray(RNG.normal(size=dim))
    ising, magnet = Ising(curie_weiss_couplings(dim, beta), field / dim), CurieWeiss(dim, beta, field)

    @eqx.filter_jit
    def both(target, variance):
        return jnp.append(target.posterior_mean(y, variance), target.log_evidence(y, variance))

    for variance in jnp.asarray([0.2, 3.0]):
        np.testing.assert_allclose(both(ising, variance), both(magnet, variance), rtol=1e-12, atol=1e-12)


def test_samples_have_the_correlations_of_the_law():
    target = Ising(ring_couplings(5, 0.7), [0.3, 0.0, -0.2, 0.0, 0.1])
    count = 20_000
    samples = np.asarray(eqx.filter_jit(eqx.filter_vmap(target.sample))(jr.split(jr.key(1), count)))
    _, mean, covariance = ask(target, jnp.zeros(5), jnp.asarray(1e12))
    products = samples[:, :, None] * samples[:, None]
    for found, expected in ((samples, mean), (products, covariance + mean[:, None] * mean[None])):
        assert np.all(np.abs(found.mean(0) - expected) <= 4 * found.std(0) / count**0.5 + 1e-10)


def test_twenty_spins_run_in_a_batch_and_without_couplings_are_independent():
    field = RNG.normal(size=20)
    target = Ising(np.zeros((20, 20)), field)
    ys = jnp.asarray(RNG.normal(size=(16, 20)))
    means = eqx.filter_jit(eqx.filter_vmap(target.posterior_mean, in_axes=(0, None)))(ys, jnp.asarray(0.7))
    np.testing.assert_allclose(means, np.tanh(field + np.asarray(ys) / 0.7), rtol=0, atol=1e-11)


def test_derivatives_at_the_symmetric_point_are_those_of_the_covariance():
    """The absolute values of the evidence have no derivative there; its written one has."""
    target = Ising(ring_couplings(4, 0.5))
    zero, variance = jnp.zeros(4), jnp.asarray(0.8)
    hessian = jax.jit(jax.hessian(target.log_evidence))(zero, variance)
    _, _, covariance = ask(target, zero, variance)
    np.testing.assert_allclose(hessian, (covariance / 0.8 - np.eye(4)) / 0.8, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("couplings", "field", "message"),
    [
        (np.zeros((21, 21)), 0.0, r"`Ising` needs at most 20 spins, .* Got 21, with 2.1e\+06 states"),
        (np.zeros((2, 3)), 0.0, r"`couplings` needs shape \(d, d\)"),
        (np.zeros((0, 0)), 0.0, r"`couplings` needs shape \(d, d\)"),
        (np.array([[0.0, 1.0], [0.5, 0.0]]), 0.0, "`couplings` needs a symmetric matrix"),
        (np.full((2, 2), np.nan), 0.0, "`couplings` needs finite values"),
        (np.zeros((2, 2)), np.zeros(3), r"`field` needs shape \(\) or \(2,\)"),
        (np.zeros((2, 2)), np.inf, "`field` needs finite values"),
    ],
)
def test_what_cannot_be_enumerated_is_refused(couplings, field, message):
    with pytest.raises(ValueError, match=message):
        Ising(couplings, field)


def test_a_ring_of_two_is_refused():
    with pytest.raises(ValueError, match="`ring_couplings` needs `dim` >= 3"):
        ring_couplings(2, 1.0)
