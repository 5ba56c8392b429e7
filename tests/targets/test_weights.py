"""The summary of the posterior weights against brute force and the exact collapse of three points."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from diffphys.targets import Empirical

RNG = np.random.default_rng(12)
POINTS = 1.2 * RNG.normal(size=(37, 3)) - 2.0
LABELS = np.concatenate([np.arange(4), RNG.integers(0, 3, 33)])  # class 3 has one datum only, the fourth
GROUPINGS = np.stack([RNG.permutation(LABELS), np.arange(37) % 2])
TARGETS = {"labelled": Empirical(POINTS, LABELS, block=8), "unlabelled": Empirical(POINTS, block=8)}
TARGETS["direct"] = eqx.tree_at(lambda t: t.cloud.radius, TARGETS["labelled"], jnp.asarray(1e18))


def log_weights(y, variance, keep=slice(None)):
    log_joint = -0.5 * np.sum((np.asarray(y)[None] - POINTS[keep]) ** 2, -1) / variance
    return log_joint - scipy.special.logsumexp(log_joint)


def by_label(logs, labels, count):
    """Log-probability of each label; -inf for a label without data."""
    with np.errstate(divide="ignore"):
        return np.array([scipy.special.logsumexp(np.append(logs[labels == k], -np.inf)) for k in range(count)])


@eqx.filter_jit
def summarise(target, y, variance, index, groupings):
    return target.weights_summary(y, variance, index, groupings, with_mean=True)


@eqx.filter_jit
def log_evidence(target, y, variance):
    return target.log_evidence(y, variance)


@pytest.mark.parametrize("variance", [1e-2, 0.5, 50.0], ids=["cold", "mild", "hot"])
@pytest.mark.parametrize("kind", TARGETS)
def test_summary_is_that_of_all_weights(kind, variance):
    target = TARGETS[kind]
    labels = np.zeros(37, int) if kind == "unlabelled" else LABELS
    count = target.num_labels
    groupings = GROUPINGS % count
    for index in (3, 9, 36):
        y = jnp.asarray(POINTS[index] + variance**0.5 * RNG.normal(size=3))
        found = summarise(target, y, jnp.asarray(variance), jnp.asarray(index), jnp.asarray(groupings))
        logs = log_weights(y, variance)
        weights = np.exp(logs)
        rest = np.delete(np.arange(37), index)
        expected = {
            "log_evidence": log_evidence(target, y, jnp.asarray(variance)),
            "entropy": -np.sum(scipy.special.xlogy(weights, weights)),
            "participation": np.sum(weights**2),
            "argmax": np.argmax(weights),
            "label_log_posterior": by_label(logs, labels, count),
            "mean": weights @ POINTS,
            "log_own_weight": logs[index],
            "log_rest_over_own": scipy.special.logsumexp(logs[rest]) - logs[index],
            "label_log_posterior_without": by_label(log_weights(y, variance, rest), labels[rest], count),
            "grouping_posteriors": [np.exp(by_label(logs, labels, count)) for labels in groupings],
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_what_is_not_asked_for_is_not_computed():
    summary = eqx.filter_eval_shape(TARGETS["labelled"].weights_summary, jnp.zeros(3), 0.5)
    assert all(getattr(summary, name) is None for name in summary._fields[5:])
    assert all(getattr(summary, name) is not None for name in summary._fields[:5])


@pytest.mark.parametrize("kind", ["labelled", "direct"])
def test_without_labels_all_else_is_the_same(kind):
    y, variance, index = jnp.asarray(POINTS[3] + 0.1), jnp.asarray(0.5), jnp.asarray(3)
    full, bare = (TARGETS[kind].weights_summary(y, variance, index, None, True, told) for told in (True, False))
    assert full.label_log_posterior is not None
    assert bare.label_log_posterior is None
    assert bare.label_log_posterior_without is None
    for name in ("log_evidence", "entropy", "participation", "argmax", "mean", "log_own_weight", "log_rest_over_own"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(full, name), err_msg=name)


@pytest.mark.parametrize("kind", TARGETS)
def test_a_single_weight_of_one_has_no_entropy_at_all(kind):
    """No 0 log 0 and no cancellation: at small noise the summary is exact, and all logarithms stay finite."""
    y = jnp.asarray(POINTS[9])
    found = summarise(TARGETS[kind], y, jnp.asarray(1e-6), jnp.asarray(9), None)
    assert (found.entropy, found.participation, found.log_own_weight, found.argmax) == (0, 1, 0, 9)
    np.testing.assert_allclose(found.mean, POINTS[9], rtol=1e-15)
    assert np.all(np.isfinite(found.label_log_posterior))
    assert -1e7 < found.log_rest_over_own < -1e4


def test_equal_weights_have_the_entropy_of_their_number():
    found = summarise(TARGETS["labelled"], jnp.zeros(3), jnp.asarray(1e12), jnp.asarray(0), None)
    np.testing.assert_allclose(found.entropy, np.log(37), rtol=1e-10)
    np.testing.assert_allclose(found.participation, 1 / 37, rtol=1e-10)
    np.testing.assert_allclose(np.exp(found.label_log_posterior), np.bincount(LABELS) / 37, rtol=1e-9)
    np.testing.assert_allclose(found.log_rest_over_own, np.log(36), rtol=1e-9)


def test_equal_data_share_their_weight():
    """Three copies in three different blocks: entropy log 3, and a log-ratio of two to one."""
    points = np.array([[0.0], [5.0], [9.0], [0.0], [7.0], [8.0], [0.0], [6.0]])
    found = summarise(Empirical(points, block=3), jnp.zeros(1), jnp.asarray(1e-3), jnp.asarray(3), None)
    np.testing.assert_allclose(found.entropy, np.log(3), rtol=1e-11)
    np.testing.assert_allclose(found.participation, 1 / 3, rtol=1e-11)
    np.testing.assert_allclose(found.log_rest_over_own, np.log(2), rtol=1e-11)


@pytest.mark.parametrize("time", ["0.2", "1.0", "2.0"])
def test_three_points_collapse_exactly(oracles, time):
    oracle = oracles[f"empirical_3pt_t{time}"]
    data, variance = np.array(oracle["inputs"]["data"]), np.expm1(2 * oracle["inputs"]["t"])
    target = Empirical(data[:, None])
    # A periodic-like integrand: the trapezoidal rule over y converges faster than any power of the step.
    width = 10 * variance**0.5
    ys = np.linspace(data.min() - width, data.max() + width, 2001)

    @jax.jit
    @jax.vmap
    def integrands(y):
        summary = target.weights_summary(y, variance)
        return jnp.exp(summary.log_evidence) * jnp.stack([summary.participation, summary.entropy])

    found = np.sum(integrands(jnp.asarray(ys[:, None])), 0) * (ys[1] - ys[0])
    np.testing.assert_allclose(found, oracle["value"], atol=oracle["tol"])


def test_batches_with_their_own_index_and_variance_are_the_single_ones():
    target = TARGETS["labelled"]
    ys, indices, variances = jnp.asarray(POINTS[:5]) + 0.3, jnp.arange(5), jnp.geomspace(0.01, 10, 5)
    groupings = jnp.asarray(GROUPINGS)
    together = jax.jit(jax.vmap(lambda y, v, i: target.weights_summary(y, v, i, groupings, True)))(
        ys, variances, indices
    )
    for i in range(5):
        alone = summarise(target, ys[i], variances[i], indices[i], groupings)
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(found[i], expected, rtol=1e-11, atol=1e-14)


def test_summary_refuses_the_index_of_a_single_datum():
    with pytest.raises(ValueError, match="`index` needs other data"):
        Empirical(POINTS[:1]).weights_summary(jnp.zeros(3), 0.5, 0)


def test_summary_refuses_groupings_of_another_length():
    with pytest.raises(ValueError, match=r"`groupings` needs shape \(g, 37\)"):
        TARGETS["labelled"].weights_summary(jnp.zeros(3), 0.5, groupings=jnp.zeros((2, 36), int))


@pytest.mark.parametrize("index", [-1, 37])
def test_summary_refuses_an_index_outside_of_the_data(index):
    with pytest.raises(ValueError, match=r"`index` needs a datum within \[0, 37\)"):
        TARGETS["labelled"].weights_summary(jnp.zeros(3), 0.5, index)
