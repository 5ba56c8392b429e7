"""Figures hold what they claim: every curve, mark and shade comes from the results."""

import jax
import matplotlib

import diffphys as dp

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

OU = dp.OrnsteinUhlenbeck()


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 8)).astype(np.float32) + 3 * np.repeat([[1], [-1]], 30, 0).astype(np.float32)
    data = dp.Empirical(points, np.repeat([0, 1], 30))
    return dp.regimes(data, OU, np.linspace(0.1, 3.5, 12), key=jax.random.key(0), samples=200, datasets=2)


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_regimes_figure_shades_the_regimes_that_exist(run):
    figure = dp.plots.regimes(run)
    assert run.attrs["regimes"] == "I, II and III"
    assert [t.get_text() for t in figure.axes[0].texts if t.get_text() in ("I", "II", "III")] == ["I", "II", "III"]
    for axes in figure.axes:
        assert sum(abs(patch.get_height() - 1) < 1e-9 for patch in axes.patches) == 3
    lines = [line.get_xdata()[0] for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1]
    assert run.attrs["spectral_time"] in lines
    assert run.attrs["t_C"] in lines


def marks(axes):
    """The names above the axes."""
    return [text.get_text() for text in axes.texts]


def test_regimes_figure_without_speciation_says_so_within_its_canvas(run):
    words = "III below t_C; no regime I or II: label agreement is set by collapse here, not by speciation"
    inverted = run.assign_attrs(verdict="collapse: ...", has_regime_two=0, regimes=words)
    figure = dp.plots.regimes(inverted)
    shown = marks(figure.axes[0])
    assert not {"I", "II", "$t_S$", "crossing"} & set(shown)
    assert {"III", "$t_C$"} <= set(shown)
    (said,) = (text for text in figure.texts if "no regime I or II" in text.get_text())
    assert said.get_text().startswith("Regimes: III below $t_C$")
    # As the command saves it: without a box drawn tight about what sticks out.
    figure.canvas.draw()
    inner, outer = said.get_window_extent(), figure.bbox
    assert outer.x0 <= inner.x0 < inner.x1 <= outer.x1
    assert outer.y0 <= inner.y0 < inner.y1 <= outer.y1
    below = min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert inner.y1 <= below


def test_speciation_figure_marks_no_spectral_time_where_collapse_decides_the_labels(run):
    assert "$t_S$" in marks(dp.plots.speciation(run).axes[0])
    assert "$t_S$" not in marks(dp.plots.speciation(run.assign_attrs(verdict="collapse: ...")).axes[0])


def test_collapse_before_speciation_leaves_the_spectral_time_and_no_second_regime(run):
    late = run.assign_attrs(spectral_time=0.2, has_regime_two=0, regimes="I and III: collapse precedes speciation")
    figure = dp.plots.regimes(late)
    assert [t for t in marks(figure.axes[0]) if t in ("I", "II", "III")] == ["I", "III"]
    below = run.assign_attrs(t_C=np.nan, has_regime_two=0, collapsed_throughout=1)
    assert [t for t in marks(dp.plots.regimes(below).axes[0]) if t in ("I", "II", "III")] == ["III"]
    assert "$t_S$" in marks(figure.axes[0])


@pytest.fixture(scope="module")
def data():
    points = np.random.default_rng(0).normal(size=(40, 4)) + 3 * np.repeat([[1], [-1]], 20, 0)
    return dp.Empirical(points, np.repeat([0, 1], 20))


TIMES = np.linspace(0.1, 3.5, 8)


def test_figures_of_theory_alone_mark_its_times_and_shade_nothing(data):
    ds = dp.regimes(data, OU, TIMES, key=jax.random.key(0), samples=None)
    left, right = dp.plots.regimes(ds).axes
    assert {"$t_S$", "theory", "$t_C$, theory", " 0.775"} <= set(marks(left))
    assert "$t_C$, theory" in marks(right)
    assert not left.patches
    lines = [line.get_xdata()[0] for line in left.lines if len(set(line.get_xdata())) == 1]
    assert ds.attrs["theory_crossing_time"] in lines
    assert ds.attrs["collapse_time_theory"] in lines
    assert "theory" in marks(dp.plots.collapse(ds).axes[0])


def test_figures_of_clones_alone_mark_where_clones_cross(data):
    ds = dp.regimes(data, OU, TIMES, key=jax.random.key(0), samples=None, clones=128, steps=8)
    left, right = dp.plots.regimes(ds).axes
    assert {"crossing", r"$\phi_C = 1/2$", f" {ds.attrs['threshold_clones']:.3f}"} <= set(marks(left))
    assert r"$\phi_C = 1/2$" in marks(right)
    lines = [line.get_xdata()[0] for line in left.lines if len(set(line.get_xdata())) == 1]
    assert ds.attrs["crossing_time_clones"] in lines
    assert ds.attrs["phi_c_half_time_clones"] in lines


def test_speciation_figure_draws_every_curve_of_the_run():
    target = dp.symmetric_mixture(np.ones(8, np.float32))
    ds = dp.speciation(target, OU, [0.5, 1.0, 1.5], key=jax.random.key(0), samples=64, clones=16, steps=4)
    axes = dp.plots.speciation(ds).axes[0]
    assert legend(axes) == [r"$\phi$, posterior identity", "theory", r"$\phi$, clones"]
    curve = next(line for line in axes.lines if line.get_label() == r"$\phi$, posterior identity")
    np.testing.assert_array_equal(curve.get_ydata(), ds.phi)


def test_figures_of_a_model_call_the_identity_a_reference(run):
    """Clones of another score: the same curves, lowered, under the name of the model."""
    clones = {}
    for name in ("phi", "phi_hard", "phi_c", "phi_c_hard"):
        clones |= {f"{name}_clones": 0.9 * run[name.replace("_hard", "")], f"{name}_clones_stderr": run.phi_stderr}
    model = run.assign(clones).assign_attrs(
        score="given", labelled_by="classifier", crossing_time_hard_clones=1.3, threshold_hard_clones=0.78,
        phi_c_half_time_hard_clones=0.55, t_C=0.55, verdict_model="speciation",
    )  # fmt: skip
    left, right = dp.plots.regimes(model).axes
    assert r"$\phi$ of the exact empirical score, for reference" in legend(left)
    assert {r"$\phi$, clones of the model", r"$\phi$ by the classifier, clones of the model"} <= set(legend(left))
    assert {
        r"$\phi_C$ of the exact empirical score, for reference",
        r"$f_e/\alpha$ of the exact empirical score, for reference",
        r"$\phi_C$ by the nearest datum, clones of the model",
    } <= set(legend(right))
    lines = [line.get_xdata()[0] for line in left.lines if len(set(line.get_xdata())) == 1]
    assert 1.3 in lines
    assert run.attrs["crossing_time"] not in lines
    assert " 0.780" in [text.get_text() for text in left.texts]
    # Collapse where half of its own clones meet, and the regimes by that.
    assert 0.55 in lines
    assert float(run.collapse_time[0, 0]) not in lines
    assert {r"$\phi_C = 1/2$", "III"} <= set(marks(left))
    collapsed = model.assign_attrs(verdict_model="collapse: ...", has_regime_two=0)
    assert not {"$t_S$", "I", "II"} & set(marks(dp.plots.regimes(collapsed).axes[0]))


def test_collapse_and_diagram_figures_mark_their_times(run):
    axes = dp.plots.collapse(run).axes[0]
    assert "$t_C$" in [t.get_text() for t in axes.texts]
    target = dp.symmetric_mixture(np.full(64, 0.5))
    diagram = dp.plots.diagram(dp.diagram(target, key=jax.random.key(0))).axes[0]
    assert any(text.startswith("$n^* = ") for text in legend(diagram))


def test_a_single_time_is_drawn_without_a_warning(run):
    figure = dp.plots.regimes(run.isel(t=[4]))
    low, high = figure.axes[0].get_xlim()
    assert low < float(run.t[4]) < high


def test_stability_figure_has_a_curve_for_each_slope_and_the_line_it_may_not_cross():
    sampler = dp.ReverseSDE(OU, lambda y, v: y, 0.0)
    found = dp.stability(sampler, np.geomspace(2.0, 0.01, 9), (0.0, 1.0))
    axes = dp.plots.stability(found).axes[0]
    for line, growth in zip(axes.lines, found.growth, strict=False):
        np.testing.assert_allclose(line.get_ydata()[:-1], growth)
    assert legend(axes) == ["$j = 0$", "$j = 1$"]
    np.testing.assert_allclose(axes.lines[2].get_ydata(), 1)


def test_the_result_of_another_experiment_is_refused_by_a_figure():
    found = dp.speciation(dp.symmetric_mixture(np.ones(4)), OU, [0.5, 1.0], key=jax.random.key(0), samples=64)
    for figure in (dp.plots.collapse, dp.plots.regimes):
        with pytest.raises(ValueError, match=f"needs a result of `{figure.__name__}`. Got one of `speciation`"):
            figure(found)


def test_titles_keep_no_room_for_marks_that_are_not_there(run):
    def room(ds):
        figure = dp.plots.speciation(ds)
        figure.draw_without_rendering()
        (axes,) = figure.axes
        return axes._left_title.get_window_extent().y0 - axes.get_window_extent().y1

    nowhere = dict.fromkeys(("spectral_time", "crossing_time", "theory_crossing_time"), np.nan)
    assert room(run.assign_attrs(nowhere)) < 0.5 * room(run)


def test_clones_at_the_first_and_the_last_time_are_whole():
    found = dp.speciation(
        dp.symmetric_mixture(np.ones(4)), OU, [0.5, 1.0], key=jax.random.key(0), samples=None, clones=8, steps=4
    )
    (axes,) = dp.plots.speciation(found).axes
    (drawn,) = axes.containers
    # Points, caps and bars.
    assert len(drawn.get_children()) == 4
    assert not any(artist.get_clip_on() for artist in drawn.get_children())


def test_legends_of_one_panel_leave_the_curves_to_be_seen(run):
    # Classes of weights 0.1 and 0.9 agree by 0.82 at the least, where a legend in the upper corner hid their curve.
    uneven = dp.symmetric_mixture(np.ones(16), weight=0.9)
    times = np.linspace(0.1, 5, 16)
    figures = [dp.plots.speciation(dp.speciation(uneven, OU, times, key=jax.random.key(0), samples=64))]
    for part in (run, run.sel(t=slice(0, 1.5))):
        figures.append(dp.plots.collapse(part))
    for figure in figures:
        figure.draw_without_rendering()
        (axes,) = figure.axes
        box = axes.get_legend().get_window_extent()
        # Curves are many points; marks at times are two, and cross all heights.
        for line in (line for line in axes.lines if len(line.get_xdata()) > 2):
            assert not box.count_contains(line.get_transform().transform(line.get_xydata()))
