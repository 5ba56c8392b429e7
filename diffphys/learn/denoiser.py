"""A trained network as a denoiser."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from .. import _block as block
from .._types import Data, PRNGKey, Scalar
from ..targets._arrays import observation
from .preconditioning import GaussianPreconditioning


class NetworkDenoiser(eqx.Module):
    r"""The denoiser `(y, v) -> estimate` that a preconditioned network makes.

    It is a pytree: its arrays are the weights. The network computes in float32 (or as it is configured) whatever the
    dtype of `y`, which the estimate has.

    Args:
        graph: the definition of a flax network, of `flax.nnx.split`.
        weights: its parameters.
        preconditioning: what the network's output is added to.
        shape: of a sample: the network's view of the flat `y`.
        label: of the class that is denoised; None for all.

    Raises:
        ValueError: if a sample of `shape` has not as many numbers as the preconditioning.
    """

    graph: Any
    weights: Any
    preconditioning: GaussianPreconditioning
    shape: tuple[int, ...] = eqx.field(static=True)
    label: Int[Array, ""] | int | None = None

    def __check_init__(self):
        if math.prod(self.shape) != self.preconditioning.dim:
            raise ValueError(
                f"`NetworkDenoiser` needs a `shape` of {self.preconditioning.dim} numbers, as its preconditioning has. "
                f"Got {self.shape}."
            )

    @classmethod
    def of(cls, network: nnx.Module, preconditioning: GaussianPreconditioning, shape: tuple[int, ...]) -> Any:
        """That of a flax network as it stands."""
        graph, weights = nnx.split(network)
        return cls(graph, weights, preconditioning, tuple(shape))

    def with_weights(self, leaves: Sequence[Array]) -> "NetworkDenoiser":
        """The denoiser with other parameters, the leaves of `weights`."""
        weights = jax.tree.unflatten(jax.tree.structure(self.weights), leaves)
        return NetworkDenoiser(self.graph, weights, self.preconditioning, self.shape, self.label)

    def given(self, label: Int[Array, ""] | int) -> "NetworkDenoiser":
        """The denoiser of one class, of a network that was trained with labels.

        Raises:
            ValueError: if the network was trained without labels, or has no such label.
        """
        if not self.num_labels:
            raise ValueError(
                "`NetworkDenoiser.given` needs a network trained with labels. Got one of `num_labels` = 0. "
                "Train it with `num_labels` in its configuration."
            )
        number = label if isinstance(label, jax.Array) else np.asarray(label)
        if number.shape or not jnp.issubdtype(number.dtype, jnp.integer):
            raise ValueError(f"`NetworkDenoiser.given` needs one whole number. Got {label}. Map over many.")
        if block.fails((number >= 0) & (number < self.num_labels)):
            raise ValueError(
                f"`NetworkDenoiser.given` needs a label below `num_labels` = {self.num_labels}. Got {label}."
            )
        return NetworkDenoiser(self.graph, self.weights, self.preconditioning, self.shape, label)

    def conditional(self, y: Data, variance: Scalar, label: Int[Array, ""] | int) -> Data:
        """The estimate of the clean sample, given its label: what `experiments.switch` takes."""
        return self.given(label)(y, variance)

    @property
    def num_labels(self) -> int:
        """Classes the network can be conditioned on."""
        network: Any = nnx.merge(self.graph, self.weights)
        return network.condition.num_labels

    def __call__(self, y: Data, variance: Scalar, *, key: PRNGKey | None = None) -> Data:
        """The estimate of the clean sample; with a `key`, features are dropped, as in training.

        Raises:
            ValueError: if `y` is not one flat sample, or a known `variance` is not positive.
        """
        y, variance = observation(self.preconditioning.dim, y, variance)
        # The linear part in the dtype of y: in float64 only the network is of float32.
        linear = self.preconditioning.linear(y, variance)
        small, level = variance.astype(jnp.float32), 0.25 * jnp.log(variance).astype(jnp.float32)
        inputs = self.preconditioning.inputs(y.astype(jnp.float32), linear.astype(jnp.float32), small)
        network: Any = nnx.merge(self.graph, self.weights)
        output = network(inputs.reshape(*self.shape, -1), level, self.label, key=key)
        return linear + (self.preconditioning.output_scale(small) * output.reshape(-1)).astype(y.dtype)
