"""The excess entropy of a data set by two estimators, to the same error, in the same run.

Both are means over forward samples, and each time has as many as it needs, but no fewer than the pilot that tells how
many. The other estimator, and the bare entropy, are timed on some samples at every time, and their time is that of a
sample at a time, as many times as are needed. `dp.collapse` runs as a user runs it, to the end.

Ours is the entropy of the posterior weights; the other is the raw log-density, alpha + 1/2 + 1/2 log(2 pi Delta) +
log P / d, whose noise is 1 / sqrt(2d) a sample.

Reference:
    Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), eq. 5.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

import diffphys as dp
from diffphys.experiments._accuracy import PILOT
from diffphys.experiments._theory import channel_variances

from .._harness import Entrant, Goal, Race, Report, calls, race, ratio

TIMES = np.linspace(8, 0.552, 20)
# The standard error to reach, of f_e / alpha at every time.
ERROR = 0.003
_WEIGHTS, _THEIRS = "entropy of the weights", "raw log-density"
_COLLAPSE = f"dp.collapse(stderr={ERROR})"


def measure(quick: bool, repeats: int) -> Report:
    n, dims = (500, (32,)) if quick else (20_000, (256, 1024, 4096))
    races = [_dimension(n, dim, 64 if quick else 2**18 // (dim + 256), repeats) for dim in dims]
    goals = [
        Goal(f"{found.setting}, {own.name}: time over that of the {_THEIRS}", ratio(own, found[_THEIRS]), bound)
        for found, bound in zip(races, (1 / 250, 1 / 500, 1 / 1000), strict=False)
        for own in found.ours
    ]
    return Report(races, goals)


def _dimension(n: int, dim: int, samples: int, repeats: int) -> Race:
    law, process = dp.symmetric_mixture(np.ones(dim, np.float32)), dp.OrnsteinUhlenbeck()
    points, labels = jax.jit(jax.vmap(law.sample_labelled))(jr.split(jr.key(0), n))
    data = dp.Empirical(points, np.asarray(labels))
    index_key, noise_key = jr.split(jr.key(1))
    clean = points[jr.randint(index_key, (samples,), 0, n)]
    noise = jr.normal(noise_key, clean.shape, clean.dtype)
    variances = channel_variances(process, TIMES)
    channel = variances.astype(np.float32)

    def collapse(i: int) -> Any:
        return dp.collapse(data, process, TIMES, key=jr.key(i + 2), stderr=ERROR, law=law, progress=False)

    def to_error(values: Any) -> float:
        """How many samples at a time are needed, over how many there are."""
        return float(_needed(values).sum() / values.size)

    needed: dict[str, Any] = {"scale": to_error, "note": _counted}
    entrants = [
        Entrant(_COLLAPSE, "ours", collapse, note=_reached),
        calls(_WEIGHTS, "ours", weights_entropy, lambda _: (data, clean, noise, channel), **needed),
        calls(_THEIRS, "peer", raw_log_density, lambda _: (points, clean, noise, channel), **needed),
        calls("product of samples and data", "limit", _products, lambda _: (points, clean, noise, channel),
              note=f"{samples} samples at {len(TIMES)} times"),
    ]  # fmt: skip
    return race(f"n = {n}, d = {dim}", entrants, repeats)


def _needed(values: Any) -> Float[np.ndarray, " t"]:
    """How many samples each time needs, from those that were measured."""
    return np.maximum(np.var(np.asarray(values, np.float64), axis=0, ddof=1) / ERROR**2, PILOT)


def _counted(values: Any) -> str:
    needed = _needed(values)
    return (
        f"{needed.sum():.3g} samples at a time in all, {needed.min():.3g} to {needed.max():.3g} of them at each; "
        f"{needed.max() * needed.size:.3g} if all times had as many; {values.size} measured"
    )


def _reached(ds: Any) -> str:
    return (
        f"{int(ds.samples.sum())} samples at a time in all, {int(ds.samples.min())} to {int(ds.samples.max())} of "
        f"them at each; errors up to {float(ds.excess_entropy_stderr.max()):.2g}"
    )


@eqx.filter_jit
def weights_entropy(
    data: dp.Empirical,
    clean: Float[Array, "s d"],
    noise: Float[Array, "s d"],
    variances: Float[Any, " t"],
) -> Float[Array, "s t"]:
    """`f_e / alpha` of each sample at each channel variance: `H(w) / log n`."""

    def at(variance):
        ys = clean + jnp.sqrt(variance) * noise
        return jax.vmap(lambda y: data.weights_summary(y, variance).entropy)(ys)

    return jax.lax.map(at, jnp.asarray(variances)).T / jnp.log(data.count.astype(clean.dtype))


@jax.jit
def raw_log_density(
    points: Float[Array, "n d"],
    clean: Float[Array, "s d"],
    noise: Float[Array, "s d"],
    variances: Float[Any, " t"],
) -> Float[Array, "s t"]:
    """`f_e / alpha` of each sample by the log-density of `x = e^{-t} y` under all the data, textbook form."""
    n, d = points.shape
    norms = jnp.sum(points**2, axis=1)[None]

    def at(variance):
        ys = clean + jnp.sqrt(variance) * noise
        products = jnp.matmul(ys, points.T, precision=jax.lax.Precision.HIGHEST)
        distances = jnp.sum(ys**2, axis=1)[:, None] - 2 * products + norms
        # With x = e^{-t} y, |x - e^{-t} a|^2 / Delta is |y - a|^2 / v; log(2 pi Delta) / 2 cancels.
        log_sum = jax.nn.logsumexp(-distances / (2 * variance), axis=1)
        return (0.5 * d + log_sum) / math.log(n)

    return jax.lax.map(at, jnp.asarray(variances)).T


@jax.jit
def _products(points, clean, noise, variances):
    def at(variance):
        ys = clean + jnp.sqrt(variance) * noise
        return jnp.sum(jnp.matmul(ys, points.T, precision=jax.lax.Precision.HIGHEST), axis=1)

    return jax.lax.map(at, variances)
