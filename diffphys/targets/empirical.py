"""The empirical measure of a training set."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, concrete
from .base import AbstractLabelledTarget
from .moments import covariance, log_partition, moments, overlap
from .streaming import Cloud, LogSum
from .weights import WeightsSummary, weights_summary


class Empirical(AbstractLabelledTarget):
    r"""The empirical measure $p_0 = \frac1n \sum_\mu \delta(a - a_\mu)$: the law of a perfect memoriser.

    Given $y$, the datum $\mu$ has the posterior weight $w_\mu \propto \exp(-|y - a_\mu|^2 / 2v)$. The sums
    over data are streamed in blocks: a batch of `m` observations takes memory `m (block + d)`, and no more
    time than its matrix products. The label is the class of the datum.

    Data are centred, and at small `v` the weights of the 16 nearest data come from direct differences, so
    that float32 gives their logarithms to 0.01 nats on images down to noise of 0.05 of their range.
    `posterior_mean` and `log_evidence` have written derivatives, in both modes, with respect to `y` and
    `variance`; there is none with respect to the data.

    Attributes:
        cloud: the data, centred and in blocks.
        offset: the mean that was subtracted.
        classes: the class of each datum, in blocks.
        label_weights: the fraction of the data in each class.
        num_labels: the number of classes.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), section on
        collapse.
    """

    cloud: Cloud
    offset: Float[Array, " d"]
    classes: Int[Array, "b s"]
    label_weights: Float[Array, " k"]
    num_labels: int = eqx.field(static=True)

    def __init__(self, points: Values, labels: Values | None = None, block: int = 1024):
        """Centres the data on the host, in float64, and keeps them in their own type.

        Args:
            points: the data, of shape (n, d), float32 or float64.
            labels: the class of each datum, integers 0, 1, .., none of them unused; one class by default.
            block: the largest number of data taken at once.

        Raises:
            ValueError: if the data are not floating-point, not finite, or all the same point; if the labels
                do not fit; or if `block` is not positive.
        """
        points = _checked_points(points)
        labels = _checked_labels(labels, len(points))
        if block < 1:
            raise ValueError(f"`block` needs a positive number of data. Got {block}. Do use 1024.")
        offset = np.mean(points, axis=0, dtype=np.float64).astype(points.dtype)
        self.cloud = Cloud(points, offset, block)
        self.offset = jnp.asarray(offset)
        self.classes = self.cloud.in_blocks(jnp.asarray(labels, jnp.int32))
        counts = np.bincount(labels)
        self.label_weights = jnp.asarray(counts / len(points), points.dtype)
        self.num_labels = len(counts)

    @property
    def dim(self) -> int:
        return self.offset.size

    @property
    def num_points(self) -> int:
        """The number of data, `n`."""
        return self.cloud.size

    @property
    def points(self) -> Float[Array, "n d"]:
        """The data, of shape (n, d), to the rounding of centring; a copy."""
        return self.cloud.flat[: self.num_points] + self.offset[None]

    @property
    def labels(self) -> Int[Array, " n"]:
        """The class of each datum."""
        return self.classes.reshape(-1)[: self.num_points]

    def sample_indexed(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        """Draws one datum, with its index."""
        index = jr.randint(key, (), 0, self.num_points, jnp.int32)
        return self.cloud.flat[index] + self.offset, index

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        point, index = self.sample_indexed(key)
        return point, self.classes.reshape(-1)[index]

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        variance = jnp.asarray(variance, y.dtype)
        return log_partition(self.cloud, y - self.offset, variance) - self._log_norm(variance)

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        variance = jnp.asarray(variance, y.dtype)
        return moments(self.cloud, y - self.offset, variance).mean + self.offset

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        return covariance(self.cloud, y - self.offset, jnp.asarray(variance, y.dtype))

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        y, variance = y - self.offset, jnp.asarray(variance, y.dtype)
        leaders = self.cloud.leaders(y, variance, self.cloud.nearest(y, variance))

        def step(log_sums, block, classes):
            return log_sums.add_by_label(self.cloud.logits(block, y, variance, leaders), classes)

        log_sums = self.cloud.scan(step, LogSum.empty(y.dtype, (self.num_labels,)), self.classes)
        return jax.nn.log_softmax(log_sums.value())

    def weights_summary(
        self,
        y: Data,
        variance: Scalar,
        index: Int[ArrayLike, ""] | None = None,
        groupings: Int[Array, "g n"] | None = None,
        with_mean: bool = False,
    ) -> WeightsSummary:
        r"""What the posterior weights say of collapse and of classes, in one pass over the data.

        Averaged over forward samples, $d\, f^e = E\,H(w)$ and $\phi_C = E \sum_\mu w_\mu^2$.

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.
            index: the datum that `y` was made from, within [0, n), for the fields that tell it from the
                others.
            groupings: other labels for the data, such as permuted ones, each from 0 to `num_labels - 1`.
            with_mean: whether to give the posterior mean too, at the price of another matrix product.

        Returns:
            The summary; what was not asked for is None.

        Raises:
            ValueError: if `index` is none of the data, or there is but one; or if `groupings` has not `n`
                columns.
        """
        index, groupings = _checked_choices(index, groupings, self.num_points)
        variance = jnp.asarray(variance, y.dtype)
        summary = weights_summary(
            self.cloud,
            self.classes,
            self.num_labels,
            y - self.offset,
            variance,
            index=index,
            groupings=groupings,
            with_mean=with_mean,
        )
        mean = None if summary.mean is None else summary.mean + self.offset
        return summary._replace(log_evidence=summary.log_evidence - self._log_norm(variance), mean=mean)

    def _log_norm(self, variance: Scalar) -> Scalar:
        """Logarithm of what the sum over data is divided by in the density."""
        return math.log(self.num_points) + 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)

    def overlap(self, y: Data, other: Data, variance: Scalar) -> Scalar:
        r"""Probability that draws given two observations are the same datum, $\sum_\mu w_\mu(y) w_\mu(y')$.

        Args:
            y: a noisy observation, in the units of the data.
            other: another one.
            variance: the noise variance of both, v > 0, in the units of the data squared.

        Returns:
            The probability.
        """
        return overlap(self.cloud, y - self.offset, other - self.offset, jnp.asarray(variance, y.dtype))


def _checked_points(points: Values) -> np.ndarray:
    """The data on the host, in the type to compute in; ValueError if they are none."""
    points = np.asarray(points)
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"`points` needs shape (n, d). Got {points.shape}. Do flatten each datum to a row.")
    if points.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"`points` needs float32 or float64. Got {points.dtype}. "
            "Do scale it: pixels from uint8 to [0, 1] by `points.astype(np.float32) / 255`."
        )
    if not np.all(np.isfinite(points)):
        raise ValueError("`points` needs finite values. Got infinite ones or NaN. Do drop those data.")
    if len(points) > 1 and np.all(points == points[:1]):
        raise ValueError(
            f"`points` needs at least two different data. Got {len(points)} times the same. Do check them."
        )
    # Without x64, JAX computes in float32.
    return points.astype(jax.dtypes.canonicalize_dtype(points.dtype), copy=False)


def _checked_labels(labels: Values | None, count: int) -> np.ndarray:
    """The labels on the host; ValueError if they are not classes 0, 1, .. of the data."""
    labels = np.zeros(count, np.int32) if labels is None else np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(f"`labels` needs shape ({count},), one for each datum. Got {labels.shape}. Do match `points`.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"`labels` needs integers. Got {labels.dtype}. Do number the classes from 0.")
    found = np.unique(labels)
    if not np.array_equal(found, np.arange(len(found))):
        raise ValueError(
            f"`labels` needs classes 0, 1, .., each of them used. Got {found[:10].tolist()}. "
            "Do renumber by `np.unique(labels, return_inverse=True)[1]`."
        )
    return labels


def _checked_choices(index, groupings, count: int) -> tuple[Array | None, Array | None]:
    """A datum and labelings of the data, as 32-bit integers; ValueError if they do not fit `count` data."""
    if index is not None:
        if count == 1:
            raise ValueError("`index` needs other data to compare with. Got a single datum. Do leave it out.")
        index = jnp.asarray(index, jnp.int32)
        known = concrete(index)
        if known is not None and not 0 <= known < count:
            raise ValueError(f"`index` needs a datum within [0, {count}). Got {known}. Do count from 0.")
    if groupings is not None:
        if groupings.shape[1:] != (count,):
            raise ValueError(
                f"`groupings` needs shape (g, {count}), a label for each datum. Got {groupings.shape}. "
                "Do stack the labelings along the first axis."
            )
        groupings = jnp.asarray(groupings, jnp.int32)
    return index, groupings
