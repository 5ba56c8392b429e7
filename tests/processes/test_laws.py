"""Laws that every process obeys."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from exact_laws import PROCESSES, assert_close_by_rows, exact_law
from hypothesis import given, settings, strategies as st

import diffphys._block as block
from diffphys.processes import (
    AbstractStationaryProcess,
    Brownian,
    LinearProcess,
    OrnsteinUhlenbeck,
    PhaseSpaceLangevin,
    third_order_langevin,
)

every_process = pytest.mark.parametrize("name", PROCESSES)
TIMES = (1e-5, 1e-3, 0.1, 1.0, 3.0)


@functools.cache
def compiled_law(name):
    """Kernel, transition from 0 and coefficients, as functions of a traced time: compiled once for all tests."""
    process = PROCESSES[name]
    return jax.jit(lambda t: (process.kernel(t), process.transition(jnp.zeros_like(t), t), process.coefficients(t)))


def conditioning(name, t):
    """A rounding in the drift is worth |F| t roundings in the law."""
    return 1 + 4 * t * np.abs(two(PROCESSES[name].coefficients(t)[0])).sum(axis=1).max()


@functools.cache
def compiled_rates(name):
    """Lift and covariance, and their derivatives in time."""

    def moments(t):
        kernel = PROCESSES[name].kernel(t)
        return kernel.mean, kernel.cov

    return jax.jit(lambda t: (moments(t), jax.jacfwd(moments)(t)))


def two(matrix):
    return np.atleast_2d(np.asarray(matrix, np.float64))


def one(vector):
    return np.atleast_1d(np.asarray(vector, np.float64))


@pytest.mark.parametrize("name", [name for name in PROCESSES if "at-rest" not in name])
@pytest.mark.parametrize("t", [0.05, 0.6])
def test_kernel_obeys_the_moment_equations(name, t):
    """dm/dt = F m and dS/dt = F S + S F' + G G'."""
    (mean, cov), (mean_rate, cov_rate) = compiled_rates(name)(t)
    np.testing.assert_allclose(mean, PROCESSES[name].kernel(t).mean, rtol=1e-12)
    np.testing.assert_allclose(cov, PROCESSES[name].kernel(t).cov, rtol=1e-12)
    drift, noise = map(two, PROCESSES[name].coefficients(t))
    np.testing.assert_allclose(one(mean_rate), drift @ one(mean), rtol=1e-9, atol=1e-12)
    wanted = drift @ two(cov) + two(cov) @ drift.T + noise @ noise.T
    np.testing.assert_allclose(two(cov_rate), wanted, rtol=1e-9, atol=1e-11)


@every_process
@settings(derandomize=True, deadline=None, max_examples=25)
@given(exponents=st.lists(st.floats(-4.0, 0.3), min_size=2, max_size=2))
def test_transition_is_a_semigroup(name, exponents):
    s, r = 10.0 ** np.array(exponents)
    process, t = PROCESSES[name], s + r
    (first, noise), (then, more), (whole, all_noise) = (
        tuple(map(two, process.transition(*times))) for times in ((0.0, s), (s, t), (0.0, t))
    )
    np.testing.assert_allclose(whole, then @ first, rtol=1e-11, atol=1e-12)
    assert_close_by_rows(block.join(then @ noise, more), all_noise, 1e-10)


@every_process
@pytest.mark.parametrize("t", TIMES)
def test_kernel_is_the_transition_joined_with_the_start(name, t):
    process = PROCESSES[name]
    kernel, (propagator, noise) = process.kernel(t), map(two, process.transition(0.0, t))
    lift, spread = process.start()
    np.testing.assert_allclose(one(kernel.mean), propagator @ one(lift), rtol=1e-11)
    assert_close_by_rows(kernel.factor, block.join(propagator @ two(spread), noise), 1e-11)


@every_process
@pytest.mark.parametrize("t", TIMES)
def test_law_matches_extended_precision(name, t):
    kernel, law = PROCESSES[name].kernel(t), exact_law(name, t)
    propagator, noise = PROCESSES[name].transition(0.0, t)
    tolerance = 1e-14 * conditioning(name, t)
    np.testing.assert_allclose(one(kernel.mean), law.mean, rtol=10 * tolerance)
    np.testing.assert_allclose(one(kernel.gain), law.gain, rtol=10 * tolerance)
    np.testing.assert_allclose(kernel.variance, law.variance, rtol=10 * tolerance)
    np.testing.assert_allclose(np.diag(two(kernel.cov)), np.diag(law.factor @ law.factor.T), rtol=tolerance)
    np.testing.assert_allclose(np.diag(two(kernel.factor)), np.diag(law.factor), rtol=tolerance)
    np.testing.assert_allclose(np.diag(two(noise)), np.diag(law.transition_factor), rtol=tolerance)
    assert_close_by_rows(kernel.factor, law.factor, tolerance)
    assert_close_by_rows(propagator, law.propagator, 10 * tolerance)


@every_process
@pytest.mark.parametrize("t", [1e-5, 1e-3, 0.1])
def test_float32_is_enough_for_the_law_at_small_times(name, t):
    t = jnp.float32(t)
    (kernel, (_, noise), _), law = compiled_law(name)(t), exact_law(name, float(t))
    assert {leaf.dtype for leaf in jax.tree.leaves(kernel)} == {jnp.dtype(jnp.float32)}
    tolerance = 1e-6 if t < 0.01 else 5e-7 * conditioning(name, float(t))
    np.testing.assert_allclose(kernel.variance, law.variance, rtol=tolerance)
    np.testing.assert_allclose(two(kernel.cov)[0, 0], law.cov[0, 0], rtol=tolerance)
    np.testing.assert_allclose(np.diag(two(kernel.factor)), np.diag(law.factor), rtol=tolerance)
    np.testing.assert_allclose(one(kernel.gain), law.gain, rtol=tolerance)
    np.testing.assert_allclose(np.diag(two(noise)), np.diag(law.transition_factor), rtol=tolerance)


@every_process
@pytest.mark.parametrize("t", TIMES)
def test_channel_is_the_data_and_independent_white_noise(name, t):
    """With z = m a + L eps, y = a + sqrt(v) eps', and the complement is white, free of a and independent of y."""
    kernel = PROCESSES[name].kernel(t)
    gain, factor, scale = one(kernel.gain), two(kernel.factor), np.sqrt(float(kernel.variance))
    np.testing.assert_allclose(gain @ one(kernel.mean), 1.0, rtol=1e-11)
    noise_of_y = gain @ factor / scale
    np.testing.assert_allclose(noise_of_y @ noise_of_y, 1.0, rtol=1e-11)
    if kernel.complement is not None:
        white = np.asarray(kernel.complement).T @ factor
        np.testing.assert_allclose(white @ white.T, np.eye(len(white)), atol=1e-10)
        np.testing.assert_allclose(white @ noise_of_y, np.zeros(len(white)), atol=1e-9)
        hidden = np.abs(np.asarray(kernel.complement).T * one(kernel.mean)[None]).max(axis=1)
        np.testing.assert_allclose(np.asarray(kernel.complement).T @ one(kernel.mean) / hidden, 0.0, atol=1e-14)


@every_process
def test_observe_recovers_the_data_to_the_noise_of_the_channel(name):
    kernel, a = PROCESSES[name].kernel(0.3), jr.normal(jr.key(1), (4,))
    noise = jr.normal(jr.key(2), (*np.shape(kernel.mean), 4))
    y, variance = kernel.observe(kernel.noised(a, noise))
    wanted = a + block.project(one(kernel.gain) @ two(kernel.factor), noise.reshape(-1, 4))
    np.testing.assert_allclose(y, wanted, rtol=1e-11)
    np.testing.assert_array_equal(variance, kernel.variance)


@every_process
def test_log_density_given_the_data_matches_extended_precision_at_a_small_time(name):
    kernel, law, d = PROCESSES[name].kernel(1e-4), exact_law(name, 1e-4), 3
    k = len(law.mean)
    noise = np.random.default_rng(0).normal(size=(k, d))
    z = jnp.asarray(law.factor @ noise).reshape((*np.shape(kernel.mean), d))
    y, v = kernel.observe(z)
    wanted = scipy.stats.norm.logpdf(noise).sum() - d * np.log(np.diag(law.factor)).sum()
    np.testing.assert_allclose(scipy.stats.norm.logpdf(y, 0, np.sqrt(v)).sum() + kernel.log_base_measure(z), wanted)


@every_process
@pytest.mark.parametrize("t", [0.2, 2.0])
def test_log_density_given_the_data_matches_scipy(name, t):
    kernel, d = PROCESSES[name].kernel(t), 3
    a = jr.normal(jr.key(0), (d,))
    z = kernel.noised(a, jr.normal(jr.key(1), (*np.shape(kernel.mean), d)))
    y, v = kernel.observe(z)
    channel = scipy.stats.norm.logpdf(y, a, np.sqrt(v)).sum()
    law = scipy.stats.multivariate_normal(np.kron(one(kernel.mean), a), np.kron(two(kernel.cov), np.eye(d)))
    np.testing.assert_allclose(channel + kernel.log_base_measure(z), law.logpdf(z.ravel()), rtol=1e-10)


@every_process
@pytest.mark.parametrize("t", [1e-3, 0.4, 2.0])
def test_score_given_the_data_is_the_gradient_of_the_log_density(name, t):
    kernel = PROCESSES[name].kernel(t)
    a = jr.normal(jr.key(0), (3,))
    z = kernel.noised(a, jr.normal(jr.key(1), (*np.shape(kernel.mean), 3)))

    def log_density(z):
        y, v = kernel.observe(z)
        return -0.5 * jnp.sum((y - a) ** 2) / v + kernel.log_base_measure(z)

    wanted = jax.grad(log_density)(z)
    np.testing.assert_allclose(kernel.score(z, a), wanted, rtol=1e-8, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["ou-warm", "psld"])
def test_samples_and_prior_have_the_moments_of_the_kernel(name):
    kernel, n = PROCESSES[name].kernel(0.2), 20_000
    sample_keys, prior_keys = jr.split(jr.key(5), (2, n))
    samples = jax.vmap(lambda key: kernel.sample(key, jnp.array([1.5])))(sample_keys)
    residuals = np.asarray(samples).reshape(n, -1) - 1.5 * one(kernel.mean)
    priors = np.asarray(jax.vmap(lambda key: kernel.prior(key, 1))(prior_keys)).reshape(n, -1)
    for draws in (residuals, priors):
        white = np.linalg.solve(two(kernel.factor), draws.T)
        assert np.abs(white.mean(axis=1)).max() < 4 / np.sqrt(n)
        assert np.abs(np.cov(white) - np.eye(len(white))).max() < 4 * np.sqrt(2 / n)


@pytest.mark.parametrize("name", ["ou", "third-order"])
def test_prior_has_the_dtype_that_is_asked_for(name):
    assert PROCESSES[name].kernel(0.2).prior(jr.key(0), 3, jnp.float32).dtype == jnp.float32


@every_process
def test_numbers_give_float64_and_jax_times_keep_their_dtype(name):
    process = PROCESSES[name]
    host = process.kernel(0.25)
    assert all(isinstance(leaf, np.ndarray | np.floating) for leaf in jax.tree.leaves(host))
    assert {leaf.dtype for leaf in jax.tree.leaves(host)} == {np.dtype(np.float64)}
    for t in (np.float64(0.25), np.float32(0.25), np.asarray(0.25)):
        assert jax.tree.all(jax.tree.map(np.array_equal, process.kernel(t), host))
    got = compiled_law(name)(jnp.float32(0.25))
    wanted = host, process.transition(0.0, 0.25), process.coefficients(0.25)
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {jnp.dtype(jnp.float32)}
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=3e-5, atol=1e-5), got, wanted)


@pytest.mark.parametrize("name", ["ou", "psld"])
def test_known_jax_times_are_jax_times(name):
    kernel = PROCESSES[name].kernel(jnp.float32(0.25))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(kernel))
    np.testing.assert_allclose(kernel.variance, PROCESSES[name].kernel(0.25).variance, rtol=1e-6)


@every_process
def test_states_decide_the_dtype_of_what_is_asked_of_a_kernel(name):
    kernel = PROCESSES[name].kernel(0.25)
    z = kernel.noised(jnp.ones(2, jnp.float32), jnp.ones((*np.shape(kernel.mean), 2), jnp.float32))
    y, variance = kernel.observe(z)
    results = (z, y, variance, kernel.score(z, y), kernel.log_base_measure(z))
    assert {value.dtype for value in results} == {jnp.dtype(jnp.float32)}


PARAMETERS = {
    "ou": (lambda x: OrnsteinUhlenbeck(x[0]), [[0.7]]),
    "brownian": (lambda x: Brownian(x[0]), [[0.7]]),
    "psld": (lambda x: PhaseSpaceLangevin(*x), [[0.2, 3.0, 6.0, 0.3], [3.0, 0.5, 6.0, 0.3]]),
    "linear": (lambda x: LinearProcess(x[0] * jnp.array([[-0.5, 1.0], [-1.0, -2.0]]), x[1] * jnp.eye(2)), [[0.7, 0.8]]),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_can_be_swept_and_differentiated(name):
    make, points = PARAMETERS[name]
    at = np.array(points)
    steps = 1e-4 * np.concatenate([np.zeros_like(at[:1].T), np.eye(at.shape[1]), -np.eye(at.shape[1])], axis=-1).T
    sweep = jnp.asarray((at[:, None] * (1 + steps[None])).reshape(-1, at.shape[1]))
    variance = lambda x: make(x).kernel(0.3).variance  # noqa: E731
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(variance)))(sweep)
    values, slopes = np.reshape(values, (len(at), -1)), np.reshape(slopes, (len(at), -1, at.shape[1]))
    up, down = np.split(values[:, 1:], 2, axis=1)
    np.testing.assert_allclose(slopes[:, 0], (up - down) / (2e-4 * at), rtol=1e-6)
    # One alone: on the host where the process takes numbers.
    np.testing.assert_allclose(values[0, 0], variance(sweep[0] if name == "linear" else at[0]), rtol=1e-12)


STATIONARY = {
    **{name: process for name, process in PROCESSES.items() if isinstance(process, AbstractStationaryProcess)},
    "third-order": third_order_langevin(),
}


@pytest.mark.parametrize("name", STATIONARY)
def test_stationary_law_is_kept_and_is_the_late_law(name):
    process = STATIONARY[name]
    drift, noise = map(two, process.coefficients(1.0))
    stationary = process.stationary() if isinstance(process, AbstractStationaryProcess) else np.eye(3)
    cov = two(block.outer(stationary))
    balance = drift @ cov + cov @ drift.T + noise @ noise.T
    np.testing.assert_allclose(balance, np.zeros_like(balance), atol=1e-12 * np.abs(noise @ noise.T).max())
    np.testing.assert_allclose(two(process.kernel(20.0).cov), cov, rtol=1e-10, atol=1e-10)
    propagator, spread = map(two, process.transition(0.1, 0.4))
    assert_close_by_rows(block.join(propagator @ two(stationary), spread), two(stationary), 1e-12)


@every_process
def test_table_stacks_the_kernels_in_float64(name):
    process = PROCESSES[name]
    device = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), process)
    ts = np.array([2.0, 0.3, 1e-4])
    for table in (process.table(ts), device.table(ts)):
        assert {leaf.dtype for leaf in jax.tree.leaves(table)} == {np.dtype(np.float64)}
        for i, t in enumerate(ts):
            row = jax.tree.map(lambda leaf, i=i: leaf[i], table)
            assert jax.tree.all(jax.tree.map(np.array_equal, row, process.kernel(t)))
