"""Samplers on Gaussian targets: steps are affine in state and noise, so their laws are known exactly."""

from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from type_checks import plan_of

from diffphys.samplers import AbstractSampler
from diffphys.samplers.base import place
from diffphys.targets import Gaussian


def gaussian_denoiser(variance: float):
    """The exact denoiser of one coordinate of variance `variance` about 0."""
    return Gaussian(jnp.zeros(1), variance).posterior_mean


def step_maps(sampler: AbstractSampler, *grids: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The matrices A (of the carry, the state first) and B (of the noise) of each step of each grid, in one dimension.

    All grids at once, since compiling is what takes time.
    """
    rows = jax.tree.map(lambda *leaves: np.concatenate(leaves), *[plan_of(sampler, ts) for ts in grids])
    shape = (*np.shape(sampler.process.kernel(1.0).mean), 1)
    noise = jnp.zeros((sampler.draws, *shape))
    maps = _step_maps(sampler, place(rows, jnp.float64), jnp.zeros(shape), noise)
    counts = [len(ts) - 1 for ts in grids]
    width = maps[0].shape[1]
    states, noises = (
        np.split(np.asarray(leaf).reshape(sum(counts), width, across), np.cumsum(counts)[:-1])
        for leaf, across in zip(maps, (width, noise.size), strict=True)
    )
    return list(zip(states, noises, strict=True))


@eqx.filter_jit
def _step_maps(sampler: AbstractSampler, rows: Any, z: Any, noise: Any) -> Any:
    flat, restore = jax.flatten_util.ravel_pytree(sampler.init(z))

    def step(row, flat, noise):
        return jax.flatten_util.ravel_pytree(sampler.step(row, restore(flat), noise))[0]

    return jax.vmap(lambda row: jax.jacfwd(step, argnums=(1, 2))(row, flat, noise))(rows)


def end_covariance(maps: tuple[np.ndarray, np.ndarray], cov: np.ndarray) -> np.ndarray:
    """The covariance of the state after the steps, of a start of covariance `cov` that remembers nothing."""
    k, width = len(cov), maps[0].shape[1]
    cov = np.pad(cov, (0, width - k))
    for state, noise in zip(*maps, strict=True):
        cov = state @ cov @ state.T + noise @ noise.T
    return cov[:k, :k]


def marginal(process: Any, t: float, variance: float) -> np.ndarray:
    """The exact covariance of the state at t."""
    kernel = process.kernel(t)
    mean = np.atleast_1d(kernel.mean)
    return np.atleast_2d(kernel.cov) + variance * np.outer(mean, mean)
