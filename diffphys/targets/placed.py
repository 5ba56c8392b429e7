"""Images of targets under maps that keep angles: scaled, shifted, embedded."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, concrete, floating, observation, require_finite
from .base import AbstractLabelledTarget, AbstractTarget, Hierarchy

_PRECISION = jax.lax.Precision.HIGHEST


class Placement(eqx.Module):
    r"""A map that keeps angles, $a = o + f B b$, from a space into one at least as large.

    A noisy observation of `a` is one of `b` at the variance $v / f^2$, and one of nothing across the image of `B`.

    Attributes:
        offset: `o`, where the origin goes.
        factor: `f`, the scale; not zero.
        basis: `B`, orthonormal columns; None for the identity.
    """

    offset: Float[Array, " d"]
    factor: Float[Array, ""]
    basis: Float[Array, "d e"] | None

    def __call__(self, inner: Float[Array, " e"]) -> Data:
        """The image of a point."""
        turned = inner if self.basis is None else jnp.matmul(self.basis, inner, precision=_PRECISION)
        return self.offset + self.factor * turned

    def observe(self, y: Data, variance: Scalar) -> tuple[Float[Array, " e"], Scalar]:
        """The observation of the inner point, and its variance."""
        y, variance = observation(self.offset.size, y, variance)
        relative = y - self.offset
        inner = relative if self.basis is None else jnp.matmul(relative, self.basis, precision=_PRECISION)
        return inner / self.factor, variance / self.factor**2

    def log_base_measure(self, y: Data, variance: Scalar) -> Scalar:
        """What the log-evidence of the inner observation lacks: the unit of length, and the noise across."""
        y, variance = observation(self.offset.size, y, variance)
        inner_dim = y.size if self.basis is None else self.basis.shape[1]
        log_density = -inner_dim * jnp.log(jnp.abs(self.factor))
        if self.basis is None:
            return log_density
        across = y - self(self.observe(y, variance)[0])
        noise = jnp.sum(across**2) / variance + (y.size - inner_dim) * jnp.log(2 * jnp.pi * variance)
        return log_density - 0.5 * noise

    def covariance(self, inner: Float[Array, "e e"]) -> Float[Array, "d d"]:
        """The covariance of the image."""
        if self.basis is not None:
            inner = jnp.matmul(self.basis, jnp.matmul(inner, self.basis.T, precision=_PRECISION), precision=_PRECISION)
        return self.factor**2 * inner


class AbstractPlaced(AbstractTarget):
    """The image of a target.

    Attributes:
        target: the target.
        placement: the map.
    """

    target: eqx.AbstractVar[AbstractTarget]
    placement: eqx.AbstractVar[Placement]

    @property
    def dim(self) -> int:
        return self.placement.offset.size

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        inner = self.target.log_evidence(*self.placement.observe(y, variance))
        return inner + self.placement.log_base_measure(y, variance)

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        return self.placement(self.target.posterior_mean(*self.placement.observe(y, variance)))

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        return self.placement.covariance(self.target.posterior_covariance(*self.placement.observe(y, variance)))


class Placed(AbstractPlaced):
    """The image of a target; made by `scaled`, `shifted` and `embedded`."""

    target: AbstractTarget
    placement: Placement

    def __init__(self, target: AbstractTarget, placement: Placement):
        self.target = target
        self.placement = placement

    def sample(self, key: PRNGKey) -> Data:
        return self.placement(self.target.sample(key))


class LabelledPlaced(AbstractPlaced, AbstractLabelledTarget):
    """The image of a labelled target, with its labels; made by `scaled`, `shifted` and `embedded`."""

    target: AbstractLabelledTarget
    placement: Placement

    def __init__(self, target: AbstractLabelledTarget, placement: Placement):
        self.target = target
        self.placement = placement

    @property
    def num_labels(self) -> int:
        return self.target.num_labels

    @property
    def label_weights(self) -> Float[Array, " k"]:
        return self.target.label_weights

    @property
    def hierarchy(self) -> Hierarchy:
        return self.target.hierarchy

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        inner, label = self.target.sample_labelled(key)
        return self.placement(inner), label

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        return self.target.label_log_posterior(*self.placement.observe(y, variance))


def scaled(target: AbstractTarget, factor: Values) -> Placed | LabelledPlaced:
    """The law of `factor` times a draw; with the labels of the target, if it has some.

    Args:
        target: the target.
        factor: the scale, not zero.

    Returns:
        The image.

    Raises:
        ValueError: if the factor is zero or not finite.
    """
    factor = floating(factor)
    known = concrete(factor)
    if known is not None and not (known.shape == () and known != 0 and np.isfinite(known)):
        raise ValueError(f"`factor` needs one finite number, not zero. Got {known}. Do use `deltas` for a point.")
    return _placed(target, Placement(jnp.zeros((target.dim,), factor.dtype), factor, None))


def shifted(target: AbstractTarget, offset: Values) -> Placed | LabelledPlaced:
    """The law of a draw plus `offset`; with the labels of the target, if it has some.

    Args:
        target: the target.
        offset: the shift, of shape (d,).

    Returns:
        The image.

    Raises:
        ValueError: if the shape is another, or a value is not finite.
    """
    offset = floating(offset)
    if offset.shape != (target.dim,):
        raise ValueError(f"`offset` needs shape ({target.dim},). Got {offset.shape}. Do match the target.")
    require_finite("offset", offset)
    return _placed(target, Placement(offset, jnp.ones((), offset.dtype), None))


def embedded(target: AbstractTarget, basis: Values) -> Placed | LabelledPlaced:
    """The law of a draw laid into a larger space: exactly zero across the columns of `basis`.

    `embedded(target, np.eye(d)[:, :k])` appends zeros to the coordinates.

    Args:
        target: the target, of dimension `k`.
        basis: orthonormal columns, of shape (d, k).

    Returns:
        The image, of dimension `d`, with the labels of the target, if it has some.

    Raises:
        ValueError: if the shape is another, or the columns are not orthonormal.
    """
    basis = floating(basis)
    if basis.ndim != 2 or basis.shape[1] != target.dim:
        raise ValueError(f"`basis` needs shape (d, {target.dim}). Got {basis.shape}. Do give a column a coordinate.")
    known = concrete(basis)
    if known is not None:
        columns = known.astype(np.float64)
        error = np.max(np.abs(columns.T @ columns - np.eye(target.dim)))
        # The rounding of an orthonormal basis in float32.
        if not error <= 1e-5:
            raise ValueError(
                f"`basis` needs orthonormal columns. Got products that are off by {error:.2g}. "
                "Do use the `Q` of `numpy.linalg.qr`."
            )
    return _placed(target, Placement(jnp.zeros((len(basis),), basis.dtype), jnp.ones((), basis.dtype), basis))


def _placed(target: AbstractTarget, placement: Placement) -> Placed | LabelledPlaced:
    if isinstance(target, AbstractLabelledTarget):
        return LabelledPlaced(target, placement)
    return Placed(target, placement)
