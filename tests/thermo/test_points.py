"""What the functions of thermodynamics make of a point, a variance and a denoiser, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import diffphys as dp
from diffphys import thermo

TWO = dp.deltas(np.array([[1.0, 0.0], [-1.0, 0.0]]))
DENOISE, MANY = TWO.posterior_mean, jnp.zeros((3, 2))
ALONG = np.array([1.0, 0.0])

OF_DENOISERS = {
    "stability_matrix": lambda denoise, y, v: thermo.stability_matrix(denoise, y, v),
    "susceptibility": lambda denoise, y, v: thermo.susceptibility(denoise, y, v),
    "leading_modes": lambda denoise, y, v: thermo.leading_modes(denoise, y, v).eigenvalues,
    "landau": lambda denoise, y, v: thermo.landau(denoise, y, v, ALONG).second,
    "fixed_point": lambda denoise, y, v: thermo.fixed_point(denoise, y, v).magnetisation,
    "profile": lambda denoise, y, v: thermo.profile(denoise, y, ALONG, v, count=3).free_energy.values,
    "retrieve": lambda denoise, y, v: thermo.retrieve(denoise, y, v)[0],
}
AT_ZERO = {
    "critical_variance": lambda denoise, y: thermo.critical_variance(denoise, y),
    "spectral_eigenvalue": lambda denoise, y: thermo.spectral_eigenvalue(denoise, y),
    "critical_points": lambda denoise, y: thermo.critical_points(denoise, y).variance.values,
    "critical_exponents": lambda denoise, y: thermo.critical_exponents(denoise, y, 1.0, ALONG).beta.exponent,
}
OF_TARGETS = {
    "free_energy": thermo.free_energy,
    "regularised_free_energy": thermo.regularised_free_energy,
    "magnetisation": thermo.magnetisation,
}
EVERY = {name: lambda denoise, y, of=of: of(denoise, y, 2.0) for name, of in OF_DENOISERS.items()} | AT_ZERO


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("y", [[0.0, 0.0], [0, 0], np.zeros(2, int)], ids=["list", "integers", "array"])
def test_a_point_in_lists_and_integers_is_one_of_floats(name, y, unchecked):
    np.testing.assert_array_equal(EVERY[name](DENOISE, y), EVERY[name](DENOISE, jnp.zeros(2)))


@pytest.mark.parametrize(
    ("name", "target"),
    [*((name, TWO) for name in EVERY), *((name, dp.CurieWeiss(2, 1.5)) for name in OF_DENOISERS)],
)
def test_a_point_of_float32_is_taken_to_the_type_of_the_denoiser(name, target, unchecked):
    # Users promote types, which the tests do not.
    with jax.numpy_dtype_promotion("standard"):
        found = EVERY[name](target.posterior_mean, jnp.zeros(2, jnp.float32))
        assert np.asarray(found).dtype == np.float64
        np.testing.assert_array_equal(found, EVERY[name](target.posterior_mean, jnp.zeros(2)))


def test_branches_from_points_of_float32_are_those_of_float64():
    def branch(dtype):
        m, v = thermo.switch_branch(DENOISE, np.zeros(2, dtype), 1.0, ALONG.astype(dtype))
        return thermo.continue_branch(DENOISE, m.astype(dtype), v, (0.5, 1.0), heading=-1)

    with jax.numpy_dtype_promotion("standard"):
        xr.testing.assert_allclose(branch(np.float32), branch(np.float64), rtol=1e-9)


@pytest.mark.parametrize("name", OF_TARGETS)
def test_an_observation_in_a_list_is_one_of_floats(name, unchecked):
    of = OF_TARGETS[name]
    np.testing.assert_array_equal(of(TWO, [1, 0], 2), of(TWO, jnp.asarray(ALONG), 2.0))


@pytest.mark.parametrize("name", EVERY)
def test_a_target_in_place_of_its_denoiser_is_refused(name, unchecked):
    with pytest.raises(ValueError, match=r"Got `IsotropicMixture`. Of a target do give its `posterior_mean`"):
        EVERY[name](TWO, jnp.zeros(2))


@pytest.mark.parametrize("name", EVERY)
def test_many_points_are_refused(name, unchecked):
    with pytest.raises(ValueError, match=r"needs one point of shape \(d,\). Got \(3, 2\)"):
        EVERY[name](DENOISE, MANY)


@pytest.mark.parametrize("name", OF_DENOISERS)
@pytest.mark.parametrize("variance", [0, -1.0, np.nan, [1.0, 2.0]])
def test_a_known_variance_that_is_none_is_refused(name, variance, unchecked):
    with pytest.raises(ValueError, match="`variance` needs one finite number > 0"):
        OF_DENOISERS[name](DENOISE, jnp.zeros(2), variance)


@pytest.mark.parametrize("name", OF_TARGETS)
def test_what_has_no_density_is_refused(name, unchecked):
    with pytest.raises(ValueError, match=f"`{name}` needs a target, which has a density. Got `.*Method`"):
        OF_TARGETS[name](DENOISE, jnp.zeros(2), 1.0)


@pytest.mark.parametrize("name", OF_TARGETS)
def test_a_free_energy_without_noise_is_refused(name, unchecked):
    # It was nan.
    with pytest.raises(ValueError, match=r"`variance` needs a finite number > 0. Got 0"):
        OF_TARGETS[name](TWO, jnp.zeros(2), 0)


@pytest.mark.parametrize("direction", [np.zeros(2), np.ones(3)], ids=["zero", "another dimension"])
def test_a_direction_that_is_none_is_refused(direction, unchecked):
    # Coefficients along zero were nan.
    with pytest.raises(ValueError, match=r"`direction` needs a vector of shape \(2,\) that is not zero"):
        thermo.landau(DENOISE, jnp.zeros(2), 1.0, direction)


def test_patterns_in_lists_of_integers_are_floats(unchecked):
    patterns, state = [[1, 0], [0, 1]], [1, 0]
    floats = np.eye(2), jnp.asarray([1.0, 0.0])
    for of in (thermo.hopfield_energy, thermo.hopfield_update):
        np.testing.assert_array_equal(of(patterns, state, 1), of(*floats, 1.0))
    for of in (thermo.classical_energy, thermo.sign_sweep):
        np.testing.assert_array_equal(of(patterns, state), of(*floats))


ROWS = np.random.default_rng(0).normal(size=(6, 2))
OF_ARRAYS = {
    "spectral_time": lambda rows: thermo.spectral_time(rows)[:-1],
    "covariance_spectrum": thermo.covariance_spectrum,
    "second_moments": lambda rows: thermo.second_moments(rows, rows).mixed,
    "exact_precision": lambda rows: thermo.exact_precision(rows[:2], 1.0),
    "power_law": lambda rows: thermo.power_law([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [row[0] ** 2 for row in rows]),
    "along_trajectory": lambda rows: thermo.along_trajectory(DENOISE, rows, [2.0] * 6).fixed_point.values,
}


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_numbers_in_lists_are_those_of_an_array(name, unchecked):
    np.testing.assert_array_equal(OF_ARRAYS[name](ROWS.tolist()), OF_ARRAYS[name](ROWS))


def test_points_that_are_no_rows_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"`points` needs one point a row, \(n, d\). Got shape \(3,\)"):
        thermo.spectral_time([1.0, 2.0, 3.0])
