"""Landau coefficients: cumulants of the posterior, and the order of the transition that they decide."""

import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import FOUR, THREE, TWO, points

import diffphys as dp
from diffphys.thermo import continue_branch, switch_branch
from diffphys.thermo.landau import expand

# Equal norms, weights .3 on the first axis: kappa_4 = .3 - 3 * .09 > 0.
FIRST_ORDER = points(np.concatenate([np.eye(4), -np.eye(4)]), [*(2 * [0.15, *[0.7 / 6] * 3])])


def coefficients(target, variance, direction, point=None):
    direction = jnp.asarray(direction, float)
    point = jnp.zeros(direction.size) if point is None else jnp.asarray(point)
    return expand(target.posterior_mean, point, jnp.asarray(variance), direction)


def test_coefficients_of_two_points_are_the_cumulants_of_a_sign():
    found = coefficients(TWO, 1.0, [2.0])
    np.testing.assert_allclose(found[1:], [1, 0, -2, -2], rtol=0, atol=1e-13)
    assert found.is_continuous


@pytest.mark.parametrize(("direction", "fourth"), [([1.0, 0.0], 0.5 - 0.75), ([1.0, 1.0], 0.25 - 0.75)])
def test_coefficients_of_four_points_depend_on_the_direction(direction, fourth):
    found = coefficients(FOUR, 0.5, direction)
    np.testing.assert_allclose(found[1:], [0.5, 0, fourth, fourth], rtol=0, atol=1e-13)
    assert found.is_continuous


@pytest.mark.parametrize("make", [points, pytest.param(dp.Empirical, marks=pytest.mark.slow)])
def test_coefficients_at_any_point_are_the_cumulants_of_the_posterior(make):
    rng = np.random.default_rng(0)
    rows, y, v, along = rng.normal(size=(4, 2)), rng.normal(size=2), 0.7, rng.normal(size=2)
    along /= np.linalg.norm(along)
    weights = np.exp(-((y - rows) ** 2).sum(1) / (2 * v))
    weights /= weights.sum()
    centred = rows @ along - weights @ rows @ along
    second, third, fourth = (weights @ centred**k for k in (2, 3, 4))
    found = coefficients(make(rows), v, along, y)
    np.testing.assert_allclose(found[1:4], [second, third, fourth - 3 * second**2], rtol=1e-10)


def test_amplitude_is_that_of_the_branch_to_first_order():
    found = coefficients(FOUR, 0.5, [1.0, 0.0])
    for distance in (1e-2, 1e-3):
        m, v = switch_branch(FOUR.posterior_mean, np.zeros(2), 0.5, np.array([1.0, 0.0]), distance=distance)
        assert m[0] / float(found.amplitude(v)) == pytest.approx(1, abs=distance)


def test_positive_fourth_cumulant_says_first_order():
    found = coefficients(FIRST_ORDER, 0.3, np.eye(4)[0])
    np.testing.assert_allclose(found[1:], [0.3, 0, 0.3 - 0.27, 0.3 - 0.27], rtol=0, atol=1e-13)
    assert not found.is_continuous


@pytest.mark.slow
def test_branch_of_a_transition_of_first_order_turns_in_a_fold():
    """It leaves towards larger variances, unstable."""
    start = switch_branch(FIRST_ORDER.posterior_mean, np.zeros(4), 0.3, np.eye(4)[0], distance=1e-3)
    assert start[1] > 0.3
    branch = continue_branch(FIRST_ORDER.posterior_mean, *start, (0.25, 0.35))
    assert not branch.stable.values[0]
    assert branch.kind.values[0] == "fold"
    assert float(branch.special_variance[0]) > 0.3
    assert branch.stable.values[-1]


def test_three_points_have_a_third_cumulant_and_so_a_transition_of_first_order():
    found = coefficients(THREE, 0.5, [1.0, 0.0])
    assert float(found.third) == pytest.approx(0.25, abs=1e-13)
    assert not found.is_continuous


def test_other_directions_add_to_the_quartic_coefficient_by_following():
    """Three points `(+-1, a)` and `(0, -b)`, of one norm and centred: the second coordinate follows the square.

    The branch itself is the judge: its amplitude is that of the coefficient with the following, not of the fourth.
    """
    a, b = 0.3, np.sqrt(1.09)
    target = points([[1.0, a], [-1.0, a], [0.0, -b], [0.0, -b]], [0.5 * b, 0.5 * b, 0.5 * a, 0.5 * a])
    critical = b / (a + b)
    found = coefficients(target, critical, [1.0, 0.0])
    assert float(found.second) == pytest.approx(critical, abs=1e-13)
    assert float(found.quartic) - float(found.fourth) > 0.1
    ratios = []
    for distance in (1e-3, 1e-4):
        m, v = switch_branch(target.posterior_mean, np.zeros(2), critical, np.array([1.0, 0.0]), distance=distance)
        ratios.append(abs(m[0] / float(found.amplitude(v)) - 1))
    assert ratios[0] < 1e-2
    assert ratios[1] < 1e-3
