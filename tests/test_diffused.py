"""Laws of a target under a process: gradients, closed forms, and what does not depend on the process."""

import re

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from exact_laws import PROCESSES

from diffphys.clocks import time_of_variance
from diffphys.diffused import Diffused
from diffphys.processes import Brownian, OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.targets import Empirical, Gaussian, IsotropicMixture, SharedCovarianceMixture, symmetric_mixture

DATA_COV = np.diag([0.5, 1.0, 0.2]) + 0.1
_DRAWS = np.random.default_rng(7)
TARGETS = {
    "gaussian": Gaussian(_DRAWS.normal(size=3), jnp.asarray(DATA_COV)),
    "mixture": IsotropicMixture(_DRAWS.normal(size=4), _DRAWS.normal(size=(4, 3)), _DRAWS.uniform(0.1, 1.0, 4)),
    "shared": SharedCovarianceMixture(np.zeros(2), _DRAWS.normal(size=(2, 3)), jnp.asarray(DATA_COV)),
    "empirical": Empirical(_DRAWS.normal(size=(6, 3)), np.array([0, 0, 1, 1, 2, 2])),
}
PAIRS = [(target, name) for target in TARGETS for name in ("ou-warm", "psld")]
PAIRS += [("mixture", name) for name in ("brownian", "third-order", "recipe")]


@pytest.mark.parametrize(("target", "name"), PAIRS)
def test_score_is_the_gradient_of_the_log_density(target, name):
    law = Diffused(TARGETS[target], PROCESSES[name])
    z = law.sample(jr.key(0), 0.37)
    score, gradient = jax.jit(lambda z: (law.score(0.37, z), jax.grad(law.log_prob, argnums=1)(0.37, z)))(z)
    np.testing.assert_allclose(score, gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("t", [0.02, 0.8])
def test_log_density_of_a_gaussian_matches_scipy(name, t):
    """In phase space too, where data and velocities are of one law."""
    target, kernel = TARGETS["gaussian"], PROCESSES[name].kernel(t)
    mean, cov = np.atleast_1d(kernel.mean), np.atleast_2d(kernel.cov)
    full = np.kron(cov, np.eye(3)) + np.kron(np.outer(mean, mean), DATA_COV)
    law = Diffused(target, PROCESSES[name])
    z = law.sample(jr.key(1), t)
    wanted = scipy.stats.multivariate_normal(np.kron(mean, target.mean), full).logpdf(np.ravel(z))
    np.testing.assert_allclose(law.log_prob(t, z), wanted, rtol=1e-9)


def two_gaussians(inputs):
    return symmetric_mixture(jnp.asarray(inputs["m"]), inputs["sigma2"])


def test_two_gaussians_under_ornstein_uhlenbeck_match_their_exact_values(oracles):
    score, log_prob = oracles["score_two_gaussian_T1.0"], oracles["logp_two_gaussian_T1.0"]
    inputs = score["inputs"]
    law, x = Diffused(two_gaussians(inputs), OrnsteinUhlenbeck(inputs["T"])), jnp.asarray(inputs["x"])
    np.testing.assert_allclose(law.score(inputs["t"], x), score["value"], atol=score["tol"])
    np.testing.assert_allclose(law.log_prob(inputs["t"], x), log_prob["value"], atol=log_prob["tol"])


@pytest.mark.parametrize(("temperature", "sigma"), [("1.0", 1.0), ("0.5", 1.7)])
def test_two_gaussians_under_brownian_motion_match_their_exact_values(oracles, temperature, sigma):
    entry = oracles[f"score_two_gaussian_VE_T{temperature}"]
    inputs = entry["inputs"]
    law, x = Diffused(two_gaussians(inputs), Brownian(sigma)), jnp.asarray(inputs["x_VE"])
    np.testing.assert_allclose(law.score(inputs["tau"] / sigma**2, x), entry["value"], atol=entry["tol"])


def test_the_two_frames_are_one_law():
    """x_VE = e^t x: the log-density changes by -d t, the score by e^-t."""
    target, t, temperature = TARGETS["mixture"], 0.6, 0.5
    tau = temperature * np.expm1(2 * t)
    x = jnp.array([0.3, -1.0, 0.4])
    ou, brownian = Diffused(target, OrnsteinUhlenbeck(temperature)), Diffused(target, Brownian())
    np.testing.assert_allclose(brownian.log_prob(tau, np.exp(t) * x), ou.log_prob(t, x) - 3 * t, rtol=1e-12)
    np.testing.assert_allclose(brownian.score(tau, np.exp(t) * x), np.exp(-t) * ou.score(t, x), rtol=1e-12)


@pytest.mark.parametrize("target", ["mixture", "shared", "empirical"])
def test_posteriors_depend_on_the_channel_alone(target):
    """Two states that show the same y at the same v, whatever the process and the rest of the state."""
    phase_space = Diffused(TARGETS[target], PhaseSpaceLangevin())
    z = phase_space.sample(jr.key(2), 0.2)
    y, v = phase_space.process.kernel(0.2).observe(z)
    t = float(time_of_variance(float(v)))
    overdamped = Diffused(TARGETS[target], OrnsteinUhlenbeck())
    x = np.exp(-t) * y
    for question in ("posterior_mean", "label_log_posterior"):
        got, wanted = getattr(phase_space, question)(0.2, z), getattr(overdamped, question)(t, x)
        np.testing.assert_allclose(got, wanted, rtol=1e-9)
    np.testing.assert_allclose(jnp.exp(overdamped.label_log_posterior(t, x)).sum(), 1.0, rtol=1e-12)


def test_phase_space_score_of_a_mixture_is_that_of_the_mixture_in_phase_space():
    """Directly: each component is a Gaussian in phase space."""
    target, process, t = TARGETS["mixture"], PhaseSpaceLangevin(), 0.15
    law = Diffused(target, process)
    z, kernel = law.sample(jr.key(3), t), process.kernel(t)
    covs = [kernel.cov + float(s) * np.outer(kernel.mean, kernel.mean) for s in target.variances]

    def log_prob(z):
        terms = []
        for log_weight, mean, cov in zip(jax.nn.log_softmax(target.log_weights), target.means, covs, strict=True):
            residual = z - kernel.mean[:, None] * mean[None]
            exponent = -0.5 * jnp.sum(residual * jnp.linalg.solve(cov, residual))
            terms.append(log_weight + exponent - 1.5 * np.log(np.linalg.det(2 * np.pi * cov)))
        return jax.nn.logsumexp(jnp.stack(terms))

    np.testing.assert_allclose(law.log_prob(t, z), log_prob(z), rtol=1e-11)
    np.testing.assert_allclose(law.score(t, z), jax.grad(log_prob)(z), rtol=1e-9)


def test_samples_have_the_mean_and_covariance_of_the_law():
    process = PROCESSES["recipe"]
    target, t, n = symmetric_mixture(jnp.array([1.0, -0.5]), 0.3, 0.8), 0.4, 20_000
    law, kernel = Diffused(target, process), process.kernel(t)
    draws = np.asarray(jax.vmap(lambda key: law.sample(key, t))(jr.split(jr.key(4), n))).reshape(n, -1)
    lift, centre = np.atleast_1d(kernel.mean), np.array([1.0, -0.5])
    data_cov = 0.3 * np.eye(2) + 4 * 0.8 * 0.2 * np.outer(centre, centre)
    cov = np.kron(np.atleast_2d(kernel.cov), np.eye(2)) + np.kron(np.outer(lift, lift), data_cov)
    white = np.linalg.solve(np.linalg.cholesky(cov), (draws - np.kron(lift, 0.6 * centre)).T)
    assert np.abs(white.mean(1)).max() < 4 / n**0.5
    assert np.abs(np.cov(white) - np.eye(len(cov))).max() < 4 * (2 / n) ** 0.5


def test_labels_of_a_target_without_labels_are_refused():
    law = Diffused(TARGETS["gaussian"], OrnsteinUhlenbeck())
    with pytest.raises(ValueError, match=r"`Diffused.label_log_posterior` needs a target with labels. Got `Gaussian`"):
        law.label_log_posterior(0.5, jnp.zeros(3))


QUESTIONS = ("log_prob", "posterior_mean", "score", "label_log_posterior")


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("process", "shape", "wanted"),
    [("ou", (2, 3), (3,)), ("ou", (4,), (3,)), ("ou", (1,), (3,)), ("psld", (3,), (2, 3)), ("psld", (3, 3), (2, 3))],
    ids=["batch", "dimension", "one-coordinate", "position-alone", "three-variables"],
)
def test_what_is_not_one_state_of_the_process_is_refused(question, process, shape, wanted, unchecked):
    """The log-density of two states was one number."""
    name = type(PROCESSES[process]).__name__
    message = f"`z` needs one state of `{name}`, of shape {wanted}. Got {shape}. Map over many with `jax.vmap`."
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(Diffused(TARGETS["mixture"], PROCESSES[process]), question)(0.5, jnp.ones(shape))


@pytest.mark.parametrize("question", ["log_prob", "score", "posterior_mean", "label_log_posterior"])
def test_a_state_in_place_of_the_time_is_told_the_order(question, unchecked):
    with pytest.raises(ValueError, match=r"`Diffused` needs one time `t`, and then the state.*shape \(3,\)\. Do swap"):
        getattr(Diffused(TARGETS["mixture"], OrnsteinUhlenbeck()), question)(jnp.ones(3), 0.5)


def test_integers_are_a_state_of_floats(unchecked):
    """Their type would have made of the noise variance a 0."""
    law = Diffused(TARGETS["mixture"], OrnsteinUhlenbeck())
    np.testing.assert_allclose(
        law.log_prob(0.1, [1, 0, -1]), law.log_prob(0.1, jnp.array([1.0, 0.0, -1.0])), rtol=1e-12
    )


@pytest.mark.parametrize(("name", "t"), [("ou", 1e-46), ("ou", 50.0), ("psld", 20.0)])
def test_a_time_whose_noise_leaves_the_type_of_the_state_is_refused(name, t):
    law = Diffused(TARGETS["mixture"], PROCESSES[name])
    z = jnp.ones((*np.shape(law.process.kernel(1.0).mean), 3), jnp.float32)
    with pytest.raises(ValueError, match=f"`t` needs a time whose noise variance float32 can hold. Got {t}"):
        law.score(t, z)


def test_a_raw_key_and_a_batch_of_keys_are_refused(unchecked):
    law = Diffused(TARGETS["mixture"], OrnsteinUhlenbeck())
    with pytest.raises(ValueError, match="`key` needs a typed key"):
        law.sample(jr.key_data(jr.key(0)), 0.5)
    with pytest.raises(ValueError, match=re.escape("`key` needs one key. Got shape (2,)")):
        law.sample(jr.split(jr.key(0)), 0.5)
