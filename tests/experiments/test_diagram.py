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
    for name in ("measured", "label"):
        low, value, high = (ds[f"variance_{name}{end}"].values for end in ("_low", "", "_high"))
        assert np.all(low < value)
        assert np.all(value < high)
        np.testing.assert_allclose(ds[f"time_{name}_sigma_v"] ** 2, value, rtol=1e-12)
    assert ds.attrs["spectral_time_sigma_v"] ** 2 == pytest.approx(ds.attrs["variance_speciation"])


def test_intervals_of_measured_points_hold_what_other_samples_find():
    """Over 20 draws a 95 % interval misses the mean more than 5 times with probability 3e-4."""
    rng = np.random.default_rng(0)
    data = dp.Empirical(rng.normal(size=(40, 3)) + 3 * np.repeat([[1], [-1]], 20, 0), np.repeat([0, 1], 20))
    runs = [
        dp.diagram(data, key=jax.random.key(k), measured_sizes=1, samples=128, progress=False).isel(n_measured=0)
        for k in range(20)
    ]
    for name in ("measured", "label"):
        centre = np.mean([float(run[f"variance_{name}"]) for run in runs])
        held = [float(run[f"variance_{name}_low"]) < centre < float(run[f"variance_{name}_high"]) for run in runs]
        assert sum(held) >= 15


def test_the_collapse_in_other_dimensions_is_that_of_the_isotropic_law():
    """v_C = sigma^2 / (n^{2/d} - 1): to hold it, log n has to grow with d."""
    ds = dp.diagram(dp.symmetric_mixture(np.ones(64), 2.0), key=jax.random.key(0), sizes=[10.0, 1e4], dims=[1, 64, 900])
    for dim in (1, 64, 900):
        np.testing.assert_allclose(
            ds.variance_collapse_of_dim.sel(dim=dim), 2 / np.expm1(2 * np.log([10.0, 1e4]) / dim), rtol=1e-9
        )
    np.testing.assert_allclose(ds.variance_collapse_of_dim.sel(dim=64), ds.variance_collapse, rtol=1e-12)


def test_the_collapse_of_a_spectrum_lies_between_its_limits():
    law = dp.SharedCovarianceMixture(np.zeros(1), np.zeros((1, 4)), np.array([4.0, 1.0, 0.25, 0.0]))
    ds = dp.diagram(law, key=jax.random.key(0), sizes=[1e6], dims=[1, 4000])
    few, many = ds.isel(dim=1, n=0), ds.isel(dim=0, n=0)
    assert float(few.variance_few_data) == pytest.approx(float(few.variance_collapse_of_dim), rel=0.02)
    assert float(many.variance_many_data) == pytest.approx(float(many.variance_collapse_of_dim), rel=1e-3)


def test_the_point_where_the_transitions_meet_is_on_the_curve_though_it_is_below_two_data():
    ds = dp.diagram(dp.symmetric_mixture(np.ones(64)), key=jax.random.key(0))
    assert np.exp(ds.attrs["log_n_star"]) == pytest.approx(1.64, abs=0.01)
    assert float(ds.log_n.min()) < ds.attrs["log_n_star"]
    at = np.exp(np.interp(ds.attrs["log_n_star"], ds.log_n, np.log(ds.variance_collapse)))
    assert at == pytest.approx(ds.attrs["variance_speciation"], rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [0]}, "`dims` needs"),
        ({"samples": 8}, "`samples` needs"),
        ({"measured_sizes": -1}, "`measured_sizes`"),
    ],
)
def test_diagram_refuses_counts_that_mean_nothing(change, message, unchecked):
    with pytest.raises(ValueError, match=message):
        dp.diagram(dp.symmetric_mixture(np.ones(4)), key=jax.random.key(0), **change)


def test_diagram_of_a_set_below_its_bath_has_no_meeting_point():
    loaded = dp.load("digits")
    ds = dp.diagram(dp.Empirical(loaded.points, loaded.labels), key=jax.random.key(0), measured_sizes=0)
    assert np.isnan(ds.attrs["log_n_star"])
    assert np.isnan(ds.attrs["variance_speciation"])
