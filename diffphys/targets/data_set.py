"""What a data set must provide as a target, and what is asked of all of them alike."""

import abc
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from .._types import Data, PRNGKey, Scalar
from ._arrays import concrete, observation
from .base import AbstractLabelledTarget
from .weights import Labelings, Summed, WeightsSummary, summary_of


class AbstractDataSet(AbstractLabelledTarget):
    r"""The empirical measure $p_0 = \frac1n \sum_\mu \delta(a - a_\mu)$ of a data set, wherever its data lie.

    Given $y$, the datum $\mu$ has the posterior weight $w_\mu \propto \exp(-|y - a_\mu|^2 / 2v)$. The label is the
    class of the datum. A final class gives sums over its centred data; this one puts them in the frame of the data.

    Data sets whose numbers of data round up to the same one of five binary digits (or of blocks, where there are many)
    have arrays of the same shapes, and a compiled function that takes one of them takes all: their number is `count`.

    Attributes:
        offset: the mean of the data, that was subtracted from them.
        count: the number of data, `n`, as an array.
    """

    offset: eqx.AbstractVar[Float[Array, " d"]]
    count: eqx.AbstractVar[Int[Array, ""]]

    @property
    def dim(self) -> int:
        return self.offset.size

    @property
    def num_points(self) -> int:
        """The number of data, `n`.

        Raises:
            ValueError: in a function being traced that takes the data set as an argument; use `count` there.
        """
        known = concrete(self.count)
        if known is None:
            raise ValueError(
                "`num_points` needs a data set that is known. Got an argument of a function being traced, whose "
                "program is for other numbers of data too. Do use `count`, an array, there."
            )
        return int(known)

    @property
    @abc.abstractmethod
    def num_slots(self) -> int:
        """The number of places for data, those that are padding among them."""

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
        """The class of each datum; where their number is known, as for `num_points`."""

    @abc.abstractmethod
    def label_of(self, index: Int[Array, ""]) -> Int[Array, ""]:
        """The class of one datum; in any function."""

    @abc.abstractmethod
    def subset(self, kept: Int[np.ndarray, " m"]) -> "AbstractDataSet":
        """The data set of the data at some indices, placed alike; classes that are left without data are dropped."""

    @abc.abstractmethod
    def sample_indexed(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        """Draws one datum, with its index."""

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        point, index = self.sample_indexed(key)
        return point, self.label_of(index)

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        y, variance = self._centred(y, variance)
        return self._log_partition(y, variance) - self._log_norm(variance)

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        return self._mean(*self._centred(y, variance)) + self.offset

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        return self._covariance(*self._centred(y, variance))

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        return self._label_log_posterior(*self._centred(y, variance))

    def overlap(self, y: Data, other: Data, variance: Scalar) -> Scalar:
        r"""Probability that draws given two observations are the same datum, $\sum_\mu w_\mu(y) w_\mu(y')$.

        Args:
            y: a noisy observation, in the units of the data.
            other: another one.
            variance: the noise variance of both, v > 0, in the units of the data squared.

        Returns:
            The probability.

        Raises:
            ValueError: as `log_evidence`.
        """
        y, variance = self._centred(y, variance)
        return self._overlap(y, self._centred(other, variance, "other")[0], variance)

    def weights_summary(
        self,
        y: Data,
        variance: Scalar,
        index: Int[ArrayLike, ""] | None = None,
        groupings: Int[Array, "g n"] | Labelings | None = None,
        with_mean: bool = False,
        with_labels: bool = True,
    ) -> WeightsSummary:
        r"""What the posterior weights say of collapse and of classes, in one pass over the data.

        Averaged over forward samples, $d\, f^e = E\,H(w)$ and $\phi_C = E \sum_\mu w_\mu^2$.

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.
            index: the datum that `y` was made from, within [0, n), for the fields that tell it from the
                others.
            groupings: other labels for the data, such as permuted ones, each from 0 to `num_labels - 1`; or what
                `labelings` makes of them.
            with_mean: whether to give the posterior mean too, at the price of another matrix product.
            with_labels: whether to give what they say of the classes, at the price of as many exponentials again.

        Returns:
            The summary; what was not asked for is None.

        Raises:
            ValueError: as `log_evidence`; if `index` is none of the data, or there is but one; or if `groupings` has
                not `n` columns.
        """
        index = None if index is None else self._checked(index)
        if not isinstance(groupings, Labelings | None):
            groupings = self.labelings(groupings)
        y, variance = self._centred(y, variance)
        others = None if groupings is None else groupings.slots
        sums = self._weight_sums(y, variance, index, others, with_mean, with_labels)
        summary = summary_of(sums)
        mean = None if summary.mean is None else summary.mean + self.offset
        return summary._replace(log_evidence=summary.log_evidence - self._log_norm(variance), mean=mean)

    def labelings(self, groupings: Int[Array | np.ndarray, "g n"]) -> Labelings:
        """Other labels for the data, in the places of these.

        A program that is given them so is shared by data sets of nearly one size, as one with `n` columns is not.

        Args:
            groupings: the labels, each from 0 to `num_labels - 1`.

        Returns:
            What `weights_summary` takes in their stead.

        Raises:
            ValueError: if there is not one label for each datum.
        """
        count, known, columns = concrete(self.count), concrete(groupings), groupings.shape[-1]
        if columns > self.num_slots or (count is not None and columns != count):
            raise ValueError(
                f"`groupings` needs shape (g, {'n' if count is None else count}), a label for each datum. "
                f"Got {groupings.shape}. Do stack the labelings along the first axis."
            )
        if known is not None and count is not None:
            return Labelings(self._in_blocks(known.astype(np.int32)))
        message = f"`groupings` needs a label for each datum. Got {columns} columns, and another number of data."
        checked = eqx.error_if(jnp.asarray(groupings, jnp.int32), self.count != columns, message)
        return Labelings(self._in_blocks(checked))

    def _checked(self, index: Int[ArrayLike, ""]) -> Int[Array, ""]:
        """The index of a datum, as 32-bit integer; ValueError if there are no others, or it is known to be none."""
        if self.num_slots == 1:
            raise ValueError("`index` needs other data to compare with. Got a single datum. Do leave it out.")
        index = jnp.asarray(index, jnp.int32)
        known, count = concrete(index), concrete(self.count)
        if known is not None and not 0 <= known < (self.num_slots if count is None else count):
            end = "n" if count is None else count
            raise ValueError(f"`index` needs a datum within [0, {end}). Got {known}. Do count from 0.")
        return index

    def _centred(self, y: Data, variance: Scalar, name: str = "y") -> tuple[Data, Scalar]:
        """An observation in the frame of the data, and its variance; ValueError if it is none of theirs."""
        y, variance = observation(self.dim, y, variance, name)
        return y - self.offset, variance

    def _log_norm(self, variance: Scalar) -> Scalar:
        """Logarithm of what the sum over data is divided by in the density."""
        log_count = jnp.log(self.count.astype(jnp.result_type(variance)))
        return log_count + 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)

    @abc.abstractmethod
    def _in_blocks(self, values: Int[Array | np.ndarray, "*g n"]) -> Int[Array, "..."]:
        """A number for each datum, or several, in the places of the data; 0 for the padding."""

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
        labelings: Int[Array, "..."] | None,
        with_mean: bool,
        with_labels: bool,
    ) -> Summed:
        """The sums that a summary is made of."""


def by_block(slots: Int[np.ndarray, " m"], length: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The blocks of so many data that some slots lie in: the block, which of the slots, and where in it they are."""
    blocks, within = np.divmod(slots, length)
    order = np.argsort(blocks, kind="stable")
    for chosen in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
        if len(chosen):
            yield int(blocks[chosen[0]]), chosen, within[chosen]


def padded(values: Int[Array | np.ndarray, "*g n"], count: int) -> Int[Array | np.ndarray, "*g m"]:
    """As many numbers along the last axis, zeros added; NumPy stays so, and nothing is compiled for its shape."""
    missing = [(0, 0)] * (values.ndim - 1) + [(0, count - values.shape[-1])]
    return jnp.pad(values, missing) if isinstance(values, jax.Array) else np.pad(values, missing)
