"""Images of targets: against the targets that they are, and what is refused."""

import numpy as np
import pytest
from same_laws import assert_same_labels, assert_same_law

from diffphys.targets import (
    Gaussian,
    IsotropicMixture,
    LabelledPlaced,
    Placed,
    Sphere,
    deltas,
    embedded,
    scaled,
    shifted,
)

RNG = np.random.default_rng(8)
MEANS = RNG.normal(size=(3, 2))
BASIS = np.linalg.qr(RNG.normal(size=(4, 2)))[0]
Y = RNG.normal(size=4)


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
    assert_same_labels(placed, expected, Y + 0.3, 0.7)


def test_a_placed_tree_keeps_its_hierarchy():
    tree = IsotropicMixture(np.zeros(3), MEANS, np.ones(3), ((0, 0, 1),))
    assert scaled(tree, 2.0).hierarchy == ((0, 0, 1),)


def test_an_image_of_a_target_without_labels_has_none():
    assert isinstance(scaled(Sphere(2), 2.0), Placed)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scaled(Sphere(2), 0.0), "`factor` needs one finite number, not zero"),
        (lambda: scaled(Sphere(2), np.ones(2)), "`factor` needs one finite number, not zero"),
        (lambda: shifted(Sphere(2), np.ones(3)), r"`offset` needs shape \(2,\)"),
        (lambda: shifted(Sphere(2), [np.nan, 0.0]), "`offset` needs finite values"),
        (lambda: embedded(Sphere(2), np.eye(3)), r"`basis` needs shape \(d, 2\)"),
        (lambda: embedded(Sphere(2), np.ones((3, 2))), "`basis` needs orthonormal columns"),
        (lambda: embedded(Sphere(2), np.full((3, 2), np.nan)), "`basis` needs orthonormal columns"),
    ],
)
def test_what_cannot_be_placed_so_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
