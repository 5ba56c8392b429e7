"""Samplers on Gaussian targets: steps are affine in state and noise, so their laws are known exactly."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffphys.samplers import AbstractSampler
from diffphys.samplers.base import place
from diffphys.targets import Gaussian


def gaussian_denoiser(variance: float):
    """The exact denoiser of one coordinate of variance `variance` about 0."""
    return Gaussian(jnp.zeros(1), variance).posterior_mean


def step_maps(sampler: AbstractSampler, *grids: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The matrices A (of the state) and B (of the noise) of each step of each grid, in one dimension.

    All grids at once, since compiling is what takes time.
    """
    rows = jax.tree.map(lambda *leaves: np.concatenate(leaves), *[sampler.plan(ts) for ts in grids])
    shape = (*np.shape(sampler.process.kernel(1.0).mean), 1)
    noise = jnp.zeros((sampler.draws, *shape))
    maps = _step_maps(sampler, place(rows, jnp.float64), jnp.zeros(shape), noise)
    counts = [len(ts) - 1 for ts in grids]
    k = int(np.prod(shape))
    states, noises = (
        np.split(np.asarray(leaf).reshape(sum(counts), k, width), np.cumsum(counts)[:-1])
        for leaf, width in zip(maps, (k, sampler.draws * k), strict=True)
    )
    return list(zip(states, noises, strict=True))


@eqx.filter_jit
def _step_maps(sampler: AbstractSampler, rows: Any, z: Any, noise: Any) -> Any:
    step = lambda row: jax.jacfwd(lambda z, noise: sampler.step(row, z, noise), argnums=(0, 1))(z, noise)  # noqa: E731
    return jax.vmap(step)(rows)


def end_covariance(maps: tuple[np.ndarray, np.ndarray], cov: np.ndarray) -> np.ndarray:
    """The covariance after the steps, of a start of covariance `cov`."""
    for state, noise in zip(*maps, strict=True):
        cov = state @ cov @ state.T + noise @ noise.T
    return cov


def marginal(process: Any, t: float, variance: float) -> np.ndarray:
    """The exact covariance of the state at t."""
    kernel = process.kernel(t)
    mean = np.atleast_1d(kernel.mean)
    return np.atleast_2d(kernel.cov) + variance * np.outer(mean, mean)
