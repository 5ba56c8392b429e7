"""The data set against brute force in NumPy, its invariances, its digits in float32, and what it refuses."""

import tracemalloc

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings, strategies as st

from diffphys.targets import Empirical, ShardedEmpirical, _parts, streaming
from diffphys.targets._blocks import aligned_zeros

RNG = np.random.default_rng(11)
POINTS = 1.5 * RNG.normal(size=(37, 5)) + 3.0
LABELS = np.concatenate([np.arange(3), RNG.integers(0, 3, 34)])
TARGET = Empirical(POINTS, LABELS, block=8)
YS = jnp.asarray(POINTS[:6] + 0.8 * RNG.normal(size=(6, 5)))
VARIANCES = {"cold": 1e-2, "mild": 0.64, "hot": 100.0}


def log_weights(points, y, variance):
    """Log-weights and log-evidence, brute force."""
    log_joint = -0.5 * np.sum((np.asarray(y)[None] - points) ** 2, -1) / variance
    norm = scipy.special.logsumexp(log_joint)
    n, d = points.shape
    return log_joint - norm, norm - np.log(n) - 0.5 * d * np.log(2 * np.pi * variance)


@eqx.filter_jit
def everything(target, ys, variance):
    def one(y):
        return (
            target.log_evidence(y, variance),
            target.posterior_mean(y, variance),
            target.posterior_covariance(y, variance),
            target.label_log_posterior(y, variance),
        )

    return jax.vmap(one)(ys)


@pytest.fixture(params=[False, True], ids=["expanded", "direct"])
def target(request, monkeypatch):
    """The same data with distances by expanded squares, and as at small noise with direct ones."""
    if not request.param:
        return TARGET
    # The radius decides between the two, and nothing else depends on it.
    return eqx.tree_at(lambda t: t.cloud.radius, TARGET, jnp.asarray(1e18))


@pytest.mark.parametrize("variance", VARIANCES.values(), ids=VARIANCES)
def test_streamed_sums_are_those_over_all_weights(target, variance):
    evidence, mean, covariance, labels = everything(target, YS, jnp.asarray(variance))
    for i, y in enumerate(YS):
        logs, expected = log_weights(POINTS, y, variance)
        weights = np.exp(logs)
        np.testing.assert_allclose(evidence[i], expected, rtol=1e-12)
        np.testing.assert_allclose(mean[i], weights @ POINTS, rtol=1e-12)
        np.testing.assert_allclose(covariance[i], np.cov(POINTS.T, aweights=weights, bias=True), atol=1e-11)
        by_class = [scipy.special.logsumexp(logs[k == LABELS]) for k in range(3)]
        # Classes out of reach keep their finite log-probability, hundreds of nats down.
        np.testing.assert_allclose(labels[i], by_class, rtol=1e-9, atol=1e-12)


def test_written_derivatives_are_those_of_the_naive_formulas(target):
    def naive_evidence(y, variance):
        log_joint = -0.5 * jnp.sum((y[None] - POINTS) ** 2, -1) / variance
        return jax.nn.logsumexp(log_joint) - 2.5 * jnp.log(2 * jnp.pi * variance) - np.log(37.0)

    def naive_mean(y, variance):
        return jax.nn.softmax(-0.5 * jnp.sum((y[None] - POINTS) ** 2, -1) / variance) @ POINTS

    @eqx.filter_jit
    def derivatives(target, y, variance):
        pairs = (target.log_evidence, naive_evidence), (target.posterior_mean, naive_mean)
        modes = (jax.jacfwd, jax.jacrev)
        return [[mode(f, (0, 1))(y, variance) for mode in modes for f in pair] for pair in pairs]

    for by_y, by_variance in np.array(derivatives(target, YS[0], jnp.asarray(0.64)), object).transpose(0, 2, 1):
        for found in by_y[:-1]:
            np.testing.assert_allclose(found, by_y[-1], atol=1e-12)
        for found in by_variance[:-1]:
            np.testing.assert_allclose(found, by_variance[-1], atol=1e-12)


def test_third_derivative_of_the_evidence_is_the_naive_one():
    """The written derivatives can be differentiated again, so that cumulants of any order are at hand."""

    def naive(y):
        return jax.nn.logsumexp(-0.5 * jnp.sum((y[None] - POINTS) ** 2, -1) / 0.64)

    found = jax.jit(jax.jacfwd(jax.hessian(lambda y: TARGET.log_evidence(y, 0.64))))(YS[0])
    np.testing.assert_allclose(found, jax.jit(jax.jacfwd(jax.hessian(naive)))(YS[0]), atol=1e-11)


def test_second_derivative_by_the_variance_is_the_naive_one(target):
    """With padding in the last block, which must not turn it into NaN."""

    def naive(variance):
        log_joint = -0.5 * jnp.sum((YS[0][None] - POINTS) ** 2, -1) / variance
        return jax.nn.logsumexp(log_joint) - 2.5 * jnp.log(2 * jnp.pi * variance) - np.log(37.0)

    second = eqx.filter_jit(lambda t, v: jax.jacrev(jax.jacfwd(lambda v: t.log_evidence(YS[0], v)))(v))
    expected = jax.jit(jax.jacfwd(jax.jacfwd(naive)))(0.64)
    np.testing.assert_allclose(second(target, jnp.asarray(0.64)), expected, atol=1e-11)


def test_derivative_of_the_posterior_mean_matches_finite_differences():
    direction, step = np.ones(5), 1e-5
    mean = eqx.filter_jit(TARGET.posterior_mean)
    _, found = jax.jit(lambda y, u: jax.jvp(lambda y: mean(y, 0.64), (y,), (u,)))(YS[1], jnp.asarray(direction))
    slope = (mean(YS[1] + step * direction, 0.64) - mean(YS[1] - step * direction, 0.64)) / (2 * step)
    np.testing.assert_allclose(found, slope, atol=1e-10)


@pytest.mark.parametrize("kind", ["mean", "gradient", "summary"])
def test_batches_need_no_memory_that_grows_with_the_data(kind):
    """Also where each observation has its own variance: a branch on it must not copy the data for each."""

    def one(target, y, variance):
        if kind == "gradient":
            return jax.grad(lambda y: jnp.sum(target.posterior_mean(y, variance) ** 2))(y)
        return target.posterior_mean(y, variance) if kind == "mean" else target.weights_summary(y, variance, 0)

    def scratch(n):
        target = Empirical(np.random.default_rng(0).normal(size=(n, 8)), block=64)
        batched = jax.jit(jax.vmap(one, (None, 0, 0)))
        compiled = batched.lower(target, jnp.ones((32, 8)), jnp.ones(32)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # A weight for each of 32 observations and 7680 more points would take 2 MB, their data 16 MB.
    assert scratch(8192) - scratch(512) < 2e5


@pytest.mark.parametrize("make", [Empirical, ShardedEmpirical])
def test_data_are_copied_once_when_they_are_placed_and_once_when_they_are_read(make):
    """Never in float64, nor as a mask of their size: a block or a part at a time."""
    points = np.random.default_rng(0).normal(size=(8192, 64)).astype(np.float32)
    tracemalloc.start()
    target = make(points, block=256)
    _, placing = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    assert target.points.shape == points.shape
    reading = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert placing < 1.6 * points.nbytes
    assert reading < 1.6 * points.nbytes


@pytest.mark.parametrize("make", [Empirical, ShardedEmpirical])
def test_data_of_float64_are_not_copied_whole_where_jax_has_no_such_type(make):
    points = np.random.default_rng(0).normal(size=(8192, 64)) + 100.0
    jax.config.update("jax_enable_x64", False)
    try:
        tracemalloc.start()
        target = make(points, block=256)
        _, placing = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        found = target.rows(np.arange(8192))
    finally:
        jax.config.update("jax_enable_x64", True)
    assert found.dtype == target.label_weights.dtype == np.float32
    assert placing < 1.6 * found.nbytes
    np.testing.assert_allclose(found, points, rtol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices have memory of their own")
def test_a_cpu_device_takes_over_the_centred_data_without_a_copy(monkeypatch):
    made = []
    for room in (streaming, _parts):
        monkeypatch.setattr(room, "aligned_zeros", lambda *args: made.append(aligned_zeros(*args)) or made[-1])
    whole, parted = Empirical(POINTS, LABELS), ShardedEmpirical(POINTS, LABELS)
    for target, zeros in ((whole.cloud.blocks, made[0]), (parted.blocks.addressable_shards[0].data, made[1])):
        assert target.unsafe_buffer_pointer() == zeros.ctypes.data


def test_data_cannot_be_differentiated_silently():
    with pytest.raises(ValueError, match="`Empirical` needs fixed points"):
        eqx.filter_grad(lambda target: target.log_evidence(YS[0], 0.5))(TARGET)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    shift=st.lists(st.floats(-100, 100), min_size=5, max_size=5),
    seed=st.integers(0, 1000),
    block=st.sampled_from([8, 64]),
    variance=st.floats(1e-2, 1e2),
)
def test_results_move_with_translations_and_not_with_order_or_blocks(shift, seed, block, variance):
    order = np.random.default_rng(seed).permutation(37)
    moved = Empirical((POINTS + np.array(shift))[order], LABELS[order], block=block)
    evidence, mean, covariance, labels = everything(TARGET, YS, jnp.asarray(variance))
    found = everything(moved, YS + np.array(shift)[None], jnp.asarray(variance))
    for one, other in zip(found, (evidence, mean + np.array(shift)[None], covariance, labels), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_data_given_twice_change_nothing():
    twice = Empirical(np.repeat(POINTS, 2, 0), np.repeat(LABELS, 2), block=8)
    for found, expected in zip(
        everything(twice, YS, jnp.asarray(0.64)), everything(TARGET, YS, jnp.asarray(0.64)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_single_datum_is_a_point_mass():
    target = Empirical(POINTS[:1])
    evidence, mean, covariance, labels = everything(target, YS[:1], jnp.asarray(0.3))
    np.testing.assert_allclose(evidence[0], log_weights(POINTS[:1], YS[0], 0.3)[1], rtol=1e-13)
    np.testing.assert_allclose(mean[0], POINTS[0], rtol=1e-15)
    np.testing.assert_allclose(covariance, 0, atol=1e-15)
    np.testing.assert_allclose(labels, 0, atol=1e-15)


@pytest.mark.parametrize("variance", VARIANCES.values(), ids=VARIANCES)
def test_overlap_is_the_inner_product_of_the_weights(target, variance):
    overlap = eqx.filter_jit(target.overlap)
    for one, other in ((0, 0), (0, 1), (2, 3)):
        weights = [np.exp(log_weights(POINTS, YS[i], variance)[0]) for i in (one, other)]
        found = overlap(YS[one], YS[other], jnp.asarray(variance))
        np.testing.assert_allclose(found, weights[0] @ weights[1], rtol=1e-11)


def test_samples_are_data_with_their_own_index_and_class_equally_often():
    index_keys, label_keys = jr.split(jr.key(0), (2, 7400))
    points, indices = jax.vmap(TARGET.sample_indexed)(index_keys)
    np.testing.assert_allclose(points, POINTS[indices], rtol=1e-14)
    counts = np.bincount(indices, minlength=37)
    assert np.all(np.abs(counts - 200) < 4 * 200**0.5)
    points, labels = jax.vmap(TARGET.sample_labelled)(label_keys)
    nearest = np.argmin(np.sum((np.asarray(points)[:, None] - POINTS) ** 2, -1), 1)
    np.testing.assert_array_equal(labels, LABELS[nearest])
    np.testing.assert_allclose(TARGET.points, POINTS, rtol=1e-14)
    np.testing.assert_array_equal(TARGET.labels, LABELS)
    np.testing.assert_allclose(TARGET.label_weights, np.bincount(LABELS) / 37, rtol=1e-14)


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (np.zeros(3), None, r"`points` needs shape \(n, d\)"),
        (np.zeros((0, 3)), None, "`points` needs one datum or more, of one coordinate or more"),
        (np.zeros((2, 3), np.uint8), None, "`points` needs float32 or float64. Got uint8. Do scale it"),
        (np.array([[0.0], [np.nan]]), None, "`points` needs finite values"),
        (np.ones((5, 3)), None, "`points` needs at least two different data. Got 5 times the same"),
        (np.eye(3), np.zeros(2, int), r"`labels` needs shape \(3,\)"),
        (np.eye(3), np.zeros(3), "`labels` needs integers. Got float64"),
        (np.eye(3), np.array([0, 2, 2]), "`labels` needs classes 0, 1, .., each of them used"),
        (np.eye(3), np.array([1, 2, 2]), "`labels` needs classes 0, 1, .., each of them used"),
        (np.eye(3), np.array([-1, 0, 1]), "`labels` needs classes 0, 1, .., each of them used"),
    ],
)
def test_empirical_refuses_what_is_no_data_set(points, labels, message):
    with pytest.raises(ValueError, match=message):
        Empirical(points, labels)


def test_empirical_refuses_an_empty_block():
    with pytest.raises(ValueError, match="`block` needs a positive number"):
        Empirical(np.eye(3), block=0)


def test_empirical_refuses_no_places():
    with pytest.raises(ValueError, match="`slots` needs a positive number of places"):
        Empirical(np.eye(3), slots=0)
