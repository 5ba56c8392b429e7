"""The pruned posterior mean against that of all points: its certificate holds, and where it fails all are taken."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from diffphys.targets import Empirical, PrunedPosteriorMean, ShardedEmpirical

RNG = np.random.default_rng(31)
# A spectrum as of images, 1/i, so that the leading directions say much of the distances.
IMAGES = RNG.normal(size=(500, 24)) / np.sqrt(np.arange(1, 25)) + 2.0
CLOUDS = {
    "images": IMAGES,
    "white": RNG.normal(size=(500, 24)),
    "duplicates": np.concatenate([IMAGES[:250], IMAGES[:250] + 1e-3 * RNG.normal(size=(250, 24))]),
}
PRUNED = {
    (name, dtype): PrunedPosteriorMean(Empirical(points.astype(dtype), block=64), rank=8, candidates=32)
    for name, points in CLOUDS.items()
    for dtype in ("float32", "float64")
}


@eqx.filter_jit
def certificate(pruned, y, variance):
    return pruned.certificate(y, variance)


@eqx.filter_jit
def batched(function, ys, variance):
    return jax.vmap(function, (0, None))(ys, variance)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    cloud=st.sampled_from(sorted(CLOUDS)),
    dtype=st.sampled_from(["float32", "float64"]),
    datum=st.integers(0, 499),
    log_variance=st.floats(-14, 3),
    far=st.sampled_from([0.0, 1.0, 30.0]),
    seed=st.integers(0, 10**6),
)
def test_a_certificate_bounds_the_weight_left_out_and_the_error(cloud, dtype, datum, log_variance, far, seed):
    """By brute force in float64: of all points but the 32 nearest ones, which weigh no more than those left out."""
    points, variance = CLOUDS[cloud].astype(dtype).astype(float), np.exp(log_variance)
    noise = np.random.default_rng(seed).normal(size=24)
    y = (points[datum] + variance**0.5 * noise + far * noise).astype(dtype)
    found = certificate(PRUNED[cloud, dtype], jnp.asarray(y), jnp.asarray(variance, dtype))
    distances = np.sum((y.astype(float)[None] - points) ** 2, axis=1)
    weights = np.exp(-(distances - distances.min()) / (2 * variance))
    left_out = np.sort(weights)[:-32].sum()
    assert np.log(max(left_out, 1e-300)) <= float(found.log_rest) or left_out == 0
    mean = weights @ points / weights.sum()
    rounding = 20 * np.finfo(dtype).eps * (np.abs(points).max() + distances.min() / variance)
    assert np.linalg.norm(np.asarray(found.mean, float) - mean) <= float(found.error) * (1 + 1e-3) + rounding


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_mean_is_within_the_tolerance_at_any_noise(cloud):
    pruned = PRUNED[cloud, "float64"]
    points = CLOUDS[cloud]
    for variance in (1e-6, 1e-4, 1e-2, 1.0, 100.0):
        ys = jnp.asarray(points[:16] + variance**0.5 * RNG.normal(size=(16, 24)))
        found = batched(pruned, ys, jnp.asarray(variance))
        expected = batched(pruned.data.posterior_mean, ys, jnp.asarray(variance))
        assert np.linalg.norm(found - expected, axis=1).max() <= 1e-4


def test_data_sets_of_nearly_one_size_share_a_program_and_have_their_own_bounds():
    """The weight left out is at most n - 1 times that of the last candidate, with n that of the data alone."""
    traced = []

    @eqx.filter_jit
    def certified(pruned, y, variance):
        traced.append(pruned.rank)
        return pruned.certificate(y, variance), pruned(y, variance)

    for n in (481, 488, 496):
        points = IMAGES[:n]
        found, mean = certified(
            PrunedPosteriorMean(Empirical(points, block=64), rank=24, candidates=32), jnp.asarray(points[0]), 2.0
        )
        # All directions are leading ones, so that bounds are distances, but for rounding.
        distances = np.sort(np.sum((points[0][None] - points) ** 2, axis=1))
        last = (distances[31] - distances[0]) / 4
        assert np.log(n - 1) - last <= found.log_rest
        weights = np.exp(-np.sum((points[0][None] - points) ** 2, axis=1) / 4)
        np.testing.assert_allclose(mean, weights @ points / weights.sum(), atol=1e-4)
    assert len(traced) == 1


def test_candidates_are_enough_at_small_noise_and_not_at_large_noise():
    """Made of candidates alone, the mean differs from that of all points, which would be equal to the last bit."""
    pruned = PRUNED["images", "float64"]
    ys = jnp.asarray(IMAGES[:16] + 0.01 * RNG.normal(size=(16, 24)))
    cold = batched(pruned.certificate, ys, jnp.asarray(1e-4))
    assert np.all(cold.error < 1e-12)
    hot = batched(pruned.certificate, ys, jnp.asarray(10.0))
    assert np.all(hot.error > 0.1)
    whole = batched(pruned.data.posterior_mean, ys, jnp.asarray(10.0))
    np.testing.assert_array_equal(batched(pruned, ys, jnp.asarray(10.0)), whole)
    assert np.linalg.norm(hot.mean - whole, axis=1).min() > 1e-3


@eqx.filter_jit
def derivatives(function, y, variance):
    forward = jax.jvp(function, (y, variance), (jnp.ones(24), jnp.asarray(1e-3)))[1]
    return forward, jax.vjp(function, y, variance)[1](jnp.ones(24))


@pytest.mark.parametrize("variance", [2e-3, 1.0], ids=["pruned", "whole"])
def test_derivatives_are_those_of_the_whole_data_set(variance):
    pruned = PRUNED["duplicates", "float64"]
    y = jnp.asarray(IMAGES[3] + 0.01)
    assert (certificate(pruned, y, jnp.asarray(variance)).error < 1e-4) == (variance < 1)
    functions = pruned, pruned.data.posterior_mean
    found, expected = (derivatives(function, y, jnp.asarray(variance)) for function in functions)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected)) > 1e-6
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "`rank` needs directions from 1 to 24. Got 0"),
        ({"rank": 25}, "`rank` needs directions from 1 to 24. Got 25"),
        ({"candidates": 12}, "`candidates` needs a multiple of 8"),
        ({"candidates": 504}, "`candidates` needs a multiple of 8 below the 500 data"),
        ({"tolerance": 0.0}, "`tolerance` needs a positive distance. Got 0.0"),
    ],
)
def test_pruning_refuses_what_means_nothing(options, message):
    with pytest.raises(ValueError, match=message):
        PrunedPosteriorMean(PRUNED["images", "float64"].data, **{"candidates": 32} | options)


def test_other_targets_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"data set on one device, `Empirical\(points\)`. Got `ShardedEmpirical`"):
        PrunedPosteriorMean(ShardedEmpirical(np.eye(40)))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("ask", [lambda pruned: pruned, lambda pruned: pruned.certificate], ids=["mean", "certificate"])
def test_pruning_refuses_what_is_not_one_observation_and_its_noise(ask, unchecked):
    pruned = PRUNED["images", "float64"]
    dim = pruned.data.dim
    with pytest.raises(ValueError, match=rf"`y` needs one observation of shape \({dim},\). Got \(2, {dim}\)"):
        ask(pruned)(jnp.ones((2, dim)), 0.1)
    with pytest.raises(ValueError, match=r"`variance` needs a finite number > 0. Got 0\.0"):
        ask(pruned)(jnp.ones(dim), 0.0)
