"""Agreement, information and separation of two classes, and of K orthogonal ones."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from diffphys.thermo import (
    agreement,
    agreement_orthogonal,
    class_information,
    gaussian_divergence,
    separation,
    sign_agreement,
    threshold,
)

DELTAS = np.array([0.0, 0.02, 0.3, 0.7, 1.0, 1.6, 2.5, 4.0, 5.0, 6.0, 9.0, 40.0])
WEIGHTS = [0.5, 0.8, 0.99, 1e-3]


def field_average(delta, function):
    """The average of a function of the log-odds field over a dense grid of its own."""
    nodes = np.arange(-11, 11, 1 / 400, dtype=np.longdouble)
    weights = np.exp(-(nodes**2) / 2)
    return float((function(delta**2 + delta * nodes) * weights).sum() / weights.sum())


@pytest.mark.parametrize("delta", ["0.1", "0.25", "0.5", "0.75", "2.0", "3.0", "4.0"])
def test_agreement_equals_the_exact_values(oracles, delta):
    oracle = oracles[f"phi_delta_{delta}"]
    assert agreement(oracle["inputs"]["delta"]) == pytest.approx(oracle["value"], abs=oracle["tol"])


def test_agreement_at_separation_one_is_the_universal_threshold(oracles):
    oracle = oracles["phi_universal_at_tS"]
    assert threshold() == pytest.approx(oracle["value"], abs=oracle["tol"])


def test_agreement_of_the_paper_belongs_to_a_slightly_smaller_separation(oracles):
    oracle = oracles["phi_delta_for_0.775"]
    found = brentq(lambda delta: agreement(delta) - 0.775, 0.5, 2.0, xtol=1e-13)
    assert found == pytest.approx(oracle["value"], abs=oracle["tol"])


@pytest.mark.parametrize("p", ["0.6", "0.7", "0.9", "0.95"])
def test_agreement_of_unbalanced_classes_equals_the_exact_values(oracles, p):
    oracle = oracles[f"phi_unbalanced_p{p}"]
    assert threshold(oracle["inputs"]["p"]) == pytest.approx(oracle["value"], abs=oracle["tol"])


def test_threshold_of_four_to_one_classes_is_not_that_of_equal_ones():
    assert threshold(0.8) == pytest.approx(0.8368, abs=5e-5)


@pytest.mark.parametrize("p", WEIGHTS)
def test_agreement_and_information_hold_to_1e_12_at_every_separation(p):
    bias = 0.5 * np.log(p / (1 - p))
    both = ((p, bias), (1 - p, -bias))
    for delta in DELTAS:
        phi = sum(w * field_average(delta, lambda u, b=b: (1 + np.tanh(u + b) ** 2) / 2) for w, b in both)
        doubt = sum(w * field_average(delta, lambda u, b=b: np.logaddexp(0, -2 * (u + b))) for w, b in both)
        entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
        assert agreement(delta, p) == pytest.approx(phi, abs=1e-12)
        assert class_information(delta, p) == pytest.approx(entropy - doubt, abs=1e-12)


def test_agreement_is_the_integral_over_the_two_densities():
    """The form of the paper: `1/2 int (G_+^2 + G_-^2) / (G_+ + G_-)`."""
    plus, minus = (lambda y, s=s: np.exp(-((y - s * 1.3) ** 2) / 2) / np.sqrt(2 * np.pi) for s in (1, -1))
    integral, _ = quad(lambda y: (plus(y) ** 2 + minus(y) ** 2) / (plus(y) + minus(y)) / 2, -12, 12, epsabs=1e-13)
    assert agreement(1.3) == pytest.approx(integral, abs=1e-12)


def test_agreement_starts_as_half_the_squared_separation():
    delta = np.array([0.01, 0.02])
    rest = agreement(delta) - 0.5 - 0.5 * delta**2 * (1 - delta**2)
    assert rest[1] / rest[0] == pytest.approx(2**6, rel=0.01)


def test_disagreement_vanishes_as_a_gaussian_tail():
    delta = np.array([3.0, 5.0, 7.0])
    ratio = (1 - agreement(delta)) / (np.sqrt(np.pi / 8) * np.exp(-(delta**2) / 2) / delta)
    # The next term of the asymptotic series is of relative order 1 / delta^2.
    np.testing.assert_allclose((1 - ratio) * delta**2, (1 - ratio[1]) * 25, rtol=0.2)
    assert abs(1 - ratio[2]) < 0.1


@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_agreement_runs_from_that_of_pure_noise_to_one(p):
    assert agreement(0.0, p) == pytest.approx(p**2 + (1 - p) ** 2, abs=1e-15)
    assert agreement(np.inf, p) == pytest.approx(1.0, abs=1e-15)
    assert class_information(0.0, p) == pytest.approx(0.0, abs=1e-15)
    assert class_information(np.inf, p) == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p), abs=1e-15)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 8), st.floats(0, 8), st.floats(0.01, 0.99))
def test_agreement_and_information_grow_with_separation_and_do_not_name_the_classes(one, other, p):
    low, high = sorted((one, other))
    for quantity in (agreement, class_information):
        assert quantity(low, p) <= quantity(high, p) + 1e-14
        assert quantity(high, p) == pytest.approx(quantity(high, 1 - p), abs=1e-14)


@pytest.mark.parametrize("p", [0.5, 0.8, 0.03])
def test_information_grows_by_the_disagreement(p):
    """I-MMSE of a binary input: `dI / d(delta^2) = 1 - phi`."""
    growth, _ = quad(lambda power: 1 - agreement(np.sqrt(power), p), 0.25, 4.0, epsabs=1e-13)
    assert class_information(2.0, p) - class_information(0.5, p) == pytest.approx(growth, abs=1e-12)


@pytest.mark.parametrize("delta", ["0.5", "1.0", "2.0", "3.0"])
def test_class_information_equals_the_exact_values(oracles, delta):
    oracle = oracles[f"mutual_info_class_delta_{delta}"]
    assert class_information(oracle["inputs"]["delta"]) == pytest.approx(oracle["value"], abs=oracle["tol"])


@pytest.mark.parametrize("time", ["0.2000", "0.3466", "1.0000", "2.0000"])
def test_class_information_gives_the_cost_of_a_gaussian_late_start(oracles, time):
    """For deltas at +-1, `KL(P_t || N(0, 1)) = -1/2 log(1 - e^{-2t}) - I`."""
    oracle = oracles[f"late_start_kl_t{time}"]
    t = oracle["inputs"]["t"]
    information = class_information(separation(1.0, 0.0, np.expm1(2 * t)))
    assert -0.5 * np.log(-np.expm1(-2 * t)) - information == pytest.approx(oracle["value"], abs=oracle["tol"])


@pytest.mark.parametrize("dim", [256, 1024])
def test_theory_of_the_gaussian_mixture_equals_the_exact_curve(oracles, dim):
    oracle = oracles[f"phi_gm_repo_d{dim}"]
    delta = separation(np.ones(dim), 1.0, np.expm1(2 * np.array(oracle["inputs"]["t"])))
    np.testing.assert_allclose(agreement(delta), oracle["value"]["theory"], rtol=0, atol=oracle["tol"]["theory"])


@pytest.mark.parametrize("dim", [256, 1024])
def test_simulated_points_of_the_authors_lie_on_the_theory(oracles, dim):
    oracle = oracles[f"phi_gm_repo_d{dim}"]
    phi = agreement(separation(np.ones(dim), 1.0, np.expm1(2 * np.array(oracle["inputs"]["t"]))))
    stderr = np.sqrt(phi * (1 - phi) / 10_000)
    assert np.all(np.abs(np.array(oracle["value"]["repo"]) - phi) <= 4 * stderr)


def test_separation_of_any_covariance_solves_the_linear_system():
    rng = np.random.default_rng(0)
    half, root = rng.normal(size=5), rng.normal(size=(5, 5))
    covariance, variances = root @ root.T, np.array([[0.1, 1.0], [7.0, 300.0]])
    expected = [[np.sqrt(half @ np.linalg.solve(covariance + v * np.eye(5), half)) for v in row] for row in variances]
    np.testing.assert_allclose(separation(half, covariance, variances), expected, rtol=1e-12)


def test_separation_takes_a_number_a_diagonal_or_a_matrix_alike():
    half, variances = np.array([3.0, 2.0]), np.geomspace(0.01, 100, 7)
    diagonal = separation(half, np.array([4.0, 4.0]), variances)
    np.testing.assert_allclose(separation(half, 4.0, variances), diagonal, rtol=1e-14)
    np.testing.assert_allclose(separation(half, 4.0 * np.eye(2), variances), diagonal, rtol=1e-14)


def test_separation_of_the_anisotropic_pair_is_one_at_its_exact_noise():
    assert separation(np.array([3.0, 2.0]), np.array([4.0, 1.0]), 4 + np.sqrt(37)) == pytest.approx(1.0, abs=1e-14)


def test_separation_without_noise_is_infinite_only_where_classes_do_not_overlap():
    assert separation(1.0, 0.0, 0.0) == np.inf
    assert separation(np.array([1.0, 0.0]), np.array([4.0, 0.0]), 0.0) == pytest.approx(0.5)
    assert separation(np.zeros(2), 0.0, 0.0) == 0


@pytest.mark.parametrize("time", ["0.05", "0.5", "1.0"])
def test_latent_and_sign_agreement_equal_their_two_exact_values(oracles, time):
    oracle = oracles[f"phi_latent_vs_sign_1d_t{time}"]
    v = np.expm1(2 * oracle["inputs"]["t"])
    both = [agreement(separation(1.0, 1.0, v)), sign_agreement(1.0, 1.0, v)]
    np.testing.assert_allclose(both, oracle["value"], rtol=0, atol=oracle["tol"])


def test_sign_agreement_of_one_gaussian_is_the_orthant_probability():
    v = np.geomspace(1e-10, 1e4, 15)
    exact = 0.5 + np.arcsin(1 / (1 + v)) / np.pi
    np.testing.assert_allclose(sign_agreement(0.0, 1.0, v), exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(sign_agreement(0.0, 9.0, 9 * v), exact, rtol=0, atol=1e-12)


def test_sign_agreement_of_narrow_classes_is_the_latent_one():
    v = np.geomspace(0.1, 100, 9)
    latent = agreement(separation(1.0, 1e-8, v))
    np.testing.assert_allclose(sign_agreement(1.0, 1e-8, v), latent, rtol=0, atol=1e-7)


def test_sign_agreement_of_many_variances_is_that_of_each():
    """Classes forty deviations apart need nodes far finer than those which the noise has blurred into one."""
    variances = np.array([1e-3, 1.0, 1e3, 1e6])
    each = [sign_agreement(40.0, 1.0, variance) for variance in variances]
    np.testing.assert_allclose(sign_agreement(40.0, 1.0, variances), each, rtol=0, atol=1e-12)


def test_sign_agreement_is_what_pairs_of_posterior_draws_show():
    rng, count, v = np.random.default_rng(1), 400_000, 0.8
    y = 1.0 + rng.normal(size=count) * np.sqrt(1 + v)
    odds = 1 / (1 + np.exp(-2 * y / (1 + v)))

    def draw():
        centre = np.where(rng.random(count) < odds, 1.0, -1.0)
        return (centre * v + y) / (1 + v) + np.sqrt(v / (1 + v)) * rng.normal(size=count)

    same = np.mean((draw() > 0) == (draw() > 0))
    exact = sign_agreement(1.0, 1.0, v)
    assert abs(same - exact) < 4 * np.sqrt(exact * (1 - exact) / count)


@pytest.mark.parametrize("classes", [2, 4])
def test_orthogonal_agreement_equals_the_exact_values(oracles, classes):
    oracle = oracles[f"phi_K{classes}_orthogonal_a1"]
    assert agreement_orthogonal(classes, 1.0) == pytest.approx(oracle["value"], abs=oracle["tol"])


def test_orthogonal_agreement_of_two_classes_is_that_of_a_pair():
    a = np.array([0.0, 0.1, 1.0, 3.0, 8.0, 30.0])
    np.testing.assert_allclose(agreement_orthogonal(2, a), agreement(a / np.sqrt(2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [3, 10, 1000])
def test_orthogonal_agreement_is_that_of_sampled_posteriors(classes):
    rng, a, count = np.random.default_rng(classes), 2.5, 4000
    fields = a * rng.normal(size=(count, classes))
    fields[:, 0] += a * a
    kept = 1 / np.exp(fields - fields[:, :1]).sum(1)
    phi = agreement_orthogonal(classes, a)
    assert abs(kept.mean() - phi) < 4 * kept.std() / np.sqrt(count)


@pytest.mark.parametrize("classes", [2, 7, 1000])
def test_orthogonal_agreement_runs_from_chance_to_one(classes):
    phi = agreement_orthogonal(classes, np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 40.0]))
    assert phi[0] == pytest.approx(1 / classes, rel=1e-11)
    assert phi[-1] == pytest.approx(1.0, abs=1e-11)
    assert np.all(np.diff(phi) > 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: agreement(-0.1), "`agreement` needs `delta` >= 0"),
        (lambda: class_information(np.nan), "`class_information` needs `delta` >= 0"),
        (lambda: agreement(1.0, 1.0), r"needs `p` in \(0, 1\)"),
        (lambda: separation(1.0, 1.0, -1.0), "`separation` needs `variance` >= 0"),
        (lambda: separation(np.ones(2), np.ones(3), 1.0), "`covariance` needs the shape"),
        (lambda: separation(np.ones(2), np.array([1.0, -1.0]), 1.0), "`covariance` needs eigenvalues >= 0"),
        (lambda: sign_agreement(1.0, 0.0, 1.0), "`mean` >= 0 and `within` > 0"),
        (lambda: sign_agreement(1.0, 1.0, 0.0), "`sign_agreement` needs `variance` > 0"),
        (lambda: agreement_orthogonal(1, 1.0), "needs `classes` >= 2"),
        (lambda: agreement_orthogonal(2, np.inf), "a finite `a`"),
    ],
)
def test_two_classes_refuse_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("time", ["0.2000", "0.3466", "1.0000", "2.0000"])
def test_the_gaussian_of_two_points_is_off_by_the_tabulated_relative_entropy(oracles, time):
    entry = oracles[f"late_start_kl_t{time}"]
    delta = separation(np.ones(1), 0.0, np.expm1(2 * entry["inputs"]["t"]))
    np.testing.assert_allclose(gaussian_divergence(delta), entry["value"], rtol=0, atol=entry["tol"])


@pytest.mark.parametrize("p", [0.5, 0.8])
def test_the_gaussian_of_two_classes_is_off_by_the_relative_entropy_on_a_line(p):
    # Along the means alone do the laws differ: whitened, two normals 2 delta apart.
    delta, x = 1.3, np.linspace(-14, 14, 40_001)
    density = p * norm.pdf(x, delta) + (1 - p) * norm.pdf(x, -delta)
    fitted = norm.logpdf(x, (2 * p - 1) * delta, np.sqrt(1 + 4 * p * (1 - p) * delta**2))
    exact = np.trapezoid(density * (np.log(density) - fitted), x)
    np.testing.assert_allclose(gaussian_divergence(delta, p), exact, atol=1e-12)
