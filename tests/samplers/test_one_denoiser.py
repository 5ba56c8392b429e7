"""One denoiser, every process and kind of sampler: the same law at the same noise level, without retraining."""

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
