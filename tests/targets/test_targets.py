"""Laws that every target obeys, whatever it is made of."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from diffphys.targets import (
    AbstractDataSet,
    AbstractLabelledTarget,
    AbstractTarget,
    CurieWeiss,
    Empirical,
    Gaussian,
    Ising,
    IsotropicMixture,
    ShardedEmpirical,
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


GUARDED = TARGETS | {"sharded": lambda: ShardedEmpirical(POINTS, LABELS)}


@pytest.fixture(params=GUARDED)
def guarded(request, unchecked):
    return GUARDED[request.param]()


def questions(target):
    """All that a target is asked of an observation and its noise."""
    names = ["log_evidence", "posterior_mean", "posterior_covariance"]
    names += ["label_log_posterior", "label"] if isinstance(target, AbstractLabelledTarget) else []
    asked = [getattr(target, name) for name in names]
    if isinstance(target, AbstractDataSet):
        asked += [target.weights_summary, lambda y, v: target.overlap(y, Y, v)]
    return asked


@pytest.mark.parametrize("shape", [(2, 4), (5,), (1,), (), (4, 1)], ids=str)
def test_what_is_not_one_observation_is_refused(guarded, shape):
    """One of (1,) would be broadcast to a number without a word, many to a sum."""
    message = f"`y` needs one observation of shape (4,). Got {shape}. Map over many with `jax.vmap`."
    for ask in questions(guarded):
        with pytest.raises(ValueError, match=re.escape(message)):
            ask(jnp.ones(shape), 0.6)


@pytest.mark.parametrize("variance", [0.0, -1, np.float32(0), np.nan, np.inf], ids=repr)
def test_a_known_noise_that_is_not_positive_is_refused(guarded, variance):
    for ask in questions(guarded):
        with pytest.raises(ValueError, match=f"`variance` needs a finite number > 0. Got {variance}"):
            ask(Y, variance)


def test_more_than_one_noise_is_refused(guarded):
    for ask in questions(guarded):
        with pytest.raises(ValueError, match=re.escape("`variance` needs one number. Got shape (4,)")):
            ask(Y, jnp.ones(4))


def test_a_raw_key_and_a_batch_of_keys_are_refused(guarded):
    draws = [guarded.sample] + ([guarded.sample_labelled] if isinstance(guarded, AbstractLabelledTarget) else [])
    for draw in draws:
        with pytest.raises(ValueError, match=r"`key` needs a typed key\. Got an array of uint32"):
            draw(jr.key_data(jr.key(0)))
        with pytest.raises(ValueError, match=re.escape("`key` needs one key. Got shape (3,)")):
            draw(jr.split(jr.key(0), 3))


@pytest.mark.parametrize("name", ["isotropic", "pure-states", "embedded-labelled"])
def test_an_observation_in_a_list_of_integers_is_one_of_floats(name, unchecked):
    """An integer type would have made of the noise 0.6 a 0."""
    target = TARGETS[name]()

    @eqx.filter_jit
    def answers(target, y):
        return [ask(y, 0.6) for ask in questions(target)[:3]]

    listed = eqx.filter_jit(lambda target: answers(target, [1, -1, 2, 0]))(target)
    for found, wanted in zip(listed, answers(target, jnp.asarray([1.0, -1.0, 2.0, 0.0])), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_another_observation_of_an_overlap_is_refused_by_its_name(unchecked):
    with pytest.raises(ValueError, match=re.escape("`other` needs one observation of shape (4,). Got (3,)")):
        Empirical(POINTS).overlap(Y, jnp.ones(3), 0.6)
