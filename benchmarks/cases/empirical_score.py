"""The posterior mean of a data set, beside the matrix products it cannot do without; and pruned, at small noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

import diffphys as dp

from .._harness import Entrant, Goal, Race, Report, calls, race, ratio
from .._real_data import mnist

_OURS = "Empirical.posterior_mean"
_HIGHEST = jax.lax.Precision.HIGHEST
# The noise of late and of early times: at the second one, near data are told apart by direct differences.
_VARIANCES = (1.0, 0.01)
# Times of the pruned mean on images in [0, 1], from where a handful of data is enough to where nothing is gained.
_TIMES = (1e-3, 5e-3, 0.015, 0.05, 0.3)


def measure(quick: bool, repeats: int) -> Report:
    n, dim, batch = (2000, 64, 32) if quick else (60_000, 1024, 1024)
    points_key, y_key, weight_key = jr.split(jr.key(0), 3)
    points = jr.normal(points_key, (n, dim), np.float32)
    target = dp.Empirical(points)
    weights = jr.normal(weight_key, (batch, n), np.float32)
    races, goals = [], []
    for variance in _VARIANCES:
        ys = points[:batch] + np.float32(variance**0.5) * jr.normal(y_key, (batch, dim), np.float32)
        setting = f"n = {n}, d = {dim}, batch {batch}, v = {variance:g}"
        entrants = _entrants(target, points, weights, ys, np.float32(variance))
        found = race(setting, entrants, repeats, work=4.0 * batch * n * dim, unit="flop")
        races.append(found)
        memory = found[_OURS].memory
        assert memory is not None
        goals += [
            Goal(
                f"v = {variance:g}: time over that of the two products",
                ratio(found[_OURS], found["two products"]),
                1.11,
            ),
            Goal(f"v = {variance:g}: extra memory in MiB", memory / 2**20, 1024),
        ]
    races += _pruned(quick, repeats)
    return Report(races, goals)


def _pruned(quick: bool, repeats: int) -> list[Race]:
    """The pruned posterior mean of MNIST beside the whole one, at several times."""
    n, batch = (2000, 32) if quick else (60_000, 256)
    files = mnist()
    if files is None:
        absent = Entrant("PrunedPosteriorMean", "ours", None, note="no MNIST: set DIFFPHYS_DATA")
        return [race("pruned mean of MNIST", [absent], 0)]
    points = dp.load(files[0], labels=files[1]).points[:n]
    data = dp.Empirical(points)
    pruned = dp.PrunedPosteriorMean(data)
    noise = jr.normal(jr.key(1), (batch, data.dim), np.float32)
    return [_at(time, data, pruned, points[:batch], noise, repeats) for time in (_TIMES[::4] if quick else _TIMES)]


def _at(time: float, data: dp.Empirical, pruned: dp.PrunedPosteriorMean, clean, noise, repeats: int) -> Race:
    """Both at one time."""
    variance = np.float32(np.expm1(2 * time))
    ys = clean + variance**0.5 * noise
    short = jnp.mean(_certified(pruned, ys, variance).error > pruned.tolerance)
    note = f"{100 * float(short):.1f} % of observations need all data; the batch falls back if one does"
    entrants = [
        calls("PrunedPosteriorMean", "ours", _denoised, lambda _: (pruned, ys, variance), note=note),
        calls(_OURS, "ours", _denoised, lambda _: (data.posterior_mean, ys, variance)),
    ]
    return race(f"MNIST, n = {data.num_points}, batch {len(ys)}, t = {time:g}", entrants, repeats)


@eqx.filter_jit
def _denoised(denoise, ys, variance):
    return jax.vmap(denoise, (0, None))(ys, variance)


@eqx.filter_jit
def _certified(pruned, ys, variance):
    return jax.vmap(pruned.certificate, (0, None))(ys, variance)


@eqx.filter_jit
def score(target, ys, variance):
    return jax.vmap(target.posterior_mean, (0, None))(ys, variance)


@jax.jit
def textbook(points: Float[Array, "n d"], ys: Float[Array, "b d"], variance: Float[Array, ""]) -> Float[Array, "b d"]:
    """Softmax of all squared distances, as papers write it."""
    products = jnp.matmul(ys, points.T, precision=_HIGHEST)
    distances = jnp.sum(ys**2, axis=1)[:, None] - 2 * products + jnp.sum(points**2, axis=1)[None]
    return jnp.matmul(jax.nn.softmax(-distances / (2 * variance), axis=1), points, precision=_HIGHEST)


@jax.jit
def products(points, ys, weights):
    return jnp.matmul(ys, points.T, precision=_HIGHEST), jnp.matmul(weights, points, precision=_HIGHEST)


def _entrants(target, points, weights, ys, variance) -> list[Entrant]:
    return [
        calls(_OURS, "ours", score, lambda _: (target, ys, variance)),
        calls("textbook softmax", "peer", textbook, lambda _: (points, ys, variance)),
        calls("two products", "limit", products, lambda _: (points, ys, weights), note="Y A' and W A"),
    ]
