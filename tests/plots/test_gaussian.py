"""Figures of learned Gaussians and of error bounds hold the numbers of their runs."""

import jax
import matplotlib

import diffphys as dp

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest


def draws(axes, values):
    """Whether one of the lines has these values."""
    return any(np.array_equal(np.asarray(line.get_ydata(), float), values, equal_nan=True) for line in axes.lines)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_figure_of_the_regimes_has_every_measure_with_its_theory_and_the_ends_of_the_regimes():
    ds = dp.gaussian_regimes(
        np.linspace(0.5, 2.0, 6), key=jax.random.key(0), counts=[3, 12, 40, 200], draws=2, steps=20
    )
    spectra, distances, vectors, estimators, right = dp.plots.gaussian_regimes(ds).axes
    for axes, name in ((distances, "wasserstein"), (vectors, "total_variation"), (right, "participation")):
        assert draws(axes, ds[f"{name}_theory"])
        assert draws(axes, ds[name])
    for axes in (distances, vectors, estimators):
        assert [text.get_text() for text in axes.texts] == ["$N$", "$N^2$"]
    legend = [text.get_text() for text in estimators.get_legend().get_texts()]
    assert legend == ["averaged", "unconstrained", "symmetric", "commuting"]
    assert any(np.array_equal(line.get_xdata(), ds.true_eigenvalue) for line in spectra.lines)


def test_figure_of_the_error_bound_has_a_curve_for_each_error_and_each_number_of_steps():
    ds = dp.error_bound([0.5, 2.0], score_errors=[0.0, 0.1], steps=[4, 8], horizons=[1.0, 2.0])
    errors, steps = dp.plots.error_bound(ds).axes
    for i in range(2):
        curve, bound = errors.lines[2 * i : 2 * i + 2]
        np.testing.assert_array_equal(curve.get_ydata(), ds.total_variation[i, 1])
        np.testing.assert_array_equal(bound.get_ydata(), ds.bound[i])
        np.testing.assert_array_equal(steps.lines[i].get_ydata(), ds.total_variation[0, i])
    np.testing.assert_array_equal(steps.lines[2].get_ydata(), ds.prior_mismatch)
