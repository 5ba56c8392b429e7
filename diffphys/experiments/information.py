"""What a denoiser knows of the data: information by I-MMSE, the collapse time it implies, what is learned by heart.

The information that noisy observations carry is an integral of mean square errors, and those of any denoiser are
measured on points: so the collapse of a population has a bound that needs neither its density nor its weights.
"""

import itertools
import pathlib
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._devices import over_items
from .._quadrature import gauss_legendre
from .._types import Denoiser, PRNGKey, Times
from ..processes import AbstractProcess
from ..targets import is_divided
from ._assemble import Variables, check_count, check_times, experiment_dataset, runner_for, split_key
from ._checks import check_denoiser_of, checked_points
from ._chunks import ChunkedProgram, Runner
from ._long_names import with_long_names
from ._normal_law import NormalLaw, Points, normal_law
from ._population import population_collapse
from ._statistics import crossing, mean_and_stderr
from ._theory import channel_variances

# Where the tail of the difference to the linear denoiser is cut, in units of the largest eigenvalue.
_REACH = 30.0
# The widest panel of the quadrature, in log v; points whose closed forms are taken at once.
_WIDEST, _ROWS = 1.0, 4096


class _Levels(NamedTuple):
    """A quadrature of integrals from each time's variance up."""

    variances: Float[np.ndarray, " levels"]
    weights: Float[np.ndarray, "levels times"]
    """Of an error at a level in the information at a time: half the width of its panel in log v, over v."""


class _Errors(NamedTuple):
    """Errors of a denoiser at points, noise averaged over the draws."""

    squares: Float[np.ndarray, "n levels"]
    informations: Float[np.ndarray, "n times"]
    noise: Float[np.ndarray, " times"]
    """Standard error of the mean information at fixed points."""


def information(
    denoise: Denoiser,
    data: Points,
    process: AbstractProcess,
    times: Times,
    *,
    key: PRNGKey,
    count: int,
    training: Points | None = None,
    draws: int = 2,
    nodes: int = 4,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Information that a denoiser finds in noisy data, by I-MMSE, and the collapse time of a population by it.

    $$ I(t) = \tfrac12 \int_{v(t)}^\infty \mathrm{mse}(v)\, \frac{dv}{v^2}, \qquad
       \mathrm{mse}(v) = E\,|a - \hat a(a + \sqrt v\,\varepsilon, v)|^2, \qquad d\,f(t) = \log n - I(t) . $$

    For the exact denoiser of the law of the points this is $I(X_0; X_t)$. No denoiser has a smaller error, so for any
    other it is an upper bound on the information, and the time at which f crosses 0 an upper bound on the collapse
    time: for a linear denoiser the spectral one, for a better one below it. On the points of a data set itself
    its exact denoiser finds $\log n - d f_e$.

    The best linear denoiser of the `training` points serves as a control variate: its error on `data`, and the integral
    of that error to infinity, are known in closed form, and only the difference of the two denoisers' errors, on the
    same noise, is measured. Without `training` the linear denoiser is that of `data` itself, which has seen the points
    it is judged on: its own bound, `collapse_time_linear`, is then fair only if there are far more points than
    dimensions. The difference is integrated by Gauss-Legendre rules in log v up to 30 times the largest eigenvalue. The
    attribute `tail`, the difference at this level over twice the level, is the size of what is left out beyond.

    Args:
        denoise: the denoiser, `(y, v) -> estimate`.
        data: points of the population, (n, d), which the denoiser has not seen; not all the same.
        process: the forward process.
        times: times of the process, above 0, in order.
        key: a typed key.
        count: the number n of training data in log n, 2 or more.
        training: points that it has seen: the errors on these are measured with the same noises, as many of them as
            there are in `data`, drawn without repetition as far as they go. The linear denoiser is that of all of them.
        draws: noises a point, 2 or more, the same at all levels.
        nodes: Gauss-Legendre nodes between neighbouring times, or within a unit of log v where these are further apart.
        chunk: points a compiled call.
        checkpoint: a folder for the journals of finished chunks.
        progress: whether to show a bar.

    Returns:
        A dataset on `t`: `information` in nats and `excess_entropy`, $1 - I / \log n = f / \alpha$, with `_stderr`,
        that of the noise at fixed points, and `_stderr_data`, that of the points; `information_linear`, that by the
        linear denoiser, in closed form. On `variance`, the nodes, with `node_time`: `mse` and `integrand`, the
        information a unit of log v, with the stderr of both. With `training` the same under `_training`;
        `generalisation_gap` on `variance`, the difference of the integrands, and on `t` its integral
        `generalisation_gap_integral`, whose stderr holds both errors. Attributes: `collapse_time` with its 95 %
        interval `_low` and `_high`, nan where f does not cross 0 within the times; `collapse_time_linear`;
        `excess_entropy_half_time`, where $f / \alpha$ is one half; `tail`.

    Raises:
        ValueError: for points, times, counts or keys that mean nothing, for a denoiser of other
            data, and for a chunk that does not fit.

    Reference:
        Guo, Shamai, Verdu, "Mutual information and minimum mean-square error in Gaussian channels" (2005), eq. 22;
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), eq. 5, for the collapse.
        The estimator is ours.
    """
    times, points = check_times(times), checked_points("data", data)
    for name, value, least in (("count", count, 2), ("draws", draws, 2), ("nodes", nodes, 1)):
        check_count(name, value, least)
    seen = None if training is None else checked_points("training", training)
    if seen is not None and seen.shape[1] != points.shape[1]:
        raise ValueError(f"`training` needs points of dimension {points.shape[1]}. Got {seen.shape[1]}.")
    check_denoiser_of(points, denoise)
    noise_key, choice_key = split_key(key)
    law, variances = normal_law(points if seen is None else seen), channel_variances(process, times)
    if not len(law.eigenvalues):
        name = "data" if seen is None else "training"
        raise ValueError(f"`{name}` needs points that differ. Got one point many times. Pass those of a population.")
    levels = _quadrature(variances, _REACH * float(law.eigenvalues[0]), nodes)
    runner = runner_for(process, times, key, chunk, checkpoint, progress, denoise=denoise, draws=draws)
    measure = partial(_measure, variances=variances, key=noise_key, draws=draws, runner=runner)
    found = measure("information", denoise, points, law, levels)
    variables = _curves(found, levels, count, "")
    linear = law.mean_integrals(points)
    variables["information_linear"] = ("t", linear(variances))
    attrs: dict[str, Any] = {
        "count": count, "points": len(points), "d": points.shape[1], "draws": draws, "nodes": nodes
    }  # fmt: skip
    if seen is not None:
        rows = np.resize(np.asarray(jr.permutation(choice_key, len(seen))), len(points))
        known = measure("information-training", denoise, seen[rows], law, levels)
        variables |= _curves(known, levels, count, "_training") | _gap(found, known, levels)
        attrs["excess_entropy_half_time_training"] = _half_time(times, known, count)
    top = levels.variances[-1:]
    excess = abs(float(np.mean(found.squares[:, -1:] - law.errors(points, top))))
    attrs["tail"] = 0.5 * excess / float(top[0])
    rate = 0.5 * found.squares.mean(0) / levels.variances
    attrs["excess_entropy_half_time"] = _half_time(times, found, count)
    attrs |= population_collapse(
        process, variances, mean_and_stderr(found.informations), (levels.variances, rate), linear, count
    )
    parameters = {"denoise": denoise, "data": points, "training": seen}
    ds = experiment_dataset("information", process, times, variables, attrs, key, **parameters)
    node_times = [process.time_of_variance(float(v)) for v in levels.variances]
    return with_long_names(ds.assign_coords(variance=levels.variances, node_time=("variance", node_times)))


def _quadrature(variances: np.ndarray, high: float, nodes: int) -> _Levels:
    """Panels between the variances of the times, and above them up to `high`."""
    knots = np.sort(variances)
    knots = np.append(knots, max(high, float(knots[-1])))
    rules = [
        gauss_legendre(low, top, points=nodes, panels=int(np.ceil((top - low) / _WIDEST)))
        for low, top in itertools.pairwise(np.log(knots))
    ]
    logs, widths = map(np.concatenate, zip(*rules, strict=True))
    found = np.exp(logs)
    each = 0.5 * widths / found
    return _Levels(found, np.where(found[:, None] > variances, each[:, None], 0.0))


@eqx.filter_jit
def _differences(
    denoise: Denoiser, points: Array, law: NormalLaw, levels: Array, key: PRNGKey, draws: int, first, chunk: int
) -> dict[str, Array]:
    """The square error of a denoiser less that of the linear one: of each point, draw and level."""

    def one(i):
        # The last chunk is padded.
        clean = points[jnp.minimum(i, len(points) - 1)]

        def draw(j):
            noise = jr.normal(jr.fold_in(jr.fold_in(key, i), j), clean.shape, clean.dtype)

            def at(variance):
                y = clean + jnp.sqrt(variance) * noise
                ours, linear = denoise(y, variance), law.denoise(y, variance)
                # The difference of two squares, as a product.
                return jnp.sum((linear - ours) * (2 * clean - ours - linear))

            # Level by level: what is held at once is one estimate a draw.
            return jax.lax.map(at, levels)

        return jax.vmap(draw)(jnp.arange(draws, dtype=jnp.int32))

    return {"difference": over_items(jax.vmap(one), first, chunk, together=is_divided(denoise))}


def _measure(
    name: str,
    denoise: Denoiser,
    points: np.ndarray,
    law: NormalLaw,
    levels: _Levels,
    *,
    variances: np.ndarray,
    key: PRNGKey,
    draws: int,
    runner: Runner,
) -> _Errors:
    """The errors at all points: what is measured of the difference, and the closed forms."""
    dtype, (count, dim) = points.dtype, points.shape
    program = ChunkedProgram(
        _differences,
        (denoise, jnp.asarray(points), law.placed(dtype), jnp.asarray(levels.variances, dtype), key, draws),
        items=count, elements=draws * dim, chunk=runner.chunk_of(name),
    )  # fmt: skip

    def over_draws(results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = results["difference"].astype(np.float64)
        return {"mean": found.mean(1), "spread": (found @ levels.weights).var(1, ddof=1)}

    config = {"levels": levels.variances, "points": count, "draws": draws}
    found = runner.rows(name, program, config, unit="point", reduce=over_draws)
    mean, spread = found["mean"], found["spread"]
    blocks = [points[first : first + _ROWS] for first in range(0, count, _ROWS)]
    return _Errors(
        squares=np.concatenate([law.errors(block, levels.variances) for block in blocks]) + mean,
        informations=np.concatenate([law.integrals(block, variances) for block in blocks]) + mean @ levels.weights,
        noise=np.sqrt(spread.sum(0) / draws) / count,
    )


def _half_time(times: np.ndarray, found: _Errors, count: int) -> float:
    """Where the excess entropy over alpha is one half."""
    return crossing(times, 1 - found.informations.mean(0) / np.log(count), 0.5, rising=True)


def _curves(found: _Errors, levels: _Levels, count: int, suffix: str) -> Variables:
    (mse, mse_stderr), (mean, total) = mean_and_stderr(found.squares), mean_and_stderr(found.informations)
    spread = np.sqrt(np.maximum(total**2 - found.noise**2, 0.0))
    scale, half = np.log(count), 0.5 / levels.variances
    return {
        f"information{suffix}": ("t", mean),
        f"information{suffix}_stderr": ("t", found.noise),
        f"information{suffix}_stderr_data": ("t", spread),
        f"excess_entropy{suffix}": ("t", 1 - mean / scale),
        f"excess_entropy{suffix}_stderr": ("t", found.noise / scale),
        f"excess_entropy{suffix}_stderr_data": ("t", spread / scale),
        f"mse{suffix}": ("variance", mse),
        f"mse{suffix}_stderr": ("variance", mse_stderr),
        f"integrand{suffix}": ("variance", half * mse),
        f"integrand{suffix}_stderr": ("variance", half * mse_stderr),
    }


def _gap(found: _Errors, known: _Errors, levels: _Levels) -> Variables:
    """Errors on new points less those on points seen, a pair on one noise."""
    gap, stderr = mean_and_stderr((found.squares - known.squares) * 0.5 / levels.variances)
    integral, error = mean_and_stderr(found.informations - known.informations)
    return {
        "generalisation_gap": ("variance", gap), "generalisation_gap_stderr": ("variance", stderr),
        "generalisation_gap_integral": ("t", integral), "generalisation_gap_integral_stderr": ("t", error),
    }  # fmt: skip
