"""The sphere against its exact values, decimal arithmetic, and the small dimensions that have elementary forms."""

from decimal import Decimal, localcontext

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import gammaln, ive

from diffphys.targets import Sphere, deltas


def along(dim, size, dtype=jnp.float64):
    return jnp.zeros(dim, dtype).at[0].set(size)


@eqx.filter_jit
def ask(target, y, variance):
    return target.log_evidence(y, variance), target.posterior_mean(y, variance)


@eqx.filter_jit
def jacobian_along(target, y, variance):
    """Of the posterior mean, in the direction of the first coordinate."""
    return jax.jvp(lambda y: target.posterior_mean(y, variance), (y,), (along(y.size, 1.0, y.dtype),))[1]


def bessel(dim, kappa, ratio_only=False):
    """`A`, `A'` and `log Z - kappa` in decimal arithmetic, by continued fraction and by series."""
    with localcontext() as context:
        context.prec = 60
        kappa, order = Decimal(kappa), Decimal(dim) / 2 - 1
        ratio = Decimal(0)
        for j in reversed(range(int(3 * kappa) + 200)):
            ratio = 1 / (2 * (order + j + 1) / kappa + ratio)
        term = total = Decimal(1)
        j = 0
        while term > total * Decimal(10) ** -40:
            j += 1
            term *= kappa**2 / 4 / (j * (order + j))
            total += term
        derivative = 1 - ratio**2 - (dim - 1) * ratio / kappa
        return float(ratio), float(derivative), float(total.ln() - kappa)


@pytest.mark.parametrize("dim", [1, 3, 82, 100_000])
def test_mean_evidence_and_susceptibility_equal_decimal_arithmetic(dim):
    target = Sphere(dim)
    for kappa in (1e-3, 0.5, 7.0, 300.0):
        ratio, derivative, log_partition = bessel(dim, kappa)
        # At unit variance the field is the observation.
        y, variance = along(dim, kappa), jnp.asarray(1.0)
        evidence, mean = ask(target, y, variance)
        np.testing.assert_allclose(mean[0], ratio, rtol=1e-14)
        expected = log_partition - (kappa - 1) ** 2 / 2 - dim / 2 * np.log(2 * np.pi)
        np.testing.assert_allclose(evidence, expected, rtol=1e-14, atol=1e-12)
        np.testing.assert_allclose(jacobian_along(target, y, variance)[0], derivative, rtol=1e-11, atol=1e-250)


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 100])
def test_magnetisation_equals_the_exact_values(oracles, dim):
    oracle = oracles[f"bessel_ratio_d{dim}"]
    for kappa, expected in zip((0.1, 1.0, 10.0, 100.0), oracle["value"], strict=True):
        _, mean = ask(Sphere(dim), along(dim, kappa), jnp.asarray(1.0))
        np.testing.assert_allclose(mean[0], expected, rtol=oracle["tol"])


@pytest.mark.parametrize("case", ["d2_k1.0", "d3_k1.0", "d10_k5.0"])
def test_partition_function_equals_the_exact_values(oracles, case):
    oracle = oracles[f"sphere_logZ_{case}"]
    dim, kappa = oracle["inputs"]["d"], oracle["inputs"]["kappa"]
    evidence, _ = ask(Sphere(dim), along(dim, kappa), jnp.asarray(1.0))
    found = evidence + (kappa**2 + 1) / 2 + dim / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])


@pytest.mark.parametrize("case", ["d2_q0.99", "d3_q0.5", "d100_q0.9"])
def test_broken_symmetry_equals_the_exact_values(oracles, case):
    oracle = oracles[f"sphere_{case}"]
    dim, variance = oracle["inputs"]["d"], jnp.asarray(oracle["inputs"]["tau"])
    target = Sphere(dim)

    def excess(m):
        return float(ask(target, along(dim, m), variance)[1][0]) - m

    m = brentq(excess, 1e-3, 1, xtol=1e-15)
    response = float(jacobian_along(target, along(dim, m), variance)[0])
    np.testing.assert_allclose([m, response / (1 - response)], oracle["value"], rtol=oracle["tol"])
    if dim > 1:
        # Goldstone: turning the magnetisation costs nothing.
        covariance = target.posterior_covariance(along(dim, m), variance)
        np.testing.assert_allclose(covariance[1, 1] / variance, 1, rtol=1e-12)


def test_one_dimension_is_two_points_of_any_radius():
    sphere, points = Sphere(1, 1.7), deltas([[1.7], [-1.7]])
    for y, variance in ((0.3, 0.5), (-2.0, 0.01), (0.0, 3.0)):
        found = ask(sphere, jnp.asarray([y]), jnp.asarray(variance))
        expected = ask(points, jnp.asarray([y]), jnp.asarray(variance))
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-13, atol=1e-15)


def test_two_dimensions_equal_scaled_bessel_functions_of_scipy():
    for kappa in (0.2, 30.0, 5e3):
        evidence, _ = ask(Sphere(2), along(2, kappa), jnp.asarray(1.0))
        expected = np.log(ive(0, kappa)) - (kappa - 1) ** 2 / 2 - np.log(2 * np.pi)
        np.testing.assert_allclose(evidence, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("dim", [2, 100_000])
def test_a_strong_field_leaves_the_fluctuations_of_a_plane(dim, dtype):
    r"""$A' \to (d - 1) / 2 \kappa^2$: a difference of ones, eight digits below the last one in float64."""
    kappa = 1e8
    target = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, Sphere(dim))
    y = along(dim, kappa, dtype)
    evidence, mean = ask(target, y, jnp.ones((), dtype))
    response = jacobian_along(target, y, jnp.ones((), dtype))[0]
    precise = dtype == jnp.float64
    # The next order of each is of relative size d / kappa.
    np.testing.assert_allclose(response * kappa**2, (dim - 1) / 2, rtol=2 * dim / kappa + (1e-9 if precise else 5e-4))
    np.testing.assert_allclose(mean[0], 1 - (dim - 1) / 2 / kappa, rtol=1e-9 + dim**2 / kappa**2 if precise else 1e-6)
    # Of the surface of the sphere, per solid angle.
    flat = gammaln(dim / 2) + (dim - 1) / 2 * np.log(2 / kappa) - 0.5 * np.log(4 * np.pi)
    expected = flat - (kappa - 1) ** 2 / 2 - dim / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(evidence, expected, rtol=1e-12 if precise else 1e-6)


@eqx.filter_jit
def rate(target, y, variance):
    return jax.grad(target.log_evidence, 1)(y, variance)


@pytest.mark.parametrize(("dim", "variance"), [(3, 1e-6), (3, 0.2), (2000, 1e-3)])
def test_evidence_changes_with_the_noise_as_its_difference_quotient(dim, variance):
    target, y = Sphere(dim, 1.3), along(dim, 1.4)
    step = 1e-4 * variance
    up, down = (ask(target, y, jnp.asarray(variance + sign * step))[0] for sign in (1, -1))
    np.testing.assert_allclose(rate(target, y, jnp.asarray(variance)), (up - down) / (2 * step), rtol=1e-6)


def test_the_fourth_cumulant_of_a_coordinate_is_the_third_derivative_of_the_mean():
    """At the origin, where directions are none: -6 / (d^2 (d + 2))."""
    target = Sphere(3)

    def mean(x):
        return target.posterior_mean(along(3, x), jnp.asarray(1.0))[0]

    third = jax.jit(jax.jacfwd(jax.jacfwd(jax.jacfwd(mean))))
    np.testing.assert_allclose(third(0.0), -6 / (9 * 5), rtol=1e-12)


def test_samples_lie_on_the_sphere_with_the_covariance_of_one():
    samples = np.asarray(eqx.filter_jit(eqx.filter_vmap(Sphere(3, 2.0).sample))(jr.split(jr.key(0), 20_000)))
    np.testing.assert_allclose(np.linalg.norm(samples, axis=1), 2, rtol=1e-14)
    products = samples[:, :, None] * samples[:, None]
    assert np.all(np.abs(products.mean(0) - 4 / 3 * np.eye(3)) < 4 * products.std(0) / 20_000**0.5)


@pytest.mark.parametrize(("dim", "radius"), [(0, 1.0), (3.0, 1.0), (3, 0.0), (3, -1.0), (3, np.nan), (3, np.ones(2))])
def test_what_is_no_sphere_is_refused(dim, radius, unchecked):
    with pytest.raises(ValueError, match="`Sphere` needs a whole `dim` >= 1 and one finite `radius` > 0"):
        Sphere(dim, radius)
