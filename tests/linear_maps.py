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


def step_maps(sampler: AbstractSampler, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrices A (of the state) and B (of the noise) of each step, in one dimension."""
    rows = place(sampler.plan(ts), jnp.float64)
    shape = (*np.shape(sampler.process.kernel(1.0).mean), 1)
    k, steps = int(np.prod(shape)), len(ts) - 1
    state, noise = _step_maps(sampler, rows, jnp.zeros(shape), jnp.zeros((sampler.draws, *shape)))
    return np.asarray(state).reshape(steps, k, k), np.asarray(noise).reshape(steps, k, sampler.draws * k)


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
