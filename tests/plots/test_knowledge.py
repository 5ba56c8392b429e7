"""Figures of what a denoiser knows hold the curves, the marks and the shares of their results."""

import jax
import matplotlib

import diffphys as dp

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

OU = dp.OrnsteinUhlenbeck()
POINTS = np.random.default_rng(0).normal(size=(60, 3)) * [3.0, 1.0, 1.0]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_information_figure_marks_the_collapse_and_shows_the_gap():
    law = dp.Gaussian(np.zeros(3), np.array([9.0, 1.0, 1.0]))
    ds = dp.information(
        law.posterior_mean, POINTS[:30], OU, [0.2, 1.0, 2.0], key=jax.random.key(0), count=8, training=POINTS[30:]
    )
    figure = dp.plots.information(ds)
    assert legend(figure.axes[0]) == ["new points", "training points", "linear denoiser"]
    assert {"$t_C$", "linear", r" $\log n$"} <= set(texts(figure.axes[0]))
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), ds.information)
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), ds.generalisation_gap)
    alone = ds.drop_vars([name for name in ds if "training" in str(name) or "gap" in str(name)])
    assert len(dp.plots.information(alone).axes) == 1


def test_path_divergence_figure_names_the_share_of_each_regime():
    law = dp.Gaussian(np.zeros(3), 2.0)
    ds = dp.path_divergence(
        law, dp.Gaussian(np.zeros(3)).posterior_mean, key=jax.random.key(0), low=0.1, high=20.0, edges=[0.5, 4.0],
        samples=20, nodes=6,
    )  # fmt: skip
    axes = dp.plots.path_divergence(ds).axes[0]
    shares = [float(text.split(": ")[1]) for text in texts(axes)]
    np.testing.assert_allclose(shares, ds.path_kl_regime, rtol=5e-3)
    assert len(axes.patches) == 3


@pytest.mark.slow
def test_gaussian_start_figure_has_a_panel_for_each_sampler_and_marks_the_critical_times():
    target = dp.symmetric_mixture(np.full(4, 1.0), 0.3)
    ds = dp.gaussian_start(
        target, OU, np.linspace(0.2, 2.0, 7), key=jax.random.key(0), samples=200, repeats=3, steps=(4,),
        quality={"spread": lambda a: float(abs(a.var() - 1.3))}, samplers={"DDPM": dp.Bridge, "DDIM": dp.DDIM},
    )  # fmt: skip
    figure = dp.plots.gaussian_start(ds, "spread")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["DDPM", "DDIM"]
    for axes, name in zip(figure.axes, ("DDPM", "DDIM"), strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), ds.quality.sel(start="gaussian", sampler=name)[0, 0])
        assert {"score zero", "drift"} <= set(texts(axes))
    assert legend(figure.axes[0]) == ["4 steps", "from the prior"]


def test_a_figure_of_exact_copies_alone_says_that_all_are():
    axes = dp.plots.memorisation(dp.memorisation(POINTS[:10], POINTS[:30])).axes[1]
    assert axes.get_title(loc="left") == "Memorised: 100.0 %"


def test_memorisation_figures_say_the_share_of_copies():
    ds = dp.memorisation(np.concatenate([POINTS[:30] + 1e-3, -POINTS[30:]]), POINTS[:30], held_out=POINTS[30:])
    figure = dp.plots.memorisation(ds)
    assert figure.axes[1].get_title(loc="left") == f"Memorised: {100 * float(ds.fraction):.1f} %"
    assert figure.axes[0].get_title(loc="left") == f"$P$(nearer) = {float(ds.nearer):.3f}"
    curve = dp.memorisation_curve({0: -POINTS[30:], 100: POINTS[:30] + 1e-3}, POINTS[:30], held_out=POINTS[30:])
    axes = dp.plots.memorisation(curve).axes[0]
    assert axes.get_xlabel() == "training step"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), curve.fraction)
