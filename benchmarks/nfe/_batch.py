"""Starts and noises: the same for every sampler, drawn at random, or one unit input at a time."""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import diffphys as dp


class Draw(Protocol):
    """Gives the standard normal array number j: (batch, d), or (batch, variables, d) if there are several."""

    def __call__(self, j: int, variables: int = 0) -> np.ndarray: ...


class Batch(NamedTuple):
    """Trajectories to run: clean data, the noise of the channel y, that of what y does not see, and later noises."""

    clean: np.ndarray
    noise: np.ndarray
    other: np.ndarray
    draw: Draw

    def start(self, kernel: dp.Kernel) -> np.ndarray:
        """States of law `kernel` whose channel is `clean + sqrt(v) noise`, whatever the process."""
        if np.ndim(kernel.mean) == 0:
            return np.asarray(kernel.mean * self.clean + kernel.factor * self.noise, self.clean.dtype)
        seen = np.asarray(kernel.factor).T @ kernel.gain / np.sqrt(kernel.variance)
        hidden = np.array([-seen[1], seen[0]])
        eps = seen[:, None] * self.noise[:, None] + hidden[:, None] * self.other[:, None]
        state = np.asarray(kernel.mean)[:, None] * self.clean[:, None] + np.asarray(kernel.factor) @ eps
        return state.astype(self.clean.dtype)


def random_batch(target: Any, size: int, dtype: Any, seed: int) -> Batch:
    """Data of the target with independent noises."""
    clean = np.asarray(jax.vmap(target.sample)(jr.split(jr.key(seed), size)), dtype)
    rng = np.random.default_rng(seed)
    noise, other = (rng.normal(size=clean.shape).astype(dtype) for _ in range(2))
    return Batch(clean, noise, other, _Normal(clean.shape, dtype, seed))


def unit_batch(deviations: np.ndarray, size: int) -> Batch:
    """One input a trajectory: the datum, by a deviation; a noise of the start; a later noise, by 1.

    A sampler that is linear has, over independent inputs, as much variance as the squares of these ends sum to.
    """
    clean, noise, other = (np.zeros((size, len(deviations))) for _ in range(3))
    clean[0], noise[1], other[2] = deviations, 1.0, 1.0
    return Batch(clean, noise, other, _Units(clean.shape))


class _Normal(NamedTuple):
    shape: tuple[int, ...]
    dtype: Any
    seed: int

    def __call__(self, j: int, variables: int = 0) -> np.ndarray:
        shape = (self.shape[0], variables, *self.shape[1:]) if variables else self.shape
        return _normal(self.seed, j, shape, self.dtype)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _normal(seed, j, shape, dtype):
    return jr.normal(jr.fold_in(jr.key(seed), j), shape, jnp.dtype(dtype))


class _Units(NamedTuple):
    shape: tuple[int, ...]

    def __call__(self, j: int, variables: int = 0) -> np.ndarray:
        width = max(variables, 1)
        out, first = np.zeros((self.shape[0], width, *self.shape[1:])), 3 + j * width
        if first + width > len(out):
            raise ValueError(f"`unit_batch` needs a size above {first + width - 1} for noise {j}. Got {len(out)}.")
        for i in range(width):
            out[first + i, i] = 1.0
        return out if variables else out[:, 0]
