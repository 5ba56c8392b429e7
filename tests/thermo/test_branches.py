"""Fixed points and their branches: closed forms, pitchforks, folds, and what happens in a field."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from symmetric_targets import FOUR, LOPSIDED, MEMORY, PATTERNS, RING, THREE, TWO, CurieWeiss

import diffphys as dp
from diffphys.thermo import continue_branch, fixed_point, regularised_free_energy, switch_branch
from diffphys.thermo.landau import expand

BOUNDS = (0.2, 3.0)


@pytest.mark.parametrize("tau", ["0.1", "0.25", "0.5", "0.75", "0.99", "0.999"])
def test_magnetisation_of_two_points_equals_the_exact_values(oracles, tau):
    oracle = oracles[f"two_delta_m_tau{tau}"]
    found = fixed_point(TWO.posterior_mean, np.array([0.9]), oracle["inputs"]["tau"])
    assert found.magnetisation[0] == pytest.approx(oracle["value"][0], abs=oracle["tol"])


@pytest.mark.parametrize("field", ["1e-06", "0.01"])
def test_magnetisation_at_the_critical_variance_in_a_field_equals_the_exact_values(oracles, field):
    oracle = oracles[f"two_delta_critical_h{field}"]
    found = fixed_point(TWO.posterior_mean, np.array([0.3]), 1.0, np.array([oracle["inputs"]["h"]]))
    assert found.magnetisation[0] == pytest.approx(oracle["value"], abs=oracle["tol"])


@pytest.mark.parametrize("tau", ["0.1", "0.25", "0.45"])
def test_four_points_have_nine_fixed_points(oracles, tau):
    oracle = oracles[f"four_delta_tau{tau}"]
    m, u = oracle["value"][:2]
    expected = [(x * m, y * m) for x, y in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
    expected += [(x * u, y * u) for x in (1, -1) for y in (1, -1)]
    for point in expected:
        guess = np.asarray(point) + 0.02 * np.array([0.3, -0.2])
        found = fixed_point(FOUR.posterior_mean, guess, oracle["inputs"]["tau"]).magnetisation
        np.testing.assert_allclose(found, point, rtol=0, atol=oracle["tol"])


@pytest.mark.parametrize("dim", [pytest.param(6, marks=pytest.mark.slow), 10])
def test_uniform_branch_of_coupled_spins_equals_the_exact_values(oracles, dim):
    oracle = oracles[f"ising_cw_d{dim}_b0.5"]
    critical, *expected = oracle["value"]
    spins = CurieWeiss(jnp.asarray(0.5), dim)
    for share, m in zip((0.5, 0.9), expected, strict=True):
        found = fixed_point(spins.posterior_mean, np.full(dim, m + 0.02), share * critical).magnetisation
        np.testing.assert_allclose(found, m, rtol=0, atol=1e-9)


def test_descents_lead_downhill_where_newton_alone_stays_at_the_saddle():
    guess = np.array([0.05])
    assert abs(fixed_point(TWO.posterior_mean, guess, 0.5).magnetisation[0]) < 1e-12
    downhill = fixed_point(TWO.posterior_mean, guess, 0.5, descents=30).magnetisation
    assert downhill[0] == pytest.approx(0.9575040240772688, abs=1e-12)


def test_fixed_point_in_many_dimensions_is_found_without_the_matrix():
    rows = np.random.default_rng(1).choice([-1.0, 1.0], (2, 300)) / np.sqrt(300)
    far = dp.IsotropicMixture(np.zeros(2), np.stack([rows[0], -rows[0]]), np.zeros(2))
    found = fixed_point(far.posterior_mean, 0.9 * rows[0] + 0.01 * rows[1], 0.5)
    np.testing.assert_allclose(found.magnetisation, 0.9575040240772688 * rows[0], rtol=0, atol=1e-11)


def test_trivial_branch_breaks_at_a_pitchfork_and_its_arm_is_the_exact_one():
    energy = partial(regularised_free_energy, TWO)
    trivial = continue_branch(TWO.posterior_mean, np.zeros(1), 2.0, BOUNDS, heading=-1, free_energy=energy)
    assert trivial.kind.values.tolist() == ["pitchfork"]
    assert float(trivial.special_variance[0]) == pytest.approx(1.0, abs=1e-9)
    assert np.array_equal(trivial.stable, trivial.variance > 1)
    np.testing.assert_allclose(trivial.susceptibility, 1 / (trivial.variance - 1), rtol=1e-9)
    start = switch_branch(
        TWO.posterior_mean, trivial.special_magnetisation.values[0], 1.0, trivial.special_direction.values[0]
    )
    arm = continue_branch(TWO.posterior_mean, *start, BOUNDS, heading=-1, free_energy=energy)
    m, v = arm.magnetisation.values[:, 0], arm.variance.values
    np.testing.assert_allclose(m, np.tanh(m / v), rtol=0, atol=1e-12)
    np.testing.assert_allclose(arm.susceptibility, (1 - m**2) / (v - 1 + m**2), rtol=1e-8)
    assert v[-1] == pytest.approx(BOUNDS[0], abs=1e-12)
    assert bool(arm.stable.all())
    # The arm lies below the trivial branch.
    above = np.interp(v[::-1], trivial.variance.values[::-1], trivial.free_energy.values[::-1])
    assert np.all(arm.free_energy.values[::-1] < above + 1e-12)


def test_branch_is_followed_through_the_pitchfork_to_the_other_arm():
    arm = continue_branch(TWO.posterior_mean, np.array([0.95]), 0.5, BOUNDS)
    assert arm.kind.values.tolist() == ["pitchfork"]
    # Curves cross where the variance turns along the arm: by the rounding of a release the corrector may fail there,
    # and the place is then interpolated, to 5e-7.
    assert float(arm.special_variance[0]) == pytest.approx(1.0, abs=2e-6)
    m, v = arm.magnetisation.values[:, 0], arm.variance.values
    np.testing.assert_allclose(m, np.tanh(m / v), rtol=0, atol=1e-12)
    assert m[0] > 0.9 > -0.9 > m[-1]


def test_two_directions_become_critical_together_on_four_points():
    trivial = continue_branch(FOUR.posterior_mean, np.zeros(2), 1.0, (0.3, 1.0), heading=-1)
    np.testing.assert_allclose(trivial.special_variance, [0.5, 0.5], rtol=0, atol=1e-9)
    assert trivial.unstable.values[-1] == 2
    np.testing.assert_allclose(abs(np.linalg.det(trivial.special_direction)), 1, rtol=1e-9)


def test_saddles_of_four_points_lie_on_their_diagonal_branch(oracles):
    start = switch_branch(FOUR.posterior_mean, np.zeros(2), 0.5, np.array([1.0, 1.0]))
    saddle = continue_branch(FOUR.posterior_mean, *start, (0.25, 1.0), heading=-1)
    assert set(saddle.unstable.values.tolist()) == {1}
    u = oracles["four_delta_tau0.25"]["value"][1]
    np.testing.assert_allclose(saddle.magnetisation.values[-1], [u, u], rtol=0, atol=1e-10)


def test_branch_of_a_broken_continuous_symmetry_keeps_its_direction_and_its_soft_mode(oracles):
    """On the circle the transverse eigenvalue of J is one all along: Newton's method must not drift on the orbit."""
    branch = continue_branch(RING.posterior_mean, np.array([0.4, 0.3]), 0.45, (0.25, 0.6), heading=-1)
    ends = np.linalg.norm(branch.magnetisation.values[[0, -1]], axis=1)
    expected = [oracles[f"sphere_d2_q{share}"]["value"][0] for share in ("0.9", "0.5")]
    np.testing.assert_allclose(ends, expected, rtol=1e-8)
    np.testing.assert_allclose(branch.lambda_max, 1, rtol=0, atol=1e-9)
    assert branch.stable.values.all()
    directions = branch.magnetisation.values / np.linalg.norm(branch.magnetisation.values, axis=1)[:, None]
    np.testing.assert_allclose(directions, directions[:1].repeat(len(directions), 0), rtol=0, atol=1e-3)


def test_unequal_weights_make_a_fold_in_place_of_the_pitchfork():
    """For weights p, 1 - p, `m = tanh(m / v + l)`, l = 1/2 log(p / (1 - p)): the fold is where `1 - m^2 = v`."""
    bias = 0.5 * np.log(0.55 / 0.45)
    v = brentq(lambda v: -np.sqrt(1 - v) / v + bias + np.arctanh(np.sqrt(1 - v)), 0.3, 0.99)
    branch = continue_branch(LOPSIDED.posterior_mean, np.array([-0.99]), 0.3, BOUNDS)
    assert branch.kind.values.tolist() == ["fold"]
    assert float(branch.special_variance[0]) == pytest.approx(v, abs=1e-9)
    assert float(branch.special_magnetisation[0, 0]) == pytest.approx(-np.sqrt(1 - v), abs=1e-6)
    assert branch.stable.values[0]
    assert not branch.stable.values[-1]
    favoured = continue_branch(LOPSIDED.posterior_mean, np.array([0.99]), 0.3, BOUNDS)
    assert favoured.kind.size == 0
    assert favoured.ended == "bounds"


def test_a_field_does_what_unequal_weights_do():
    """A bias l of the weights and a field `h = l v` are one at each variance."""
    bias = 0.5 * np.log(0.55 / 0.45)
    lopsided = fixed_point(LOPSIDED.posterior_mean, np.array([0.9]), 0.5).magnetisation
    pushed = fixed_point(TWO.posterior_mean, np.array([0.9]), 0.5, np.array([0.5 * bias])).magnetisation
    np.testing.assert_allclose(pushed, lopsided, rtol=0, atol=1e-14)


def test_three_points_break_at_first_order_through_a_fold_above_the_critical_variance():
    ordered = continue_branch(THREE.posterior_mean, np.array([0.99, 0.0]), 0.3, (0.2, 1.0))
    kinds = dict(zip(ordered.kind.values.tolist(), ordered.special_variance.values, strict=True))
    assert kinds["fold"] > 0.5
    # Three branches cross there, in two critical directions: the corrector stops short of it.
    assert kinds["transcritical"] == pytest.approx(0.5, abs=1e-6)
    fold = ordered.isel(special=ordered.kind.values.tolist().index("fold"))
    m, v = float(fold.special_magnetisation[0]), kinds["fold"]
    # On the axis `m = (1 - q) / (1 + 2 q)`, q = exp(-3 m / 2 v), and the fold is where its slope in m is one.
    q = np.exp(-1.5 * m / v)
    assert (1 - q) / (1 + 2 * q) == pytest.approx(m, abs=1e-9)
    assert 4.5 * q / (1 + 2 * q) ** 2 / v == pytest.approx(1.0, abs=1e-6)


def test_float32_finds_the_pitchfork_where_it_is():
    two = dp.deltas(np.array([[1.0], [-1.0]], np.float32))
    ds = continue_branch(two.posterior_mean, np.zeros(1, np.float32), 2.0, (0.2, 3.0), heading=-1)
    assert ds.kind.values.tolist() == ["pitchfork"]
    np.testing.assert_allclose(ds.special_variance, 1, atol=1e-3)
    np.testing.assert_array_equal(ds.stable, ds.variance > 0.9999)


def test_a_triangle_has_no_pitchfork_in_any_of_its_critical_directions():
    # The third cumulant goes as the cosine of three times the angle: zero along the second vector of this basis.
    triangle = dp.deltas([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    ds = continue_branch(triangle.posterior_mean, np.zeros(2), 0.8, (0.3, 1.0), heading=-1)
    assert ds.kind.values.tolist() == ["transcritical"] * 2
    np.testing.assert_allclose(ds.special_variance, 0.5, atol=1e-7)


def test_memory_of_a_pattern_is_lost_at_a_fold():
    """Beyond it the network no longer tells this pattern from its neighbours."""
    denoise = MEMORY.posterior_mean
    branch = continue_branch(denoise, PATTERNS[3], 0.1, (0.1, 0.5))
    assert branch.kind.values.tolist() == ["fold"]
    m, v = jnp.asarray(branch.special_magnetisation.values[0]), float(branch.special_variance[0])
    np.testing.assert_allclose(denoise(m, v), m, rtol=0, atol=1e-12)
    slopes = np.linalg.eigvalsh(MEMORY.posterior_covariance(m, v)) / v
    assert slopes[-1] == pytest.approx(1.0, abs=1e-6)


def test_branches_run_in_float32():
    single = dp.IsotropicMixture(*(np.asarray(part, np.float32) for part in ([0, 0], [[1.0], [-1.0]], [0, 0])))
    arm = continue_branch(single.posterior_mean, np.array([0.95], np.float32), 0.5, (0.3, 0.9))
    m, v = arm.magnetisation.values[:, 0], arm.variance.values
    np.testing.assert_allclose(m, np.tanh(m / v), rtol=0, atol=2e-5)


def test_amplitude_of_the_new_branch_is_that_of_landau():
    expansion = expand(TWO.posterior_mean, jnp.zeros(1), jnp.asarray(1.0), jnp.ones(1))
    m, v = switch_branch(TWO.posterior_mean, np.zeros(1), 1.0, np.ones(1), distance=1e-3)
    assert v == pytest.approx(1 - 1e-3, rel=1e-5)
    assert m[0] == pytest.approx(float(expansion.amplitude(v)), rel=1e-3)


def rising(y, variance):
    return y + 1.0 + y**2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fixed_point(rising, np.zeros(1), 1.0), "`fixed_point` needs a guess"),
        (lambda: continue_branch(TWO.posterior_mean, np.zeros(1), 4.0, BOUNDS), "low <= variance <= high"),
        (lambda: continue_branch(TWO.posterior_mean, np.zeros(1), 1.5, BOUNDS, heading=2), "`heading` 1 or -1"),
        (lambda: continue_branch(jagged, np.zeros(2), 1.0, BOUNDS), "lost after variance"),
        (lambda: switch_branch(linear, np.zeros(2), 1.0, np.ones(2)), "`switch_branch` needs a branch"),
    ],
)
def test_branches_refuse_what_they_cannot_follow(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def jagged(y, variance):
    """Fixed points that jump at v = 1.2."""
    return jnp.where(variance < 1.2, jnp.zeros_like(y), jnp.ones_like(y)) + 0.1 * y


def linear(y, variance):
    """No other branch: zero is the only fixed point."""
    return 0.5 * y + 0.0 * y**3
