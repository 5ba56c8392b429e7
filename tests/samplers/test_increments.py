"""Cheap increments: their moments, their independence, and what a weak approximation makes of them."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from linear_maps import gaussian_denoiser, step_maps
from scipy.interpolate import CubicSpline
from scipy.stats import binom

from diffphys.clocks import log_snr_grid, uniform_grid
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import Bridge, ReverseSDE, rademacher, simulate, three_point

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


DIM = 256


def _noise_along_the_axis(kind):
    """Its values and their probabilities: of a normal in equal steps, of the sum of signs over its root exactly."""
    if kind == "signs":
        ups = np.arange(DIM + 1)
        return (2 * ups - DIM) / DIM**0.5, binom.pmf(ups, DIM, 0.5)
    values = np.linspace(-8.0, 8.0, 401)
    return values, np.exp(-0.5 * values**2) / np.exp(-0.5 * values**2).sum()


def _posterior(kernel, x):
    """Of the class on the right, where the two are N(+-16, 1) on their axis."""
    return 0.5 + 0.5 * np.tanh(DIM**0.5 * x / kernel.mean / (1 + kernel.variance))


def agreement_errors(sampler, ts, kind):
    """phi at `ts[0]` of clones that take these steps, less the exact one: no sample is drawn.

    The probability of ending on the right is carried from the end of the grid to its start, by the mean over the noise.
    """
    process, mean = sampler.process, DIM**0.5
    kernels, terms, noise = [process.kernel(t) for t in ts], sampler.table(ts).state, _noise_along_the_axis(kind)
    # Closer together about 0, where the probability is steep.
    places = [np.sinh(np.linspace(-5, 5, 601)) / np.sinh(5) * (mean * kernel.mean + 9) for kernel in kernels]
    right = _posterior(kernels[-1], places[-1])
    for i in reversed(range(len(ts) - 1)):
        x, ahead = places[i], places[i + 1]
        y, v = x / kernels[i].mean, kernels[i].variance
        estimate = (y + v * mean * np.tanh(mean * y / (1 + v))) / (1 + v)
        ends = terms["state", 0][i] * x + terms["data", 0][i] * estimate
        ends = ends[:, None] + terms["noise", 0][i] * noise[0]
        right = CubicSpline(ahead, right)(np.clip(ends, ahead[0], ahead[-1])) @ noise[1]
    x, weights = _noise_along_the_axis("normals")
    x = x + mean * kernels[0].mean
    found, exact = CubicSpline(places[0], right)(x), _posterior(kernels[0], x)
    return weights @ (found**2 + (1 - found) ** 2 - exact**2 - (1 - exact) ** 2)


ERRORS = {
    "reverse": (ReverseSDE, uniform_grid, {8: -0.00502, 16: -0.00013, 32: 0.00066}, 1.5e-5),
    "reverse, log": (ReverseSDE, log_snr_grid, {8: -0.02798, 16: -0.00583, 32: -0.00033}, 1e-4),
    "bridge": (Bridge, uniform_grid, {8: 0.05003, 16: 0.02705, 32: 0.01422}, 1.5e-5),
    "bridge, log": (Bridge, log_snr_grid, {8: 0.09346, 16: 0.05219, 32: 0.02828}, 1.5e-5),
}
"""Of phi at the speciation time of d = 256, as the docstring has them; and how far those of signs are from them."""


@pytest.mark.parametrize("steps", [8, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (16, 32))])
@pytest.mark.parametrize("name", ERRORS)
def test_signs_add_next_to_nothing_to_the_error_of_the_steps_in_many_dimensions(name, steps):
    make, grid, errors, within = ERRORS[name]
    sampler, ts = make(OrnsteinUhlenbeck(), lambda y, v: y), grid(0.5 * np.log(DIM), 1e-3, steps)
    normals, signs = (agreement_errors(sampler, ts, kind) for kind in ("normals", "signs"))
    assert abs(normals - errors[steps]) < 1e-5
    assert abs(signs - normals) < within
