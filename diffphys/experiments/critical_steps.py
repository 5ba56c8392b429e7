"""What steps near the critical time are worth: weights and diversity against where a fixed number of steps is spent."""

from collections.abc import Callable, Sequence

import jax
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.special import xlogy

from .._describe import describe_process
from .._devices import exchanging, to_host
from .._types import Denoiser, PRNGKey
from ..processes import AbstractProcess
from ..results import dataset
from ..samplers import AbstractSampler, Bridge
from ..samplers.base import place
from ..targets import AbstractLabelledTarget
from ._assemble import check_count, seed_of, split_key
from ._chunks import refuse_not_finite
from .late_start import _walk


def windowed_grid(
    process: AbstractProcess,
    start: float,
    low: float,
    high: float,
    stop: float,
    steps: int,
    inside: int,
) -> Float[np.ndarray, " knots"]:
    """A grid with so many of its steps between two times, evenly in the logarithm of the noise in each of three parts.

    Args:
        process: whose noise counts.
        start: where the grid begins.
        low: the earlier (smaller) end of the window.
        high: its later end, `start > high > low > stop`.
        stop: where the grid ends.
        steps: of the whole grid.
        inside: those within the window, at least 1 and at most `steps - 2`.

    Returns:
        The decreasing times.

    Raises:
        ValueError: if the times are out of order, or the steps do not suffice.
    """
    if not start > high > low > stop > 0:
        raise ValueError(f"A window needs start > high > low > stop > 0. Got {start}, {high}, {low} and {stop}.")
    if not 1 <= inside <= steps - 2:
        raise ValueError(f"`inside` needs from 1 to {steps - 2} of the {steps} steps. Got {inside}.")
    ends = [start, high, low, stop]
    logs = [float(np.log(process.kernel(t).variance)) for t in ends]
    above, below = logs[0] - logs[1], logs[2] - logs[3]
    first = int(np.clip(round((steps - inside) * above / (above + below)), 1, steps - inside - 1))
    parts = [
        np.linspace(logs[i], logs[i + 1], count + 1)[1:]
        for i, count in enumerate((first, inside, steps - inside - first))
    ]
    times = [process.time_of_variance(float(np.exp(level))) for level in np.concatenate(parts)]
    return np.array([start, *times[:-1], stop])


def critical_steps(
    target: AbstractLabelledTarget,
    process: AbstractProcess,
    critical_time: float,
    *,
    key: PRNGKey,
    start: float,
    stop: float,
    steps: int = 16,
    inside: Sequence[int] | None = None,
    width: float = 0.5,
    trajectories: int = 4096,
    sampler: Callable[[AbstractProcess, Denoiser], AbstractSampler] = Bridge,
) -> xr.Dataset:
    r"""Weights of the classes and their diversity, against the number of steps spent near the critical time.

    Ambrogioni conjectures that a trajectory is unstable to small errors at the critical time alone, so that steps spent
    there keep the diversity of what is generated. Here the number of all steps is fixed, and a part of them lies within
    `critical_time` plus and minus `width`; all others are spread as a grid uniform in log-SNR spreads them.

    Args:
        target: what is generated; its labels are the classes.
        process: the forward process.
        critical_time: the middle of the window; for a magnet `thermo.magnet_speciation_time`.
        key: a typed key; starts and noises are the same for every grid.
        start: where trajectories start, from the prior.
        stop: where they end and are read.
        steps: of every grid.
        inside: numbers of steps within the window; by default all from 1 to `steps - 2`.
        width: half the width of the window, in time.
        trajectories: for each grid.
        sampler: `sampler(process, denoise)`, how they move.

    Returns:
        A dataset on `inside` (and `label`): `label_weight` with `label_weight_stderr`, `deficit`, the total variation
        distance of the generated weights from the true ones, `diversity`, the entropy of the generated weights, both
        with `_stderr`, and `indecision`, the mean entropy of the posterior of the class at the end, which is 0 if all
        is decided; `grid`, the times, on (`inside`, `knot`). Attributes: the same of a grid uniform in log-SNR
        (`deficit_uniform` and `diversity_uniform`, with `_stderr`, and `inside_uniform`), and `diversity_true`.

    Raises:
        ValueError: for times, steps or keys that mean nothing, or a window that reaches `start` or `stop`.
        FloatingPointError: if a trajectory does not end at a finite state, with its number.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), for the conjecture.
    """
    check_count("steps", steps, 3)
    check_count("trajectories", trajectories, 2)
    chosen = list(range(1, steps - 1)) if inside is None else list(inside)
    low, high = critical_time - width, critical_time + width
    if not 0 < stop < low < high < start:
        raise ValueError(
            "`critical_steps` needs `start` and `stop` on either side of `critical_time` plus and minus `width` > 0. "
            f"Got {start}, {stop}, {critical_time} and {width}. Do narrow the window."
        )
    _, walk_key = split_key(key)
    dtype = jax.eval_shape(target.sample, jr.key(0)).dtype
    ends = place(process.table(np.array([start, stop])), dtype)
    begin, end = (jax.tree.map(lambda leaf, i=i: leaf[i], ends) for i in (0, 1))
    own, keys = sampler(process, target.posterior_mean), jr.split(walk_key, trajectories)

    def measured(ts: Float[np.ndarray, " knots"]) -> np.ndarray:
        """Posteriors of the labels at the ends of all trajectories of a grid."""
        rows = place(own.plan(ts), dtype)
        with exchanging():
            posteriors = to_host(_walk(own, target, rows, begin, end, jr.clone(keys))).astype(np.float64)
        refuse_not_finite({"label_weight": posteriors}, 0, f"on the grid of {ts.size - 1} steps", "trajectory")
        return posteriors

    levels = np.log([float(process.kernel(t).variance) for t in (start, stop)])
    uniform = np.exp(np.linspace(levels[0], levels[1], steps + 1))
    uniform = np.array([start, *(process.time_of_variance(float(v)) for v in uniform[1:-1]), stop])
    grids = [windowed_grid(process, start, low, high, stop, steps, n) for n in chosen]
    found = [measured(ts) for ts in (*grids, uniform)]
    true = np.asarray(target.label_weights, np.float64)
    read = _read(found, true)
    variables: dict[str, tuple] = {
        name: (("inside", "label") if values.ndim > 1 else "inside", values[:-1]) for name, values in read.items()
    }
    variables["grid"] = (("inside", "knot"), np.stack(grids))
    window = {"critical_time": critical_time, "width": width, "start": start, "stop": stop}
    coords = {"inside": chosen, "label": np.arange(len(true))}
    parameters = describe_process(process) | window
    ds = dataset(variables, coords, experiment="critical-steps", seed=seed_of(key), parameters=parameters)
    uniformly = {
        f"{name}_uniform{end}": float(read[f"{name}{end}"][-1])
        for name in ("deficit", "diversity") for end in ("", "_stderr")
    }  # fmt: skip
    return ds.assign_attrs(
        steps=steps, trajectories=trajectories, sampler=type(own).__name__, target=type(target).__name__,
        critical_time=critical_time, width=width, diversity_true=float(-xlogy(true, true).sum()),
        inside_uniform=int(np.sum((uniform[1:] < high) & (uniform[1:] >= low))), **uniformly,
    )  # fmt: skip


def _read(found: Sequence[np.ndarray], true: Float[np.ndarray, " labels"]) -> dict[str, np.ndarray]:
    """What the posteriors at the ends of the trajectories say, a row a grid."""
    weights = np.stack([posteriors.mean(0) for posteriors in found])
    return {
        "label_weight": weights,
        "label_weight_stderr": np.stack([p.std(0, ddof=1) / np.sqrt(len(p)) for p in found]),
        "deficit": 0.5 * np.abs(weights - true).sum(1),
        "deficit_stderr": _spread(found, 0.5 * np.sign(weights - true)),
        "diversity": -xlogy(weights, weights).sum(1),
        # The derivative of the entropy, up to a constant: posteriors sum to 1.
        "diversity_stderr": _spread(found, -np.log(np.maximum(weights, np.finfo(float).tiny))),
        "indecision": np.array([-xlogy(p, p).sum(1).mean() for p in found]),
    }


def _spread(found: Sequence[np.ndarray], slopes: np.ndarray) -> np.ndarray:
    """Standard errors of functions of the mean posteriors with these derivatives."""
    parts = [posteriors @ slope for posteriors, slope in zip(found, slopes, strict=True)]
    return np.array([part.std(ddof=1) / np.sqrt(len(part)) for part in parts])
