"""The thermodynamics of whole targets: branches, where they meet, and with which exponents."""

import jax
import matplotlib
import numpy as np
import pytest

import diffphys as dp

matplotlib.use("Agg")

import matplotlib.pyplot as plt


@pytest.fixture(scope="module")
def two():
    return dp.thermodynamics(dp.deltas([[1.0], [-1.0]]), key=jax.random.key(0))


def test_two_points_have_the_branches_of_their_equation(two):
    for number, sign in ((0, 0.0), (1, 1.0)):
        part = two.sel(point=two.branch.values == number)
        m = part.magnetisation.values[:, 0]
        np.testing.assert_allclose(m, np.tanh(m / part.variance.values), atol=1e-9)
        assert np.all((np.abs(m) > 1e-3) == bool(sign))
    # The symmetric branch is stable above the critical variance alone, the ordered one everywhere.
    symmetric = two.sel(point=two.branch.values == 0)
    np.testing.assert_array_equal(symmetric.stable, symmetric.variance > 1)
    assert two.stable.values[two.branch.values == 1].all()


def test_two_points_have_the_transition_of_mean_field(two):
    np.testing.assert_allclose(two.critical_variance.sel(criterion="score_zero"), 1, atol=1e-9)
    np.testing.assert_allclose(two.value, [0.5, 1.0, 1.0, 3.0], atol=0.002)
    assert np.all((two.low <= [0.5, 1, 1, 3]) & (two.high >= [0.5, 1, 1, 3]))
    assert two.attrs["continuous"] == 1
    np.testing.assert_allclose(two.attrs["quartic"], -2, rtol=1e-9)  # the fourth cumulant of a sign
    np.testing.assert_allclose(two.attrs["amplitude_ratio"], 2, rtol=1e-3)
    np.testing.assert_allclose(two.attrs["eigenvalue"], 1, rtol=1e-9)


def test_the_ordered_branch_begins_where_it_leaves_the_symmetric_one(two):
    ordered = two.sel(point=two.branch.values == 1)
    m, v = np.abs(ordered.magnetisation.values[:, 0]), ordered.variance.values
    critical = float(two.critical_variance.sel(criterion="score_zero"))
    # m^2 = 3 (1 - v) next to the pitchfork.
    np.testing.assert_allclose((v[0], m[0]), (critical, 0), atol=2e-3)
    np.testing.assert_allclose(m[0] ** 2 / (3 * (critical - v[0])), 1, rtol=1e-3)


def test_energies_of_the_branches_are_those_of_the_closed_form(two):
    m, v = two.magnetisation.values[:, 0], two.variance.values
    exact = 0.5 + 0.5 * m**2 - v * (np.logaddexp(m / v, -m / v) - np.log(2))
    np.testing.assert_allclose(two.free_energy, exact, atol=1e-12)


def test_unequal_weights_fold_in_place_of_breaking_a_symmetry():
    ds = dp.thermodynamics(dp.deltas([[1.0], [-1.0]], [0.6, 0.4]), key=jax.random.key(0))
    assert ds.attrs["symmetric"] == 0
    assert ds.kind.values.tolist() == ["fold"]
    assert ds.special_branch.values.tolist() == [1]
    assert "criterion" not in ds.sizes
    # m = tanh(m / v + l) and 1 - m^2 = v, l = 1/2 log(w+ / w-): a fold of the metastable branch.
    v = float(ds.special_variance[0])
    m = -np.sqrt(1 - v)
    np.testing.assert_allclose(m, np.tanh(m / v + 0.5 * np.log(1.5)), atol=1e-7)


def test_spins_that_prefer_one_direction_are_followed_along_it():
    ds = dp.thermodynamics(dp.Ising(dp.curie_weiss_couplings(6, 0.5)), key=jax.random.key(0))
    ordered = ds.magnetisation.values[ds.branch.values == 1]
    np.testing.assert_allclose(ordered, ordered[:, :1] * np.ones(6), atol=1e-7)


@pytest.mark.parametrize(
    ("bounds", "message"), [((1.0, 0.5), "`bounds` needs 0 < low < high"), ((0.0, 1.0), "`bounds`")]
)
def test_bounds_that_mean_nothing_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        dp.thermodynamics(dp.deltas([[1.0], [-1.0]]), key=jax.random.key(0), bounds=bounds)


@pytest.fixture
def single():
    """As users run who have not switched float64 on."""
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


def test_float32_is_refused(single):
    with pytest.raises(ValueError, match="`thermodynamics` needs float64"):
        dp.thermodynamics(dp.deltas(np.ones((1, 1), np.float32)), key=jax.random.key(0))


def test_figure_shows_what_is_stable_and_where_branches_meet(two):
    magnetisation, stability, energy = dp.plots.thermodynamics(two).axes
    styles = {line.get_linestyle() for line in magnetisation.lines if len(line.get_xdata()) > 2}
    assert styles == {"-", "--"}
    assert [t.get_text() for t in magnetisation.get_legend().get_texts()][-1] == "pitchfork"
    for axes in (magnetisation, stability, energy):
        assert "$v_c$" in [t.get_text() for t in axes.texts]
    plt.close("all")
