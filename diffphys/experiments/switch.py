"""When the class of a trajectory is decided, by one trajectory: conditioned first, and then let go."""

import pathlib
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
import xarray as xr

from .. import thermo
from .._box_muller import box_muller
from .._types import Denoiser, PRNGKey, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess
from ..samplers import AbstractSampler, Bridge
from ..samplers.base import Increments
from ..targets import AbstractLabelledTarget, shape_of
from ._assemble import (
    CloneOptions,
    Variables,
    check_count,
    check_times,
    curve,
    experiment_dataset,
    runner_for,
    split_key,
)
from ._checks import check_denoiser_of
from ._chunks import Runner
from ._conditional import Conditional, Guided, checked_guidance, exact_conditional
from ._crossings import agreement_level
from ._forward import measure_forward
from ._long_names import with_long_names
from ._readouts import Classifier, has_exact_score, label_reading, labelled_by
from ._statistics import crossing_interval
from ._switch_runs import Switch, SwitchRun, run_switch
from ._theory import channel_variances, two_classes

# How much noisier than the latest release the trunk starts: the law at the release remembers 1/400 of its start.
_ABOVE = 400.0


def switch(
    target: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Times,
    conditional: Conditional | None = None,
    *,
    key: PRNGKey,
    trajectories: int,
    guidance: float | Sequence[float] = 1.0,
    denoise: Denoiser | None = None,
    classify: Classifier | None = None,
    sampler: Callable[[AbstractProcess, Denoiser], AbstractSampler] = Bridge,
    increments: Increments = box_muller,
    samples: int | None = 2000,
    steps: int = 64,
    stop: float | None = None,
    grid: Callable[[float, float, int], np.ndarray] = log_snr_grid,
    trunk_from: float | None = None,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Probability that a trajectory, conditioned on a class above t and free below, ends in that class.

    Down to t it moves by the guided denoiser $\hat a_u + w (\hat a_k - \hat a_u)$, from there on by $\hat a_u$. With
    w = 1 and the paths of the time reversal, $x_t$ has the law of the class, so

    $$ \mathrm{kept}(t) = E_{k,\, x_t | k} P(k | x_t) = E_{x_t} \sum_k P(k | x_t)^2 = \phi(t), $$

    the agreement of clones, from one trajectory and without a clone. (Of samplers that are not the time reversal the
    agreement of clones is another number, and this one too: by the probability flow it tells whether $x_t$ lies on the
    side of its class.) With w = 0 it is $\sum_k w_k^2$ at every t. Where
    it is near 1, guidance at lower noise decides nothing; where it is near that floor, guidance above was in vain.

    Args:
        target: its labels are the classes, drawn by their weights; a data set, if the denoisers are learned.
        process: the forward process.
        times: times at which trajectories are let go, above 0, in order.
        conditional: `(y, v, label) -> estimate of a`, the denoiser of each class; by default the exact one.
        key: a typed key, the root of all noise.
        trajectories: conditioned trajectories; each is let go at every time, for each guidance with the same noise.
        guidance: weights w, any number of them.
        denoise: the denoiser of all classes; by default the exact one.
        classify: as in `speciation`.
        sampler: makes the sampler of a denoiser, `sampler(process, denoise)`: a class of samplers, or a function.
        increments: how noise is drawn.
        samples: forward samples of the identity phi; None for no identity.
        steps: steps from each time to `stop`, an even number; half as many lead from each time to the next.
        stop: where trajectories end and are read; by default half the least time.
        grid: makes the grids, `grid(t, stop, steps)`.
        trunk_from: the time at which trajectories start, from the prior; by default where the noise variance is 400
            times that of the greatest of `times`. A learned denoiser has to know such noise.
        chunk: trajectories (and samples) a compiled call.
        checkpoint: a folder for the journals of finished chunks.
        progress: whether to show a bar.

    Returns:
        A dataset on `t` (every clock as coordinates) and `guidance`: `kept` (posterior probability of the class at the
        end), `kept_hard` (whether it is the most likely one), with their errors; `kept_bias`, the change of `kept` from
        grids of every second knot to these; on `t` the identity `phi` and, for two Gaussian classes, `phi_theory`; on
        `guidance` `crossing_time` (from `crossing_low` to `crossing_high`), where `kept` passes the attribute
        `threshold`.

    Raises:
        ValueError: for times, keys, counts, weights or grids that mean nothing, for denoisers of other data, and for a
            chunk that does not fit.

    Reference:
        The identity is ours: time reversal of the forward process given its class. For guidance that is on for part
        of the time, Kynkaanniemi et al., "Applying guidance in a limited interval" (2024).
    """
    times = check_times(times)
    check_count("samples", samples, 32)
    check_count("trajectories", trajectories, 2)
    weights = checked_guidance(guidance)
    variances = channel_variances(process, times)
    if trunk_from is None:
        trunk_from = process.time_of_variance(_ABOVE * float(variances.max()))
    options = CloneOptions(trajectories, None, 2, steps, stop, grid, trunk_from, increments).checked(times)
    forward_key, walk_key = split_key(key)
    runner = runner_for(process, times, key, chunk, checkpoint, progress, target=target)
    dtype = shape_of(target).dtype
    denoise = target.posterior_mean if denoise is None else denoise
    class_weights = np.asarray(target.label_weights, np.float64)
    given = exact_conditional(target) if conditional is None else conditional
    check_denoiser_of(target, denoise)
    check_denoiser_of(target, lambda y, v: given(y, v, jnp.int32(0)), "conditional", "y, v, label")
    guided = Guided(given, denoise, jnp.int32(0), jnp.ones((), dtype))
    experiment = Switch(
        sampler(process, guided), sampler(process, denoise), label_reading(target, denoise, classify),
        jnp.asarray(np.log(class_weights), dtype), jnp.asarray(weights, dtype), target.dim, np.dtype(dtype), increments,
    )  # fmt: skip
    result = run_switch(experiment, times, options, walk_key, runner)
    level, floor = agreement_level(class_weights), float(np.sum(class_weights**2))
    variables = _variables(result, times, level, floor)
    exact = conditional is None and has_exact_score(experiment.free, target)
    attrs = {
        "trajectories": trajectories, "sampler": type(experiment.free).__name__, "steps": steps, "stop": options.stop,
        "is_time_reversal": int(experiment.free.is_time_reversal), "increments": increments.__name__,
        "score": "exact" if exact else "given", "labelled_by": labelled_by(classify),
        "trunk_from": float(trunk_from), "label_weights": class_weights.tolist(), "threshold": level,
        "floor": float(np.sum(class_weights**2)), "dtype": str(np.dtype(dtype)), "chunk_switch": result.chunk,
        "denoiser_evaluations": result.evaluations, "target": type(target).__name__, "d": target.dim,
    } | ({} if samples is None else {"samples": samples})  # fmt: skip
    variables |= _agreement_of_clones(target, variances, times, forward_key, samples, runner)
    parameters = {
        "target": target, "sampler": experiment.free, "conditional": conditional, "denoise": denoise,
        "classify": classify, "guidance": weights, "samples": samples,
        "trajectories": {"number": trajectories, "steps": steps, "stop": options.stop, "grid": grid,
                         "trunk_from": trunk_from, "increments": increments},
    }  # fmt: skip
    ds = experiment_dataset("switch", process, times, variables, attrs, key, **parameters)
    return with_long_names(ds.assign_coords(guidance=weights))


def _variables(result: SwitchRun, times: np.ndarray, level: float, floor: float) -> Variables:
    """The curves on (t, guidance), and where they cross."""
    variables: Variables = {}
    for name, curves in (("kept", result.kept), ("kept_hard", result.hard), ("kept_bias", result.bias)):
        mean, stderr = (np.stack(part, axis=1) for part in zip(*(c.pooled() for c in curves), strict=True))
        variables |= {name: (("t", "guidance"), mean), f"{name}_stderr": (("t", "guidance"), stderr)}
    found = np.array([crossing_interval(times, curve, level, limits=(floor, 1.0)) for curve in result.kept])
    names = ("crossing_time", "crossing_low", "crossing_high")
    return variables | {name: ("guidance", found[:, i]) for i, name in enumerate(names)}


def _agreement_of_clones(
    target: AbstractLabelledTarget,
    variances: np.ndarray,
    times: np.ndarray,
    key: PRNGKey,
    samples: int | None,
    runner: Runner,
) -> Variables:
    """What is kept by the exact score, without a trajectory: by forward samples, and by theory where there is one."""
    variables: Variables = {}
    pair = two_classes(target)
    if pair is not None:
        delta = thermo.separation(pair.half_difference, pair.covariance, variances)
        variables["phi_theory"] = ("t", thermo.agreement(delta, pair.weight))
    if samples is not None:
        measured = measure_forward(
            target, variances, times, key=key, samples=samples, runner=runner, name="switch-forward"
        )
        variables |= curve("phi", measured.moments["phi"])
    return variables
