"""The Frechet distance of generated samples from data: that of two Gaussians, in any features."""

import functools
from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import thermo
from .._types import Data
from ._normal_law import Points

Features: TypeAlias = Callable[[Data], Float[Array, " f"]]
"""Of one sample, (d,) to (f,)."""

# Samples whose features are taken at once.
_CHUNK = 256


def frechet_distance(features: Features | None, reference: Points) -> Callable[[Float[np.ndarray, "m d"]], float]:
    r"""The squared Frechet distance of samples from a reference, as a function of the samples.

    $$ |\mu - \mu_r|^2 + \mathrm{tr}\big(C + C_r - 2 (C C_r)^{1/2}\big), $$

    mean and covariance being those of the features, on the host in float64. With the pool features of an Inception
    network this is FID. With m samples it is biased upward, by an amount that falls as 1 / m: compare equal numbers.

    Args:
        features: what is compared of a sample; None for the samples themselves.
        reference: data, (n, d), of more rows than one.

    Returns:
        `distance(samples)` of samples of shape (m, d).

    Raises:
        ValueError: for a reference of one row, or whose features are not finite. `distance` raises it for samples that
            are so, or that have another dimension than the reference.

    Reference:
        Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs trained by a two time-scale update rule converge to
        a local Nash equilibrium" (2017), eq. 6.
    """
    mean, covariance = _moments(features, reference)
    # What it is known by in a journal: its arguments are told, the variables of a closure are not.
    return functools.partial(_distance, features, mean, covariance, np.shape(reference)[1])


def _distance(
    features: Features | None,
    mean: Float[np.ndarray, " f"],
    covariance: Float[np.ndarray, "f f"],
    dim: int,
    samples: Float[np.ndarray, "m d"],
) -> float:
    """That of samples from a reference of these moments."""
    if np.shape(samples)[1:] != (dim,):
        raise ValueError(
            f"`frechet_distance` needs samples of shape (m, {dim}), as the reference has them. Got {np.shape(samples)}."
        )
    own_mean, own = _moments(features, samples)
    return thermo.wasserstein(own, covariance, own_mean - mean)


def _moments(features: Features | None, points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the features of points."""
    found = np.asarray(points if features is None else _featured(features, jnp.asarray(points)), np.float64)
    if found.ndim != 2 or len(found) < 2 or not np.isfinite(found).all():
        raise ValueError(
            f"`frechet_distance` needs two samples or more with finite features, (m, f). Got shape {found.shape}. "
            "Look for samples that diverged."
        )
    return found.mean(0), np.atleast_2d(np.cov(found.T))


@eqx.filter_jit
def _featured(features: Features, points: Float[Array, "m d"]) -> Float[Array, "m f"]:
    return jnp.asarray(jax.lax.map(features, points, batch_size=_CHUNK))
