"""Ways to make a mixture: the class chosen, the spectrum of a tree, what is refused."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from diffphys.targets import (
    IsotropicMixture,
    SharedCovarianceMixture,
    deltas,
    hierarchical_mixture,
    mixture,
    symmetric_mixture,
)

MEANS = np.random.default_rng(0).normal(size=(3, 2))


@pytest.mark.parametrize(
    ("covariance", "kind", "expected"),
    [
        (2.0, IsotropicMixture, [2.0, 2.0, 2.0]),
        (np.array([1.0, 2.0, 3.0]), IsotropicMixture, [1.0, 2.0, 3.0]),
        (np.array([1.0, 2.0]), SharedCovarianceMixture, [1.0, 2.0]),
        (np.array([[2.0, 1.0], [1.0, 2.0]]), SharedCovarianceMixture, [1.0, 3.0]),
    ],
    ids=["scalar", "per-component", "per-coordinate", "matrix"],
)
def test_mixture_takes_the_class_that_its_covariance_fits(covariance, kind, expected):
    target = mixture(MEANS, covariance=covariance, weights=[1.0, 2.0, 1.0])
    assert isinstance(target, kind)
    spread = target.variances if isinstance(target, IsotropicMixture) else target.eigenvalues
    np.testing.assert_allclose(spread, expected, rtol=1e-14)
    np.testing.assert_allclose(target.label_weights, [0.25, 0.5, 0.25], rtol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"means": np.zeros(3)}, "`means` needs shape"),
        ({"means": np.eye(2), "covariance": np.ones(2)}, "`covariance` needs a shape that says what it is"),
        ({"means": MEANS, "covariance": np.ones(4)}, "`covariance` needs shape"),
        ({"means": MEANS, "weights": [1.0, 0.0, 1.0]}, "`weights` needs positive numbers"),
        ({"means": MEANS, "weights": [1.0, 1.0]}, r"`weights` needs shape \(3,\)"),
        ({"means": MEANS, "covariance": -1.0}, "`covariance` needs variances"),
    ],
)
def test_mixture_refuses_what_fits_no_class_or_two(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixture(**arguments)


def test_weights_of_a_mixture_are_not_taken_for_its_variances():
    """Second in `deltas`, `pure_states` and `mixture_of`, they would be the variances of the components here."""
    with pytest.raises(TypeError, match="positional"):
        mixture(MEANS, [1.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 2)),), "`mean` needs shape"),
        (([1.0], 1.0, 1.0), r"`weight` needs a number within \(0, 1\)"),
        (([1.0], -1.0), "`variances` needs variances"),
    ],
)
def test_symmetric_mixture_refuses_what_is_not_two_classes(arguments, message):
    with pytest.raises(ValueError, match=message):
        symmetric_mixture(*arguments)


def centred_spectrum(target):
    means = np.asarray(target.means)
    centred = means - np.asarray(target.label_weights) @ means
    return np.linalg.eigvalsh(centred.T @ (np.asarray(target.label_weights)[:, None] * centred))[::-1]


def test_unbalanced_classes_have_the_centred_outlier_eigenvalue():
    target = symmetric_mixture(np.array([4.0, 0.0]), 1.0, 0.8)
    # 11.24 with the variance of the classes: the value of the reference sheet for p = .8, |m|^2 = 16.
    np.testing.assert_allclose(centred_spectrum(target)[0] + 1, 11.24, rtol=1e-12)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    branching=st.lists(st.integers(2, 4), min_size=1, max_size=3),
    separations=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    spare=st.integers(0, 3),
)
def test_tree_has_its_separations_and_its_outlier_eigenvalues(branching, separations, spare):
    separations = separations[: len(branching)]
    leaves = int(np.prod(branching))
    dim = leaves - 1 + spare
    target = hierarchical_mixture(jr.key(5), dim, tuple(branching), tuple(separations), 0.3)
    parents, outliers = 1, []
    previous = np.zeros((leaves, dim))
    for children, separation, nodes in zip(branching, separations, target.hierarchy, strict=True):
        outliers += [separation**2 / (parents * (children - 1))] * (parents * (children - 1))
        members = np.array(nodes)[:, None] == np.array(nodes)[None]
        # With equal weights and centred offsets, the mean of a node is that of its leaves.
        centres = members @ np.asarray(target.means) / members.sum(1, keepdims=True)
        np.testing.assert_allclose(np.linalg.norm(centres - previous, axis=1), separation, rtol=1e-10)
        previous, parents = centres, parents * children
        assert max(nodes) + 1 == parents
    np.testing.assert_allclose(previous, target.means, atol=1e-10)
    expected = np.sort(outliers + [0.0] * spare)[::-1]
    np.testing.assert_allclose(centred_spectrum(target), expected, atol=1e-9 * expected[0])


def test_binary_tree_halves_its_outlier_eigenvalue_level_by_level():
    target = hierarchical_mixture(jr.key(0), 20, (2, 2, 2), (8.0, 8.0, 8.0), 1.0)
    np.testing.assert_allclose(centred_spectrum(target)[:7], [64, 32, 32, 16, 16, 16, 16], rtol=1e-10)


@pytest.mark.parametrize(
    ("dim", "branching", "separations", "message"),
    [
        (9, (2, 2), (1.0,), "`separations` needs one distance for each level"),
        (9, (), (), "`separations` needs one distance for each level"),
        (9, (2, 1), (1.0, 1.0), "`branching` needs at least 2 children"),
        (9, (2, 2), (1.0, 0.0), "`separations` needs positive distances"),
        (6, (2, 4), (1.0, 1.0), "`dim` needs one orthogonal direction for each of 7"),
    ],
)
def test_tree_refuses_what_cannot_be_built(dim, branching, separations, message):
    with pytest.raises(ValueError, match=message):
        hierarchical_mixture(jr.key(0), dim, branching, separations)


@pytest.mark.parametrize("variance", [0.25, 0.6])
def test_four_points_on_two_axes_denoise_by_hyperbolic_functions(variance):
    target = deltas([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    x = np.array([0.3, -0.4])
    expected = np.sinh(x / variance) / np.cosh(x / variance).sum()
    np.testing.assert_allclose(target.posterior_mean(jnp.asarray(x), variance), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(3),), r"`points` needs shape \(k, d\)"),
        ((MEANS, [1.0, -1.0, 1.0]), "`weights` needs positive numbers"),
        ((MEANS, [1.0, 1.0]), r"`weights` needs shape \(3,\)"),
    ],
)
def test_deltas_refuse_what_are_no_weighted_points(arguments, message):
    with pytest.raises(ValueError, match=message):
        deltas(*arguments)
