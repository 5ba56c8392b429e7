"""The magnet as a diffusion model: all its measurements in one, each under its own name."""

import jax
import matplotlib
import numpy as np
import pytest

import diffphys as dp

matplotlib.use("Agg")

import matplotlib.pyplot as plt


@pytest.fixture(scope="module")
def run():
    return dp.curie_weiss(
        64, 1.5, 0.5, key=jax.random.key(0), number=5, samples=400, clones=64, steps=16, few_steps=6, trajectories=200,
        data_dims=[20], ratios=[4.0, 16.0], draws=4,
    )  # fmt: skip


def test_agreement_follows_the_theory_of_two_states(run):
    # Of Gaussian states: corrections of order 1 / N, largest at small times.
    late = run.sel(t=run.t[run.t > 0.8 * run.attrs["speciation_time"]])
    assert np.all(np.abs(late.phi - late.phi_theory) < 4 * late.phi_stderr + 0.01)
    assert np.all(np.abs(run.phi_clones - run.phi) < 4 * np.hypot(run.phi_clones_stderr, run.phi_stderr) + 0.03)
    np.testing.assert_allclose(run.attrs["threshold"], dp.thermo.threshold(run.attrs["up_weight"]), rtol=1e-9)


def test_each_measurement_is_there_with_its_own_axes(run):
    assert run.label_weight.dims == ("t", "label")
    assert run.critical_label_weight.dims == ("inside", "label")
    assert run.error.dims == ("learner", "dim", "ratio")
    np.testing.assert_allclose(run.attrs["up_weight_limit"], dp.thermo.state_weight(1.5, 0.5), rtol=1e-12)
    np.testing.assert_allclose(run.potential.sel(mu=0.0), 0, atol=1e-12)


def test_figure_draws_every_measurement(run):
    axes = dp.plots.curie_weiss(run).axes
    titles = [panel.get_title(loc="left") for panel in axes]
    assert titles[0] == "Symmetry breaking, N = 64"
    assert len(axes) == 6
    for panel, values in ((axes[0], run.phi), (axes[2], run.label_weight[:, 0]), (axes[5], run.critical_diversity)):
        assert any(np.array_equal(np.asarray(line.get_ydata(), float), values) for line in panel.lines)
    plt.close("all")


def test_a_magnet_that_speciates_early_has_a_window_of_its_size():
    # At a speciation time of 0.35 a window of plus and minus 0.5 would reach below 0.
    ds = dp.curie_weiss(
        8, 1.1, key=jax.random.key(0), number=3, samples=40, clones=None, steps=4, few_steps=4, trajectories=20,
        data_dims=[4], ratios=[4.0], draws=2,
    )  # fmt: skip
    time, width = ds.attrs["speciation_time"], ds.attrs["critical_width"]
    assert ds.critical_grid.values.min() < time - width < time < 0.5


def test_a_magnet_of_one_state_is_refused():
    with pytest.raises(ValueError, match=r"needs two states, `beta` > 1. Got 0.9"):
        dp.curie_weiss(64, 0.9, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"spins that speciate at t > 0. Got 1"):
        dp.curie_weiss(1, 1.5, key=jax.random.key(0))
