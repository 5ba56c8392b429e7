"""Cheap increments: their moments, their independence, and what a weak approximation makes of them."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from linear_maps import gaussian_denoiser, step_maps

from diffphys.clocks import uniform_grid
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import ReverseSDE, rademacher, simulate, three_point

# The first moments that each is made to have, and the first that it has not.
MOMENTS = {rademacher: [0, 1, 0, 1], three_point: [0, 1, 0, 128 / 43, 0]}
COUNT = 2**20
every = pytest.mark.parametrize("draw", MOMENTS, ids=lambda draw: draw.__name__)


@every
def test_moments_are_those_promised(draw):
    x = np.asarray(draw(jr.key(0), (COUNT,), jnp.float64))
    for power, wanted in enumerate(MOMENTS[draw], 1):
        values = x**power
        assert abs(values.mean() - wanted) <= 4 * values.std() / COUNT**0.5 + 1e-12, power


@every
def test_numbers_of_a_word_and_of_neighbouring_words_are_independent(draw):
    x = np.asarray(draw(jr.key(1), (COUNT,), jnp.float64))
    for lag in (1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64):
        products = x[:-lag] * x[lag:]
        assert abs(products.mean()) < 4 * products.std() / len(products) ** 0.5, lag


@every
def test_steps_and_draws_have_noises_of_their_own(draw):
    keys = [jr.fold_in(jr.key(2), i) for i in range(4)]
    rows = np.concatenate([np.asarray(draw(key, (2, 4096), jnp.float64)) for key in keys])
    for one, other in itertools.combinations(rows, 2):
        assert abs((one * other).mean()) < 4 / 64


@every
@pytest.mark.parametrize("shape", [(), (1,), (2, 5), (3, 2, 33)])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32, jnp.float64])
def test_every_shape_and_type_is_filled_from_the_same_words(draw, shape, dtype):
    x = draw(jr.key(3), shape, dtype)
    assert (x.shape, x.dtype) == (shape, dtype)
    size = int(np.prod(shape))
    wanted = draw(jr.key(3), (size,), jnp.float64)
    np.testing.assert_allclose(x.ravel(), wanted, rtol=1e-3)


@every
@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), PhaseSpaceLangevin()], ids=["ou", "psld"])
def test_the_covariance_of_a_run_is_that_with_normals(draw, process):
    """Mean and covariance of a linear run ask for two moments only: they agree at any step, not just in the limit."""
    sampler, ts = ReverseSDE(process, gaussian_denoiser(0.3)), uniform_grid(0.8, 0.1, 6)
    z = jnp.zeros((*np.shape(process.kernel(1.0).mean), 1))
    keys = jr.split(jr.key(4), 20_000)
    ends = np.asarray(jax.jit(jax.vmap(lambda key: simulate(sampler, key, ts, z, increments=draw)))(keys))
    ends = ends.reshape(len(keys), -1)
    cov = np.zeros((z.size, z.size))
    for state, noise in zip(*step_maps(sampler, ts)[0], strict=True):
        cov = state @ cov @ state.T + noise @ noise.T
    products = ends[:, :, None] * ends[:, None]
    assert (np.abs(products.mean(0) - cov) < 4 * products.std(0) / len(keys) ** 0.5).all()
