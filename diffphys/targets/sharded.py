"""The empirical measure of a training set that lies on several devices, of several processes too."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from .._devices import from_owners, of_all_processes, to_host
from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, checked_data
from ._blocks import centre_of, radius_of
from ._parts import AXIS, SPEC, checked_mesh, checked_parts, digest_of, holders, in_parts, placed, require_same
from .data_set import AbstractDataSet, by_block, padded
from .empirical import Empirical
from .moments import Overlaps, covariance, log_partition, moments, overlaps
from .streaming import Cloud, LogSum
from .weights import Summed, label_sums, weight_sums

Found = TypeVar("Found")


class ShardedEmpirical(AbstractDataSet):
    r"""The empirical measure of a data set divided over devices: the law of `Empirical`, for data too large for one.

    A data set in parts is a mixture of theirs: with $Z_s$ the partition function of part $s$ and $w_{\mu|s}$ the
    weights within it,

    $$ Z = \sum_s Z_s, \qquad w_\mu = \frac{Z_s}{Z}\, w_{\mu|s}, $$

    so that each device streams over its own part, and only sums the size of an observation travel, and labels. Datum
    $\mu$ is in part $\mu$ modulo their number: parts differ by at most one datum. All is as in `Empirical` up to
    rounding, and hangs on how many devices share the parts by the rounding of their matrix products alone.

    The arrays are placed, and `jax.jit` does the rest: pass the data set as an argument, do not close over it.

    Of several processes (`jax.distributed.initialize`) each makes the same data set, from the same file; it reads the
    file in parts, and keeps those of its own devices. What is asked of the data set, `rows` and `labels` included, all
    processes are to ask together: they exchange what they have. If one is lost, `rows`, `labels` and experiments raise
    ConnectionError.

    Attributes:
        blocks: the data, centred, in blocks; their second axis is the part.
        half_norms: half their squared norms, inf for the padding.
        classes: the class of each datum.
        radius: the largest norm of the centred data.
        offset: the mean that was subtracted.
        label_weights: the fraction of the data in each class.
        digest: what tells the data and their labels from others.
        mesh: the devices.
        num_labels: the number of classes.
        count: their number, `n`.
    """

    blocks: Float[Array, "b p s d"]
    half_norms: Float[Array, "b p s"]
    classes: Int[Array, "b p s"]
    radius: Float[Array, ""]
    offset: Float[Array, " d"]
    label_weights: Float[Array, " k"]
    count: Int[Array, ""]
    digest: Int[Array, "2"]
    mesh: Mesh = eqx.field(static=True)
    num_labels: int = eqx.field(static=True)

    def __init__(
        self,
        points: Values,
        labels: Values | None = None,
        *,
        mesh: Mesh | None = None,
        parts: int | None = None,
        block: int = 1024,
    ):
        """Centres the data on the host, in float64, part by part, and places each part on its device.

        Args:
            points: the data, (n, d), float32 or float64; one in a file, `np.load(.., mmap_mode="r")`, is read in parts.
            labels: the class of each datum, integers 0, 1, .., none of them unused; one class by default.
            mesh: devices with an axis "data" to divide the data over; all devices in a row by default.
            parts: the number of parts, a multiple of the devices along that axis; by default one for each.
            block: the largest number of data of a part taken at once.

        Raises:
            ValueError: as `Empirical`; if the mesh has no automatic axis "data"; or if the number of parts is above
                that of the data, or no multiple of the devices; or if processes were given different data.
            ConnectionError: if a process was lost.
        """
        points, labels = checked_data(points, labels, block)
        self.mesh = checked_mesh(mesh)
        parts = checked_parts(parts, self.mesh.shape[AXIS], len(points))
        offset = centre_of(points)
        digest = digest_of(points, labels, offset)
        require_same(digest, number=len(points), dimension=len(offset), parts=parts, block=block)
        self.blocks, half_norms = placed(points, offset, parts, block, self.mesh)
        self.radius = jnp.asarray(of_all_processes(radius_of(half_norms)).max(), offset.dtype)
        self.half_norms = in_parts(half_norms.astype(offset.dtype), self.mesh)
        self.offset, self.count = jnp.asarray(offset), jnp.asarray(len(points), jnp.int32)
        self.classes = self._in_blocks(labels.astype(np.int32))
        counts = np.bincount(labels)
        self.label_weights = jnp.asarray(counts / len(points), offset.dtype)
        self.num_labels = len(counts)
        self.digest = jnp.asarray(digest)

    @property
    def num_parts(self) -> int:
        """The number of parts."""
        return self.half_norms.shape[1]

    def rows(self, indices: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m d"]:
        found, offset = np.empty((len(indices), self.dim), self.blocks.dtype), np.asarray(self.offset)
        slots, parts = np.divmod(indices, self.num_parts)
        devices = holders(self.blocks)
        # One device's part after another: none has room for all.
        for shard in self.blocks.addressable_shards:
            for i, part in enumerate(range(self.num_parts)[shard.index[1]]):
                if devices[part] != shard.device:
                    continue
                own = np.flatnonzero(parts == part)
                for block, chosen, within in by_block(slots[own], self.blocks.shape[2]):
                    found[own[chosen]] = np.asarray(shard.data[block, i])[within] + offset[None]
        return from_owners(found, np.array([device.process_index for device in devices])[parts])

    @property
    def labels(self) -> Int[Array, " n"]:
        return jax.device_put(np.moveaxis(to_host(self.classes), 1, 2).reshape(-1)[: self.num_points])

    @property
    def num_slots(self) -> int:
        return self.classes.size

    def label_of(self, index: Int[Array, ""]) -> Int[Array, ""]:
        def candidate(_, part: Int[Array, ""], index: Int[Array, ""], classes: Int[Array, "b s"]) -> Int[Array, ""]:
            slot, length = index // self.num_parts, classes.shape[1]
            return jnp.where(index % self.num_parts == part, classes[slot // length, slot % length], 0)

        offers = self._of_parts(candidate, index.astype(jnp.int32), divided=(self.classes,))
        return jnp.sum(offers, dtype=jnp.int32)

    def subset(self, kept: Int[np.ndarray, " m"]) -> AbstractDataSet:
        labels = np.unique(np.asarray(self.labels)[kept], return_inverse=True)[1]
        if len(kept) < self.num_parts:
            return Empirical(self.rows(kept), labels)
        return ShardedEmpirical(
            self.rows(kept), labels, mesh=self.mesh, parts=self.num_parts, block=self.half_norms.shape[2]
        )

    def sample_indexed(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        check_key(key)
        index = jr.randint(key, (), 0, self.count, jnp.int32)

        def candidate(cloud: Cloud, part: Int[Array, ""], index: Int[Array, ""]) -> Data:
            return jnp.where(index % self.num_parts == part, cloud.point(index // self.num_parts), 0)

        # Every part offers a datum, and all but one of them 0: a look-up across devices would gather the data.
        return jnp.sum(self._of_parts(candidate, index), axis=0) + self.offset, index

    def _of_parts(self, function: Callable[..., Found], *same: Any, divided: tuple[Array, ...] = ()) -> Found:
        """`function(cloud, part, *same, *divided)` of each part along the first axis, each on the device of its data.

        Left to the compiler, a search for the nearest data would gather their products from all devices.
        """

        def local(blocks, half_norms, parts, radius, same, divided):
            def one(blocks, half_norms, part, *divided):
                return function(Cloud(blocks, half_norms, radius), part, *same, *divided)

            return jax.vmap(one, (1, 1, 0, *(1 for _ in divided)))(blocks, half_norms, parts, *divided)

        alike, split = PartitionSpec(), PartitionSpec(AXIS)
        mapped: Any = jax.shard_map(
            local, mesh=self.mesh, in_specs=(SPEC, SPEC, split, alike, alike, SPEC), out_specs=split,
            axis_names={AXIS}, check_vma=False,
        )  # fmt: skip
        _refuse_share(jax.sharding.get_abstract_mesh())
        parts = jnp.arange(self.num_parts, dtype=jnp.int32)
        return mapped(self.blocks, self.half_norms, parts, self.radius, same, divided)

    def _in_blocks(self, values: Int[Array | np.ndarray, "*g n"]) -> Int[Array, "b p *g s"]:
        number, parts, length = self.half_norms.shape
        rest = values.shape[:-1]
        blocks, first = padded(values, self.half_norms.size).reshape(*rest, number, length, parts), len(rest)
        return in_parts(blocks.transpose(first, first + 2, *range(first), first + 1), self.mesh)

    def _log_partition(self, y: Data, variance: Scalar) -> Scalar:
        return jax.nn.logsumexp(self._of_parts(lambda cloud, _, *at: log_partition(cloud, *at), y, variance))

    def _mean(self, y: Data, variance: Scalar) -> Data:
        found = self._of_parts(lambda cloud, _, *at: moments(cloud, *at), y, variance)
        return jnp.sum(jax.nn.softmax(found.log_sum)[:, None] * found.mean, axis=0)

    def _covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        def one(cloud, _, y, variance):
            found = moments(cloud, y, variance)
            return found.log_sum, found.mean, covariance(cloud, y, variance)

        log_sums, means, within = self._of_parts(one, y, variance)
        shares = jax.nn.softmax(log_sums)
        between = means - jnp.sum(shares[:, None] * means, axis=0)[None]
        spread = jnp.sum((shares[:, None] * between)[:, :, None] * between[:, None, :], axis=0)
        return spread + jnp.sum(shares[:, None, None] * within, axis=0)

    def _label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        def one(cloud, _, y, variance, classes):
            return label_sums(cloud, classes, self.num_labels, y, variance)

        log_sums, anchors = self._of_parts(one, y, variance, divided=(self.classes,))
        shifted = jax.vmap(LogSum.shift)(log_sums, anchors - jax.lax.stop_gradient(jnp.max(anchors)))
        return jax.nn.log_softmax(shifted.merged().value())

    def _overlap(self, y: Data, other: Data, variance: Scalar) -> Scalar:
        found: Overlaps = self._of_parts(lambda cloud, _, *at: overlaps(cloud, *at), y, other, variance)
        return found.merged().value()

    def _weight_sums(self, y, variance, index, labelings, with_mean, with_labels) -> Summed:
        parts = self.num_parts

        def one(cloud, part, y, variance, index, classes, labelings=None):
            own: Any = None if index is None else jnp.where(index % parts == part, index // parts, -1)
            found = weight_sums(
                cloud, classes, self.num_labels, y, variance, index=own, labelings=labelings,
                with_mean=with_mean, with_labels=with_labels,
            )  # fmt: skip
            return found._replace(sums=found.sums._replace(argmax=parts * found.sums.argmax + part))

        divided = (self.classes,) if labelings is None else (self.classes, labelings)
        found = self._of_parts(one, y, variance, index, divided=divided)
        return found.merged()


def is_divided(tree: Any) -> bool:
    """Whether any part of a tree, such as the denoiser of a sampler, is a data set divided over devices."""
    return any(_is_parted(node) for node in jax.tree.leaves(tree, is_leaf=_is_parted))


def without_places(tree: Any) -> Any:
    """A tree with what tells them from others in the place of data sets that are divided over devices."""
    return jax.tree.map(lambda node: node.digest if _is_parted(node) else node, tree, is_leaf=_is_parted)


def _is_parted(node: Any) -> bool:
    return isinstance(node, ShardedEmpirical)


def _refuse_share(context: Any) -> None:
    """Refuses to be asked within a device's own share of other work, where the devices of all data are out of reach."""
    if AxisType.Manual in context.axis_types and AXIS not in context.axis_names:
        raise ValueError(
            "`ShardedEmpirical` needs to be seen by what shares out work. Got asked within a share, as in a denoiser "
            "that closes over it. Do pass its method, `data.posterior_mean`, or an `equinox.Module` that holds it."
        )
