"""Mixtures against scipy, closed forms and the exact values; digits at large `d`; what they refuse."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings, strategies as st

from diffphys.targets import Gaussian, IsotropicMixture, SharedCovarianceMixture, symmetric_mixture

RNG = np.random.default_rng(2)
WEIGHTS, MEANS, Y = np.array([0.2, 0.5, 0.3]), RNG.normal(size=(3, 4)), RNG.normal(size=4)
ROOT = RNG.normal(size=(4, 4))
CASES = {
    "isotropic": (
        IsotropicMixture(np.log(7 * WEIGHTS), MEANS, [0.0, 0.5, 2.0]),
        [scale * np.eye(4) for scale in (0.0, 0.5, 2.0)],
    ),
    "shared-full": (SharedCovarianceMixture(np.log(7 * WEIGHTS), MEANS, ROOT @ ROOT.T), [ROOT @ ROOT.T] * 3),
    "shared-diagonal": (
        SharedCovarianceMixture(np.log(7 * WEIGHTS), MEANS, [0.0, 0.5, 1.0, 2.0]),
        [np.diag([0.0, 0.5, 1.0, 2.0])] * 3,
    ),
}


@eqx.filter_jit
def everything(target, y, variance):
    return (
        target.log_evidence(y, variance),
        target.label_log_posterior(y, variance),
        target.posterior_mean(y, variance),
        target.posterior_covariance(y, variance),
    )


@pytest.mark.parametrize("variance", [1e-3, 0.4, 1e4])
@pytest.mark.parametrize(("target", "covariances"), CASES.values(), ids=CASES)
def test_mixture_matches_scipy(target, covariances, variance):
    totals = [covariance + variance * np.eye(4) for covariance in covariances]
    log_joint = np.log(WEIGHTS) + [
        scipy.stats.multivariate_normal(mean, total).logpdf(Y) for mean, total in zip(MEANS, totals, strict=True)
    ]
    evidence, labels, mean, covariance = everything(target, jnp.asarray(Y), jnp.asarray(variance))
    np.testing.assert_allclose(evidence, scipy.special.logsumexp(log_joint), rtol=1e-11)
    np.testing.assert_allclose(labels, log_joint - scipy.special.logsumexp(log_joint), rtol=1e-9, atol=1e-9)
    gains = [c @ np.linalg.inv(total) for c, total in zip(covariances, totals, strict=True)]
    centres = np.array([m + gain @ (Y - m) for m, gain in zip(MEANS, gains, strict=True)])
    posterior = np.exp(log_joint - scipy.special.logsumexp(log_joint))
    np.testing.assert_allclose(mean, posterior @ centres, rtol=1e-9)
    within = sum(p * (c - gain @ c) for p, c, gain in zip(posterior, covariances, gains, strict=True))
    between = np.cov(centres.T, aweights=posterior, bias=True)
    np.testing.assert_allclose(covariance, within + between, atol=1e-9)


def test_symmetric_mixture_has_the_exact_score_and_density(oracles):
    inputs = oracles["score_two_gaussian_T1.0"]["inputs"]
    target = symmetric_mixture(inputs["m"], inputs["sigma2"])
    lift, variance = np.exp(inputs["t"]), jnp.asarray(np.expm1(2 * inputs["t"]))
    y = jnp.asarray(inputs["x"]) * lift
    evidence, _, mean, _ = everything(target, y, variance)
    log_density = oracles["logp_two_gaussian_T1.0"]
    assert abs(evidence + target.dim * inputs["t"] - log_density["value"]) < log_density["tol"]
    score = lift * (mean - y) / variance
    np.testing.assert_allclose(score, oracles["score_two_gaussian_T1.0"]["value"], atol=1e-12)


@pytest.mark.parametrize("temperature", ["1.0", "0.5"])
def test_symmetric_mixture_has_the_exact_score_in_the_frame_of_growing_variance(oracles, temperature):
    oracle = oracles[f"score_two_gaussian_VE_T{temperature}"]
    inputs = oracle["inputs"]
    target = symmetric_mixture(inputs["m"], inputs["sigma2"])
    y, variance = jnp.asarray(inputs["x_VE"]), jnp.asarray(inputs["tau"])
    score = (everything(target, y, variance)[2] - y) / variance
    np.testing.assert_allclose(score, oracle["value"], atol=oracle["tol"])


def test_two_points_have_the_magnetisation_of_a_free_spin():
    y = jnp.asarray([0.3])
    mean = everything(symmetric_mixture([1.0], 0.0), y, jnp.asarray(0.2))[2]
    np.testing.assert_allclose(mean, np.tanh(y / 0.2), rtol=1e-14)


@pytest.mark.parametrize("variances", [(1.0, 1.0), (1.0, 1.01)], ids=["equal", "unequal"])
@pytest.mark.parametrize("dim", [1024, 16384])
def test_label_log_odds_keep_their_digits_in_float32(dim, variances):
    """At the speciation time the log-odds are of order one, out of squares of order d v = d^2."""
    ys = np.sqrt(dim) * np.random.default_rng(3).normal(size=(16, dim)) + 1
    y = ys.astype(np.float32)
    variance = np.float64(dim)
    exact = IsotropicMixture(np.zeros(2), np.stack([np.ones(dim), -np.ones(dim)]), variances)
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, exact)
    squares = np.sum((y[:, None].astype(np.float64) - np.asarray(exact.means)) ** 2, -1)
    totals = np.array(variances) + variance
    log_joint = -0.5 * squares / totals - 0.5 * dim * np.log(totals)
    expected = scipy.special.log_softmax(log_joint, axis=1)
    found = jax.jit(jax.vmap(lambda y: single.label_log_posterior(y, variance)))(jnp.asarray(y))
    assert 0.1 < np.ptp(expected)
    # Equal variances cancel exactly; unequal ones leave d / 2 roundings of the ratio of the variances.
    np.testing.assert_allclose(found, expected, atol=2e-5 if variances[0] == variances[1] else 1e-7 * dim)


moderate = st.floats(-3, 3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    shift=st.lists(moderate, min_size=4, max_size=4),
    angle=moderate,
    variance=st.floats(1e-2, 1e2),
    name=st.sampled_from(["isotropic", "shared-full"]),
)
def test_mixture_moves_with_translations_and_rotations(shift, angle, variance, name):
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    target, covariances = CASES[name]
    shift, means = np.array(shift), MEANS @ turn.T + np.array(shift)
    if name == "isotropic":
        moved = IsotropicMixture(target.log_weights, means, target.variances)
    else:
        moved = SharedCovarianceMixture(target.log_weights, means, turn @ covariances[0] @ turn.T)
    variance = jnp.asarray(variance)
    evidence, labels, mean, covariance = everything(target, jnp.asarray(Y), variance)
    moved_results = everything(moved, jnp.asarray(turn @ Y + shift), variance)
    for found, expected in zip(
        moved_results, (evidence, labels, turn @ mean + shift, turn @ covariance @ turn.T), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    log_weights=st.lists(moderate, min_size=3, max_size=3),
    scale=st.floats(0, 10),
    variance=st.floats(1e-3, 1e3),
)
def test_identical_components_make_one_gaussian_and_keep_their_prior(log_weights, scale, variance):
    y, variance = jnp.asarray(Y), jnp.asarray(variance)
    one = Gaussian(MEANS[0], scale)
    same = np.repeat(MEANS[:1], 3, 0)
    for target in (
        IsotropicMixture(log_weights, same, np.full(3, scale)),
        SharedCovarianceMixture(log_weights, same, scale),
    ):
        evidence, labels, mean, covariance = everything(target, y, variance)
        np.testing.assert_allclose(evidence, one.log_evidence(y, variance), rtol=1e-10)
        np.testing.assert_allclose(mean, one.posterior_mean(y, variance), rtol=1e-10)
        np.testing.assert_allclose(covariance, one.posterior_covariance(y, variance), atol=1e-10)
        np.testing.assert_allclose(labels, scipy.special.log_softmax(log_weights), atol=1e-10)


def test_parameters_are_leaves_to_be_swept_and_differentiated():
    y = jnp.asarray(Y)
    radii = jnp.asarray([0.5, 1.0, 2.0])
    swept = jax.jit(jax.vmap(lambda r: symmetric_mixture(r * jnp.ones(4), r, 0.3).log_evidence(y, 0.5)))(radii)
    singly = [everything(symmetric_mixture(r * np.ones(4), r, 0.3), y, 0.5)[0] for r in np.array(radii)]
    np.testing.assert_allclose(swept, singly, rtol=1e-12)
    target = CASES["isotropic"][0]
    slope = eqx.filter_jit(eqx.filter_grad(lambda target: target.log_evidence(y, 0.5)))(target)
    # A translation of the means is one of the observation, backwards.
    expected = -(everything(target, y, 0.5)[2] - y) / 0.5
    np.testing.assert_allclose(slope.means.sum(0), expected, rtol=1e-12)


def test_equal_variances_have_the_derivatives_of_variances_that_are_nearly_so():
    """What cancels between equal variances is left out of the sum, but not out of its derivatives."""

    @jax.jit
    def slope(variances):
        evidence = lambda s: IsotropicMixture(jnp.zeros(3), MEANS, s).log_evidence(jnp.asarray(Y), 0.5)  # noqa: E731
        return jax.grad(evidence)(variances), jax.hessian(evidence)(variances)

    for equal, near in zip(slope(jnp.ones(3)), slope(jnp.asarray([1.0, 1.0 + 1e-9, 1.0])), strict=True):
        np.testing.assert_allclose(equal, near, rtol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(2), np.zeros(2), np.ones(2)), "`means` needs shape"),
        ((np.zeros(3), np.zeros((2, 2)), np.ones(2)), r"`log_weights` needs shape \(2,\)"),
        ((np.zeros(2), np.zeros((2, 2)), np.ones(3)), r"`variances` needs shape \(2,\)"),
        ((np.zeros(2), np.zeros((2, 2)), np.array([1.0, -1.0])), "`variances` needs variances"),
        ((np.zeros(2), np.full((2, 2), np.nan), np.ones(2)), "`means` needs finite values"),
        ((np.array([0.0, -np.inf]), np.zeros((2, 2)), np.ones(2)), "`log_weights` needs finite values"),
        ((np.zeros(2), np.zeros((2, 2)), np.ones(2), ((0, 2),)), "`hierarchy` needs, at each level, a node"),
        ((np.zeros(2), np.zeros((2, 2)), np.ones(2), ((0,),)), "`hierarchy` needs, at each level, a node"),
        (
            (np.zeros(2), np.zeros((2, 2)), np.ones(2), ((0, 1), (0, 0))),
            "`hierarchy` needs levels from coarse",
        ),
    ],
)
def test_mixture_refuses_parts_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        IsotropicMixture(*arguments)


def test_mixture_refuses_a_traced_matrix_that_it_would_have_to_diagonalise():
    with pytest.raises(ValueError, match="`covariance` needs known values"):
        jax.jit(lambda c: SharedCovarianceMixture(np.zeros(2), np.zeros((2, 2)), c).eigenvalues)(jnp.eye(2))
