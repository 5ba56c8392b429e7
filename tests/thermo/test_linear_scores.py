"""Linear scores learned from data: their errors, their losses, and what they generate."""

import numpy as np
import pytest

from diffphys.clocks import log_snr_grid
from diffphys.thermo import (
    averaged,
    bayes_loss,
    commuting,
    draw_second_moments,
    exact_precision,
    generated_covariance,
    generated_spectrum,
    second_moments,
    symmetric,
    unconstrained,
    unconstrained_error,
)

ESTIMATORS = (unconstrained, symmetric, commuting, averaged)
N, P, T = 40, 120, 0.7
SPECTRUM = np.linspace(0.2, 3.0, N)


def draws(count, seed=0):
    rng = np.random.default_rng(seed)
    return [draw_second_moments(rng, SPECTRUM, P) for _ in range(count)]


def test_errors_of_the_estimators_are_those_of_the_reference(oracles):
    oracle = oracles["W_variants_error_mc"]
    true = exact_precision(np.diag(SPECTRUM), T)
    errors = np.array([[np.sum((e(m, T) - true) ** 2) for e in ESTIMATORS] for m in draws(300)])
    stderr = errors.std(0) / 300**0.5
    # The tolerances of the reference are four of its own standard errors.
    assert np.all(np.abs(errors.mean(0) - oracle["value"]) < 4 * np.hypot(stderr, np.array(oracle["tol"]) / 4))
    assert abs(errors[:, 0].mean() - unconstrained_error(SPECTRUM, P, T)) < 4 * stderr[0]
    assert unconstrained_error(SPECTRUM, N + 1, T) == np.inf


def test_the_exact_error_holds_for_so_few_data_that_each_degree_of_freedom_counts():
    """P - N - 1 = 5 of eight data in a plane, in a warm bath."""
    rng, values, temperature = np.random.default_rng(6), np.array([0.5, 2.0]), 1.7
    true = exact_precision(np.diag(values), T, temperature)
    found = [unconstrained(draw_second_moments(rng, values, 8), T, temperature) for _ in range(4000)]
    errors = np.array([np.sum((w - true) ** 2) for w in found])
    assert abs(errors.mean() - unconstrained_error(values, 8, T, temperature)) < 4 * errors.std() / 4000**0.5


def loss(precision, moments, t):
    """Of score matching, on the data and noises of the moments: |-W x + e / sqrt(Delta)|^2 on average."""
    keep, spread = np.exp(-t), -np.expm1(-2 * t)
    noisy, _ = moments.at(keep, spread)
    mixed = keep * moments.mixed + np.sqrt(spread) * moments.noise  # x e'
    return np.trace(precision @ noisy @ precision.T - 2 * precision @ mixed / spread**0.5 + moments.noise / spread)


def test_each_minimiser_is_stationary_where_it_says_it_is_and_the_talks_formula_is_not():
    moments, rng = draws(1)[0], np.random.default_rng(5)
    for estimator, symmetrise, least in (
        (unconstrained, False, True),
        (symmetric, True, True),
        (commuting, False, False),
    ):
        found = estimator(moments, T)
        move = rng.normal(size=found.shape)
        move = move + move.T if symmetrise else move
        values = [loss(found + h * move, moments, T) for h in (-1e-3, 0.0, 1e-3)]
        slope = (values[2] - values[0]) / 2e-3
        assert (abs(slope) < 1e-8 * np.abs(values).max() * 1e3) == least
    assert np.allclose(symmetric(moments, T), symmetric(moments, T).T)
    assert not np.allclose(commuting(moments, T), commuting(moments, T).T)


def test_training_loss_is_the_bayes_loss_less_what_is_fitted(oracles):
    floor, trained = oracles["W_train_loss"]["value"]
    np.testing.assert_allclose(bayes_loss(SPECTRUM, T), floor, rtol=1e-10)
    np.testing.assert_allclose(bayes_loss(SPECTRUM, T) * (1 - N / P), trained, rtol=1e-10)
    found = [loss(unconstrained(m, T), m, T) for m in draws(200)]
    assert abs(np.mean(found) - trained) < 4 * np.std(found) / 200**0.5


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_all_estimators_have_one_limit(estimator):
    moments = draw_second_moments(np.random.default_rng(0), np.array([0.5, 2.0]), 10**9)
    np.testing.assert_allclose(estimator(moments, 0.5), exact_precision(np.diag([0.5, 2.0]), 0.5), atol=1e-3)


@pytest.mark.parametrize("count", [3, 30])
def test_drawn_second_moments_have_the_law_of_those_of_points(count):
    # Below and above 2N data: two ways to draw. Means and variances of entries of a Wishart matrix.
    values, size = np.array([0.5, 2.0]), 6000
    rng = np.random.default_rng(count)
    drawn = [draw_second_moments(rng, values, count) for _ in range(size)]
    joint = np.stack([np.block([[m.data, m.mixed], [m.mixed.T, m.noise]]) for m in drawn])
    scale = np.append(values, [1.0, 1.0])
    variance = (np.outer(scale, scale) + np.diag(scale**2)) / count
    assert np.all(np.abs(joint.mean(0) - np.diag(scale)) < 4.5 * np.sqrt(variance / size))
    # The variance of a variance, for chi-squares of so few degrees, is large: 15 %.
    np.testing.assert_allclose(joint.var(0), variance, rtol=0.15)


def test_moments_of_points_give_the_estimators_of_their_definitions():
    rng = np.random.default_rng(2)
    points, noise = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    keep, spread = np.exp(-T), -np.expm1(-2 * T)
    noisy, mixed = second_moments(points, noise).at(keep, spread)
    x = keep * points + spread**0.5 * noise
    np.testing.assert_allclose(noisy, x.T @ x / 30, rtol=1e-12)
    np.testing.assert_allclose(mixed, points.T @ x / 30, rtol=1e-12, atol=1e-15)
    # Least squares of the score on x, by the library.
    regression = -np.linalg.lstsq(x, -noise / spread**0.5, rcond=None)[0].T
    np.testing.assert_allclose(unconstrained(second_moments(points, noise), T), regression, rtol=1e-9)


@pytest.mark.parametrize("name", ["C_DM_true_tf4.0", "C_DM_true_tf6.0"])
def test_generated_spectrum_of_the_exact_score_is_the_closed_form(name, oracles):
    oracle = oracles[name]
    found = generated_spectrum(oracle["inputs"]["C0"], oracle["inputs"]["tf"])
    np.testing.assert_allclose(found, oracle["value"], atol=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_generated_covariance_goes_to_the_closed_form_with_the_square_of_the_steps(temperature):
    root = np.random.default_rng(0).normal(size=(3, 3))
    true = root @ root.T + 0.2 * np.eye(3)
    values, basis = np.linalg.eigh(true)
    # At t_min the closed form is that of the law there, whose prior is seen through one more channel.
    t_max, t_min = 3.0, 0.05

    def at_the_end(c):
        keep = np.exp(-2 * t_min)
        noisy = -temperature * np.expm1(-2 * np.array([t_min, t_max]))[:, None] + np.exp(-2 * np.array([t_min, t_max]))[
            :, None
        ] * np.asarray(c)
        ratio = np.exp(-(t_max - t_min)) * noisy[0] / noisy[1]
        return noisy[0] + ratio**2 * (temperature - noisy[1]) if keep else None

    expected = basis * at_the_end(values) @ basis.T
    errors = [
        np.abs(
            generated_covariance(
                lambda t: exact_precision(true, t, temperature), log_snr_grid(t_max, t_min, n), temperature
            )
            - expected
        ).max()
        for n in (100, 200, 400)
    ]
    assert errors[-1] < 1e-3
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(slopes - 2) < 0.15)


def test_averaged_score_generates_the_sample_covariance_and_one_noise_a_datum_does_not(oracles):
    # One draw in the reference, 20 % apart: here the mean of several, within the spread of draws.
    averaged_ratio, fresh_ratio, frozen_ratio = oracles["C_DM_single_draw_mc"]["value"]
    values, ts = np.linspace(0.5, 2.0, 30), log_snr_grid(6.0, 0.01, 600)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(6):
        rows = rng.normal(size=(60, 30)) * np.sqrt(values)
        frozen = second_moments(rows, rng.normal(size=rows.shape))
        precisions = (
            lambda t, m=frozen: averaged(m, t),
            lambda t, a=rows: unconstrained(second_moments(a, rng.normal(size=a.shape)), t),
            lambda t, m=frozen: unconstrained(m, t),
        )
        found.append([np.trace(generated_covariance(w, ts)) / np.trace(frozen.data) for w in precisions])
    mean, spread = np.mean(found, 0), np.std(found, 0, ddof=1)
    np.testing.assert_allclose(mean[0], averaged_ratio, rtol=0.005)
    np.testing.assert_allclose(mean[1], fresh_ratio, rtol=0.2)
    assert abs(mean[2] - frozen_ratio) < 4 * spread[2]
    assert mean[2] > 2 > mean[1] > 1.2


def test_what_cannot_be_estimated_or_integrated_is_refused(unchecked):
    few = draw_second_moments(np.random.default_rng(0), np.ones(4), 4)
    for estimator in (unconstrained, symmetric, commuting):
        with pytest.raises(ValueError, match=rf"`{estimator.__name__}` needs more data than the 4 coordinates.*Got 4"):
            estimator(few, 0.5)
    with pytest.raises(ValueError, match=r"`t` > 0 and `temperature` > 0. Got 0"):
        averaged(few, 0.0)
    with pytest.raises(ValueError, match=r"one `noise` a datum, of shape \(3, 2\). Got \(2, 2\)"):
        second_moments(np.ones((3, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="decreasing times"):
        generated_covariance(lambda t: np.eye(2), np.array([0.1, 1.0]))
