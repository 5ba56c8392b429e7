"""Phase-space Langevin diffusion against published and precomputed values, its special cases and its symmetry."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_laws import assert_close_by_rows

from diffphys.processes import LinearProcess, PhaseSpaceLangevin, complete_recipe

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "data/psld_kernel.json").read_text())


@pytest.mark.parametrize("row", GOLDEN["psld"], ids=lambda row: f"t={row['t']:g}")
def test_kernel_matches_the_precomputed_law(row):
    kernel = PhaseSpaceLangevin(0.01, 4.01, 8.0, 0.04).kernel(row["t"])
    propagator, _ = PhaseSpaceLangevin().transition(0.0, row["t"])
    lower = np.tril_indices(2)
    np.testing.assert_allclose(propagator.ravel(), row["propagator"], rtol=1e-11)
    np.testing.assert_allclose(kernel.mean, np.array(row["propagator"])[[0, 2]], rtol=1e-11)
    np.testing.assert_allclose(kernel.cov[lower], row["cov"], rtol=1e-11)
    np.testing.assert_allclose(kernel.factor[lower], row["factor"], rtol=1e-11)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_critically_damped_langevin_matches_the_precomputed_law(dtype):
    row = GOLDEN["cld"][0]
    kernel = jax.jit(lambda t: PhaseSpaceLangevin(0.0, 4.0).kernel(t))(jnp.asarray(row["t"], dtype))
    tolerance = 1e-6 if dtype == jnp.float32 else 1e-11
    np.testing.assert_allclose(kernel.cov[jnp.tril_indices(2)], row["cov"], rtol=tolerance)


@pytest.mark.parametrize("t", [1e-5, 1e-2, 0.7])
def test_a_little_friction_of_the_position_is_a_little_change(t):
    cld, near = (PhaseSpaceLangevin(gamma, gamma + 4.0).kernel(t) for gamma in (0.0, 1e-9))
    np.testing.assert_allclose(near.variance, cld.variance, rtol=1e-7 + 1e-9 / t**2)


def test_coefficients_are_those_of_critically_damped_langevin():
    """In the words of Dockhorn et al.: M^-1 = 4, friction 1, rate 4."""
    drift, noise = PhaseSpaceLangevin(0.0, 4.0, 8.0).coefficients(0.3)
    np.testing.assert_allclose(drift, 4.0 * np.array([[0.0, 4.0], [-1.0, -4.0]]))
    np.testing.assert_allclose(noise @ noise.T, np.diag([0.0, 2 * 1.0 * 4.0]))


@pytest.mark.parametrize(("gamma", "nu"), [(0.0, 4.0), (0.01, 4.01), (0.5, 3.0), (3.0, 0.5)])
def test_it_is_a_complete_recipe_critically_damped(gamma, nu):
    beta, mass = 8.0, 4 / (nu - gamma) ** 2
    process = PhaseSpaceLangevin(gamma, nu, beta)
    recipe = complete_recipe(
        0.5 * beta * np.diag([gamma, mass * nu]),
        0.5 * beta * np.array([[0.0, -1.0], [1.0, 0.0]]),
        np.diag([1, 1 / mass]),
    )
    drift, noise = process.coefficients(0.0)
    np.testing.assert_allclose(recipe.drift, drift, rtol=1e-14)
    np.testing.assert_allclose(recipe.noise @ recipe.noise.T, noise @ noise.T, rtol=1e-14)
    np.testing.assert_allclose(process.mass, mass)
    # Critical: the two eigenvalues are one.
    np.testing.assert_allclose(np.trace(drift) ** 2, 4 * np.linalg.det(drift), rtol=1e-13)


@pytest.mark.parametrize("t", [1e-5, 1e-3, 0.1, 1.0])
@pytest.mark.parametrize(("gamma", "nu"), [(0.01, 4.01), (0.0, 4.0), (4.01, 0.01)])
def test_it_is_the_linear_process_of_its_coefficients(gamma, nu, t):
    process = PhaseSpaceLangevin(gamma, nu)
    linear = LinearProcess(*process.coefficients(0.0), spread=process.start()[1])
    for got, wanted in zip(process.transition(0.0, t), linear.transition(0.0, t), strict=True):
        assert_close_by_rows(got, wanted, 1e-12)
    got, wanted = process.kernel(t), linear.kernel(t)
    assert_close_by_rows(got.factor, wanted.factor, 1e-12)
    np.testing.assert_allclose(got.variance, wanted.variance, rtol=1e-12)


def test_position_and_momentum_change_roles_with_their_frictions():
    """(p / sqrt(M), -x) of one is (x, p / sqrt(M)) of the other."""
    one, other = PhaseSpaceLangevin(0.3, 2.3), PhaseSpaceLangevin(2.3, 0.3)
    scale = np.diag([1.0, float(one.mass) ** 0.5])
    turn = scale @ np.array([[0.0, 1.0], [-1.0, 0.0]]) @ np.linalg.inv(scale)
    (propagator, factor), (mirrored, its_factor) = one.transition(0.0, 0.05), other.transition(0.0, 0.05)
    np.testing.assert_allclose(turn @ propagator @ turn.T @ np.linalg.inv(turn @ turn.T), mirrored, rtol=1e-12)
    turned = turn @ factor
    np.testing.assert_allclose(turned @ turned.T, its_factor @ its_factor.T, rtol=1e-12)


def test_time_is_measured_in_units_of_the_rate():
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-13),
        PhaseSpaceLangevin(beta=8.0).kernel(0.05),
        PhaseSpaceLangevin(beta=2.0).kernel(0.2),
    )


def test_equal_frictions_are_refused():
    with pytest.raises(ValueError, match="`gamma` different from `nu`"):
        PhaseSpaceLangevin(gamma=2.0, nu=2.0)


@pytest.mark.parametrize(
    "parameters",
    [{"gamma": -0.1}, {"nu": -1.0}, {"beta": 0.0}, {"kappa": -0.04}, {"beta": float("nan")}, {"nu": np.inf}],
)
def test_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(ValueError, match="`PhaseSpaceLangevin` needs"):
        PhaseSpaceLangevin(**parameters)
