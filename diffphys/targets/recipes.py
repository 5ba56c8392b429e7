"""Mixtures by what they are made of: any means, two opposite ones, a tree."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._types import PRNGKey
from ._arrays import Values, concrete, floating, positive_log_weights, require_variances
from .mixture import IsotropicMixture, SharedCovarianceMixture


def mixture(
    means: Values, *, covariance: Values = 1.0, weights: Values | None = None
) -> IsotropicMixture | SharedCovarianceMixture:
    r"""The mixture of Gaussians with these means, of the class that fits its covariance.

    Args:
        means: means, of shape (k, d).
        covariance: one variance for all (scalar), one for each component (k,), one for each coordinate (d,),
            or one matrix for all (d, d).
        weights: positive weights, of shape (k,); they are normalised. Equal by default.

    Returns:
        An `IsotropicMixture` for a scalar or (k,), else a `SharedCovarianceMixture`.

    Raises:
        ValueError: if a shape does not fit or fits in two ways, or a weight is not positive.
    """
    means = floating(means)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(
            f"`means` needs shape (k, d), k and d >= 1. Got {means.shape}. Do stack those of the components."
        )
    count, dim = means.shape
    log_weights = positive_log_weights(weights, count, means.dtype)
    shape = np.shape(covariance)
    if shape == (count,) and count == dim:
        raise ValueError(
            f"`covariance` needs a shape that says what it is. Got ({count},) for {count} means of "
            f"dimension {dim}. Do call `IsotropicMixture` for one variance a component, "
            "`SharedCovarianceMixture` for one a coordinate."
        )
    if shape in ((), (count,)):
        variances = jnp.broadcast_to(floating(covariance, means.dtype), (count,))
        require_variances("covariance", variances)
        return IsotropicMixture(log_weights, means, variances)
    return SharedCovarianceMixture(log_weights, means, covariance)


def deltas(points: Values, weights: Values | None = None) -> IsotropicMixture:
    r"""Points, each a label: the mixture $p_0 = \sum_k w_k\, \delta(a - a_k)$.

    The symmetry of two of them at $\pm r$ breaks at the noise variance $r^2$, of four at $\pm r$ on two axes at
    $r^2 / 2$. For many data use `Empirical`, which streams them.

    Args:
        points: the points, of shape (k, d).
        weights: positive weights, of shape (k,); they are normalised. Equal by default.

    Returns:
        The mixture, of zero variance.

    Raises:
        ValueError: if a shape does not fit, or a weight is not positive.
    """
    points = floating(points)
    if points.ndim != 2:
        raise ValueError(f"`points` needs shape (k, d). Got {points.shape}. Do stack the points.")
    return IsotropicMixture(
        positive_log_weights(weights, len(points), points.dtype), points, jnp.zeros_like(points[:, 0])
    )


def symmetric_mixture(mean: Values, variance: Values = 1.0, weight: Values = 0.5) -> IsotropicMixture:
    r"""Two opposite classes, $w\, \mathcal{N}(m, s^2 I) + (1 - w)\, \mathcal{N}(-m, s^2 I)$.

    The centred covariance has the eigenvalue $s^2 + 4 w (1 - w) |m|^2$ along $m$ and $s^2$ elsewhere.

    Args:
        mean: half the difference of the means, of shape (d,).
        variance: the variance of each class in every direction; zero makes them two points.
        weight: the weight of the class at `+mean`, label 0; within (0, 1).

    Returns:
        The mixture.

    Raises:
        ValueError: if `mean` is no vector, or `weight` is not within (0, 1), or `variance` is negative.
    """
    mean = floating(mean)
    if mean.ndim != 1:
        raise ValueError(f"`mean` needs shape (d,). Got {mean.shape}. Do pass one vector.")
    weight = floating(weight, mean.dtype)
    known = concrete(weight)
    if known is not None and not 0 < known < 1:
        raise ValueError(f"`weight` needs a number within (0, 1). Got {known:g}. Do use `Gaussian` for one class.")
    variances = jnp.broadcast_to(floating(variance, mean.dtype), (2,))
    return IsotropicMixture(jnp.stack([jnp.log(weight), jnp.log1p(-weight)]), jnp.stack([mean, -mean]), variances)


def hierarchical_mixture(
    key: PRNGKey,
    dim: int,
    branching: tuple[int, ...],
    separations: tuple[float, ...],
    variance: Values = 1.0,
) -> IsotropicMixture:
    r"""Classes within classes: a tree of means, the leaves its equally weighted components.

    A node at level $j = 1, 2, ..$ lies at distance $r_j$ (`separations[j - 1]`) from its parent, and the
    $b_j$ children of one parent are the corners of a regular simplex about it ($\pm u$ when $b_j = 2$);
    simplices of different parents lie in orthogonal subspaces, drawn at random. So, with $N_j = b_1 \cdots
    b_{j-1}$ parents at level $j$, the centred covariance of the mixture has the outlier eigenvalues

    $$ \Lambda_j = s^2 + \frac{r_j^2}{N_j\, (b_j - 1)} \quad \text{with multiplicity } N_j\, (b_j - 1), $$

    for $b = 2$ at every level $\Lambda_j = s^2 + r_j^2 / 2^{j-1}$, $2^{j-1}$ times; all others are $s^2$.

    Args:
        key: the key of the random directions.
        dim: the dimension `d`, at least the number of leaves less one.
        branching: the number of children of each node, level by level from the root; each at least 2.
        separations: the distance of a node from its parent, level by level; positive.
        variance: the variance $s^2$ of each leaf in every direction.

    Returns:
        The mixture, with `hierarchy` filled: the ancestor of each leaf at each level.

    Raises:
        ValueError: if the lengths differ, a node has one child, a separation is not positive, or `dim` is too
            small for the tree.
    """
    _check_tree(dim, branching, separations)
    leaves = int(np.prod(branching))
    gaussian = np.asarray(jr.normal(key, (dim, leaves - 1), jnp.float32), np.float64)
    directions = np.linalg.qr(gaussian)[0].T
    means, levels, used = np.zeros((1, dim)), [], 0
    for children, separation in zip(branching, separations, strict=True):
        simplex = separation * _simplex(children)
        frames = directions[used : used + len(means) * (children - 1)].reshape(len(means), children - 1, dim)
        means = (means[:, None] + np.einsum("cs,psd->pcd", simplex, frames)).reshape(-1, dim)
        levels.append(np.repeat(np.arange(len(means)), leaves // len(means)))
        used += frames.shape[0] * frames.shape[1]
    variances = jnp.broadcast_to(floating(variance, floating(0.0).dtype), (leaves,))
    hierarchy = tuple(tuple(level.tolist()) for level in levels)
    return IsotropicMixture(jnp.zeros((leaves,), float), jnp.asarray(means, float), variances, hierarchy)


def _simplex(corners: int) -> np.ndarray:
    """Corners of a regular simplex at unit distance from its centre."""
    centred = np.eye(corners) - 1 / corners
    # The left singular vectors of the centring matrix, but the last, span the plane of the simplex.
    plane = np.linalg.svd(centred)[0][:, : corners - 1]
    return plane * np.sqrt(corners / (corners - 1))


def _check_tree(dim: int, branching: tuple[int, ...], separations: tuple[float, ...]) -> None:
    """Raises ValueError if there is no such tree in `dim` dimensions."""
    if len(branching) == 0 or len(branching) != len(separations):
        raise ValueError(
            f"`separations` needs one distance for each level of `branching`. Got {len(separations)} for "
            f"{len(branching)} levels. Do pass as many, at least one."
        )
    if min(branching) < 2:
        raise ValueError(f"`branching` needs at least 2 children. Got {branching}. Do leave out that level.")
    if not all(np.isfinite(r) and r > 0 for r in separations):
        raise ValueError(f"`separations` needs positive distances. Got {separations}. Do leave out that level.")
    least = int(np.prod(branching)) - 1
    if dim < least:
        raise ValueError(
            f"`dim` needs one orthogonal direction for each of {least} contrasts. Got {dim}. "
            "Do raise it or prune `branching`."
        )
