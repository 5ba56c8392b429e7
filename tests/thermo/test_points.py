"""What the functions of thermodynamics make of a point, a variance and a denoiser, and what they refuse."""

import jax.numpy as jnp
import numpy as np
import pytest

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
