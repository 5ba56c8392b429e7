"""Mixtures of any targets."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, positive_log_weights
from .base import AbstractLabelledTarget, AbstractTarget

_PRECISION = jax.lax.Precision.HIGHEST


class TargetMixture(AbstractLabelledTarget):
    r"""The mixture $p_0 = \sum_k w_k\, p_k$ of any targets of one dimension; the label is the component.

    Smooth and singular parts mix, at every noise above zero. Weights come from differences of log-evidences, and so
    are known to the rounding of the latter.

    Attributes:
        parts: the components.
        log_weights: the log-weights; they need not be normalised.
    """

    parts: tuple[AbstractTarget, ...]
    log_weights: Float[Array, " k"]

    def __init__(self, parts: tuple[AbstractTarget, ...], log_weights: Float[Array, " k"]):
        self.parts = parts
        self.log_weights = log_weights

    @property
    def dim(self) -> int:
        return self.parts[0].dim

    @property
    def num_labels(self) -> int:
        return len(self.parts)

    @property
    def label_weights(self) -> Float[Array, " k"]:
        return jax.nn.softmax(self.log_weights)

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        check_key(key)
        label_key, *part_keys = jr.split(key, self.num_labels + 1)
        label = jr.categorical(label_key, self.log_weights)
        # All are drawn: in a batch a branch would draw them all too.
        return jnp.stack([part.sample(key) for part, key in zip(self.parts, part_keys, strict=True)])[label], label

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        return jax.nn.logsumexp(self._log_joint(y, variance))

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        posterior = jax.nn.softmax(self._log_joint(y, variance))
        means = jnp.stack([part.posterior_mean(y, variance) for part in self.parts])
        return jnp.matmul(posterior, means, precision=_PRECISION)

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        posterior = jax.nn.softmax(self._log_joint(y, variance))
        means = jnp.stack([part.posterior_mean(y, variance) for part in self.parts])
        within = jnp.stack([part.posterior_covariance(y, variance) for part in self.parts])
        centred = means - jnp.matmul(posterior, means, precision=_PRECISION)[None]
        between = jnp.matmul((posterior[:, None] * centred).T, centred, precision=_PRECISION)
        return jnp.einsum("k,kij->ij", posterior, within, precision=_PRECISION) + between

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        return jax.nn.log_softmax(self._log_joint(y, variance))

    def _log_joint(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        evidences = jnp.stack([part.log_evidence(y, variance) for part in self.parts])
        return jax.nn.log_softmax(self.log_weights) + evidences


def mixture_of(targets: Sequence[AbstractTarget], weights: Values | None = None) -> TargetMixture:
    """The mixture of any targets of one dimension, labelled by them.

    Args:
        targets: the components, at least one.
        weights: positive weights, one for each; they are normalised. Equal by default.

    Returns:
        The mixture.

    Raises:
        ValueError: if there is no target, their dimensions differ, or the weights do not fit or are not positive.
    """
    dims = {target.dim for target in targets}
    if len(dims) != 1:
        raise ValueError(
            f"`mixture_of` needs targets of one dimension. Got {sorted(dims)}. Do use `embedded` to make them equal."
        )
    log_weights = positive_log_weights(weights, len(targets), None)
    return TargetMixture(tuple(targets), log_weights)
