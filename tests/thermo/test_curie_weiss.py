"""The theory of the Curie-Weiss ferromagnet against exact values, sums over states, and simulation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from diffphys.targets import CurieWeiss
from diffphys.thermo import (
    agreement,
    finite_magnet,
    magnet_separation,
    magnet_speciation_time,
    magnetisation_drift,
    magnetisation_potential,
    spontaneous_magnetisation,
    state_susceptibility,
    state_weight,
)


@pytest.mark.parametrize("beta", ["1.05", "1.1", "1.2", "1.5", "2.0", "3.0"])
def test_magnetisation_and_susceptibility_equal_the_exact_values(oracles, beta):
    oracle = oracles[f"cw_mstar_beta{beta}"]
    found = [spontaneous_magnetisation(float(beta)), state_susceptibility(float(beta))]
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])


def test_magnetisation_grows_as_a_root_from_the_transition_and_is_zero_before():
    excess = np.array([1e-4, 1e-6, 1e-9])
    np.testing.assert_allclose(spontaneous_magnetisation(1 + excess), np.sqrt(3 * excess), rtol=2e-4)
    assert np.all(spontaneous_magnetisation(np.array([0.3, 1.0])) == 0)
    assert spontaneous_magnetisation(100.0) == 1


def test_susceptibility_has_the_amplitude_ratio_of_two_about_its_divergence():
    assert np.isinf(state_susceptibility(1.0))
    above, below = (state_susceptibility(1 + sign * 1e-5) for sign in (-1, 1))
    np.testing.assert_allclose([above * 1e-5, above / below], [1, 2], rtol=1e-4)


@pytest.mark.parametrize(
    "case", ["N10_b1.5_h0.3", "N1000_b1.5_h0.3", "N100_b0.5_h0.0", "N100_b1.0_h0.0", "N1000_b1.0_h0.0"]
)
def test_finite_magnets_equal_the_exact_values(oracles, case):
    oracle = oracles[f"cw_finiteN_{case}"]
    found = finite_magnet(oracle["inputs"]["N"], oracle["inputs"]["beta"], oracle["inputs"]["h"])
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=oracle["tol"])


def test_a_very_large_magnet_has_its_limits():
    beta, field = 1.5, 0.3
    found = finite_magnet(1_000_000, beta, field)
    m = spontaneous_magnetisation(beta)
    np.testing.assert_allclose(found.up_weight, state_weight(beta, field), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.mean_absolute, m, rtol=0, atol=1e-5)
    within = found.mean_square - 1e6 * found.mean_absolute**2
    np.testing.assert_allclose(within, state_susceptibility(beta), rtol=1e-3)
    disordered = finite_magnet(1_000_000, 0.5)
    np.testing.assert_allclose(disordered.mean_square, state_susceptibility(0.5), rtol=1e-5)


@pytest.mark.parametrize("field", [0.3, 0.5])
def test_state_weights_equal_the_exact_values(oracles, field):
    oracle = oracles[f"cw_Wplus_limit_b1.5_h{field}"]
    np.testing.assert_allclose(state_weight(1.5, field), oracle["value"], rtol=0, atol=oracle["tol"])


def test_the_drift_is_minus_the_slope_of_the_potential():
    mu, step = np.linspace(-4, 4, 9), 1e-5
    for kappa, field, temperature in ((0.1, 0.5, 1.0), (1.0, -0.3, 2.0), (8.0, 0.2, 0.5)):
        up, down = (magnetisation_potential(mu + s, kappa, 1.5, field, temperature) for s in (step, -step))
        drift = magnetisation_drift(mu, kappa, 1.5, field, temperature)
        np.testing.assert_allclose(drift, (down - up) / (2 * step), rtol=1e-7, atol=1e-7)


def test_the_potential_is_one_parabola_before_and_two_wells_after_the_choice():
    mu, m = np.linspace(-3, 3, 7), spontaneous_magnetisation(1.5)
    early, late = 1e-4, 1e3
    centre = 2 * m * early * np.tanh(0.5 * m)
    parabola = 0.5 * (mu - centre) ** 2 - 0.5 * centre**2
    np.testing.assert_allclose(magnetisation_potential(mu, early, 1.5, 0.5), parabola, rtol=0, atol=1e-6)
    wells = 0.5 * mu**2 - 2 * m * late * np.abs(mu)
    np.testing.assert_allclose(magnetisation_potential(mu, late, 1.5, 0.5), wells, rtol=0, atol=3)


def test_reverse_trajectories_choose_the_states_with_their_weights(oracles):
    """In one dimension, from the stationary law: half the shift, as printed, would give .633 and not .702."""
    oracle = oracles["cw_langevin_weights"]
    rng, count, h = np.random.default_rng(1), 40_000, 0.01
    mu = rng.normal(size=count)
    for log_kappa in np.arange(np.log(0.01), np.log(20.0), h):
        drift = magnetisation_drift(mu, np.exp(log_kappa), 1.5, 0.5)
        mu = mu + h * drift + np.sqrt(2 * h) * rng.normal(size=count)
    up = np.mean(mu > 0)
    assert abs(up - oracle["value"][2]) < 4 * np.sqrt(up * (1 - up) / count) + 1e-3


@pytest.mark.parametrize("field", [0.0, 0.6])
def test_clones_agree_at_the_speciation_time_as_two_classes_do(field):
    """By the posterior identity on the exact law of a finite magnet."""
    dim, beta, count = 401, 1.5, 4000
    t = float(magnet_speciation_time(dim, beta))
    theory = agreement(magnet_separation(dim, beta, t), state_weight(beta, field))
    np.testing.assert_allclose(theory, {0.0: 0.7752, 0.6: 0.8124}[field], rtol=0, atol=2e-3)
    target, variance = CurieWeiss(dim, beta, field), float(np.expm1(2 * t))

    @eqx.filter_jit
    def participation(target, keys):
        def one(key):
            clean_key, noise_key = jr.split(key)
            y = target.sample(clean_key) + jnp.sqrt(variance) * jr.normal(noise_key, (dim,))
            return jnp.sum(jnp.exp(2 * target.label_log_posterior(y, variance)))

        return jax.vmap(one)(keys)

    found = np.asarray(participation(target, jr.split(jr.key(5), count)))
    # The theory leaves out terms of relative order 1 / N.
    assert abs(found.mean() - theory) < 4 * found.std() / count**0.5 + 1 / dim


def test_speciation_is_where_the_signal_is_as_strong_as_the_bath():
    t = magnet_speciation_time(10_000, 1.5, 2.0)
    assert 10_000 * np.exp(-2 * t) * spontaneous_magnetisation(1.5) ** 2 == pytest.approx(2.0, rel=1e-12)
    assert np.isnan(magnet_speciation_time(100, 0.9))
    assert magnet_separation(100, 1.5, np.inf) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: finite_magnet(0, 1.0), "`finite_magnet` needs finite `dim` > 0"),
        (lambda: finite_magnet(10, 0.0), "`finite_magnet` needs finite `beta` > 0"),
        (lambda: spontaneous_magnetisation(-1.0), "`spontaneous_magnetisation` needs finite `beta` > 0"),
        (lambda: magnet_speciation_time(0, 1.5), "`magnet_speciation_time` needs finite `dim` > 0"),
        (lambda: magnet_separation(10, 1.0, 1.0), "`magnet_separation` needs two states, `beta` > 1. Got 1.0"),
        (lambda: magnet_separation(10, 1.5, -1.0), "`magnet_separation` needs times `t` >= 0"),
        (lambda: magnet_separation(10, 1.5, 1.0, 0.0), "`magnet_separation` needs finite `temperature` > 0"),
        (lambda: magnetisation_drift(0.0, 1.0, 1.5, 0.0, 0.0), "needs finite `temperature` > 0"),
    ],
)
def test_what_is_no_magnet_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
