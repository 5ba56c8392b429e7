"""Mixtures of Gaussians, labelled by their components."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, floating, observation, require_finite, require_variances
from ._spectrum import dense, from_basis, spectrum, to_basis
from .base import AbstractLabelledTarget, Hierarchy

_PRECISION = jax.lax.Precision.HIGHEST


class AbstractMixture(AbstractLabelledTarget):
    r"""A mixture $p_0 = \sum_k w_k\, \mathcal{N}(m_k, C_k)$; the label is the component.

    Attributes:
        log_weights: the log-weights; they need not be normalised.
        means: the means of the components.
    """

    log_weights: eqx.AbstractVar[Float[Array, " k"]]
    means: eqx.AbstractVar[Float[Array, "k d"]]

    @abc.abstractmethod
    def _log_joint(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        """Log-probability of each label and `y`, up to a term common to the labels."""

    @property
    def dim(self) -> int:
        return self.means.shape[-1]

    @property
    def num_labels(self) -> int:
        return self.means.shape[0]

    @property
    def label_weights(self) -> Float[Array, " k"]:
        return jax.nn.softmax(self.log_weights)

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        return jax.nn.log_softmax(self._log_joint(*observation(self.dim, y, variance)))


class IsotropicMixture(AbstractMixture):
    r"""The mixture $p_0 = \sum_k w_k\, \mathcal{N}(m_k, s_k^2 I)$, in time and memory $O(kd)$.

    With $\Gamma_k = s_k^2 + v$ and $p_k = P(k \mid y)$,

    $$ E[a \mid y] = \sum_k p_k \frac{v\, m_k + s_k^2\, y}{\Gamma_k} . $$

    Attributes:
        log_weights: the log-weights; they need not be normalised.
        means: the means of the components.
        variances: the variance of each component, in every direction; zero makes it a point.
        hierarchy: see `AbstractLabelledTarget`.
    """

    log_weights: Float[Array, " k"]
    means: Float[Array, "k d"]
    variances: Float[Array, " k"]
    hierarchy: Hierarchy = eqx.field(static=True, default=())

    def __init__(self, log_weights: Values, means: Values, variances: Values, hierarchy: Hierarchy = ()):
        """Builds the mixture.

        Args:
            log_weights: log-weights, of shape (k,).
            means: means, of shape (k, d).
            variances: variances, of shape (k,).
            hierarchy: for each level, coarse to fine, the node index of each component.

        Raises:
            ValueError: if a shape does not fit, or a value is not finite, or a variance is negative, or
                `hierarchy` is no tree.
        """
        self.means = floating(means)
        self.log_weights = floating(log_weights, self.means.dtype)
        self.variances = floating(variances, self.means.dtype)
        self.hierarchy = hierarchy
        _check_components(self.log_weights, self.means, hierarchy)
        if self.variances.shape != (self.num_labels,):
            raise ValueError(
                f"`variances` needs shape ({self.num_labels},), one for each component. "
                f"Got {self.variances.shape}. Do repeat a common variance."
            )
        require_variances("variances", self.variances)

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        check_key(key)
        label_key, noise_key = jr.split(key)
        label = jr.categorical(label_key, self.log_weights)
        noise = jr.normal(noise_key, (self.dim,), self.means.dtype)
        return self.means[label] + jnp.sqrt(self.variances[label]) * noise, label

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        y, variance = observation(self.dim, y, variance)
        total = self.variances[0] + variance
        common = -0.5 * (self._spread(y) / total + self.dim * jnp.log(2 * jnp.pi * total))
        return jax.nn.logsumexp(self._log_joint(y, variance)) + common

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        y, variance = observation(self.dim, y, variance)
        posterior = jax.nn.softmax(self._log_joint(y, variance)) / (self.variances + variance)
        pull = _combine(posterior * variance, self.means)
        return pull + jnp.sum(posterior * self.variances) * y

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        y, variance = observation(self.dim, y, variance)
        posterior = jax.nn.softmax(self._log_joint(y, variance))
        total = (self.variances + variance)[:, None]
        centres = (variance * self.means + self.variances[:, None] * y[None]) / total
        within = jnp.sum(posterior * self.variances * variance / total[:, 0])
        return within * jnp.eye(self.dim, dtype=y.dtype) + _covariance(posterior, centres)

    def _log_joint(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        """Relative to component 0, so that the terms in |y|^2 and in d cancel exactly at equal variances.

        Distances are taken from the centre of the means: a common translation costs no digits there.
        """
        total = self.variances + variance
        centre = jnp.mean(self.means, axis=0)
        arms = self.means - centre[None]
        # (y - centre) . arm, written so that no copy of y is made.
        projection = jnp.matmul(y, arms.T, precision=_PRECISION)
        shift = jnp.sum(arms * (centre[None] + 0.5 * arms), axis=-1)
        # 1 / total - 1 / total[0]: the difference of the variances alone is exact.
        excess = (self.variances[0] - self.variances) / (total * total[0])
        differ = jnp.any(self.variances != self.variances[0])
        width = _stretch(y, centre, excess, differ) + 0.5 * self.dim * jnp.log(total / total[0])
        return jax.nn.log_softmax(self.log_weights) + (projection - shift) / total - width

    def _spread(self, y: Data) -> Scalar:
        """Squared distance to the centre of the means."""
        return jnp.sum((y - jnp.mean(self.means, axis=0)) ** 2)


class SharedCovarianceMixture(AbstractMixture):
    r"""The mixture $p_0 = \sum_k w_k\, \mathcal{N}(m_k, C)$, in time $O(kd)$ along the eigenvectors of $C$.

    $$ E[a \mid y] = (C + v)^{-1} \Big(C y + v \sum_k P(k \mid y)\, m_k\Big) $$

    Attributes:
        log_weights: the log-weights; they need not be normalised.
        means: the means of the components.
        eigenvalues: the variances along the eigenvectors of the covariance.
        basis: the eigenvectors, in columns; None when the covariance is diagonal.
        hierarchy: see `AbstractLabelledTarget`.
    """

    log_weights: Float[Array, " k"]
    means: Float[Array, "k d"]
    eigenvalues: Float[Array, " d"]
    basis: Float[Array, "d d"] | None
    hierarchy: Hierarchy = eqx.field(static=True, default=())

    def __init__(self, log_weights: Values, means: Values, covariance: Values, hierarchy: Hierarchy = ()):
        """Builds the mixture; a full covariance is diagonalised on the host, in float64.

        Args:
            log_weights: log-weights, of shape (k,).
            means: means, of shape (k, d).
            covariance: a variance (scalar), variances (d,), or a symmetric matrix (d, d), which may be
                singular.
            hierarchy: for each level, coarse to fine, the node index of each component.

        Raises:
            ValueError: if a shape does not fit, or a value is not finite, or `covariance` is no covariance,
                or `hierarchy` is no tree.
        """
        self.means = floating(means)
        self.log_weights = floating(log_weights, self.means.dtype)
        self.hierarchy = hierarchy
        _check_components(self.log_weights, self.means, hierarchy)
        self.eigenvalues, self.basis = spectrum(covariance, self.dim, self.means.dtype)

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        check_key(key)
        label_key, noise_key = jr.split(key)
        label = jr.categorical(label_key, self.log_weights)
        noise = jr.normal(noise_key, (self.dim,), self.means.dtype)
        return self.means[label] + from_basis(self.basis, jnp.sqrt(self.eigenvalues) * noise), label

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        y, variance = observation(self.dim, y, variance)
        total = self.eigenvalues + variance
        along = to_basis(self.basis, y - jnp.mean(self.means, axis=0))
        common = -0.5 * jnp.sum(along**2 / total + jnp.log(2 * jnp.pi * total))
        return jax.nn.logsumexp(self._log_joint(y, variance)) + common

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        y, variance = observation(self.dim, y, variance)
        posterior = jax.nn.softmax(self._log_joint(y, variance))
        centre = _combine(posterior, self.means)
        shrink = self.eigenvalues / (self.eigenvalues + variance)
        return centre + from_basis(self.basis, shrink * to_basis(self.basis, y - centre))

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        y, variance = observation(self.dim, y, variance)
        posterior = jax.nn.softmax(self._log_joint(y, variance))
        keep = variance / (self.eigenvalues + variance)
        centres = from_basis(self.basis, keep[None] * to_basis(self.basis, self.means))
        return dense(self.basis, keep * self.eigenvalues) + _covariance(posterior, centres)

    def _log_joint(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        """The term quadratic in `y` is common to the components and left out."""
        centre = jnp.mean(self.means, axis=0)
        arms = self.means - centre[None]
        # The precision acts on the means, which a batch of observations shares.
        along = to_basis(self.basis, arms) / (self.eigenvalues + variance)[None]
        pull = from_basis(self.basis, along)
        shift = jnp.sum(pull * (centre[None] + 0.5 * arms), axis=-1)
        projection = jnp.matmul(y, pull.T, precision=_PRECISION)
        return jax.nn.log_softmax(self.log_weights) + projection - shift


def _combine(weights: Float[Array, " k"], points: Float[Array, "k d"]) -> Data:
    """Sum of weighted points."""
    if len(points) <= 4:
        # A sum of few fuses with what is done to it next: a third less time in a batch on a CPU.
        return jnp.sum(weights[:, None] * points, axis=0)
    return jnp.matmul(weights, points, precision=_PRECISION)


@jax.custom_jvp
def _stretch(y: Data, centre: Data, excess: Float[Array, " k"], differ: Bool[Array, ""]) -> Float[Array, " k"]:
    """Half the squared distance to the centre, times `excess`; not summed where these are all zero.

    That sum would be most of the time of a mixture of few components with one variance.
    """
    return jax.lax.cond(differ, _stretch_always, lambda y, _, excess: jnp.zeros_like(excess), y, centre, excess)


def _stretch_always(y: Data, centre: Data, excess: Float[Array, " k"]) -> Float[Array, " k"]:
    return 0.5 * jnp.sum((y - centre) ** 2) * excess


@_stretch.defjvp
def _stretch_jvp(primals, tangents):
    # Variances that are equal may still be told apart by a derivative.
    return _stretch(*primals), jax.jvp(_stretch_always, primals[:3], tangents[:3])[1]


def _covariance(weights: Float[Array, " k"], points: Float[Array, "k d"]) -> Float[Array, "d d"]:
    """Covariance of weighted points."""
    centred = points - _combine(weights, points)[None]
    return jnp.matmul((weights[:, None] * centred).T, centred, precision=_PRECISION)


def _check_components(log_weights: Array, means: Array, hierarchy: Hierarchy) -> None:
    """Raises ValueError if the weights, the means or the tree do not make a mixture."""
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(
            f"`means` needs shape (k, d), k and d >= 1. Got {means.shape}. Do stack those of the components."
        )
    count = means.shape[0]
    if log_weights.shape != (count,):
        raise ValueError(
            f"`log_weights` needs shape ({count},), one for each of the means. Got {log_weights.shape}. "
            "Do pass one for each."
        )
    require_finite("means", means)
    require_finite("log_weights", log_weights)
    coarser = np.zeros(count, int)
    for level, nodes in enumerate(hierarchy):
        nodes = np.asarray(nodes)
        if nodes.shape != (count,) or set(nodes.tolist()) != set(range(int(nodes.max(initial=0)) + 1)):
            raise ValueError(
                f"`hierarchy` needs, at each level, a node 0, 1, .. for each of the {count} components. "
                f"Got {tuple(nodes.tolist())} at level {level}. Do number the nodes without a gap."
            )
        if len(set(zip(coarser.tolist(), nodes.tolist(), strict=True))) != nodes.max() + 1:
            raise ValueError(
                f"`hierarchy` needs levels from coarse to fine, each within the one before. "
                f"Got {nodes.max() + 1} nodes at level {level} that cross those above. Do order the levels."
            )
        coarser = nodes
