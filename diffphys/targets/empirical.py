"""The empirical measure of a training set."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, checked_data
from ._blocks import centre_of
from .data_set import AbstractDataSet, by_block, padded
from .moments import covariance, log_partition, moments, overlaps
from .streaming import Cloud
from .weights import Summed, label_sums, weight_sums


class Empirical(AbstractDataSet):
    r"""The empirical measure $p_0 = \frac1n \sum_\mu \delta(a - a_\mu)$: the law of a perfect memoriser.

    Given $y$, the datum $\mu$ has the posterior weight $w_\mu \propto \exp(-|y - a_\mu|^2 / 2v)$. The sums
    over data are streamed in blocks: a batch of `m` observations takes memory `m (block + d)`, and in hundreds of
    dimensions hardly more time than its matrix products. The label is the class of the datum.

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
        count: their number, `n`.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), section on
        collapse.
    """

    cloud: Cloud
    offset: Float[Array, " d"]
    classes: Int[Array, "b s"]
    label_weights: Float[Array, " k"]
    count: Int[Array, ""]
    num_labels: int = eqx.field(static=True)

    def __init__(self, points: Values, labels: Values | None = None, block: int = 1024, slots: int = 1):
        """Centres the data on the host, in float64, and keeps them in their own type.

        Args:
            points: the data, of shape (n, d), float32 or float64. Columns of zeros change no weight: with those, a
                sweep over d runs the compiled programs of the largest.
            labels: the class of each datum, integers 0, 1, .., none of them unused; one class by default.
            block: the largest number of data taken at once.
            slots: the least number of places for data; those that are left empty cost what data cost. Two data or
                more with the places of the largest set of a sweep over n run its compiled programs.

        Raises:
            ValueError: if the data are not floating-point, not finite, or all the same point; if the labels
                do not fit; or if `block` or `slots` is not positive.
        """
        points, labels = checked_data(points, labels, block)
        if slots < 1:
            raise ValueError(f"`slots` needs a positive number of places. Got {slots}. Do leave it out.")
        offset = centre_of(points)
        self.cloud = Cloud.of(points, offset, block, slots)
        self.offset = jnp.asarray(offset)
        self.count = jnp.asarray(len(points), jnp.int32)
        self.classes = self._in_blocks(labels.astype(np.int32))
        counts = np.bincount(labels)
        self.label_weights = jnp.asarray(counts / len(points), offset.dtype)
        self.num_labels = len(counts)

    def rows(self, indices: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m d"]:
        blocks, offset = self.cloud.blocks, np.asarray(self.offset)
        found = np.empty((len(indices), self.dim), blocks.dtype)
        for i, chosen, within in by_block(indices, blocks.shape[1]):
            found[chosen] = np.asarray(blocks[i])[within] + offset[None]
        return found

    @property
    def labels(self) -> Int[Array, " n"]:
        return jax.device_put(np.asarray(self.classes).reshape(-1)[: self.num_points])

    @property
    def num_slots(self) -> int:
        return self.classes.size

    def label_of(self, index: Int[Array, ""]) -> Int[Array, ""]:
        length = self.classes.shape[1]
        return self.classes[index // length, index % length]

    def subset(self, kept: Int[np.ndarray, " m"]) -> "Empirical":
        labels = np.unique(np.asarray(self.labels)[kept], return_inverse=True)[1]
        number, length = self.cloud.half_norms.shape
        # In one block empty places cost less than a program of its own would.
        places = {"block": length, "slots": length} if number == 1 else {}
        return Empirical(self.rows(kept), labels, **places)

    def sample_indexed(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        check_key(key)
        index = jr.randint(key, (), 0, self.count, jnp.int32)
        return self.cloud.point(index) + self.offset, index

    def _in_blocks(self, values: Int[Array | np.ndarray, "*g n"]) -> Int[Array, "b *g s"]:
        shape = self.cloud.half_norms.shape
        blocks = padded(values, self.cloud.half_norms.size).reshape(*values.shape[:-1], *shape)
        return jnp.asarray(blocks.swapaxes(0, -2))

    def _log_partition(self, y: Data, variance: Scalar) -> Scalar:
        return log_partition(self.cloud, y, variance)

    def _mean(self, y: Data, variance: Scalar) -> Data:
        return moments(self.cloud, y, variance).mean

    def _covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        return covariance(self.cloud, y, variance)

    def _label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        log_sums, _ = label_sums(self.cloud, self.classes, self.num_labels, y, variance)
        return jax.nn.log_softmax(log_sums.value())

    def _overlap(self, y: Data, other: Data, variance: Scalar) -> Scalar:
        return overlaps(self.cloud, y, other, variance).value()

    def _weight_sums(self, y, variance, index, labelings, with_mean, with_labels) -> Summed:
        return weight_sums(
            self.cloud, self.classes, self.num_labels, y, variance, index=index,
            labelings=labelings, with_mean=with_mean, with_labels=with_labels,
        )  # fmt: skip
