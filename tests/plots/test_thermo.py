"""Figures of the thermodynamics hold the numbers of their branches, landscapes and fits."""

import jax.numpy as jnp
import matplotlib

import diffphys as dp

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from symmetric_targets import FOUR, THREE, TWO

from diffphys.plots import branches, landscape, power_law

BOUNDS = (0.3, 0.8)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def state():
    """From one of three states up, through a fold and a transcritical crossing, and down."""
    return dp.thermo.continue_branch(THREE.posterior_mean, np.array([0.98, 0.0]), 0.3, BOUNDS)


def drawn(axes, style):
    """The points of all the lines of one style, in order."""
    return np.concatenate([line.get_xydata() for line in axes.lines if line.get_linestyle() == style])


def test_branch_is_solid_up_to_its_fold_and_dashed_beyond(state):
    axes = branches([state], [1.0, 0.0]).axes[0]
    at = int(np.flatnonzero(state.kind.values == "fold")[0])
    fold = [state.special_variance.values[at], state.special_magnetisation.values[at, 0]]
    solid, dashed = drawn(axes, "-"), drawn(axes, "--")
    count = int(state.stable.sum())
    np.testing.assert_array_equal(solid[:-1, 0], state.variance[:count])
    np.testing.assert_array_equal(solid[:-1, 1], state.magnetisation[:count, 0])
    np.testing.assert_array_equal(dashed[1:, 0], state.variance[count:])
    np.testing.assert_array_equal([solid[-1], dashed[0]], [fold, fold])


def test_special_points_are_marked_once_by_their_kind(state):
    figure = branches([state, state], label="three states")
    axes = figure.axes[0]
    assert axes.get_legend_handles_labels()[1] == ["three states", "transcritical", "fold"]
    marked = drawn(axes, "None")
    np.testing.assert_array_equal(np.unique(marked[:, 0]), np.unique(state.special_variance))
    # Norms, since no direction was asked for.
    assert marked[:, 1].min() >= 0


def test_branches_share_the_axes_of_another_figure(state):
    figure, panels = plt.subplots(1, 2)
    assert branches([state], axes=panels[1]) is figure
    assert len(panels[0].lines) == 0
    assert len(panels[1].lines) > 0


def test_branch_without_special_points_changes_its_style_where_stability_does(state):
    """As of a run whose bound cut off the special point itself."""
    axes = branches([state.isel(special=slice(0))], [1.0, 0.0]).axes[0]
    assert len(drawn(axes, "-")) + len(drawn(axes, "--")) == state.sizes["point"]


def test_landscape_draws_minima_saddles_and_maxima_each_by_its_mark():
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    surface = dp.thermo.landscape(FOUR, 0.25, jnp.asarray(corners), resolution=11)
    points = np.array([[0.0, 0.0], [0.96, 0.0], [0.0, 0.96], [0.48, 0.48]])
    axes = landscape(surface, points, np.array([2, 0, 0, 1])).axes[0]
    marks = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_array_equal(marks["minimum"], points[1:3])
    np.testing.assert_array_equal(marks["saddle"], points[3:])
    np.testing.assert_array_equal(marks["maximum"], points[:1])
    assert axes.get_title(loc="left") == "$v = 0.25$"


def test_landscape_marks_its_corners_unless_told_what_to_mark():
    corners = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    surface = dp.thermo.landscape(FOUR, 0.25, jnp.asarray(corners), resolution=11)
    (crosses,) = landscape(surface).axes[0].lines
    np.testing.assert_allclose(crosses.get_xydata(), [[0, 0], [2**0.5, 0], [2**0.5, 2**0.5]], rtol=0, atol=1e-12)


def test_fitted_line_goes_through_its_points_and_falls_where_they_do():
    """An exponent counted positive, of a quantity that falls: the susceptibility of two points, 1 / (v - 1)."""
    distances = np.geomspace(1e-5, 1e-3, 8)
    _, modes = zip(
        *((e, dp.thermo.leading_modes(TWO.posterior_mean, np.zeros(1), 1 + e)) for e in distances), strict=True
    )
    values = np.array([mode.susceptibilities[0] for mode in modes])
    fit = dp.thermo.power_law(distances, values)
    gamma = fit._replace(exponent=-fit.exponent, low=-fit.high, high=-fit.low)
    axes = power_law(distances, values, gamma, label="gamma").axes[0]
    points, line = axes.lines
    np.testing.assert_allclose(line.get_ydata(), points.get_ydata(), rtol=1e-6)
    (text,) = axes.get_legend().get_texts()
    assert text.get_text().startswith("gamma = 1.0000")
