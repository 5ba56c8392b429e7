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


def test_regimes_figure_without_a_second_regime_says_so(run):
    inverted = run.assign_attrs(verdict="collapse: ...", has_regime_two=0, regimes="I above t_S; no regime II: ...")
    figure = dp.plots.regimes(inverted)
    assert "II" not in [t.get_text() for t in figure.axes[0].texts]
    assert any("no regime II" in t.get_text() for t in figure.texts)
    assert "crossing" not in [t.get_text() for t in figure.axes[0].texts]


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
    for name in ("phi", "phi_hard", "phi_c"):
        clones |= {f"{name}_clones": 0.9 * run[name.replace("_hard", "")], f"{name}_clones_stderr": run.phi_stderr}
    model = run.assign(clones).assign_attrs(
        score="given", labelled_by="classifier", crossing_time_hard_clones=1.3, threshold_hard_clones=0.78
    )
    left, right = dp.plots.regimes(model).axes
    assert r"$\phi$ of the exact empirical score, for reference" in legend(left)
    assert {r"$\phi$, clones of the model", r"$\phi$ by the classifier, clones of the model"} <= set(legend(left))
    assert {r"$\phi_C$ of the exact empirical score, for reference", r"$\phi_C$, clones of the model"} <= set(
        legend(right)
    )
    lines = [line.get_xdata()[0] for line in left.lines if len(set(line.get_xdata())) == 1]
    assert 1.3 in lines
    assert run.attrs["crossing_time"] not in lines
    assert " 0.780" in [text.get_text() for text in left.texts]


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
