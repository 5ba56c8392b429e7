"""The digits that the data set keeps in float32, down to small noise and among near-duplicates."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from diffphys.targets import Empirical


def log_weights(points, y, variance):
    """Log-weights and log-evidence, brute force."""
    log_joint = -0.5 * np.sum((np.asarray(y)[None] - points) ** 2, -1) / variance
    norm = scipy.special.logsumexp(log_joint)
    n, d = points.shape
    return log_joint - norm, norm - np.log(n) - 0.5 * d * np.log(2 * np.pi * variance)


def smooth_images(count):
    """Images of 32 x 32 x 3 pixels in [0, 1] with the correlations of natural ones."""
    rng = np.random.default_rng(5)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    spectrum = 1 / (frequency + 0.02) ** 1.2
    noise = np.fft.fft2(rng.normal(size=(count, 3, 32, 32)) + rng.normal(size=(count, 1, 32, 32)))
    images = np.fft.ifft2(noise * spectrum).real
    return np.clip(0.5 + 0.2 * images / images.std(), 0, 1).reshape(count, -1)


def with_near_duplicates(images):
    """Data where several weights compete at small noise: copies at distances about its square root."""
    rng = np.random.default_rng(6)
    step = rng.normal(size=(2, 40, images.shape[1])) * np.array([0.02, 0.1])[:, None, None]
    copies = images[None, :40] + step / images.shape[1] ** 0.5
    return np.concatenate([images, copies.reshape(80, -1)]).astype(np.float32)


@eqx.filter_jit
def own_weights(target, ys, indices, variance):
    """Log-weight of each of the given data, for each observation; posterior means and log-evidences."""

    def one(y, candidates):
        weights = jax.vmap(lambda i: target.weights_summary(y, variance, i).log_own_weight)(candidates)
        return weights, target.posterior_mean(y, variance), target.log_evidence(y, variance)

    return jax.vmap(one)(ys, indices)


@eqx.filter_jit
def summaries(target, ys, variance):
    """What the weights say of each observation, made from the first of the data; posterior means."""

    def one(y):
        return target.weights_summary(y, variance, 0, with_mean=True), target.posterior_mean(y, variance)

    return jax.vmap(one)(ys)


def float32_errors(points, time):
    """Largest errors of leading log-weights, of a coordinate of the mean, and of the evidence, at a time."""
    variance = np.expm1(2 * time)
    rng = np.random.default_rng(7)
    clean = points[rng.choice(np.r_[:40, len(points) - 80 : len(points)], 12)]
    ys = (clean + variance**0.5 * rng.normal(size=clean.shape)).astype(np.float32)
    logs, evidences = zip(*(log_weights(points.astype(float), y.astype(float), variance) for y in ys), strict=True)
    leading = np.argsort(logs, axis=1)[:, :-5:-1]
    target = Empirical(points, block=256)
    arguments = jnp.asarray(ys), jnp.asarray(leading), jnp.asarray(variance, jnp.float32)
    found = [np.asarray(x, np.float64) for x in own_weights(target, *arguments)]
    expected = np.take_along_axis(np.array(logs), leading, 1)
    # Log-weights far below, of data that do not matter, need only be as far below.
    error = np.abs(found[0] - expected) * (expected > -20)
    means = np.exp(logs) @ points.astype(float)
    assert np.sum(expected > -5) > 15
    return error.max(), np.abs(found[1] - means).max(), np.abs(found[2] - np.array(evidences)).max()


@pytest.mark.parametrize("time", [1e-3, 1e-2, 0.08, 0.12, 1.0])
def test_float32_keeps_the_leading_log_weights_of_images_to_a_hundredth(time):
    weight_error, mean_error, evidence_error = float32_errors(with_near_duplicates(smooth_images(400)), time)
    assert weight_error < 3e-3
    assert mean_error < 1e-5
    assert evidence_error < 3e-2


@pytest.mark.parametrize("time", [1e-4, 1e-3, 1e-2])
def test_float32_keeps_the_weights_of_more_near_duplicates_than_are_told_apart(time):
    """Those beyond the nearest share the rounding of their squares with these: sums over both stay accurate."""
    images, variance = smooth_images(100), np.expm1(2 * time)
    rng = np.random.default_rng(8)
    copies = images[:1] + rng.normal(size=(80, 3072)) * (np.linspace(0.005, 0.15, 80) / 3072**0.5)[:, None]
    points = np.concatenate([images, copies]).astype(np.float32)
    labels = np.arange(180) % 4
    ys = (images[:1] + variance**0.5 * rng.normal(size=(6, 3072))).astype(np.float32)
    target = Empirical(points, labels, block=64)
    found, means = summaries(target, jnp.asarray(ys), jnp.asarray(variance, jnp.float32))
    for i, y in enumerate(ys):
        logs, evidence = log_weights(points.astype(float), y.astype(float), variance)
        by_class = [scipy.special.logsumexp(logs[k == labels]) for k in range(4)]
        np.testing.assert_allclose(found.log_rest_over_own[i], scipy.special.logsumexp(logs[1:]) - logs[0], atol=1e-2)
        np.testing.assert_allclose(found.entropy[i], -np.exp(logs) @ logs, atol=1e-2)
        np.testing.assert_allclose(found.label_log_posterior[i], by_class, atol=1.5e-2)
        np.testing.assert_allclose(found.log_evidence[i], evidence, rtol=1e-6, atol=1e-2)
        for mean in found.mean[i], means[i]:
            np.testing.assert_allclose(mean, np.exp(logs) @ points.astype(float), atol=1e-5)


def test_at_hardly_any_noise_the_mean_is_the_nearest_datum():
    """Rounding of the squares there is worth thousands of nats, and must neither overflow nor win."""
    points = smooth_images(40).astype(np.float32)
    points = np.concatenate([points, points + np.float32(1e-3)])
    means = summaries(Empirical(points, block=16), jnp.asarray(points), jnp.float32(1e-9))[1]
    np.testing.assert_allclose(means, points, atol=1e-6)


@pytest.mark.parametrize(("time", "wanted"), [(1e-4, 1), (0.05, 16)])
def test_no_more_neighbours_are_measured_anew_than_may_have_a_weight(time, wanted):
    """For all of a batch as many as for the one that needs most; of ever less noise, only the nearest."""
    points, variance = smooth_images(200).astype(np.float32), np.float32(np.expm1(2 * time))
    ys = points[:8] + variance**0.5 * np.random.default_rng(9).normal(size=(8, 3072)).astype(np.float32)
    target = Empirical(points, block=64)

    @jax.vmap
    def contenders(y):
        return target.cloud.contenders(y, variance, target.cloud.nearest(y, variance))

    counts = np.asarray(contenders(jnp.asarray(ys) - target.offset[None]))
    logs = [log_weights(points.astype(float), y.astype(float), float(variance))[0] for y in ys]
    matter = max(np.sum(log > log.max() + np.log(np.finfo(np.float32).tiny)) for log in logs)
    assert matter <= counts[0] == wanted
    assert np.all(counts == counts[0])


def test_one_observation_between_two_data_has_both_measured_for_all_of_a_batch():
    points, variance = smooth_images(200).astype(np.float32), np.float32(np.expm1(2e-4))
    ys = jnp.asarray(np.concatenate([points[:3], 0.5 * (points[3:4] + points[4:5])]))
    target = Empirical(points, block=64)

    def contenders(y):
        return target.cloud.contenders(y, variance, target.cloud.nearest(y, variance))

    centred = ys - target.offset[None]
    assert [int(contenders(y)) for y in centred] == [1, 1, 1, 2]
    np.testing.assert_array_equal(jax.vmap(contenders)(centred), [2, 2, 2, 2])


@pytest.mark.slow
@pytest.mark.parametrize("time", [1e-3, 1e-2, 0.08, 0.12, 1.0])
def test_float32_keeps_the_leading_log_weights_of_real_images_to_a_hundredth(time, lab):
    with np.load(lab / "cifar10" / "cifar10_automobile_horse_train3000.npz") as file:
        images = file[file.files[0]].reshape(-1, 3072) / 255
    weight_error, mean_error, _ = float32_errors(with_near_duplicates(images), time)
    assert weight_error < 3e-3
    assert mean_error < 1e-5
