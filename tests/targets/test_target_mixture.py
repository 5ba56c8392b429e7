"""Mixtures of targets: against the targets that they are, their labels, and what is refused."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from same_laws import assert_same_labels, assert_same_law

from diffphys.targets import Gaussian, Ising, IsotropicMixture, Sphere, deltas, mixture_of

RNG = np.random.default_rng(8)
MEANS = RNG.normal(size=(3, 2))
Y = RNG.normal(size=2)


def test_a_mixture_of_gaussian_targets_is_the_mixture_of_gaussians():
    parts = [Gaussian(mean, variance) for mean, variance in zip(MEANS, (0.5, 1.0, 0.0), strict=True)]
    weights = [1.0, 2.0, 3.0]
    expected = IsotropicMixture(np.log(weights), MEANS, [0.5, 1.0, 0.0])
    found = mixture_of(parts, weights)
    assert_same_law(found, expected, Y)
    assert_same_labels(found, expected, Y, 0.3)


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
    ],
)
def test_what_cannot_be_mixed_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
