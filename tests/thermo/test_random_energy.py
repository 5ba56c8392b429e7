"""The random energy model of the data, isotropic and of any spectrum."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from diffphys.thermo import collapse_variance, random_energy


def isotropic(alpha, s):
    """One eigenvalue stands for all."""
    return random_energy(alpha, np.ones(1), 1 / np.asarray(s))


@pytest.mark.parametrize("alpha", ["0.1", "1.0"])
def test_random_energies_equal_the_exact_values(oracles, alpha):
    oracle = oracles[f"rem_psi_alpha{alpha}"]
    times = oracle["inputs"]["t_C"] * np.array([1.5, 1.0, 0.75, 0.5, 0.25])
    found = np.stack(isotropic(oracle["inputs"]["alpha"], 1 / np.expm1(2 * times)), axis=1)
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])


def test_random_energies_at_half_load_equal_the_values_of_the_text():
    found = isotropic(0.5, 1 / np.expm1(0.2293375726935409))
    np.testing.assert_allclose(found, [-0.9089359544, 0.5212612488], rtol=0, atol=1e-10)


@pytest.mark.parametrize("s", [0.5, 3.0, 40.0, 1e6])
def test_random_free_energy_is_the_least_over_condensation_exponents(s):
    """`psi = min over lambda in (0, 1] of (alpha + zeta(lambda)) / lambda`."""

    def bound(log_exponent, alpha=0.4):
        x = np.exp(log_exponent)
        return (alpha - 0.5 * np.log1p(x * s) - x * (1 + s) / (1 + x * s) / 2) / x

    best = minimize_scalar(bound, bounds=(-20, 0), method="bounded", options={"xatol": 1e-10})
    psi, exponent = isotropic(0.4, s)
    assert psi == pytest.approx(min(best.fun, bound(0.0)), rel=1e-9)
    assert exponent == pytest.approx(np.exp(best.x), rel=1e-4)


def test_random_energies_condense_exactly_where_the_excess_entropy_vanishes():
    alpha = 0.3
    s = np.expm1(2 * alpha)
    assert isotropic(alpha, s * (1 - 1e-9)).lambda_c == 1
    assert 1 - 1e-8 < isotropic(alpha, s * (1 + 1e-9)).lambda_c < 1
    assert isotropic(alpha, s).psi == pytest.approx(-0.5, abs=1e-12)


def test_free_energy_of_any_spectrum_is_the_least_over_exponents():
    spectrum, log_n, v = 1 / np.arange(1, 101), np.log(1e4), 0.1

    def bound(log_exponent):
        x, s = np.exp(log_exponent), spectrum / v
        zeta = np.mean(-0.5 * np.log(1 + x * s) - 0.5 * x * (1 + s) / (1 + x * s))
        return (log_n / 100 + zeta) / x

    best = minimize_scalar(bound, bounds=(-10, 0), method="bounded", options={"xatol": 1e-10})
    found = random_energy(log_n, spectrum, v)
    assert found.psi == pytest.approx(best.fun, rel=1e-10)
    assert found.lambda_c == pytest.approx(np.exp(best.x), rel=1e-4)


def test_any_spectrum_condenses_where_its_capacity_is_the_size_of_the_data():
    spectrum, n = 1 / np.arange(1, 1001), 10_000
    v = collapse_variance(n, spectrum)
    found = random_energy(np.log(n), spectrum, v * np.array([1 - 1e-6, 1, 1 + 1e-6]))
    assert found.psi[1] == pytest.approx(-0.5, abs=1e-12)
    assert found.lambda_c[0] < 1
    assert found.lambda_c[2] == 1


def test_random_energy_refuses_data_of_one_point():
    with pytest.raises(ValueError, match="`log_n` > 0"):
        random_energy(0.0, np.ones(3), 1.0)
