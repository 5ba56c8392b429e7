"""Laws that every target obeys, whatever it is made of."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from diffphys.targets import (
    AbstractTarget,
    CurieWeiss,
    Empirical,
    Gaussian,
    Ising,
    IsotropicMixture,
    SharedCovarianceMixture,
    Sphere,
    curie_weiss_couplings,
    deltas,
    embedded,
    mixture_of,
    pure_states,
    shifted,
)

RNG = np.random.default_rng(7)
ROOT = RNG.normal(size=(4, 4))
MEANS = 1.5 * RNG.normal(size=(3, 4)) + 2.0
LOG_WEIGHTS = np.log([0.2, 0.5, 0.3])
POINTS = RNG.normal(size=(37, 4)) + 1.0
LABELS = np.concatenate([np.arange(3), RNG.integers(0, 3, 34)])

LABELLED = {
    "isotropic": lambda: IsotropicMixture(LOG_WEIGHTS, MEANS, [0.5, 1.0, 2.0]),
    "isotropic-points": lambda: IsotropicMixture(LOG_WEIGHTS, MEANS, [0.0, 0.0, 0.3]),
    "shared-full": lambda: SharedCovarianceMixture(LOG_WEIGHTS, MEANS, ROOT @ ROOT.T),
    "shared-diagonal": lambda: SharedCovarianceMixture(LOG_WEIGHTS, MEANS, [0.1, 1.0, 2.0, 0.0]),
    "data": lambda: Empirical(POINTS, LABELS, block=16),
    "curie-weiss": lambda: CurieWeiss(4, 1.5, 0.3),
    "pure-states": lambda: pure_states([[0.5, -1.0, 0.2, 0.9], [-0.5, 0.3, 1.0, 0.0]], [1.0, 2.0]),
    "mixture-of": lambda: mixture_of([deltas(MEANS), Gaussian(MEANS[0], ROOT @ ROOT.T)], [1.0, 2.0]),
    "embedded-labelled": lambda: embedded(deltas(MEANS[:, :2]), np.linalg.qr(ROOT)[0][:, :2]),
}
TARGETS = LABELLED | {
    "gaussian-diagonal": lambda: Gaussian(MEANS[0], [0.1, 1.0, 2.0, 0.0]),
    "gaussian-full": lambda: Gaussian(MEANS[0], ROOT @ ROOT.T),
    "ising": lambda: Ising(curie_weiss_couplings(4, 1.2), [0.1, -0.2, 0.3, 0.0]),
    "sphere": lambda: Sphere(4, 1.5),
    "shifted": lambda: shifted(Ising(curie_weiss_couplings(4, 1.2)), MEANS[0]),
}
Y = jnp.asarray(RNG.normal(size=4) + 1.5)
VARIANCE = jnp.asarray(0.6)


@pytest.fixture(params=TARGETS)
def target(request):
    return TARGETS[request.param]()


@pytest.fixture(params=LABELLED)
def labelled(request):
    return LABELLED[request.param]()


# One compiled function for each law: compilation is most of the time of these tests.
@eqx.filter_jit
def by_method(target, y, variance):
    mean = target.posterior_mean(y, variance)
    forward, reverse = (
        jax.jacfwd(target.posterior_mean)(y, variance),
        jax.jacrev(target.posterior_mean)(y, variance),
    )
    return mean, target.posterior_covariance(y, variance), forward, reverse, target.log_evidence(y, variance)


@eqx.filter_jit
def by_differentiation(target, y, variance):
    mean = AbstractTarget.posterior_mean(target, y, variance)
    slope, rate = jax.grad(target.log_evidence, (0, 1))(y, variance)
    return mean, AbstractTarget.posterior_covariance(target, y, variance), slope, rate


def test_posterior_mean_and_covariance_are_derivatives_of_the_evidence(target):
    mean, covariance, forward, reverse, _ = by_method(target, Y, VARIANCE)
    tweedie_mean, hessian_covariance, _, _ = by_differentiation(target, Y, VARIANCE)
    np.testing.assert_allclose(mean, tweedie_mean, atol=1e-12)
    np.testing.assert_allclose(covariance, hessian_covariance, atol=1e-12)
    np.testing.assert_allclose(forward, covariance / VARIANCE, atol=1e-12)
    np.testing.assert_allclose(reverse, covariance / VARIANCE, atol=1e-12)


def test_evidence_obeys_the_heat_equation(target):
    _, covariance, slope, rate = by_differentiation(target, Y, VARIANCE)
    curvature = jnp.trace(covariance) / VARIANCE**2 - target.dim / VARIANCE
    np.testing.assert_allclose(rate, 0.5 * (curvature + slope @ slope), rtol=1e-11)


def test_samples_have_the_moments_that_the_posterior_has_in_pure_noise(target):
    count, loud = 20_000, jnp.asarray(1e9)
    samples = np.asarray(eqx.filter_jit(eqx.filter_vmap(target.sample))(jr.split(jr.key(0), count)))
    mean, covariance, *_ = by_method(target, Y, loud)
    centred = samples - np.asarray(mean)
    products = centred[:, :, None] * centred[:, None, :]
    assert np.all(np.abs(centred.mean(0)) < 4 * samples.std(0) / count**0.5 + 1e-7)
    error = np.abs(products.mean(0) - covariance)
    assert np.all(error < 4 * products.std(0) / count**0.5 + 1e-7)


def test_batched_and_compiled_results_are_those_of_one_sample(target):
    ys = jnp.stack([Y, Y + 1, 2 * Y])
    variances = jnp.asarray([0.1, 1.0, 10.0])

    @eqx.filter_jit
    def both(target, y, variance):
        return jnp.append(target.posterior_mean(y, variance), target.log_evidence(y, variance))

    one_by_one = jnp.stack([both(target, y, v) for y, v in zip(ys, variances, strict=True)])
    together = eqx.filter_vmap(both, in_axes=(None, 0, 0))(target, ys, variances)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-11)


def test_float32_targets_answer_in_float32_and_agree_with_float64(target):
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, target)
    exact = by_method(target, Y, VARIANCE)
    # The variance of a float64 time grid must not promote float32 states.
    for found, expected in zip(by_method(single, Y.astype(jnp.float32), np.float64(VARIANCE)), exact, strict=True):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)
    assert eqx.filter_eval_shape(single.sample, jr.key(0)).dtype == jnp.float32


@eqx.filter_jit
def noisy_posteriors(target, key, count):
    """True labels of forward samples, and the posteriors of their labels."""
    sample_keys, noise_keys = jr.split(key, (2, count))
    clean, labels = jax.vmap(target.sample_labelled)(sample_keys)
    noise = jax.vmap(lambda key: jr.normal(key, (target.dim,)))(noise_keys)
    return labels, jnp.exp(jax.vmap(target.label_log_posterior, (0, None))(clean + noise, 1.0))


def test_label_posterior_is_normalised_and_agrees_with_the_labels_of_samples(labelled):
    count = 4000
    labels, posterior = (np.asarray(x) for x in noisy_posteriors(labelled, jr.key(3), count))
    np.testing.assert_allclose(posterior.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(labelled.label_weights.sum(), 1, rtol=1e-12)
    for estimate in (posterior, np.eye(labelled.num_labels)[labels]):
        error = np.abs(estimate.mean(0) - labelled.label_weights)
        assert np.all(error < 4 * estimate.std(0) / count**0.5)
    # Nishimori: the true label is as probable as the agreement of two draws of the posterior.
    violation = posterior[np.arange(count), labels] - np.sum(posterior**2, 1)
    assert abs(violation.mean()) < 4 * violation.std() / count**0.5
