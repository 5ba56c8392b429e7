"""What the error of a denoiser costs: the relative entropy of two reverse diffusions, resolved in noise."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from scipy.linalg import block_diag

from .._devices import over_items
from .._keys import check_root
from .._quadrature import gauss_legendre
from .._types import Denoiser, PRNGKey
from ..results import dataset
from ..targets import AbstractTarget, is_divided
from ._assemble import Variables, check_count, seed_of
from ._checks import check_denoiser_of
from ._chunks import ChunkedProgram, Runner
from ._statistics import mean_and_stderr

# From the data up, by the number of edges: two of them leave a regime II between.
_REGIMES = {1: ("III", "I"), 2: ("III", "II", "I")}


def path_divergence(
    target: AbstractTarget,
    denoise: Denoiser,
    *,
    key: PRNGKey,
    low: float,
    high: float,
    edges: Sequence[float] = (),
    nodes: int = 48,
    samples: int = 1024,
    chunk: int | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Relative entropy of the paths of the exact reverse diffusion and of one with another denoiser.

    $$ \mathrm{KL}_{path} = \tfrac12 \int_{v_{low}}^{v_{high}} E\,|\hat a(y, v) - \hat a_\theta(y, v)|^2 \frac{dv}{v^2},
       \qquad y = a + \sqrt v\, \varepsilon, $$

    for both started from the exact law at the noise `high`: by Girsanov's theorem, in nats, for any process. It bounds
    the relative entropy of what is generated at `low`, and by Pinsker its total variation, $\sqrt{\mathrm{KL} / 2}$. If
    the other denoiser is exact for another law Q it is no bound but an equality,
    `KL(P_low | Q_low) - KL(P_high | Q_high)`.

    Given the noises of collapse and of speciation, the integral is split at these: what the denoiser gets wrong where
    single data are told apart (III, below the collapse), where classes are (II) and where nothing is (I, above the
    speciation).

    Args:
        target: the exact law; for a data set, `Empirical`, the divergence is that from its memorisation.
        denoise: the other denoiser, `(y, v) -> estimate`.
        key: a typed key.
        low: least noise variance, > 0, in the units of the data squared.
        high: largest noise variance.
        edges: noise variances between `low` and `high`, increasing: v_C and v_S, or one where there is no regime II.
        nodes: Gauss-Legendre nodes in log v, in each regime.
        samples: draws of the data, each with one noise at all levels.
        chunk: samples a compiled call; chosen by default.
        progress: whether to show a bar; by default on a terminal.

    Returns:
        A dataset on `variance` (the nodes): `gap`, the mean square difference, its `gap_stderr`, and `integrand`, the
        relative entropy a unit of log v. With edges, on `regime` from the data up, with its ends `regime_low` and
        `regime_high`: `path_kl_regime`, which sums to `path_kl`, and its stderr. Attributes: `path_kl`,
        `path_kl_stderr`, and `total_variation_bound`.

    Raises:
        ValueError: unless 0 < low < high, for edges that are not between them, for more than two, for a raw key, too
            few samples, a denoiser of other data, or a chunk that does not fit.
        FloatingPointError: for an estimate that is not finite.
    """
    check_root(key)
    check_count("nodes", nodes, 2)
    check_count("samples", samples, 2)
    if not 0 < low < high < np.inf:
        raise ValueError(f"`path_divergence` needs 0 < `low` < `high`. Got {low} and {high}. Give two noise variances.")
    check_denoiser_of(target, denoise)
    levels, weights = _quadrature(np.array([low, *_checked_edges(edges, low, high), high]), nodes)
    arguments = target, denoise, key, jnp.asarray(levels)
    program = ChunkedProgram(_gaps, arguments, items=samples, elements=2 * target.dim, chunk=chunk)
    found = Runner(chunk=chunk, progress=progress).rows("path divergence", program, {}, unit="sample")
    gaps = found["gap"].astype(np.float64)
    parts = 0.5 * gaps @ (weights / levels[:, None])
    mean, stderr = mean_and_stderr(gaps)
    total, error = mean_and_stderr(parts.sum(1))
    variables: Variables = {
        "gap": ("variance", mean), "gap_stderr": ("variance", stderr), "integrand": ("variance", 0.5 * mean / levels),
    }  # fmt: skip
    coords: Variables = {"variance": ("variance", levels)}
    if len(edges):
        regime, regime_error = mean_and_stderr(parts)
        variables |= {"path_kl_regime": ("regime", regime), "path_kl_regime_stderr": ("regime", regime_error)}
        coords["regime"] = ("regime", np.array(_REGIMES[len(edges)]))
        coords["regime_low"], coords["regime_high"] = ("regime", [low, *edges]), ("regime", [*edges, high])
    parameters = {
        "low": low, "high": high, "edges": list(edges), "nodes": nodes, "samples": samples,
        "target": type(target).__name__,
    }  # fmt: skip
    ds = dataset(variables, coords, experiment="path-divergence", seed=seed_of(key), parameters=parameters)
    return ds.assign_attrs(
        path_kl=float(total), path_kl_stderr=float(error), chunk=program.chunk,
        total_variation_bound=float(np.minimum(1.0, np.sqrt(total / 2))),
    )  # fmt: skip


def _checked_edges(edges: Sequence[float], low: float, high: float) -> Sequence[float]:
    if len(edges) > 2 or not np.all(np.diff([low, *edges, high]) > 0):
        raise ValueError(
            f"`edges` needs at most two noise variances, increasing, between {low} and {high}. Got {list(edges)}. "
            "Leave out those beyond, and the lower of two in the wrong order: there is no regime II."
        )
    return edges


def _quadrature(knots: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The levels of all regimes, and their weights in log v: a column a regime."""
    rules = [gauss_legendre(*ends, points=nodes) for ends in itertools.pairwise(np.log(knots))]
    levels = np.exp(np.concatenate([logs for logs, _ in rules]))
    return levels, np.asarray(block_diag(*(weights[:, None] for _, weights in rules)))


@eqx.filter_jit
def _gaps(
    target: AbstractTarget, denoise: Denoiser, key: PRNGKey, levels: Float[Array, " levels"], first: Array, chunk: int
) -> dict[str, Float[Array, "chunk levels"]]:
    """The square difference of two denoisers of samples `first ... first + chunk - 1` at every level."""

    def one(i):
        data_key, noise_key = jr.split(jr.fold_in(key, i))
        clean = target.sample(data_key)
        noise = jr.normal(noise_key, clean.shape, clean.dtype)

        def at(variance):
            y = clean + jnp.sqrt(variance) * noise
            return jnp.sum((denoise(y, variance) - target.posterior_mean(y, variance)) ** 2)

        # Level by level: what is held at once is one estimate a sample.
        return jax.lax.map(at, jnp.asarray(levels, clean.dtype))

    return {"gap": over_items(jax.vmap(one), first, chunk, together=is_divided((target, denoise)))}
