"""Linear processes and the complete recipe: late times, limits of the algorithm, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from exact_laws import assert_close_by_rows, exact_law

from diffphys.processes import LinearProcess, OrnsteinUhlenbeck, complete_recipe, third_order_langevin


@pytest.mark.parametrize("t", [1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_third_order_langevin_keeps_its_smallest_variances(t):
    """Of the noise alone: the variance of the position is 2 xi gamma^2 t^5 / 20 to first order."""
    _, factor = third_order_langevin().transition(0.0, t)
    law = exact_law("third-order", t)
    np.testing.assert_allclose(np.diag(factor), np.diag(law.transition_factor), rtol=3e-14)
    np.testing.assert_allclose(third_order_langevin().kernel(t).variance, law.variance, rtol=3e-14)
    if t < 1e-3:
        np.testing.assert_allclose(factor[0, 0] ** 2, 2 * 27**0.5 * 8 * t**5 / 20, rtol=10 * t)


def test_third_order_langevin_is_critically_damped():
    drift, _ = third_order_langevin().coefficients(0.0)
    shifted = drift + 3**0.5 * np.eye(3)
    np.testing.assert_allclose(np.linalg.matrix_power(shifted, 3), np.zeros((3, 3)), atol=1e-13)


def test_one_by_one_is_ornstein_uhlenbeck():
    linear, process = LinearProcess(np.array([[-1.0]]), np.array([[2.0]])), OrnsteinUhlenbeck(2.0)
    for t in (1e-6, 0.3, 4.0):
        np.testing.assert_allclose(linear.kernel(t).variance, process.kernel(t).variance, rtol=1e-13)
        np.testing.assert_allclose(linear.kernel(t).log_volume, process.kernel(t).log_volume, atol=1e-14)


@pytest.mark.parametrize("t", [3.0, 30.0, 300.0])
def test_late_laws_match_the_exponential_and_the_lyapunov_equation(t):
    rng = np.random.default_rng(0)
    drift, noise = rng.normal(size=(3, 3)) - 3 * np.eye(3), rng.normal(size=(3, 3))
    propagator, factor = LinearProcess(drift, noise).transition(0.0, t)
    wanted = scipy.linalg.expm(drift * t)
    np.testing.assert_allclose(propagator, wanted, rtol=1e-10, atol=1e-13 * np.abs(wanted).max())
    stationary = scipy.linalg.solve_continuous_lyapunov(drift, -noise @ noise.T)
    np.testing.assert_allclose(factor @ factor.T, stationary - wanted @ stationary @ wanted.T, rtol=1e-10)


@pytest.mark.parametrize("t", [1e-7, 1e-2, 5.0, 1000.0])
def test_a_traced_time_gives_the_law_of_a_known_one(t):
    """Both double as often as they need, the first by a loop of fixed length."""
    process = LinearProcess(np.array([[0.0, 1.0], [-2.0, -3.0]]), np.diag([0.0, 1.5]))
    for got, wanted in zip(_transition(process, t), process.transition(0.0, t), strict=True):
        if np.abs(wanted).max() > 0:
            assert_close_by_rows(got, wanted, 1e-12)


_transition = jax.jit(lambda process, t: process.transition(0.0, t))


def test_a_growing_process_has_its_law():
    """dx = x dt + dW: the variance is (e^{2t} - 1) / 2."""
    propagator, factor = LinearProcess(np.eye(1), np.eye(1)).transition(0.0, 3.0)
    np.testing.assert_allclose([propagator[0, 0], factor[0, 0] ** 2], [np.exp(3.0), 0.5 * np.expm1(6.0)], rtol=1e-13)


def test_parameters_may_be_jax_arrays_of_another_dtype_than_the_default_lift():
    eye = jnp.eye(2, dtype=jnp.float32)
    kernel = jax.jit(lambda: LinearProcess(-eye, eye).kernel(0.5))()
    assert {leaf.dtype for leaf in jax.tree.leaves(kernel)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(kernel.variance, 0.5 * np.expm1(1.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"drift": np.zeros((2, 3))}, "drift"),
        ({"noise": np.eye(3)}, "noise"),
        ({"lift": np.ones(3)}, "lift"),
        ({"spread": np.eye(3)}, "spread"),
        ({"drift": np.full((2, 2), np.nan)}, "drift"),
        ({"noise": np.full((2, 2), np.inf)}, "noise"),
    ],
)
def test_shapes_that_do_not_fit_and_values_that_are_not_finite_are_refused(unchecked, parameters, name):
    with pytest.raises(ValueError, match=f"needs a finite `{name}`"):
        LinearProcess(**{"drift": -np.eye(2), "noise": np.eye(2)} | parameters)


def test_a_process_whose_noise_does_not_reach_every_variable_is_refused():
    process = LinearProcess(-np.eye(2), np.diag([1.0, 0.0]))
    with pytest.raises(ValueError, match="`Kernel` needs a covariance of full rank"):
        process.kernel(1.0)


D, Q, C = np.diag([1.0, 0.5]), np.array([[0.0, -1.0], [1.0, 0.0]]), np.array([[2.0, 0.3], [0.3, 1.0]])


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ((D, Q + 1e-6 * np.eye(2), C), "an antisymmetric `circulation`"),
        ((D - 0.6 * np.eye(2), Q, C), "positive semi-definite `dissipation`"),
        ((D + 1e-6 * Q, Q, C), "positive semi-definite `dissipation`"),
        ((D, Q, C - 2 * np.eye(2)), "positive definite `curvature`"),
        ((D, Q, C + 1e-6 * Q), "positive definite `curvature`"),
        ((D, Q, np.full((2, 2), np.nan)), "finite square matrices of one size"),
        ((D, np.zeros((3, 3)), C), "finite square matrices of one size"),
        ((D[:1], Q, C), "finite square matrices of one size"),
    ],
)
def test_matrices_that_make_no_recipe_are_refused(unchecked, matrices, message):
    with pytest.raises(ValueError, match=message):
        complete_recipe(*matrices)


@pytest.mark.parametrize("parameters", [{"friction": 0.0}, {"coupling": 0.0}, {"kappa": -0.1}, {"friction": np.inf}])
def test_third_order_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(ValueError, match="`third_order_langevin` needs"):
        third_order_langevin(**parameters)


@pytest.mark.parametrize("seed", range(5))
def test_complete_recipe_keeps_its_stationary_law(seed):
    a, b, c = np.random.default_rng(seed).normal(size=(3, 3, 3))
    curvature = c @ c.T + np.eye(3)
    process = complete_recipe(a @ a.T, b - b.T, curvature)
    drift, noise = process.coefficients(0.0)
    cov = np.linalg.inv(curvature)
    scale = np.abs(a @ a.T).max()
    np.testing.assert_allclose(drift @ cov + cov @ drift.T, -noise @ noise.T, atol=1e-12 * scale)
    np.testing.assert_allclose(noise @ noise.T, 2 * a @ a.T, atol=1e-13 * scale)
