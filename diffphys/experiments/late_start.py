"""What a dynamics that starts late makes of the weights of the classes."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from .._types import PRNGKey, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess
from ..samplers import AbstractSampler
from ..targets import AbstractLabelledTarget
from ._assemble import check_count, check_times, checked_stop, experiment_dataset, runner_for, sampler_for, split_key
from ._label_posteriors import of_ends, of_prior


def late_start(
    target: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Times,
    *,
    key: PRNGKey,
    samples: int = 4096,
    trajectories: int | None = None,
    sampler: AbstractSampler | None = None,
    steps: int = 64,
    stop: float | None = None,
    grid: Callable[[float, float, int], np.ndarray] = log_snr_grid,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Weights of the classes that are generated when the reverse dynamics starts from the prior at a time t.

    The reverse diffusion is a martingale of label posteriors, from whatever law it starts; so with the prior
    $\mathcal N(0, \Sigma_t)$ in place of $P_t$ the generated weights need no trajectory,

    $$ W_k(t) = E_{x \sim \mathcal N(0, \Sigma_t)}\, P(k | x, t), $$

    and tend to the true ones as t grows. Started below the speciation time they keep what symmetry the prior has:
    the classes have been decided by the start, and not by the data.

    Args:
        target: what is generated; its labels are the classes.
        process: the forward process; its prior is N(0, Sigma_t).
        times: times at which the dynamics starts, above 0, in order.
        key: a typed key.
        samples: draws of the prior for the identity; the same at all times.
        trajectories: reverse trajectories of the simulation from each time; none by default.
        sampler: how they move; by default `Bridge` with the exact denoiser of the target.
        steps: steps from each time to `stop`.
        stop: where they end and are read; by default half the least time.
        grid: makes their grid, `grid(t, stop, steps)`.
        chunk: samples or trajectories a compiled call; chosen by default.
        checkpoint: a folder for the journals of finished chunks.
        progress: whether to show bars; by default on a terminal.

    Returns:
        A dataset on `t` (every clock as coordinates) and `label`: `label_weight` and `label_weight_stderr` by the
        identity, `label_weight_true`; `label_weight_sampler` with its error, if trajectories were asked for; on `t`
        `deficit`, the total variation distance of the generated weights from the true ones.

    Raises:
        ValueError: for times, counts, keys or grids that mean nothing, `stop` not below all times, and a chunk that
            does not fit.
        FloatingPointError: if a trajectory does not end at a finite state, with its number.

    Reference:
        Biroli and Mezard, "Generative diffusion in very large dimensions" (2023), for the magnet; Raya and Ambrogioni,
        "Spontaneous symmetry breaking in generative diffusion models" (2023), for late starts. The identity is ours.
    """
    times = check_times(times)
    check_count("samples", samples, 2)
    check_count("trajectories", trajectories, 2)
    check_count("steps", steps, 1)
    prior_key, walk_key = split_key(key)
    runner = runner_for(process, times, key, chunk, checkpoint, progress, target=target)
    found = of_prior(target, process, times, key=prior_key, samples=samples, runner=runner, name="late-start-prior")
    true = np.asarray(target.label_weights, np.float64)
    dims = ("t", "label")
    variables: dict[str, tuple] = {
        "label_weight": (dims, found.mean),
        "label_weight_stderr": (dims, found.stderr),
        "label_weight_true": ("label", true),
        "deficit": ("t", 0.5 * np.abs(found.mean - true).sum(1)),
    }
    attrs: dict[str, Any] = {
        "samples": samples, "chunk_samples": found.chunk, "d": target.dim, "target": type(target).__name__
    }  # fmt: skip
    if trajectories is not None:
        sampler = sampler_for(sampler, process, target)
        stop = checked_stop(stop, times)
        ends = of_ends(
            sampler, target, [grid(float(t), stop, steps) for t in times], key=walk_key, trajectories=trajectories,
            firsts=range(0, len(times) * trajectories, trajectories), runner=runner, name="late-start",
            quantity="label_weight_sampler", settings={"sampler": sampler, "steps": steps, "stop": stop, "grid": grid},
        )  # fmt: skip
        variables["label_weight_sampler"] = (dims, ends.mean)
        variables["label_weight_sampler_stderr"] = (dims, ends.stderr)
        attrs |= {
            "trajectories": trajectories, "chunk_trajectories": ends.chunk, "sampler": type(sampler).__name__,
            "steps": steps, "stop": stop,
        }  # fmt: skip
    parameters = {"target": target, "sampler": sampler, "grid": grid}
    return experiment_dataset("late-start", process, times, variables, attrs, key, **parameters)
