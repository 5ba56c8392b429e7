"""What the error of a denoiser costs: the relative entropy of two reverse diffusions, resolved in noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._types import Denoiser, PRNGKey
from ..results import dataset
from ..samplers.base import check_key
from ..targets import AbstractTarget
from ._assemble import check_count, seed_of


def path_divergence(
    target: AbstractTarget,
    denoise: Denoiser,
    *,
    key: PRNGKey,
    low: float,
    high: float,
    nodes: int = 48,
    samples: int = 1024,
) -> xr.Dataset:
    r"""Relative entropy of the paths of the exact reverse diffusion and of one with another denoiser.

    $$ \mathrm{KL}_{path} = \tfrac12 \int_{v_{low}}^{v_{high}} E\,|\hat a(y, v) - \hat a_\theta(y, v)|^2 \frac{dv}{v^2},
       \qquad y = a + \sqrt v\, \varepsilon, $$

    for both started from the exact law at the noise `high`: by Girsanov's theorem, in nats, for any process. It bounds
    the relative entropy of what is generated at `low`, and by Pinsker its total variation, $\sqrt{\mathrm{KL} / 2}$. If
    the other denoiser is exact for another law Q it is no bound but an equality,
    `KL(P_low | Q_low) - KL(P_high | Q_high)`.

    Args:
        target: the exact law.
        denoise: the other denoiser, `(y, v) -> estimate`.
        key: a typed key.
        low: least noise variance, > 0, in the units of the data squared.
        high: largest noise variance.
        nodes: Gauss-Legendre nodes in log v.
        samples: draws of the data, each with one noise at all levels.

    Returns:
        A dataset on `variance` (the nodes): `gap`, the mean square difference, its `gap_stderr`, and `integrand`, the
        relative entropy a unit of log v. Attributes: `path_kl`, `path_kl_stderr`, and `total_variation_bound`.

    Raises:
        ValueError: unless 0 < low < high, or for a raw key or too few samples.
    """
    check_key(key)
    check_count("nodes", nodes, 2)
    check_count("samples", samples, 2)
    if not 0 < low < high < np.inf:
        raise ValueError(f"`path_divergence` needs 0 < `low` < `high`. Got {low} and {high}. Give two noise variances.")
    places, weights = np.polynomial.legendre.leggauss(nodes)
    half = 0.5 * np.log(high / low)
    levels, weights = low * np.exp(half * (places + 1)), half * weights
    gaps = np.asarray(_gaps(target, denoise, jr.split(key, samples), jnp.asarray(levels)), np.float64)
    per_sample = 0.5 * gaps @ (weights / levels)
    mean, stderr = gaps.mean(0), gaps.std(0, ddof=1) / np.sqrt(samples)
    total = float(per_sample.mean())
    variables = {
        "gap": ("variance", mean), "gap_stderr": ("variance", stderr), "integrand": ("variance", 0.5 * mean / levels),
    }  # fmt: skip
    parameters = {"low": low, "high": high, "nodes": nodes, "samples": samples, "target": type(target).__name__}
    ds = dataset(
        variables, {"variance": levels}, experiment="path-divergence", seed=seed_of(key), parameters=parameters
    )
    return ds.assign_attrs(
        path_kl=total, path_kl_stderr=float(per_sample.std(ddof=1) / np.sqrt(samples)),
        total_variation_bound=float(np.minimum(1.0, np.sqrt(total / 2))),
    )  # fmt: skip


@eqx.filter_jit
def _gaps(
    target: AbstractTarget, denoise: Denoiser, keys: Array, levels: Float[Array, " levels"]
) -> Float[Array, "samples levels"]:
    """The square difference of two denoisers of every sample at every level."""

    def one(key):
        data_key, noise_key = jr.split(key)
        clean = target.sample(data_key)
        noise = jr.normal(noise_key, clean.shape, clean.dtype)

        def at(variance):
            y = clean + jnp.sqrt(variance) * noise
            return jnp.sum((denoise(y, variance) - target.posterior_mean(y, variance)) ** 2)

        # Level by level: what is held at once is one estimate a sample.
        return jax.lax.map(at, jnp.asarray(levels, clean.dtype))

    return jax.vmap(one)(keys)
