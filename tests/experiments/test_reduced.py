"""Trajectories stepped on a few coordinates: the ends of the whole mixture, by all samplers that are tables."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import diffphys as dp
from diffphys.targets import SharedCovarianceMixture

DIM = 6
OU, PSLD = dp.OrnsteinUhlenbeck(), dp.PhaseSpaceLangevin()
TS = dp.clocks.log_snr_grid(2.0, 0.05, 6)
RNG = np.random.default_rng(5)
MEANS = RNG.normal(size=(2, DIM))
ROTATION = np.linalg.qr(RNG.normal(size=(DIM, DIM)))[0]
TARGETS = {
    "one variance": dp.mixture(MEANS, covariance=0.3),
    "own variances": SharedCovarianceMixture(np.zeros(2), MEANS, np.array([1.0, 1.0, 0.2, 0.2, 0.2, 3.0])),
    "any covariance": SharedCovarianceMixture(
        np.zeros(2), MEANS, ROTATION @ np.diag([1, 1, 1, 4, 4, 4.0]) @ ROTATION.T
    ),
}
STILL = {
    "one variance": lambda d: dp.DDIM(OU, d),
    "own variances": lambda d: dp.DEIS(OU, d),
    "any covariance": lambda d: dp.Conjugate(PSLD, d, order=2),
}


@pytest.mark.parametrize("name", TARGETS)
def test_without_noise_the_end_is_that_of_all_coordinates(name, getkey):
    target, make = TARGETS[name], STILL[name]
    reduction = dp.reduce(target)
    full, small = make(target.posterior_mean), make(reduction.target.posterior_mean)
    z = dp.Diffused(target, full.process).sample(getkey(), TS[0])
    wanted = dp.simulate(full, jr.key(0), TS, z)
    np.testing.assert_allclose(dp.simulate_reduced(reduction, small, jr.key(0), TS, z), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("process", [OU, PSLD], ids=["ou", "psld"])
def test_with_noise_the_rest_has_the_moments_of_all_steps(process, getkey):
    """Beside as many ends of the whole mixture, whose other coordinates are normal too."""
    target, count = TARGETS["any covariance"], 4000
    reduction = dp.reduce(target)
    full, small = (dp.ReverseSDE(process, t.posterior_mean) for t in (target, reduction.target))
    z = dp.Diffused(target, process).sample(getkey(), TS[0])
    keys = jr.split(getkey(), count)
    rest = np.eye(DIM) - reduction.basis @ reduction.basis.T
    ends = [
        np.asarray(jax.vmap(lambda key, one=one: one(key))(keys) @ rest).reshape(count, -1)
        for one in (lambda key: dp.simulate(full, key, TS, z),
                    lambda key: dp.simulate_reduced(reduction, small, key, TS, z))
    ]  # fmt: skip
    spread = [np.cov(x.T) for x in ends]
    size = np.sqrt(np.diag(spread[0]))
    # Up to 12 means and 78 products at 4 standard errors: a false alarm in 180 seeds.
    assert np.all(np.abs(ends[0].mean(0) - ends[1].mean(0)) < 4 * size * (2 / count) ** 0.5)
    scale = np.outer(size, size)
    error = np.sqrt((scale**2 + spread[0] ** 2) * 2 / count)
    assert np.all(np.abs(spread[0] - spread[1]) < 4 * error)


def test_the_stepped_coordinates_are_those_of_the_reduction(getkey):
    target = TARGETS["own variances"]
    reduction = dp.reduce(target)
    small = dp.Bridge(OU, reduction.target.posterior_mean)
    z, key = jr.normal(getkey(), (DIM,)), jr.key(1)
    end = dp.simulate_reduced(reduction, small, key, TS, z, increments=dp.rademacher)
    alone = dp.simulate(small, key, TS, reduction.project(z), increments=dp.rademacher)
    np.testing.assert_allclose(reduction.project(end), alone, rtol=1e-12)


def test_what_cannot_be_completed_is_refused(unchecked):
    target = TARGETS["one variance"]
    reduction, z = dp.reduce(target), jnp.ones(DIM)
    with pytest.raises(ValueError, match=r"needs a mixture by its few coordinates, `reduce\(target\)`"):
        dp.simulate_reduced(target, dp.Bridge(OU, target.posterior_mean), jr.key(0), TS, z)
    with pytest.raises(ValueError, match=r"an `AbstractTableSampler`. Got `PNDM`. Use `simulate`"):
        dp.simulate_reduced(reduction, dp.PNDM(OU, reduction.target.posterior_mean), jr.key(0), TS, z)
    with pytest.raises(ValueError, match=rf"`x` needs {DIM} coordinates"):
        dp.simulate_reduced(reduction, dp.Bridge(OU, reduction.target.posterior_mean), jr.key(0), TS, z[:3])
