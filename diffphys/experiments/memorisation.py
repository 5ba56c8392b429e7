"""Whether what is generated was copied: nearest training points, and how much nearer than those of new data."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int
from scipy.special import ndtri

from .._types import Data
from ..results import dataset
from ..targets.streaming import Cloud, Nearest
from ._assemble import Variables, check_count
from ._normal_law import Points

_CONFIDENCE = 0.95
# What is kept of a measurement in a curve: everything whose name begins with one of these.
_CURVES = ("fraction", "nearer", "nearest_distance", "ratio")


def memorisation(
    generated: Points,
    training: Points,
    *,
    held_out: Points | None = None,
    threshold: float = 1 / 3,
    block: int = 1024,
    chunk: int = 256,
) -> xr.Dataset:
    r"""Share of generated points that are copies, and whether they lie nearer to the training data than new data do.

    With $a_{(1)}, a_{(2)}$ the nearest and the second nearest training point of x, it is counted as memorised if

    $$ |x - a_{(1)}| < c\, |x - a_{(2)}|, \qquad c = \tfrac13 . $$

    Points of the population pass this too, now and then: their share is `fraction_held_out`. A test without a
    threshold is the probability that a generated point has a nearer training point than a held-out one,

    $$ P(\text{nearer}) = P(|x - a_{(1)}(x)| < |x' - a_{(1)}(x')|) + \tfrac12 P(=) , $$

    which is 1/2 for a model that has learned the law, more for one that copies, and less for one that misses it.

    The nearest points are found by expanded squares of centred data, sixteen of them, and then told apart by direct
    differences: distances are exact to rounding, of copies in float32 too.

    Args:
        generated: generated points, (m, d).
        training: the training data, (n, d), n of 2 or more, in blocks on the device: any number of them. Points given
            twice hide their copies, since both distances are alike: leave out repetitions.
        held_out: points of the population that were not trained on, (k, d).
        threshold: c, in (0, 1).
        block: training data taken at once.
        chunk: generated points taken at once.

    Returns:
        A dataset on `sample`: `nearest_distance`, `second_distance`, `ratio` and the index `nearest`; with `held_out`
        on `held_out_sample` the same with `_held_out`. Without axes: `fraction`, `fraction_stderr`, and the Wilson
        interval `fraction_low`, `fraction_high` of 95 %; `fraction_held_out` likewise, `nearer` and `nearer_stderr`.
        The standard errors are those that a bootstrap over points tends to, at fixed training data.

    Raises:
        ValueError: for shapes that do not match, points that are not finite, or a threshold that is none.

    Reference:
        Yoon, Choi, Kwon, Ryu, "Diffusion probabilistic models generalize when they fail to memorize" (2023), for the
        criterion; Bonnaire, Urfin, Biroli, Mezard, "Why diffusion models don't memorize" (2025), for its use against
        training time; DeLong, DeLong, Clarke-Pearson (1988), for the error of a probability of order.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"`threshold` needs a ratio of distances in (0, 1). Got {threshold}. The usual one is 1 / 3.")
    check_count("block", block, 2)
    check_count("chunk", chunk, 1)
    points = _checked("training", training, None)
    centre = points.mean(0, dtype=np.float64).astype(points.dtype)
    cloud = Cloud.of(points, centre, block)
    variables: Variables = {}
    found: dict[str, np.ndarray] = {}
    for suffix, name, own, dim in (
        ("", "generated", generated, "sample"), ("_held_out", "held_out", held_out, "held_out_sample"),
    ):  # fmt: skip
        if own is None:
            continue
        rows = _checked(name, own, points)
        slots = np.asarray(_candidates(cloud, jnp.asarray(rows - centre), chunk))
        pairs, index = _neighbours(slots, points, rows)
        found[suffix] = pairs[:, 0]
        variables |= {
            f"nearest_distance{suffix}": (dim, pairs[:, 0]), f"second_distance{suffix}": (dim, pairs[:, 1]),
            f"ratio{suffix}": (dim, np.divide(*pairs.T, out=np.ones(len(pairs)), where=pairs[:, 1] > 0)),
            f"nearest{suffix}": (dim, index),
        }  # fmt: skip
        variables |= _share(f"fraction{suffix}", pairs[:, 0] < threshold * pairs[:, 1])
    if held_out is not None:
        variables |= _nearer(found[""], found["_held_out"])
    parameters: dict[str, Any] = {"threshold": threshold, "n": len(points), "d": points.shape[1]}
    ds = dataset(variables, {}, experiment="memorisation", seed=None, parameters=parameters)
    return ds.assign_attrs(threshold=threshold, n=len(points), d=points.shape[1])


def memorisation_curve(
    generated: Mapping[int, Points],
    training: Points | Mapping[int, Points],
    *,
    along: str = "training_step",
    held_out: Points | None = None,
    threshold: float = 1 / 3,
) -> xr.Dataset:
    """Memorisation against training time, or against the number of training data.

    Args:
        generated: generated points by training step, or by number of data.
        training: the training data, of all or of each.
        along: the name of the axis: `training_step`, or `n`.
        held_out: as in `memorisation`.
        threshold: as in `memorisation`.

    Returns:
        A dataset on `along`, increasing: `fraction` with its error and interval, the medians of `nearest_distance` and
        `ratio`; with `held_out` all of these of the held-out points, and `nearer` with its error.

    Raises:
        ValueError: as `memorisation`, where the training data lack a key, or there is nothing to measure.
    """
    if not generated or along in _CURVES:
        raise ValueError(
            "`memorisation_curve` needs `generated` points by their numbers, and `along` not one of "
            f"{', '.join(_CURVES)}. Got {len(generated)} of them along {along!r}."
        )
    keys = sorted(generated)
    if isinstance(training, Mapping) and set(training) != set(keys):
        raise ValueError(f"`training` needs data for {keys}, as `generated` has. Got {sorted(training)}.")
    found = [
        memorisation(
            generated[k], training[k] if isinstance(training, Mapping) else training,
            held_out=held_out, threshold=threshold,
        )
        for k in keys
    ]  # fmt: skip
    variables: Variables = {}
    for name in found[0]:
        if str(name).startswith(_CURVES):
            variables[str(name)] = (along, np.array([float(ds[name].median()) for ds in found]))
    parameters = {"along": along, "threshold": threshold, "n": [ds.attrs["n"] for ds in found]}
    ds = dataset(variables, {along: np.array(keys)}, experiment="memorisation-curve", seed=None, parameters=parameters)
    return ds.assign_attrs(threshold=threshold, d=found[0].attrs["d"])


def _checked(name: str, points: Points, training: np.ndarray | None) -> np.ndarray:
    """Finite points of one dimension and of the type of the training data."""
    found = np.asarray(points)
    fits = found.ndim == 2 and len(found) >= 2 and (training is None or found.shape[1] == training.shape[1])
    if not fits or found.dtype.kind != "f" or not np.isfinite(found).all():
        of = "(m, d)" if training is None else f"(m, {training.shape[1]})"
        raise ValueError(
            f"`{name}` needs two finite points or more, floating-point numbers of shape {of}. "
            f"Got {found.dtype} of shape {found.shape}. Scale them as the training data."
        )
    return found.astype(jax.dtypes.canonicalize_dtype(found.dtype) if training is None else training.dtype, copy=False)


def _neighbours(
    slots: Int[np.ndarray, "m c"], points: np.ndarray, rows: np.ndarray
) -> tuple[Float[np.ndarray, "m 2"], Int[np.ndarray, " m"]]:
    """The two least distances of each row from its candidates, and the nearest point."""
    distances, nearest = np.empty((len(rows), 2)), np.empty(len(rows), np.int64)
    for i, (row, own) in enumerate(zip(rows, slots, strict=True)):
        own = own[own >= 0]
        apart = np.linalg.norm(points[own].astype(np.float64) - row.astype(np.float64), axis=1)
        order = np.argsort(apart, kind="stable")
        distances[i], nearest[i] = apart[order[:2]], own[order[0]]
    return distances, nearest


@eqx.filter_jit
def _candidates(cloud: Cloud, rows: Float[Array, "m d"], chunk: int) -> Int[Array, "m c"]:
    """The nearest points by expanded squares, in one pass over the data for each chunk of rows."""

    def one(y: Data) -> Int[Array, " c"]:
        def step(nearest, block, _):
            return nearest.add(cloud.products(block, y), block.slots)

        found = cloud.scan(step, Nearest.none(y.dtype))
        return jnp.where(found.products > -jnp.inf, found.slots, -1)

    return jax.lax.map(one, rows, batch_size=chunk)


def _share(name: str, hits: np.ndarray) -> Variables:
    """A share with its standard error and Wilson's interval, which is one at 0 and at 1 too."""
    count, share, z = len(hits), float(hits.mean()), float(ndtri(0.5 + 0.5 * _CONFIDENCE))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return {
        name: ((), share), f"{name}_stderr": ((), np.sqrt(share * (1 - share) / count)),
        f"{name}_low": ((), max(middle - half, 0.0)), f"{name}_high": ((), min(middle + half, 1.0)),
    }  # fmt: skip


def _nearer(own: np.ndarray, other: np.ndarray) -> Variables:
    """The probability that one of the first is less than one of the others, by ranks, and its standard error."""
    from scipy.stats import rankdata  # Slow to import, and needed by nothing else.

    pooled = rankdata(np.concatenate([own, other]))
    # Of each point, the share of the other sample that lies beyond it; ties count half.
    above = 1 - (pooled[: len(own)] - rankdata(own)) / len(other)
    below = (pooled[len(own) :] - rankdata(other)) / len(own)
    error = np.sqrt(above.var(ddof=1) / len(own) + below.var(ddof=1) / len(other))
    return {"nearer": ((), float(above.mean())), "nearer_stderr": ((), error)}
