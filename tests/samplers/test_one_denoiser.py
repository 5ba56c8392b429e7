"""One denoiser, every process and kind of sampler: the same law at the same noise level, without retraining."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import diffphys as dp

TARGET = dp.symmetric_mixture(jnp.array([1.5, -0.5]), 0.2, 0.3)
NOISY, CLEAN, COUNT = 30.0, 0.01, 4000
OU, WARM, VE, PSLD = dp.OrnsteinUhlenbeck(), dp.OrnsteinUhlenbeck(2.0), dp.Brownian(0.7), dp.PhaseSpaceLangevin()
SCHEDULED = dp.ScheduledStationary(dp.PhaseSpaceLangevin(beta=1.0), dp.LinearSchedule(2.0, 14.0))
KINDS = {
    "ou": (OU, dp.Bridge),
    "ou warm": (WARM, dp.UniPC),
    "exploding": (VE, dp.EDM),
    "exploding reversed": (VE, dp.DDIM),
    "third order": (dp.third_order_langevin(), dp.Conjugate),
    "phase space": (PSLD, dp.SSCS),
    "phase space conjugate": (PSLD, lambda process, denoise: dp.Conjugate(process, denoise, order=2)),
    "phase space scheduled": (SCHEDULED, dp.VelocityVerlet),
}


SLOW = ("third order", "phase space scheduled")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in KINDS])
def test_the_same_denoiser_gives_the_same_law_under_every_process(name):
    """From exact states at v = 30 down to v = .01: mean, second moments and the weight of a class, in the channel."""
    process, kind = KINDS[name]
    ts = np.array([process.time_of_variance(v) for v in np.geomspace(NOISY, CLEAN, 81)])
    sampler, law = kind(process, TARGET.posterior_mean), dp.Diffused(TARGET, process)

    def end(key):
        start_key, step_key = jr.split(key)
        z = dp.simulate(sampler, step_key, ts, law.sample(start_key, ts[0]))
        y, v = process.kernel(ts[-1]).observe(z)
        return y, jnp.exp(TARGET.label_log_posterior(y, v))[0]

    y, first = (np.asarray(part) for part in eqx.filter_jit(jax.vmap(end))(jr.split(jr.key(0), COUNT)))
    mean = (0.3 - 0.7) * np.array([1.5, -0.5])
    square = np.array([1.5, -0.5]) ** 2 + 0.2 + CLEAN
    for got, wanted in ((y, mean), (y**2, square), (first[:, None], np.array([0.3]))):
        error = 4 * got.std(0) / COUNT**0.5 + 0.01 * np.abs(wanted)  # 1 % for the length of the steps
        assert (np.abs(got.mean(0) - wanted) < error).all(), (got.mean(0), wanted, error)


@pytest.fixture
def _as_optax_needs():
    with jax.numpy_dtype_promotion("standard"), jax.debug_key_reuse(False):
        yield


def trained(steps):
    """A small network, trained on draws of the target."""
    points = jax.vmap(TARGET.sample)(jr.split(jr.key(1), 4000))
    size = dp.learn.MLPConfig(width=64, depth=1, embedding=32)
    plan = dp.learn.TrainingConfig(steps=steps, batch=256, warmup=10, learning_rate=3e-3)
    return dp.learn.train(np.asarray(points, np.float32), size, plan).denoiser


def channel_ends(process, kind, denoise, count, steps):
    """The channel at v = .01 of runs of a denoiser from exact states at v = 30."""
    ts = np.array([process.time_of_variance(v) for v in np.geomspace(NOISY, CLEAN, steps + 1)])
    sampler, law = kind(process, denoise), dp.Diffused(TARGET, process)

    def end(key):
        start_key, step_key = jr.split(key)
        z = dp.simulate(sampler, step_key, ts, law.sample(start_key, ts[0]))
        return process.kernel(ts[-1]).observe(z)[0]

    return np.asarray(eqx.filter_jit(jax.vmap(end))(jr.split(jr.key(2), count)))


@pytest.mark.slow
@pytest.mark.usefixtures("_as_optax_needs")
def test_a_trained_network_gives_the_same_law_under_every_process():
    """Means and covariances of OU, exploding and phase-space samples of one network, against one another."""
    denoise = trained(1500)
    second = lambda process, denoise: dp.DPMSolverMultistep(process, denoise, stochastic=True)  # noqa: E731
    kinds = {"ou": (OU, second), "exploding": (VE, second), "phase space": (PSLD, dp.SSCS)}
    laws = {}
    for name, (process, kind) in kinds.items():
        y = channel_ends(process, kind, denoise, COUNT, 400 if process is PSLD else 80)
        values = np.concatenate([y, ((y - y.mean(0))[:, :, None] * (y - y.mean(0))[:, None]).reshape(COUNT, 4)], axis=1)
        laws[name] = values.mean(0), values.std(0) / COUNT**0.5
    for one, other in itertools.combinations(laws, 2):
        (mean, error), (mean_of_other, error_of_other) = laws[one], laws[other]
        apart = np.abs(mean - mean_of_other) / np.hypot(error, error_of_other)
        assert (apart < 4).all(), (one, other, apart)
    # And it is a law that was learned, not that of the noise.
    np.testing.assert_allclose(laws["ou"][0][:2], -0.4 * np.array([1.5, -0.5]), atol=0.2)
    np.testing.assert_allclose(laws["ou"][0][[2, 5]], 0.84 * np.array([2.25, 0.25]) + 0.2, rtol=0.15)


@pytest.mark.usefixtures("_as_optax_needs")
def test_any_network_is_carried_along_one_path_by_every_overdamped_process():
    """Where the steps are the same in v, DDIM is the same map of the channel; here of a network not yet trained."""
    network, ends = eqx.nn.MLP(3, 2, 16, 1, key=jr.key(3)), []

    def denoise(y, v):
        return network(jnp.append(y, jnp.log(v)))

    for process in (OU, WARM, VE):
        ts = np.array([process.time_of_variance(v) for v in np.geomspace(NOISY, CLEAN, 9)])
        first, last = process.kernel(ts[0]), process.kernel(ts[-1])
        z = dp.simulate(dp.DDIM(process, denoise), jr.key(0), ts, first.mean * jnp.array([3.0, -4.0]))
        ends.append(last.observe(z)[0])
    np.testing.assert_allclose(ends[1:], [ends[0]] * 2, rtol=1e-9)
    assert np.abs(ends[0] - np.array([3.0, -4.0])).max() > 1
