"""Estimates of phi from forward samples and from clones, all of the same work; noise and classes drawn as asked."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

import diffphys as dp
from diffphys.clocks import log_snr_grid

PROCESS = dp.OrnsteinUhlenbeck()
_STOP, _STEPS = 0.5, 32

Clean = Callable[[Any, jax.Array, Int[Array, ""]], Float[Array, " d"]]
"""`clean(target, key, label)`: a clean point of a class."""


class Classes(NamedTuple):
    """The classes of the draws of every estimate, and what each draw counts."""

    labels: Int[np.ndarray, "estimates draws"]
    counts: Float[np.ndarray, "estimates draws"]


Weights = Float[np.ndarray, " k"]
Order = Callable[[np.random.Generator, Weights, tuple[int, int]], Classes]
"""`order(rng, weights, shape)`: classes for so many estimates of so many draws."""


def at_random(rng: np.random.Generator, weights: Weights, shape: tuple[int, int]) -> Classes:
    """As a target draws them."""
    return Classes(_at(rng.random(shape), weights), np.ones(shape, weights.dtype))


def in_proportion(rng: np.random.Generator, weights: Weights, shape: tuple[int, int]) -> Classes:
    """Of each class its share, to within one; the mean is exact for any weights."""
    quantiles = (np.arange(shape[1]) + rng.random((shape[0], 1))) / shape[1]
    return Classes(_at(quantiles, weights), np.ones(shape, weights.dtype))


def in_equal_shares(_: np.random.Generator, weights: Weights, shape: tuple[int, int]) -> Classes:
    """As many of each class, that count by their weight."""
    labels = np.broadcast_to(np.arange(shape[1], dtype=np.int32) % len(weights), shape)
    return Classes(labels, weights[labels] * len(weights))


def _at(quantiles: Float[np.ndarray, "estimates draws"], weights: Weights) -> Int[np.ndarray, "estimates draws"]:
    """The classes at these quantiles of their law."""
    return np.searchsorted(np.cumsum(weights)[:-1], quantiles, side="right").astype(np.int32)


def of_gaussian(target: Any, key: jax.Array, label: Int[Array, ""]) -> Float[Array, " d"]:
    """A clean point of a class of unit width."""
    return target.means[label] + dp.box_muller(key, (target.dim,), target.means.dtype)


@eqx.filter_jit
def identity_estimates(
    target: Any, clean: Clean, kernel: Any, classes: Classes, signs: Float[np.ndarray, " m"], key: jax.Array
) -> Float[Array, " estimates"]:
    """Means of sum_k P(k|y)^2 over forward samples, the noise of each draw with every sign."""

    def one(key, label):
        clean_key, noise_key = jr.split(key)
        a = clean(target, clean_key, label)
        noise = dp.box_muller(noise_key, a.shape, a.dtype)

        def said(sign):
            y, variance = kernel.observe(kernel.noised(a, sign * noise))
            return jnp.sum(jnp.exp(2 * target.label_log_posterior(y, variance)))

        return jnp.mean(jax.vmap(said)(jnp.asarray(signs, a.dtype)))

    return _means(one, classes, key)


class Unit(NamedTuple):
    """Clones that belong together, and what is made of the posteriors p at their ends.

    The agreement is the sum of `products[i, j] p_i p_j`, less `less` times that of the posterior of the start.
    """

    starts: Float[np.ndarray, " m"]
    """The sign of the noise of the start of each."""
    paths: Int[np.ndarray, " m"]
    """The number of the noise of its steps."""
    signs: Float[np.ndarray, " m"]
    """The sign of that."""
    products: Float[np.ndarray, "m m"]
    less: Float[np.ndarray, ""]


def unit(starts: Any, paths: Any, signs: Any, pairs: Any, less: float = 0.0) -> Unit:
    """A unit of which some pairs are compared."""
    products = np.zeros((len(starts),) * 2, np.float32)
    for i, j in pairs:
        products[i, j] = 1 / len(pairs)
    first, steps, subtracted = (np.array(part, np.float32) for part in (starts, signs, less))
    return Unit(first, np.array(paths, np.int32), steps, products, subtracted)


_TWO, _ALL = [(0, 1)], [(i, j) for j in range(4) for i in range(j)]
PAIR = unit([1, 1], [0, 1], [1, 1], _TWO)
EXCESS = unit([1, 1], [0, 1], [1, 1], _TWO, 1.0)
FOUR = unit([1] * 4, range(4), [1] * 4, _ALL)
"""Four clones of a start: `branches=4`."""
MIRRORED_STARTS = unit([1, 1, -1, -1], range(4), [1] * 4, [(0, 1), (2, 3)])
MIRRORED = unit([1, 1, -1, -1], [0, 1, 0, 1], [1, 1, -1, -1], [(0, 1), (2, 3)])
CROSSWISE = unit([1] * 4, [0, 0, 1, 1], [1, -1, 1, -1], [(0, 2), (0, 3), (1, 2), (1, 3)])
"""Two clones of a start, and the mirror of each: pairs of different noise."""


@eqx.filter_jit
def clone_estimates(target: Any, t: float, classes: Classes, unit: Unit, key: jax.Array) -> Float[Array, " estimates"]:
    """Mean agreements of clones of Gaussian classes, a unit a draw."""
    sampler, grid = dp.Bridge(PROCESS, target.posterior_mean), log_snr_grid(t, _STOP, _STEPS)
    first, last = PROCESS.kernel(t), PROCESS.kernel(_STOP)

    def posterior(kernel, z):
        return jnp.exp(target.label_log_posterior(*kernel.observe(z)))

    def one(key, label):
        clean_key, noise_key, path_key = jr.split(key, 3)
        a = of_gaussian(target, clean_key, label)
        noise = dp.box_muller(noise_key, a.shape, a.dtype)

        def end(start, path, sign):
            def increments(*drawn):
                return sign * dp.box_muller(*drawn)

            z = first.noised(a, start * noise)
            return posterior(last, dp.simulate(sampler, jr.fold_in(path_key, path), grid, z, increments=increments))

        ends = jax.vmap(end)(*(jnp.asarray(part) for part in unit[:3]))
        agreement = jnp.sum(unit.products * jnp.matmul(ends, ends.T))
        return agreement - unit.less * jnp.sum(posterior(first, first.noised(a, noise)) ** 2)

    return _means(one, classes, key)


def _means(one: Callable[[jax.Array, Array], Array], classes: Classes, key: jax.Array) -> Float[Array, " estimates"]:
    """The mean over the draws of each estimate."""

    def estimate(drawn):
        key, labels, counts = drawn
        return jnp.mean(counts * jax.vmap(one)(jr.split(key, len(labels)), labels))

    # A few at a time: near the caches. Whole batches: what is left would be another program.
    number = len(classes.labels)
    return jax.lax.map(estimate, (jr.split(key, number), *classes), batch_size=min(number, 250))
