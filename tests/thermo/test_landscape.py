"""The landscape on a plane, the line integral of the score, and the variance at which a barrier appears."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import FOUR, LOPSIDED, THREE, TWO

import diffphys as dp
from diffphys.thermo import barrier_variance, continue_branch, landscape, profile, regularised_free_energy

MIX = dp.IsotropicMixture(
    np.log([0.3, 0.5, 0.2]), np.array([[1.0, 0.0, 2.0], [-0.5, 2.0, 0.0], [0.0, -3.0, 1.0]]), np.array([0.2, 0.7, 0.0])
)


energy = eqx.filter_jit(regularised_free_energy)
slope = eqx.filter_jit(lambda target, y, variance: jax.grad(lambda y: regularised_free_energy(target, y, variance))(y))


@pytest.mark.parametrize("variance", [2.0, 0.3, 0.01])
def test_line_integral_of_the_score_is_the_difference_of_the_free_energy(variance):
    start, end = jnp.array([1.0, 0.0, 2.0]), jnp.array([-0.5, 2.0, 0.5])
    found = profile(MIX.posterior_mean, start, end, variance, count=9)
    ys = [start + share * (end - start) for share in found.share.values]
    energies = np.array([energy(MIX, y, jnp.asarray(variance)) for y in ys])
    np.testing.assert_allclose(found.free_energy, energies - energies[0], rtol=0, atol=1e-6)
    slopes = [slope(MIX, y, jnp.asarray(variance)) @ (end - start) for y in ys]
    np.testing.assert_allclose(found.slope, slopes, rtol=0, atol=1e-10)


def test_profile_between_two_points_is_a_barrier_of_the_exact_height(oracles):
    m, _, height = oracles["two_delta_m_tau0.5"]["value"]
    found = profile(TWO.posterior_mean, jnp.array([-m]), jnp.array([m]), 0.5, count=5)
    assert float(found.free_energy[2]) == pytest.approx(height, abs=1e-8)
    assert float(found.free_energy[4]) == pytest.approx(0.0, abs=1e-8)


def test_profile_runs_in_float32():
    single = dp.IsotropicMixture(*(np.asarray(part, np.float32) for part in ([0, 0], [[1.0], [-1.0]], [0, 0])))
    ends = (jnp.asarray([x], jnp.float32) for x in (-1.0, 1.0))
    assert float(profile(single.posterior_mean, *ends, 0.05, count=3).free_energy[1]) == pytest.approx(
        0.5 - 0.05 * np.log(2), abs=1e-5
    )


def test_ends_on_the_host_are_taken_in_the_precision_of_jax():
    """In float64, as NumPy has them, JAX warned that it has no such numbers."""
    ends, corners = np.eye(2)[:1], np.eye(3)
    jax.config.update("jax_enable_x64", False)
    try:
        two, three = dp.deltas(np.float32([[1, 0], [-1, 0]])), dp.deltas(np.eye(3, dtype=np.float32))
        shown = [
            profile(two.posterior_mean, ends[0], -ends[0], 0.5).free_energy.max(),
            barrier_variance(two.posterior_mean, ends[0], -ends[0], (0.1, 3.0)),
            landscape(three, 0.1, corners, resolution=3).corner_free_energy.std(),
        ]
    finally:
        jax.config.update("jax_enable_x64", True)
    np.testing.assert_allclose(shown[1], 1.0, rtol=1e-3)
    np.testing.assert_allclose(shown[2], 0.0, atol=1e-6)
    np.testing.assert_allclose(
        shown[0], profile(TWO.posterior_mean, jnp.ones(1), -jnp.ones(1), 0.5).free_energy.max(), rtol=1e-4
    )


def test_barrier_between_equal_classes_appears_where_the_score_turns():
    mean = jnp.array([1.0, 2.0])
    assert barrier_variance(TWO.posterior_mean, -jnp.ones(1), jnp.ones(1), (0.1, 3.0)) == pytest.approx(1, rel=1e-7)
    gaussians = dp.symmetric_mixture(mean, 0.5).posterior_mean
    assert barrier_variance(gaussians, -mean, mean, (0.1, 30.0)) == pytest.approx(4.5, rel=1e-7)


def test_barrier_between_neighbours_of_four_points_is_that_of_a_pair_of_half_the_square():
    """Four points are two independent pairs at distance `1 / sqrt(2)` along the diagonals."""
    found = barrier_variance(FOUR.posterior_mean, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), (0.1, 3.0))
    assert found == pytest.approx(0.5, rel=1e-7)


def test_barrier_between_unequal_points_appears_at_the_fold_of_the_rarer_branch():
    found = barrier_variance(LOPSIDED.posterior_mean, -jnp.ones(1), jnp.ones(1), (0.3, 3.0))
    branch = continue_branch(LOPSIDED.posterior_mean, np.array([-0.99]), 0.3, (0.2, 3.0))
    assert found == pytest.approx(float(branch.special_variance[0]), rel=1e-7)


def test_plane_holds_the_corners_and_the_free_energy():
    corners = jnp.concatenate([MIX.means[:2], jnp.array([[0.3, 0.4, -1.0]])])
    plane = landscape(MIX, 0.4, corners, resolution=7)
    expected = [energy(MIX, y, jnp.asarray(0.4)) for y in corners]
    np.testing.assert_allclose(plane.corner_free_energy, expected, rtol=1e-12)
    # The plane is an isometry: distances between the corners are kept.
    inside = np.stack([plane.corner_first, plane.corner_second], axis=1)
    outside = np.asarray(corners)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(inside[i] - inside[j]) == pytest.approx(
            np.linalg.norm(outside[i] - outside[j]), rel=1e-12
        )
    through = landscape(THREE, 0.4, jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), resolution=3, margin=0.0)
    np.testing.assert_allclose(
        through.free_energy,
        [[energy(THREE, jnp.array([x, y]), jnp.asarray(0.4)) for x in (0.0, 0.5, 1.0)] for y in (0.0, 0.5, 1.0)],
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: landscape(FOUR, 0.4, jnp.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])), "three points that span"),
        (lambda: landscape(FOUR, 0.4, jnp.eye(3)[:, :2], resolution=1), "`resolution` of 2"),
        (lambda: profile(TWO.posterior_mean, jnp.ones(1), jnp.ones(1), 0.4), "two different ends"),
        (lambda: profile(rough, jnp.zeros(1), jnp.ones(1), 0.4, count=2), "an integral that settles"),
        (lambda: barrier_variance(TWO.posterior_mean, -jnp.ones(1), jnp.ones(1), (2.0, 3.0)), "needs `bounds`"),
        (lambda: barrier_variance(TWO.posterior_mean, -jnp.ones(1), jnp.ones(1), (0.1, 0.2)), "needs `bounds`"),
        # A barrier that is about to go is one still: the search itself would not know what it was given.
        (lambda: barrier_variance(TWO.posterior_mean, -jnp.ones(1), jnp.ones(1), (0.1, 0.99)), "needs `bounds`"),
        (lambda: barrier_variance(TWO.posterior_mean, -jnp.ones(1), jnp.ones(1), (0.0, 3.0)), "needs `bounds`"),
        (lambda: barrier_variance(TWO.posterior_mean, -jnp.ones(1), jnp.ones(1), (3.0, 0.1)), "needs `bounds`"),
    ],
)
def test_landscapes_refuse_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def rough(y, variance):
    """Too fine for any rule."""
    return jnp.sin(1e9 * y)
