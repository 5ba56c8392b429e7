"""Every time of a result is told as a noise level too, in any process."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments._noise_levels import noise_levels, with_noise_levels

LEVELS = {
    "bath": (dp.OrnsteinUhlenbeck(0.5), lambda t: np.sqrt(0.5 * np.expm1(2 * t))),
    "brownian": (dp.Brownian(3.0), lambda t: 3 * np.sqrt(t)),
}


@pytest.mark.parametrize("name", LEVELS)
def test_noise_levels_are_those_of_the_channel_in_any_shape(name):
    process, exact = LEVELS[name]
    times = np.array([[0.3, np.nan], [2.0, 0.3]])
    np.testing.assert_allclose(noise_levels(process, times), exact(times), rtol=1e-12)
    assert float(noise_levels(process, 0.0)) == 0


def test_what_is_no_time_gets_none():
    variables, attrs = with_noise_levels(
        dp.OrnsteinUhlenbeck(),
        {"collapse_time": ("group", np.array([1.0])), "phi": ("t", np.array([0.5]))},
        {"is_time_reversal": 1, "t_C": 0.4, "crossing_low_clones": 0.2, "threshold": 0.8, "start": "a time"},
    )
    assert variables.keys() == {"collapse_time", "phi", "collapse_time_sigma_v"}
    assert {name for name in attrs if name.endswith("sigma_v")} == {"t_C_sigma_v", "crossing_low_clones_sigma_v"}


def test_every_critical_time_of_both_transitions_has_its_noise_level(tmp_path):
    """The named list of the times that results quote: a new one that is left out here is not one."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 4)) + 3 * np.repeat([[1], [-1]], 20, 0)
    data = dp.Empirical(points, np.repeat([0, 1], 20))
    process = dp.OrnsteinUhlenbeck(0.5)
    ds = dp.regimes(data, process, np.linspace(0.1, 4, 8), key=jax.random.key(0), samples=64, clones=32, steps=4,
                    datasets=0)  # fmt: skip
    ds = dp.results.load(dp.results.save(ds, tmp_path / "regimes.nc"))
    for name in (
        "spectral_time", "spectral_time_low", "theory_crossing_time", "crossing_time", "crossing_low", "crossing_high",
        "half_information_time", "collapse_time_theory", "t_C", "crossing_time_clones", "crossing_time_hard_clones",
        "phi_c_half_time_clones",
    ):  # fmt: skip
        assert ds.attrs[f"{name}_sigma_v"] == pytest.approx(np.sqrt(0.5 * np.expm1(2 * ds.attrs[name])), nan_ok=True)
    assert np.isfinite(ds.attrs["crossing_time_sigma_v"])
    for name in ("collapse_time", "collapse_time_low", "own_collapse_time"):
        np.testing.assert_allclose(ds[f"{name}_sigma_v"], np.sqrt(0.5 * np.expm1(2 * ds[name])), rtol=1e-12)
    mixture = dp.speciation(dp.symmetric_mixture(np.ones(4)), process, [0.5], key=jax.random.key(0), samples=None)
    for name in ("score_zero_time", "drift_time"):
        assert mixture.attrs[f"{name}_sigma_v"] > 0
