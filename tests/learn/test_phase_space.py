"""Score matching in phase space: published numbers, one minimiser of both forms, and what averaging momenta saves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from cubature import hermite
from exact_laws import PROCESSES

from diffphys.learn.levels import LogUniformLevels
from diffphys.learn.objectives import DenoisingScoreMatching
from diffphys.learn.phase_space import FullScoreMatching, HybridScoreMatching
from diffphys.learn.weights import noise_weight
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin

LOW, HIGH = 1e-4, 1.0
DATA_VARIANCE = 0.25
WITH_MOMENTA = ("psld", "psld-mirrored", pytest.param("third-order", marks=pytest.mark.slow))


@eqx.filter_jit
def values_and_gradients(gain, objective, t, points):
    """Losses of the denoiser `gain y`, and their derivatives, of data of one coordinate at nodes of all normals."""

    def one(gain, point):
        a = jnp.sqrt(DATA_VARIANCE) * point[:1]
        return objective.loss(lambda y, v: gain * y, a, t, point[1:, None])

    return jax.vmap(jax.value_and_grad(one), (None, 0))(gain, points)


def moments(gain, objective, t):
    """Mean of the loss, mean and variance of its derivative; exact, as they are of degree 4 at most."""
    k = np.size(objective.process.start()[0])
    points, weights = hermite(1 + (k if isinstance(objective, HybridScoreMatching) else 2 * k), 3)
    found = values_and_gradients(jnp.asarray(gain), objective, jnp.asarray(t), jnp.asarray(points))
    loss, slope = (np.asarray(value) for value in found)
    mean = weights @ slope
    return weights @ loss, mean, weights @ (slope - mean) ** 2


def best_gain(process, t):
    return DATA_VARIANCE / (DATA_VARIANCE + float(process.on_host().kernel(t).variance))


@pytest.mark.parametrize(("t", "value"), [(0.01, 0.9958985796), (0.1, 0.5856419581), (0.5, 0.0033629862)])
def test_the_least_hybrid_loss_of_psld_is_the_reference_value(t, value):
    """tr(I - L' P^-1 L) of data of variance 1/4, in arithmetic of many digits."""
    process = PhaseSpaceLangevin()
    loss, slope, _ = moments(best_gain(process, t), HybridScoreMatching(process, LOW, HIGH), t)
    np.testing.assert_allclose(loss, value, atol=1e-10)
    np.testing.assert_allclose(slope, 0.0, atol=1e-9)


@pytest.mark.parametrize("name", WITH_MOMENTA)
def test_hybrid_score_matching_is_denoising_of_the_channel_sample_by_sample(name):
    process, t, variance = PROCESSES[name], 0.3, float(PROCESSES[name].kernel(0.3).variance)
    k = np.size(process.start()[0])
    a, noise = jnp.array([0.4, -1.3]), jnp.asarray(np.random.default_rng(0).normal(size=(k, 2)))
    denoise = lambda y, v: jnp.tanh(y) + 0.1 * y[::-1]  # noqa: E731
    y, _ = process.on_host().kernel(t).observe(process.on_host().kernel(t).noised(a, noise))
    got = eqx.filter_jit(HybridScoreMatching(process, LOW, HIGH).loss)(denoise, a, jnp.asarray(t), noise)
    channel = DenoisingScoreMatching(LogUniformLevels(0.1, 1.0), noise_weight)
    np.testing.assert_allclose(got, channel.loss(denoise, a, variance, (y - a) / np.sqrt(variance)), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "t"),
    [
        ("psld", 0.02),
        ("psld", 0.3),
        ("cld", 0.02),
        pytest.param("recipe", 0.3, marks=pytest.mark.slow),
        pytest.param("third-order", 0.3, marks=pytest.mark.slow),
    ],
)
def test_given_momenta_too_the_mean_moves_by_a_number_and_the_gradient_varies_more(name, t):
    r"""By $\mathrm{tr}(L^\top \Sigma_0^{-1} L) - k$, $\Sigma_0$ the covariance given all of the start: at any gain."""
    process = PROCESSES[name]
    hybrid, full = HybridScoreMatching(process, LOW, HIGH), FullScoreMatching(process, LOW, HIGH)
    best = best_gain(process, t)
    cov, (_, factor) = process.on_host().kernel(t).cov, process.on_host().transition(0.0, t)
    moved = np.trace(np.linalg.solve(factor @ factor.T, cov)) - len(factor)
    for gain in (best, 0.3):
        one, other = moments(gain, hybrid, t), moments(gain, full, t)
        np.testing.assert_allclose(other[0] - one[0], moved, rtol=1e-7)
        np.testing.assert_allclose(other[1], one[1], rtol=1e-7, atol=1e-7)
        assert other[2] > one[2]
    np.testing.assert_allclose(moments(best, full, t)[1], 0.0, atol=1e-7)


def excess_variance(process, t):
    """How much more the gradient varies given the momentum too, at the best gain."""
    pair = (HybridScoreMatching(process, LOW, HIGH), FullScoreMatching(process, LOW, HIGH))
    one, other = (moments(best_gain(process, t), objective, t)[2] for objective in pair)
    return other / one


def test_averaging_momenta_saves_a_factor_of_four_near_the_data_of_cld():
    """Of W integrated, the datum x - t p is blurred by t^3 / 3; given where p started too, the target by t^3 / 12."""
    np.testing.assert_allclose(excess_variance(PROCESSES["cld"], 1e-6), 4.0, rtol=4e-3)


def test_averaging_momenta_of_psld_saves_little_near_the_data():
    """There its own noise reaches the position first."""
    assert 0 < excess_variance(PROCESSES["psld"], 1e-4) - 1 < 1e-3


def test_without_spread_of_the_momentum_both_are_one_loss():
    process = PhaseSpaceLangevin(0.0, 4.0, kappa=0.0)
    a, noise = jnp.array([0.4, -1.3]), jnp.asarray(np.random.default_rng(1).normal(size=(4, 2)))
    denoise = lambda y, v: jnp.tanh(y)  # noqa: E731
    got = eqx.filter_jit(FullScoreMatching(process, LOW, HIGH).loss)(denoise, a, jnp.asarray(0.3), noise)
    wanted = eqx.filter_jit(HybridScoreMatching(process, LOW, HIGH).loss)(denoise, a, jnp.asarray(0.3), noise[2:])
    np.testing.assert_allclose(got, wanted, rtol=1e-9)


@pytest.mark.parametrize("make", [HybridScoreMatching, FullScoreMatching])
def test_levels_are_times_evenly_spread_between_the_ends(make):
    objective, a, key = make(PhaseSpaceLangevin(), 0.1, 0.9), jnp.array([0.4, -1.3]), jr.key(0)
    loss = eqx.filter_jit(objective.loss)
    for level, t in ((0.0, 0.1), (0.25, 0.3), (1.0, 0.9)):
        got = eqx.filter_jit(objective)(jnp.multiply, a, jnp.asarray(level), jr.clone(key))
        noise = objective.draw(jr.clone(key), a)
        np.testing.assert_allclose(got, loss(jnp.multiply, a, jnp.asarray(t), noise), rtol=1e-9)


@pytest.mark.parametrize("make", [HybridScoreMatching, FullScoreMatching])
def test_a_process_without_momenta_and_times_out_of_order_are_refused(make):
    with pytest.raises(ValueError, match=rf"`{make.__name__}` needs a process whose state has momenta"):
        make(OrnsteinUhlenbeck(), LOW, HIGH)
    with pytest.raises(ValueError, match=rf"`{make.__name__}` needs finite times 0 < low < high\. Got 1.0 and 0.5"):
        make(PhaseSpaceLangevin(), 1.0, 0.5)
