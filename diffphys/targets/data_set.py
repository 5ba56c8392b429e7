"""What a data set must provide as a target, and what is asked of all of them alike."""

import abc
import math
from collections.abc import Iterator

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from .._types import Data, PRNGKey, Scalar
from ._arrays import concrete
from .base import AbstractLabelledTarget
from .weights import Summed, WeightsSummary, summary_of


class AbstractDataSet(AbstractLabelledTarget):
    r"""The empirical measure $p_0 = \frac1n \sum_\mu \delta(a - a_\mu)$ of a data set, wherever its data lie.

    Given $y$, the datum $\mu$ has the posterior weight $w_\mu \propto \exp(-|y - a_\mu|^2 / 2v)$. The label is the
    class of the datum. A final class gives sums over its centred data; this one puts them in the frame of the data.

    Attributes:
        offset: the mean of the data, that was subtracted from them.
        num_points: the number of data, `n`.
    """

    offset: eqx.AbstractVar[Float[Array, " d"]]
    num_points: eqx.AbstractVar[int]

    @property
    def dim(self) -> int:
        return self.offset.size

    @property
    def points(self) -> Float[np.ndarray, "n d"]:
        """The data, of shape (n, d), to the rounding of centring; a copy on the host."""
        return self.rows(np.arange(self.num_points))

    @abc.abstractmethod
    def rows(self, indices: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m d"]:
        """The data at some indices, to the rounding of centring; a copy on the host of no more than these.

        There may be no room for another copy of all, on a device least of all: it is read block by block.
        """

    @property
    @abc.abstractmethod
    def labels(self) -> Int[Array, " n"]:
        """The class of each datum."""

    @abc.abstractmethod
    def subset(self, kept: Int[np.ndarray, " m"]) -> "AbstractDataSet":
        """The data set of the data at some indices, placed alike; classes that are left without data are dropped."""

    @abc.abstractmethod
    def sample_indexed(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        """Draws one datum, with its index."""

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        point, index = self.sample_indexed(key)
        return point, self.labels[index]

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        variance = jnp.asarray(variance, y.dtype)
        return self._log_partition(y - self.offset, variance) - self._log_norm(variance)

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        return self._mean(y - self.offset, jnp.asarray(variance, y.dtype)) + self.offset

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        return self._covariance(y - self.offset, jnp.asarray(variance, y.dtype))

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        return self._label_log_posterior(y - self.offset, jnp.asarray(variance, y.dtype))

    def overlap(self, y: Data, other: Data, variance: Scalar) -> Scalar:
        r"""Probability that draws given two observations are the same datum, $\sum_\mu w_\mu(y) w_\mu(y')$.

        Args:
            y: a noisy observation, in the units of the data.
            other: another one.
            variance: the noise variance of both, v > 0, in the units of the data squared.

        Returns:
            The probability.
        """
        return self._overlap(y - self.offset, other - self.offset, jnp.asarray(variance, y.dtype))

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
        own_class = None if index is None else self.labels[index]
        sums = self._weight_sums(y - self.offset, variance, index, own_class, groupings, with_mean)
        summary = summary_of(sums, own_class)
        mean = None if summary.mean is None else summary.mean + self.offset
        return summary._replace(log_evidence=summary.log_evidence - self._log_norm(variance), mean=mean)

    def _log_norm(self, variance: Scalar) -> Scalar:
        """Logarithm of what the sum over data is divided by in the density."""
        return math.log(self.num_points) + 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)

    @abc.abstractmethod
    def _log_partition(self, y: Data, variance: Scalar) -> Scalar:
        r"""$\log \sum_\mu \exp(-|y - a_\mu|^2 / 2v)$ of centred data; here and below, `y` is centred too."""

    @abc.abstractmethod
    def _mean(self, y: Data, variance: Scalar) -> Data:
        """The mean of centred data under their weights."""

    @abc.abstractmethod
    def _covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        """The covariance of the data under their weights."""

    @abc.abstractmethod
    def _label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        """The log-probability of each class."""

    @abc.abstractmethod
    def _overlap(self, y: Data, other: Data, variance: Scalar) -> Scalar:
        """The inner product of the weights of two observations."""

    @abc.abstractmethod
    def _weight_sums(
        self,
        y: Data,
        variance: Scalar,
        index: Int[Array, ""] | None,
        own_class: Int[Array, ""] | None,
        groupings: Int[Array, "g n"] | None,
        with_mean: bool,
    ) -> Summed:
        """The sums that a summary is made of."""


def by_block(slots: Int[np.ndarray, " m"], length: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The blocks of so many data that some slots lie in: the block, which of the slots, and where in it they are."""
    blocks, within = np.divmod(slots, length)
    order = np.argsort(blocks, kind="stable")
    for chosen in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
        if len(chosen):
            yield int(blocks[chosen[0]]), chosen, within[chosen]


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
