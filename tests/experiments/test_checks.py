"""What experiments on points and their denoisers refuse, before a number is made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp

OU = dp.OrnsteinUhlenbeck()
POINTS = np.random.default_rng(0).normal(size=(20, 3))
DATA = dp.Empirical(POINTS, np.arange(20) % 2)

EXPERIMENTS = {
    "denoising_errors": lambda denoise: dp.denoising_errors(denoise, POINTS, [0.5], key=jax.random.key(0)),
    "information": lambda denoise: dp.information(denoise, POINTS, OU, [0.5, 1.0], key=jax.random.key(0), count=9),
    "path_divergence": lambda denoise: dp.path_divergence(DATA, denoise, key=jax.random.key(0), low=0.1, high=9.0),
    "gaussian_start": lambda denoise: dp.gaussian_start(
        POINTS, OU, [0.5], key=jax.random.key(0), denoise=denoise, quality={}
    ),
    "switch": lambda denoise: dp.switch(
        DATA, OU, [0.5], key=jax.random.key(0), trajectories=4, denoise=denoise, samples=None
    ),
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize(
    ("denoise", "got"),
    [
        (lambda y, v: y[:1], r"to return an estimate of shape \(3,\), that of the data. Got \(1,\)"),
        (lambda y, v: jnp.sum(y), r"to return an estimate of shape \(3,\).* Got \(\)"),
        (lambda y, v: (y, v), r"to return an estimate of shape \(3,\).* Got tuple"),
        (lambda y, v: y @ jnp.ones((2, 2)), "to take an observation of shape .*Got TypeError: dot_general"),
    ],
    ids=["one", "scalar", "pair", "two"],
)
def test_denoisers_of_other_data_are_refused_by_every_experiment_that_takes_one(experiment, denoise, got, unchecked):
    # Those of one number would be broadcast, and give another number.
    with pytest.raises(ValueError, match=f"`denoise` needs {got}"):
        EXPERIMENTS[experiment](denoise)


def test_the_other_denoisers_of_an_experiment_are_refused_by_their_names(unchecked):
    with pytest.raises(ValueError, match=r"`against` needs to return .* Got \(1,\)"):
        dp.denoising_errors(lambda y, v: y, POINTS, [0.5], key=jax.random.key(0), against=lambda y, v: y[:1])
    with pytest.raises(ValueError, match=r"`conditional` needs to return .* Got \(1,\)"):
        dp.switch(DATA, OU, [0.5], lambda y, v, label: y[:1], key=jax.random.key(0), trajectories=4, samples=None)


@pytest.mark.parametrize("points", [POINTS[0], POINTS.astype(int), POINTS * np.nan], ids=["flat", "int", "nan"])
def test_points_that_mean_nothing_are_refused_by_a_late_start(points, unchecked):
    with jax.debug_nans(False), pytest.raises(ValueError, match="`data` needs two finite points or more"):
        dp.gaussian_start(points, OU, [0.5], key=jax.random.key(0), denoise=lambda y, v: y, quality={})


def test_a_late_start_without_steps_is_refused():
    with pytest.raises(ValueError, match="`gaussian_start` needs a sampler and a number of `steps`"):
        dp.gaussian_start(POINTS, OU, [0.5], key=jax.random.key(0), denoise=lambda y, v: y, quality={}, steps=())


MIXTURE = dp.symmetric_mixture(np.ones(3))


def test_experiments_refuse_what_is_no_sampler(unchecked):
    for sampler in (dp.Bridge, MIXTURE.posterior_mean, "bridge"):
        with pytest.raises(ValueError, match="`sampler` needs a sampler, such as `Bridge"):
            dp.speciation(MIXTURE, OU, [0.5], key=jax.random.key(0), clones=10, sampler=sampler)


def test_a_sampler_that_would_move_nothing_is_refused():
    sampler = dp.Bridge(OU, MIXTURE.posterior_mean)
    with pytest.raises(ValueError, match=r"`sampler` moves trajectories. Got no `clones`"):
        dp.speciation(MIXTURE, OU, [0.5], key=jax.random.key(0), sampler=sampler)


@pytest.mark.parametrize("time", [1e-310, 400.0, 1000.0])
def test_times_whose_noise_is_no_number_are_refused_before_anything_runs(time):
    # They ended at the first sample that was not finite.
    with pytest.raises(ValueError, match=r"`times` needs times whose noise variance float64 can hold. Got "):
        dp.speciation(MIXTURE, OU, [time], key=jax.random.key(0))


def test_experiments_say_that_they_cannot_be_traced():
    def of(scale, key):
        return dp.speciation(dp.symmetric_mixture(scale * jnp.ones(3)), OU, [0.5], key=key, samples=64).phi.values

    with pytest.raises(ValueError, match="`key` needs a known key"):
        jax.vmap(lambda key: of(1.0, key))(jax.random.split(jax.random.key(0), 2))
    with pytest.raises(ValueError, match="`speciation` needs a target whose values are known"):
        jax.grad(lambda scale: of(scale, jax.random.key(0)))(1.0)


def test_a_target_in_place_of_its_denoiser_is_refused_with_the_name_of_that(unchecked):
    with pytest.raises(ValueError, match=r"`denoise` needs to be a function .* give its `posterior_mean`"):
        dp.denoising_errors(MIXTURE, POINTS, [0.5], key=jax.random.key(0))


def test_thermodynamics_of_a_denoiser_alone_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"`thermodynamics` needs a target. Got "):
        dp.thermodynamics(MIXTURE.posterior_mean, key=jax.random.key(0))


def test_points_of_float64_are_those_of_float32_where_there_is_no_other_type():
    # As warnings are errors here, without one of JAX too.
    both = (POINTS, POINTS.astype(np.float32))
    jax.config.update("jax_enable_x64", False)
    try:
        denoise = dp.symmetric_mixture(np.ones(3)).posterior_mean
        errors = [dp.denoising_errors(denoise, points, [0.5], key=jax.random.key(0)).mse.values for points in both]
        distances = [dp.memorisation(points[:4], points).second_distance.values for points in both]
    finally:
        jax.config.update("jax_enable_x64", True)
    np.testing.assert_array_equal(*errors)
    np.testing.assert_array_equal(*distances)
