"""Langevin dynamics: laws it relaxes to, and which weights it finds."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps
from scipy.linalg import solve_discrete_lyapunov

from diffphys.clocks import uniform_grid
from diffphys.diffused import Diffused
from diffphys.processes import Brownian, OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import Bridge, ProbabilityFlow, ReverseSDE, simulate
from diffphys.samplers.base import place
from diffphys.samplers.langevin import AnnealedLangevin, Langevin, PredictorCorrector
from diffphys.targets import Gaussian, IsotropicMixture

TWO_MODES = IsotropicMixture(jnp.log(jnp.array([0.8, 0.2])), jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.full(2, 0.04))


def test_the_chain_has_the_variance_of_unadjusted_langevin():
    """V / (1 - h / 2V), here at V = 0.7 and h = 0.05."""
    sampler = Langevin(Brownian(), gaussian_denoiser(0.3), time=0.4)
    (maps,) = step_maps(sampler, uniform_grid(40.0, 1.0, 780))
    got = end_covariance(maps, np.zeros((1, 1))).item()
    np.testing.assert_allclose(got, 0.7 / (1 - 0.05 / 1.4), rtol=1e-12)
    np.testing.assert_allclose(got, 0.725926, atol=5e-7)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_covariance_in_phase_space_is_proportional_to_the_temperature(temperature):
    process = PhaseSpaceLangevin()
    sampler = Langevin(process, gaussian_denoiser(0.3), 0.4, temperature)
    ((states, noises),) = step_maps(sampler, np.array([1.0001, 1.0]))
    got = solve_discrete_lyapunov(states[0], noises[0] @ noises[0].T)
    np.testing.assert_allclose(got, temperature * marginal(process, 0.4, 0.3), atol=2e-4)


def test_gradient_flow_goes_to_the_modes_whatever_their_weights():
    law = Diffused(TWO_MODES, Brownian())
    sampler = Langevin(law.process, TWO_MODES.posterior_mean, time=0.02, temperature=0.0)
    assert sampler.draws == 0
    starts = jnp.stack([jnp.linspace(-2, 2, 40), jnp.linspace(1, -1, 40)], axis=1)
    ends = jax.vmap(lambda z: simulate(sampler, jr.key(0), uniform_grid(2.0, 1.0, 100), z))(starts)
    np.testing.assert_allclose(ends, jnp.sign(starts[:, :1]) * jnp.array([[1.0, 0.0]]), atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda z: law.score(0.02, z))(ends), 0, atol=1e-4)


@functools.cache
def weight_found(kind):
    """The share of the heavier mode, of runs from one wide start with 600 evaluations each."""
    process, sigmas, n = Brownian(), np.geomspace(4.0, 0.1, 31), 2000
    if kind == "annealed":
        sampler, ts = AnnealedLangevin(process, TWO_MODES.posterior_mean, substeps=20, step_size=0.2), sigmas**2
    else:
        sampler = Langevin(process, TWO_MODES.posterior_mean, time=sigmas[-1] ** 2)
        ts = uniform_grid(1.0 + 600 * 0.1 * sigmas[-1] ** 2, 1.0, 600)

    @eqx.filter_jit
    @jax.vmap
    def end(key):
        start_key, step_key = jr.split(key)
        return simulate(sampler, step_key, ts, process.kernel(sigmas[0] ** 2).prior(start_key, 2))

    return float(jnp.mean(end(jr.split(jr.key(0), n))[:, 0] > 0)), (0.8 * 0.2 / n) ** 0.5


def test_annealing_finds_the_weights_of_the_modes():
    share, error = weight_found("annealed")
    assert abs(share - 0.8) < 4 * error


def test_without_annealing_the_weights_are_those_of_the_start():
    share, error = weight_found("fixed")
    assert abs(share - 0.5) < 10 * error


@pytest.mark.parametrize("process", [Brownian(), OrnsteinUhlenbeck()], ids=["brownian", "ou"])
def test_a_level_of_many_steps_has_the_variance_of_its_step_size(process):
    """V / (1 - alpha / 4V) in the channel: the same whatever the process."""
    sampler = AnnealedLangevin(process, gaussian_denoiser(0.3), substeps=200, step_size=0.5)
    (maps,) = step_maps(sampler, np.array([2.0, 0.2]))
    kernel = process.kernel(0.2)
    total = 0.3 + kernel.variance
    wanted = kernel.mean**2 * total / (1 - 0.5 * kernel.variance / (4 * total))
    np.testing.assert_allclose(end_covariance(maps, np.eye(1)).item(), wanted, rtol=1e-9)


def test_a_level_starts_in_the_channel_where_the_one_before_ended():
    """One step of size 0.2 without noise: a tenth of the way to the estimate."""
    sampler, process = AnnealedLangevin(OrnsteinUhlenbeck(), lambda y, v: 0 * y + 3.0, 1), OrnsteinUhlenbeck()
    row = jax.tree.map(lambda leaf: leaf[0], place(sampler.plan(np.array([1.0, 0.5])), jnp.float64))
    before, after = (float(process.kernel(t).mean) for t in (1.0, 0.5))
    end = sampler.step(row, jnp.array([2.0]), jnp.zeros((1, 1)))
    np.testing.assert_allclose(end, [after * (0.9 * 2 / before + 0.1 * 3)], rtol=1e-13)


@pytest.mark.parametrize("predictor", ["bridge", "flow", "annealed"])
def test_a_correction_is_that_of_the_paper_with_the_norms_of_one_sample(predictor):
    process, denoise = OrnsteinUhlenbeck(), Gaussian(jnp.zeros(5), 0.3).posterior_mean
    kinds = {"bridge": Bridge, "flow": ProbabilityFlow, "annealed": lambda *own: AnnealedLangevin(*own, substeps=3)}
    inner = kinds[predictor](process, denoise)
    sampler, ts = PredictorCorrector(inner, snr=0.2), np.array([0.8, 0.5])
    z, noise = jr.normal(jr.key(0), (5,)), jr.normal(jr.key(1), (sampler.draws, 5))
    rows, own = (jax.tree.map(lambda leaf: leaf[0], place(one.plan(ts), z.dtype)) for one in (sampler, inner))
    z = inner.state(inner.step(own, inner.init(z), noise[:-1]))
    got = sampler.state(sampler.step(rows, sampler.init(jr.normal(jr.key(0), (5,))), noise))
    score, xi = np.asarray(-z / marginal(process, 0.5, 0.3)[0, 0]), np.asarray(noise[-1])
    epsilon = 2 * (0.2 * np.linalg.norm(xi) / np.linalg.norm(score)) ** 2
    np.testing.assert_allclose(got, z + epsilon * score + np.sqrt(2 * epsilon) * xi, rtol=1e-12)


@pytest.mark.parametrize(
    ("process", "steps"), [(OrnsteinUhlenbeck(), 8), (PhaseSpaceLangevin(), 40)], ids=["ou", "psld"]
)
def test_corrections_bring_coarse_steps_closer_to_the_marginal(process, steps):
    """The coordinates of one run in 5000 dimensions are a sample of 5000."""
    law = Diffused(Gaussian(jnp.zeros(5000), 0.3), process)
    ts, inner = uniform_grid(0.8, 0.1, steps), ReverseSDE(process, law.target.posterior_mean)
    wanted = marginal(process, ts[-1], 0.3)

    def distance(sampler):
        end = simulate(sampler, jr.key(1), ts, law.sample(jr.key(0), ts[0]))
        return np.abs(np.cov(np.asarray(end)).reshape(wanted.shape) / wanted - 1).max()

    alone, corrected = distance(inner), distance(PredictorCorrector(inner, snr=0.16, corrections=8))
    assert corrected < 0.6 * alone, (corrected, alone)


def test_many_corrections_leave_the_variance_of_their_ratio():
    """V / (1 - r^2), at V = 0.7 and r = 0.3, in 4000 dimensions."""
    process, denoise = Brownian(), Gaussian(jnp.zeros(4000), 0.3).posterior_mean
    sampler = PredictorCorrector(ProbabilityFlow(process, denoise), snr=0.3, corrections=60)
    path = simulate(sampler, jr.key(0), np.linspace(0.4002, 0.4, 3), jr.normal(jr.key(1), (4000,)), path=True)
    wanted = 0.7 / (1 - 0.3**2)
    assert abs(float(jnp.mean(path[1:] ** 2)) - wanted) < 4 * wanted * (2 / 8000) ** 0.5 + wanted / 4000


SAMPLERS = {
    "langevin": (lambda *own: Langevin(*own, time=0.3), 1, 1),
    "annealed": (lambda *own: AnnealedLangevin(*own, substeps=7), 7, 7),
    "corrected": (lambda *own: PredictorCorrector(ProbabilityFlow(*own), corrections=3), 5, 3),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_evaluations_and_draws_are_as_many_as_it_says(kind):
    """Counted by a denoiser that calls back, since the steps run in a loop."""
    make, evaluations, draws = SAMPLERS[kind]
    calls = []

    def denoise(y, v):
        jax.debug.callback(lambda v: calls.append(v), v)
        return 0.5 * y

    sampler = make(OrnsteinUhlenbeck(), denoise)
    assert (sampler.evaluations, sampler.draws, sampler.is_time_reversal) == (evaluations, draws, False)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), sampler.plan(np.array([0.5, 0.4])))
    sampler.step(row, sampler.init(jnp.ones(3)), jnp.ones((draws, 3)))
    jax.effects_barrier()
    assert len(calls) == evaluations


def _annealed(**own):
    return AnnealedLangevin(OrnsteinUhlenbeck(), gaussian_denoiser(1.0), **own)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Langevin(Brownian(), gaussian_denoiser(1.0), 0.0), "`time > 0`"),
        (lambda: Langevin(Brownian(), gaussian_denoiser(1.0), 1.0, -1.0), "`temperature >= 0`"),
        (lambda: AnnealedLangevin(PhaseSpaceLangevin(), gaussian_denoiser(1.0)), "needs an overdamped process"),
        (lambda: _annealed(substeps=0), "`substeps` to be a whole number"),
        (lambda: _annealed(step_size=4.0), r"`step_size` in \(0, 4\)"),
        (lambda: PredictorCorrector(_annealed(), snr=0.0), "`snr > 0`"),
        (lambda: PredictorCorrector(_annealed(), corrections=0), "`corrections` to be a whole number"),
    ],
)
def test_parameters_that_make_no_chain_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
