"""The posterior mean of a data set from few of its points, with a bound on what is left out."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from .._types import Data, Scalar
from ._arrays import observation
from .empirical import Empirical
from .streaming import PRECISION, LogSum, largest_in_batch

# Bands of the directions beyond the leading ones, and how many neighbouring points share one bound.
_BANDS = 8
_GROUP = 8


class Certified(NamedTuple):
    """The posterior mean of the candidates, and how far it may be from that of all points."""

    mean: Float[Array, " d"]
    """Of the candidates alone, in the units of the data."""
    log_rest: Scalar
    """An upper bound on the logarithm of the weight of all other points, relative to that of the nearest one."""
    error: Scalar
    """An upper bound on the distance of this mean from that of all points, in the units of the data."""


class PrunedPosteriorMean(eqx.Module):
    r"""The posterior mean of a data set at small noise, from its nearest points: a denoiser.

    In the principal basis of the data, divide the coordinates into the leading ones, one each, and bands $B$ of the
    others. By Cauchy-Schwarz in each band

    $$ |y - a|^2 \ge \sum_{i \le r} (y_i - a_i)^2 + \sum_B (|y_B| - |a_B|)^2 = |\phi(y) - \phi(a)|^2, $$

    one product with $r + 8$ features of each point instead of its $d$ coordinates. The points of the smallest bounds
    are the candidates; their distances are taken exactly. All others together weigh at most

    $$ \omega = (n - 1) \exp\!\big((|y - a_1|^2 - b) / 2v\big) $$

    times the nearest one $a_1$, with $b$ the largest bound of a candidate, less all that rounding may have added to it.
    The error of the mean is at most $\omega / (1 + \omega)$ times the diameter of the data. Where that exceeds the
    tolerance, for any of a batch, the posterior mean of the whole data set is taken for all of it, so that the result
    always is within the tolerance; bar the rounding of the sums themselves, which is that of `Empirical`.

    It pays for many data of many coordinates where $v$ times the dimension is below the squared distances between them:
    on MNIST up to t = 0.015, at the end of trajectories after collapse. At larger noise it costs its bounds on top.

    Attributes:
        data: the data set.
        basis: its principal directions, in columns, the largest first.
        features: the features of the points, in the blocks of the data set, and their norms.
        half_norms: half the squared norms of the features; inf for the padding.
        rank: the number of leading directions, `r`.
        candidates: the number of candidates, a multiple of 8.
        tolerance: the largest error of the mean, as a distance in the units of the data.
    """

    data: Empirical
    basis: Float[Array, "d d"]
    features: Float[Array, "b s f"]
    half_norms: Float[Array, "b s"]
    rank: int = eqx.field(static=True)
    candidates: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)

    def __init__(self, data: Empirical, rank: int | None = None, candidates: int = 512, tolerance: float = 1e-4):
        """Finds the principal directions, and the features of all points, on the host in float64.

        Args:
            data: the data set; it is kept beside the features, for the candidates and where they are not enough.
            rank: the number of leading directions, from 1 to d; a third of them by default.
            candidates: how many points have their exact distances taken, a multiple of 8 below the number of data.
            tolerance: the largest error of the mean that is let pass, in the units of the data.

        Raises:
            ValueError: if an argument is out of its range.
        """
        if not isinstance(data, Empirical):
            raise ValueError(
                "`PrunedPosteriorMean` needs a data set on one device, `Empirical(points)`. "
                f"Got `{type(data).__name__}`. Do use its own `posterior_mean`."
            )
        dim, length = data.dim, data.cloud.half_norms.shape[1]
        rank = -(-dim // 3) if rank is None else rank
        if not 1 <= rank <= dim:
            raise ValueError(f"`rank` needs directions from 1 to {dim}. Got {rank}. Do take a third of them.")
        if candidates < 1 or candidates % _GROUP or candidates >= data.num_points or length % _GROUP:
            raise ValueError(
                f"`candidates` needs a multiple of {_GROUP} below the {data.num_points} data, in blocks of such a "
                f"multiple. Got {candidates}, in blocks of {length}. Do use `data.posterior_mean` for few data."
            )
        if not 0 < tolerance < np.inf:
            raise ValueError(f"`tolerance` needs a positive distance. Got {tolerance}. Do use 1e-4.")
        self.data, self.rank, self.candidates, self.tolerance = data, rank, candidates, float(tolerance)
        dtype = data.offset.dtype
        blocks = data.cloud.blocks
        basis = _principal(blocks)
        features, half_norms = [], []
        for block, padding in zip(blocks, np.asarray(data.cloud.half_norms) == np.inf, strict=True):
            turned = np.asarray(block, np.float64) @ basis
            found = self._features(turned, _norms(turned)).astype(dtype)
            features.append(found)
            squares = 0.5 * np.sum(found[:, :-1].astype(np.float64) ** 2, axis=1)
            half_norms.append(np.where(padding, np.inf, squares))
        self.basis, self.features = jnp.asarray(basis, dtype), jnp.asarray(np.stack(features))
        self.half_norms = jnp.asarray(np.stack(half_norms), dtype)

    def __call__(self, y: Data, variance: Scalar) -> Data:
        r"""The posterior mean: of the candidates where that is within the tolerance, else of all points.

        Its derivative is that of the mean it gives.

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.

        Returns:
            The posterior mean, in the units of the data.
        """
        found = self.certificate(y, variance)
        short = largest_in_batch(lax.stop_gradient(~(found.error <= self.tolerance)))
        return lax.cond(short, lambda: self.data.posterior_mean(y, variance), lambda: found.mean)

    def certificate(self, y: Data, variance: Scalar) -> Certified:
        """The posterior mean of the candidates alone, with its bounds.

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.

        Returns:
            The mean and the bounds, which need not be small.
        """
        y, variance = observation(self.data.dim, y, variance)
        centred = y - self.data.offset
        groups, bound = self._nearest(lax.stop_gradient(centred))
        nearest, mean = self._weigh(centred, variance, groups)
        gap = bound - nearest * (1 + _worst(self.data.dim + 8, y.dtype))
        others = jnp.log((self.data.count - 1).astype(y.dtype))
        log_rest = lax.stop_gradient(others - gap / (2 * variance))
        # The means of both parts are within a diameter, and the others' share is w / (1 + w).
        error = 2 * self.data.cloud.radius * jnp.exp(-jax.nn.softplus(-log_rest))
        return Certified(mean + self.data.offset, log_rest, error)

    def _features(self, turned, last):
        """The leading coordinates, the norm of each band, and one more number, of points in the principal basis."""
        edges = np.unique(np.geomspace(self.rank, self.data.dim, _BANDS + 1).round().astype(int))
        bands = [_norms(turned[..., first:end]) for first, end in itertools.pairwise(edges)]
        numbers = jnp if isinstance(turned, jax.Array) else np
        return numbers.concatenate([turned[..., : self.rank], *bands, last], axis=-1)

    def _nearest(self, y: Data) -> tuple[Int[Array, " g"], Scalar]:
        """The groups of points with the smallest bounds, and a lower bound on the squared distance of all others."""
        turned = jnp.matmul(y, self.basis, precision=PRECISION)
        # The last feature of a point is its norm. Times this, it is what rounding may take off the bound: the features
        # of `y` and their products are sums of many terms, each in some order; the rest are a few single roundings.
        dim, count = self.data.dim, self.features.shape[2]
        spread = dim**0.5 * (_worst(dim + 1, y.dtype) + 10 * _worst(dim + 1, np.float64))
        slack = (spread + _worst(dim + count + 8, y.dtype)) * _norms(y) + _worst(4, y.dtype) * self.data.cloud.radius
        features = self._features(turned, slack)

        def step(_, block):
            products = jnp.matmul(block[0], features, precision=PRECISION) - block[1]
            return None, jnp.max(products.reshape(-1, _GROUP), axis=1)

        products = lax.scan(step, None, (self.features, self.half_norms))[1].reshape(-1)
        largest, groups = lax.top_k(products, self.candidates // _GROUP)
        # Not the last of them: XLA would no longer see a top-k, and sort them all.
        return groups, jnp.sum(y**2) * (1 - _worst(dim + 8, y.dtype)) - 2 * jnp.min(largest)

    def _weigh(self, y: Data, variance: Scalar, groups: Int[Array, " g"]) -> tuple[Scalar, Data]:
        """The squared distance of the nearest point of some groups, and the mean of all of these."""
        cloud = self.data.cloud

        def add(carry, group):
            log_sum, mean = carry
            slots = _GROUP * group + jnp.arange(_GROUP, dtype=group.dtype)
            points, exists = cloud.point(slots), cloud.half_norm(slots) < jnp.inf
            distances = jnp.sum((y[None] - points) ** 2, axis=1)
            log_sum, terms, rescale = log_sum.add(jnp.where(exists, -distances / (2 * variance), -jnp.inf))
            # Not a product of matrices: a batch of small ones is slow.
            return (log_sum, mean * rescale + jnp.sum(terms[:, None] * points, axis=0)), None

        (log_sum, mean), _ = lax.scan(add, (LogSum.empty(y.dtype), jnp.zeros_like(y)), groups)
        return -2 * variance * log_sum.top, mean / log_sum.total


def _worst(count: int, dtype) -> float:
    """The largest relative error of a sum of products of `count` terms, in whatever order they are added."""
    return 1.01 * count * 0.5 * float(jnp.finfo(dtype).eps)


def _norms(values):
    """Euclidean norms along the last axis, which stays."""
    numbers = jnp if isinstance(values, jax.Array) else np
    return numbers.sqrt(numbers.sum(values**2, axis=-1, keepdims=True))


def _principal(blocks: Float[Array, "b s d"]) -> Float[np.ndarray, "d d"]:
    """The principal directions of centred points in columns, the largest first; block by block in float64."""
    total = np.zeros(2 * blocks.shape[2:])
    for block in blocks:
        rows = np.asarray(block, np.float64)
        total += rows.T @ rows
    return np.linalg.eigh(total)[1][:, ::-1]
