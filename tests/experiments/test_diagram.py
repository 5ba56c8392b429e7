"""The regime diagram against its exact power law and the reference's n*."""

import jax
import numpy as np
import pytest

import diffphys as dp


def test_power_law_spectrum_has_its_closed_form():
    """lambda_i = i^-2: log n = 1/2 log[sinh(pi / sqrt v) / (pi / sqrt v)], up to the cut at d = 1000."""
    law = dp.SharedCovarianceMixture(np.zeros(1), np.zeros((1, 1000)), np.arange(1, 1001.0) ** -2.0)
    ds = dp.diagram(law, key=jax.random.key(0), sizes=[1e3, 1e4, 1e5])
    v = ds.variance_collapse.values
    x = np.pi / np.sqrt(v)
    np.testing.assert_allclose(0.5 * np.log(np.sinh(x) / x), ds.log_n, rtol=4e-3)
    assert v[1] == pytest.approx(0.01991, abs=5e-6)


def test_size_where_the_transitions_meet_is_where_the_curves_cross():
    target = dp.symmetric_mixture(np.full(64, 0.5))
    ds = dp.diagram(target, key=jax.random.key(0))
    star = ds.attrs["log_n_star"]
    at_star = np.exp(np.interp(star, ds.log_n, np.log(ds.variance_collapse)))
    assert at_star == pytest.approx(ds.attrs["variance_speciation"], rel=0.02)
    assert np.all(ds.variance_low < ds.variance_high)
    np.testing.assert_allclose(
        np.log(ds.variance_high / ds.variance_low), 2 / np.sqrt(ds.effective_dimension), rtol=1e-10
    )


def test_subsets_of_digits_are_measured_beside_the_theory():
    loaded = dp.load("digits", classes=(0, 1), scale=(-1, 1))
    ds = dp.diagram(
        dp.Empirical(loaded.points, loaded.labels), key=jax.random.key(0), measured_sizes=2, samples=300, progress=False
    )
    assert ds.n_measured.values.tolist() == [180, 360]
    theory = np.exp(np.interp(np.log(ds.n_measured), ds.log_n, np.log(ds.variance_collapse)))
    np.testing.assert_allclose(ds.variance_measured, theory, rtol=0.5)
    assert np.all(ds.verdict_speciation == 1)


def test_diagram_of_a_set_below_its_bath_has_no_meeting_point():
    loaded = dp.load("digits")
    ds = dp.diagram(dp.Empirical(loaded.points, loaded.labels), key=jax.random.key(0), measured_sizes=0)
    assert np.isnan(ds.attrs["log_n_star"])
    assert np.isnan(ds.attrs["variance_speciation"])
