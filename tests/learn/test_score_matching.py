"""Implicit and sliced score matching against the denoising one, and the noise of random traces."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from cubature import hermite, signs

from diffphys.learn.levels import LogUniformLevels
from diffphys.learn.objectives import DenoisingScoreMatching
from diffphys.learn.score_matching import ImplicitScoreMatching, NormalProbes, SignProbes, SlicedScoreMatching
from diffphys.learn.weights import noise_weight, score_weight
from diffphys.targets import symmetric_mixture

LEVELS = LogUniformLevels(0.01, 10.0)
VARIANCE = 0.8
CENTRE, SPREAD = np.array([0.9, -0.4]), 0.5
MIXTURE = symmetric_mixture(jnp.asarray(CENTRE), SPREAD)
NOISE, WEIGHTS = hermite(4, 14)


def random_denoiser(seed):
    """Entire functions of y with a Jacobian of no symmetry, for which Gauss-Hermite rules converge fast."""
    a, b, c = np.random.default_rng(seed).normal(size=(3, 2, 2))
    return lambda y, v: 0.3 * a @ y + 0.5 * jnp.sin(0.8 * b @ y + c[0]) * jnp.cos(v)


def mixture_means(one):
    """Exact means over data of both components and noise of values of `one(a, noise)`."""
    a = jnp.sqrt(SPREAD) * NOISE[None, :, :2] + CENTRE * np.array([1.0, -1.0])[:, None, None]
    values = jax.jit(jax.vmap(jax.vmap(one), (0, None)))(jnp.asarray(a), jnp.asarray(NOISE[:, 2:]))
    return [np.sum(0.5 * np.asarray(value) @ WEIGHTS) for value in values]


def test_the_mixture_of_these_tests_is_that_of_the_package():
    """Its mean square, 2 SPREAD + |m|^2, from draws of the one and nodes of the other."""
    (square,) = mixture_means(lambda a, noise: (jnp.sum(a**2),))
    np.testing.assert_allclose(square, 2 * SPREAD + CENTRE @ CENTRE, rtol=1e-12)
    draws = np.sum(np.asarray(jax.jit(jax.vmap(MIXTURE.sample))(jr.split(jr.key(0), 20_000))) ** 2, axis=1)
    assert abs(draws.mean() - square) < 4 * draws.std() / np.sqrt(20_000)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("weight", [score_weight, noise_weight], ids=["score", "noise"])
def test_fisher_identity_implicit_and_denoising_score_matching_differ_by_a_number(weight, seed):
    r"""E ISM + w v d = E DSM, and DSM(s) - DSM(s*) = w v^2 E|s - s*|^2: for any nonlinear score, on a mixture."""
    denoise, variance = random_denoiser(seed), jnp.asarray(VARIANCE)
    implicit = ImplicitScoreMatching(LEVELS, weight)
    denoising = DenoisingScoreMatching(LEVELS, weight)

    def one(a, noise):
        y = a + jnp.sqrt(variance) * noise
        distance = jnp.sum((denoise(y, variance) - MIXTURE.posterior_mean(y, variance)) ** 2) / variance**2
        return (
            implicit.loss(denoise, a, variance, noise[None]),
            denoising.loss(denoise, a, variance, noise),
            implicit.loss(MIXTURE.posterior_mean, a, variance, noise[None]),
            denoising.loss(MIXTURE.posterior_mean, a, variance, noise),
            distance,
        )

    mine, theirs, my_least, their_least, distance = mixture_means(one)
    scale = float(weight(variance))
    np.testing.assert_allclose(mine + scale * VARIANCE * 2, theirs, rtol=1e-9)
    np.testing.assert_allclose(theirs - their_least, scale * VARIANCE**2 * distance, rtol=1e-6)
    np.testing.assert_allclose(mine - my_least, scale * VARIANCE**2 * distance, rtol=1e-6)


def test_implicit_score_matching_is_the_textbook_form_at_one_point():
    """|s|^2 + 2 div s of the score as a function of y, by its own Jacobian."""
    denoise, variance = random_denoiser(2), jnp.asarray(VARIANCE)
    a, noise = jnp.array([0.3, -1.0]), jnp.array([[0.2, 1.4]])
    score = lambda y: (denoise(y, variance) - y) / variance  # noqa: E731
    y = a + jnp.sqrt(variance) * noise[0]
    wanted = jnp.sum(score(y) ** 2) + 2 * jnp.trace(jax.jacobian(score)(y))
    np.testing.assert_allclose(ImplicitScoreMatching(LEVELS).loss(denoise, a, variance, noise), wanted, rtol=1e-12)


def linear(matrix):
    return lambda y, v: jnp.asarray(matrix) @ y


A, POINT = jnp.array([0.3, -1.0, 0.6]), np.array([[0.2, 1.4, -0.5]])
MATRIX = np.random.default_rng(4).normal(size=(3, 3))


@eqx.filter_jit
def losses(objective, matrix, probes):
    """At one sample and noise, of many sets of probes."""
    noise = jnp.concatenate([jnp.tile(jnp.asarray(POINT)[None], (len(probes), 1, 1)), probes], axis=1)
    return jax.vmap(lambda noise: objective.loss(linear(matrix), A, jnp.asarray(VARIANCE), noise))(noise)


PROBES = {"signs": (SignProbes(), signs(3), np.full(8, 1 / 8)), "normals": (NormalProbes(), *hermite(3, 4))}


@pytest.mark.parametrize("name", PROBES)
def test_random_traces_are_right_in_the_mean_and_of_the_variance_of_hutchinson(name):
    """2 (|S|^2 - sum S_ii^2) for signs and 2 |S|^2 for normals, by all signs and by exact quadrature."""
    probes, points, weights = PROBES[name]
    objective = ImplicitScoreMatching(LEVELS, score_weight, probes)
    values = np.asarray(losses(objective, MATRIX, jnp.asarray(points)[:, None]))
    exact = np.asarray(losses(ImplicitScoreMatching(LEVELS), MATRIX, jnp.zeros((1, 0, 3))))[0]
    mean = weights @ values
    np.testing.assert_allclose(mean, exact, rtol=1e-10)
    symmetric = (MATRIX + MATRIX.T) / 2
    own = np.sum(np.diag(symmetric) ** 2) if name == "signs" else 0.0
    # The loss holds the trace 2 w v times.
    unit = 2 * float(score_weight(jnp.asarray(VARIANCE))) * VARIANCE
    np.testing.assert_allclose(weights @ (values - mean) ** 2, unit**2 * 2 * (np.sum(symmetric**2) - own), rtol=1e-10)


def test_several_probes_are_the_mean_of_each():
    pairs = jnp.asarray(np.random.default_rng(5).normal(size=(1, 2, 3)))
    for make in (ImplicitScoreMatching, SlicedScoreMatching):
        both = losses(make(LEVELS, score_weight, NormalProbes(2)), MATRIX, pairs)
        each = losses(make(LEVELS, score_weight, NormalProbes()), MATRIX, jnp.swapaxes(pairs, 0, 1))
        np.testing.assert_allclose(both[0], jnp.mean(each), rtol=1e-12)


@pytest.mark.parametrize("name", PROBES)
def test_sliced_score_matching_is_half_the_implicit_one_in_the_mean(name):
    probes, points, weights = PROBES[name]
    sliced = np.asarray(losses(SlicedScoreMatching(LEVELS, score_weight, probes), MATRIX, jnp.asarray(points)[:, None]))
    implicit = np.asarray(
        losses(ImplicitScoreMatching(LEVELS, score_weight, probes), MATRIX, jnp.asarray(points)[:, None])
    )
    np.testing.assert_allclose(weights @ sliced, weights @ implicit / 2, rtol=1e-10)


@pytest.mark.parametrize("name", PROBES)
def test_sliced_score_matching_is_the_textbook_form_along_its_probe(name):
    _, points, _ = PROBES[name]
    probe = jnp.asarray(points[1])
    got = losses(SlicedScoreMatching(LEVELS, score_weight, NormalProbes()), MATRIX, probe[None, None])[0]
    score = lambda y: (jnp.asarray(MATRIX) @ y - y) / VARIANCE  # noqa: E731
    y = A + jnp.sqrt(VARIANCE) * jnp.asarray(POINT[0])
    bent = jax.jvp(score, (y,), (probe,))[1]
    np.testing.assert_allclose(got, probe @ bent + 0.5 * (probe @ score(y)) ** 2, rtol=1e-12)


def test_with_signs_the_implicit_loss_is_twice_the_variance_reduced_sliced_one():
    """E_u u' ds u + |s|^2 / 2, of which signs know u'u = d."""
    values = losses(ImplicitScoreMatching(LEVELS, score_weight, SignProbes()), MATRIX, jnp.asarray(signs(3))[:, None])
    score = lambda y: (jnp.asarray(MATRIX) @ y - y) / VARIANCE  # noqa: E731
    y = A + jnp.sqrt(VARIANCE) * jnp.asarray(POINT[0])
    wanted = [u @ jax.jvp(score, (y,), (jnp.asarray(u),))[1] + 0.5 * jnp.sum(score(y) ** 2) for u in signs(3)]
    np.testing.assert_allclose(values, 2 * np.array(wanted), rtol=1e-12)


def test_drawn_signs_are_signs_and_drawn_normals_are_not():
    a = jnp.zeros(3)
    np.testing.assert_array_equal(np.abs(SignProbes(4).draw(jr.key(0), a)), 1.0)
    normals = np.asarray(NormalProbes(4000).draw(jr.key(0), a))
    assert abs(np.mean(normals**4) - 3) < 4 * np.sqrt(96 / normals.size)


def test_the_gradient_of_a_parameter_passes_through_the_trace():
    """Of a gain g of s = (g - 1) y / v: that of ((g - 1)^2 |y|^2 + 2 v d (g - 1)) / v^2."""
    y = A + jnp.sqrt(VARIANCE) * jnp.asarray(POINT[0])
    for objective in (ImplicitScoreMatching(LEVELS), ImplicitScoreMatching(LEVELS, score_weight, SignProbes())):
        noise = jnp.asarray(np.concatenate([POINT, np.ones_like(POINT)]))
        got = jax.jit(jax.grad(lambda g: objective.loss(lambda y, v: g * y, A, VARIANCE, noise)))(0.4)  # noqa: B023
        wanted = (2 * (0.4 - 1) * jnp.sum(y**2) + 2 * VARIANCE * 3) / VARIANCE**2
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("make", [SignProbes, NormalProbes])
def test_no_probes_are_refused(make):
    with pytest.raises(ValueError, match=rf"`{make.__name__}` needs `number >= 1`\. Got 0"):
        make(0)
