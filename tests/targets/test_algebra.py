"""Mixtures and images of targets: against the targets that they are, and what is refused."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from diffphys.targets import (
    Gaussian,
    Ising,
    IsotropicMixture,
    LabelledPlaced,
    Placed,
    Sphere,
    deltas,
    embedded,
    mixture_of,
    scaled,
    shifted,
)

RNG = np.random.default_rng(8)
MEANS = RNG.normal(size=(3, 2))
BASIS = np.linalg.qr(RNG.normal(size=(4, 2)))[0]
Y = RNG.normal(size=4)


@eqx.filter_jit
def ask(target, y, variance):
    return (
        target.log_evidence(y, variance),
        target.posterior_mean(y, variance),
        target.posterior_covariance(y, variance),
    )


@eqx.filter_jit
def labels(target, y, variance):
    return target.label_log_posterior(y, variance)


def assert_same_law(found, expected, y):
    for variance in (0.01, 0.7, 20.0):
        for one, other in zip(*(ask(t, jnp.asarray(y), jnp.asarray(variance)) for t in (found, expected)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def test_a_scaled_gaussian_is_the_gaussian_of_scaled_parameters():
    assert_same_law(scaled(Gaussian(MEANS[0], [0.5, 2.0]), -3.0), Gaussian(-3 * MEANS[0], [4.5, 18.0]), Y[:2])


def test_a_shifted_gaussian_is_the_gaussian_of_the_shifted_mean():
    assert_same_law(shifted(Gaussian(MEANS[0]), MEANS[1]), Gaussian(MEANS[0] + MEANS[1]), Y[:2])


def test_an_embedded_gaussian_is_a_singular_one():
    root = RNG.normal(size=(2, 2))
    singular = Gaussian(BASIS @ MEANS[0], BASIS @ root @ root.T @ BASIS.T)
    assert_same_law(embedded(Gaussian(MEANS[0], root @ root.T), BASIS), singular, Y)


def test_a_sphere_of_another_radius_is_a_scaled_sphere():
    assert_same_law(scaled(Sphere(4), 1.7), Sphere(4, 1.7), Y)


def test_points_stay_points_with_their_labels_under_any_placement():
    placed = shifted(scaled(embedded(deltas(MEANS, [1.0, 2.0, 1.0]), BASIS), 2.0), Y)
    expected = deltas(2 * MEANS @ BASIS.T + Y, [1.0, 2.0, 1.0])
    assert isinstance(placed, LabelledPlaced)
    assert_same_law(placed, expected, Y + 0.3)
    np.testing.assert_allclose(placed.label_weights, [0.25, 0.5, 0.25], rtol=1e-14)
    found, wanted = (labels(target, jnp.asarray(Y + 0.3), jnp.asarray(0.7)) for target in (placed, expected))
    np.testing.assert_allclose(found, wanted, rtol=1e-11)


def test_a_placed_tree_keeps_its_hierarchy():
    tree = IsotropicMixture(np.zeros(3), MEANS, np.ones(3), ((0, 0, 1),))
    assert scaled(tree, 2.0).hierarchy == ((0, 0, 1),)


def test_an_image_of_a_target_without_labels_has_none():
    assert isinstance(scaled(Sphere(2), 2.0), Placed)


def test_a_mixture_of_gaussian_targets_is_the_mixture_of_gaussians():
    parts = [Gaussian(mean, variance) for mean, variance in zip(MEANS, (0.5, 1.0, 0.0), strict=True)]
    weights = [1.0, 2.0, 3.0]
    expected = IsotropicMixture(np.log(weights), MEANS, [0.5, 1.0, 0.0])
    found = mixture_of(parts, weights)
    assert_same_law(found, expected, Y[:2])
    np.testing.assert_allclose(
        labels(found, jnp.asarray(Y[:2]), jnp.asarray(0.3)),
        labels(expected, jnp.asarray(Y[:2]), jnp.asarray(0.3)),
        rtol=1e-11,
    )


def test_the_smooth_part_of_a_mixture_wins_away_from_its_points():
    """At small noise a point holds only what lies within the noise of it."""
    target = mixture_of([deltas([[0.0, 0.0]]), Gaussian([0.0, 0.0])])
    for place, expected in ((0.0, 0), (0.5, 1)):
        assert int(target.label(jnp.full(2, place), jnp.asarray(1e-4))) == expected


def test_samples_of_a_mixture_come_from_the_part_that_their_label_names():
    target = mixture_of([Sphere(2, 3.0), Ising(np.zeros((2, 2)))], [1.0, 3.0])
    samples, which = eqx.filter_jit(eqx.filter_vmap(target.sample_labelled))(jr.split(jr.key(0), 2000))
    lengths = np.linalg.norm(samples, axis=1)
    np.testing.assert_allclose(lengths, np.where(np.asarray(which) == 0, 3.0, 2**0.5), rtol=1e-14)
    assert abs(np.mean(which) - 0.75) < 4 * (0.1875 / 2000) ** 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixture_of([Sphere(2), Sphere(3)]), r"`mixture_of` needs targets of one dimension. Got \[2, 3\]"),
        (lambda: mixture_of([]), "`mixture_of` needs targets of one dimension"),
        (lambda: mixture_of([Sphere(2)], [0.0]), "`weights` needs positive numbers"),
        (lambda: mixture_of([Sphere(2)], [1.0, 1.0]), r"`weights` needs shape \(1,\)"),
        (lambda: scaled(Sphere(2), 0.0), "`factor` needs one finite number, not zero"),
        (lambda: scaled(Sphere(2), np.ones(2)), "`factor` needs one finite number, not zero"),
        (lambda: shifted(Sphere(2), np.ones(3)), r"`offset` needs shape \(2,\)"),
        (lambda: shifted(Sphere(2), [np.nan, 0.0]), "`offset` needs finite values"),
        (lambda: embedded(Sphere(2), np.eye(3)), r"`basis` needs shape \(d, 2\)"),
        (lambda: embedded(Sphere(2), np.ones((3, 2))), "`basis` needs orthonormal columns"),
        (lambda: embedded(Sphere(2), np.full((3, 2), np.nan)), "`basis` needs orthonormal columns"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
