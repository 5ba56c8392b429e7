"""Starting late, from the Gaussian that the noised data nearly are: when that costs nothing, and how much it saves."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from .._keys import check_root
from .._types import Denoiser, PRNGKey, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess
from ..samplers import DDIM, PNDM, Bridge
from ..targets import AbstractTarget, Gaussian, shape_of
from ._assemble import Variables, check_count, check_times, checked_stop, experiment_dataset
from ._bifurcation import bifurcation
from ._checks import check_denoiser_of, checked_points
from ._long_names import with_long_names
from ._normal_law import NormalLaw, Points, normal_law
from ._start_samples import Quality, start_qualities
from ._start_theory import MakeSampler, critical_attributes, generated_distances, start_divergences
from ._statistics import mean_and_stderr
from ._theory import channel_variances

SAMPLERS: Mapping[str, MakeSampler] = {"DDPM": Bridge, "DDIM": DDIM, "PNDM": partial(PNDM, warm_up=False)}
"""Ancestral, implicit, and pseudo linear multistep with its start of one evaluation a step."""

_STARTS = ("gaussian", "prior")
_DIMS = ("start", "sampler", "steps", "measure", "t")


def gaussian_start(
    data: Points | AbstractTarget,
    process: AbstractProcess,
    times: Times,
    *,
    key: PRNGKey,
    quality: Mapping[str, Quality],
    denoise: Denoiser | None = None,
    samplers: Mapping[str, MakeSampler] = SAMPLERS,
    steps: Sequence[int] = (10, 5),
    samples: int = 1000,
    repeats: int = 8,
    stop: float | None = None,
    grid: Callable[[float, float, int], np.ndarray] = log_snr_grid,
    denoised: bool = False,
    smoothing: float | None = None,
    chunk: int = 256,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Quality of what few steps generate from a Gaussian start at each time, and from the prior there.

    $$ z_t \sim \mathcal N(m_t\, \mu,\; m_t m_t^\top C + \Sigma_t) \qquad\text{against}\qquad
       z_t \sim \mathcal N(0, \Sigma_t), $$

    with the mean $\mu$ and the covariance C of the data through the kernel, in closed form and without noise. Until the
    symmetry of the data breaks, $P_t$ is nearly this Gaussian, and a late start costs nothing but saves the steps above
    it. The time at which the quality turns bad, where its second derivative in t is largest, estimates the
    bifurcation.

    The second derivative is that of a cubic smoothing spline of the mean over repeats. Where it is largest at the first
    or last two of `times` the estimate is nan, for it may be larger beyond. The estimate lies below the critical times:
    the relative entropy of the start itself bends most, for two distant classes, at the separation 1.985, which is
    log 1.985 = 0.686 below the zero of the score. For two points at distance 1 it diverges at the data, and bends ever
    more towards them.

    Args:
        data: points, (n, d), or a target: moments are exact for Gaussians, mixtures and data sets.
        process: the forward process.
        times: times at which the dynamics starts, above 0, in order; five or more for an estimate.
        key: a typed key.
        quality: by name, functions of generated samples, (m, d) in NumPy, that are small where these are good, such as
            `frechet_distance(features, reference)`. A journal knows functions by their names, and partial ones by
            their arguments too.
        denoise: the denoiser; by default that of the target.
        samplers: by name, `make(process, denoise)`; by default DDPM (`Bridge`), DDIM and PNDM, whose start has here one
            evaluation a step.
        steps: numbers of steps from each time to `stop`.
        samples: generated samples a repeat.
        repeats: independent repeats, each with the same noise at all times and for all samplers.
        stop: where trajectories end; by default half the least time.
        grid: makes their grid, `grid(t, stop, steps)`.
        denoised: whether to judge the estimate of the denoiser at `stop`, one evaluation more, and not the sample
            with the noise it still has there.
        smoothing: the width of the smoothing spline, in t; by default the mean gap between times.
        chunk: samples generated at once.
        checkpoint: a folder for the journal of finished starts.
        progress: whether to show a bar.

    Returns:
        A dataset on `start` (gaussian, prior), `sampler`, `steps`, `measure` (the names of the qualities) and `t`:
        `quality` with `quality_stderr` over repeats, its `curvature`; without `t`, `bifurcation_time` with its 95 %
        interval `_low` and `_high`, by bootstrap over repeats, as wide as Student's; nan where this reaches the ends of
        the times. On (`sampler`, `steps`): `evaluations` of the denoiser.
        Where known in closed form, for two Gaussian classes and Gaussians: `start_divergence` on (`start`, `t`), the
        relative entropy of P_t with respect to the start. For a Gaussian target and its own denoiser, without
        `measure`: `generated_kullback_leibler` and `generated_wasserstein`, squared, from the target at the noise of
        `stop`, exact, nan for samplers with a memory. Attributes: the critical times of two equal isotropic classes.

    Raises:
        ValueError: for times, counts or keys that mean nothing, `stop` not below all times, points without a denoiser,
            a denoiser of other data, or fewer steps than a multistep sampler needs.

    Reference:
        Raya and Ambrogioni, "Spontaneous symmetry breaking in generative diffusion models" (2023), section 4. There
        moments are those of noised samples; here they are exact. Their baseline starts from N(0, I), here it is what
        the kernel makes of no data, which tends to that.
    """
    times = check_times(times)
    check_root(key)
    for name, value, least in (("samples", samples, 2), ("repeats", repeats, 2), ("chunk", chunk, 1)):
        check_count(name, value, least)
    is_own = denoise is None and isinstance(data, AbstractTarget)
    denoise = data.posterior_mean if isinstance(data, AbstractTarget) and denoise is None else denoise
    if denoise is None:
        raise ValueError("`gaussian_start` needs a `denoise` for points. Got None. Pass one, or a target.")
    data = data if isinstance(data, AbstractTarget) else checked_points("data", data)
    check_denoiser_of(data, denoise)
    if not samplers or not steps:
        raise ValueError(f"`gaussian_start` needs a sampler and a number of `steps`. Got {[*samplers]} and {steps}.")
    stop = checked_stop(stop, times)
    width = float(np.ptp(times)) / max(len(times) - 1, 1) if smoothing is None else smoothing
    if not width >= 0:
        raise ValueError(f"`smoothing` needs a width in time, at least 0. Got {width}.")
    law, grids = normal_law(data), {n: [grid(float(t), stop, n) for t in times] for n in steps}
    made = {name: make(process, denoise) for name, make in samplers.items()}
    variables: Variables = {
        "evaluations": (("sampler", "steps"), np.array([[s.calls(n) + denoised for n in steps] for s in made.values()]))
    }
    variables |= _exact(data, process, times, samplers, grids, law, is_own=is_own and not denoised)
    if quality:
        found = start_qualities(
            law, process, made, times, grids, quality, key=key, dtype=_dtype_of(data), samples=samples, repeats=repeats,
            chunk=chunk, denoised=denoised, checkpoint=checkpoint, progress=progress,
        )  # fmt: skip
        variables |= _summary(times, found, width)
    attrs: dict[str, Any] = {
        "samples": samples, "repeats": repeats, "stop": stop, "denoised": int(denoised), "d": len(law.mean),
        "smoothing": width,
    }  # fmt: skip
    if isinstance(data, AbstractTarget):
        attrs |= {"target": type(data).__name__} | critical_attributes(data, process)
    parameters = {"data": data, "denoise": denoise, "samplers": made, "steps": steps, "grid": grid}
    ds = experiment_dataset("gaussian-start", process, times, variables, attrs, key, **parameters)
    names = {"start": list(_STARTS), "sampler": list(samplers), "steps": list(steps), "measure": list(quality)}
    return with_long_names(ds.assign_coords({name: np.array(each) for name, each in names.items() if name in ds.dims}))


def _dtype_of(data: Points | AbstractTarget) -> Any:
    if isinstance(data, AbstractTarget):
        return shape_of(data).dtype
    return jnp.asarray(data[:1]).dtype


def _exact(
    data: Points | AbstractTarget,
    process: AbstractProcess,
    times: np.ndarray,
    samplers: Mapping[str, MakeSampler],
    grids: Mapping[int, Sequence[np.ndarray]],
    law: NormalLaw,
    *,
    is_own: bool,
) -> Variables:
    """What needs no samples."""
    variables: Variables = {}
    if not isinstance(data, AbstractTarget):
        return variables
    divergences = start_divergences(data, law, channel_variances(process, times))
    if divergences is not None:
        variables["start_divergence"] = (("start", "t"), divergences)
    if is_own and isinstance(data, Gaussian):
        dims = ("start", "sampler", "steps", "t")
        found = generated_distances(data, process, times, samplers, grids)
        variables |= {"generated_kullback_leibler": (dims, found[0]), "generated_wasserstein": (dims, found[1])}
    return variables


def _summary(times: np.ndarray, found: np.ndarray, width: float) -> Variables:
    """Means, errors and where the curves bend most."""
    curves = np.transpose(found, (3, 0, 1, 4, 5, 2))
    shape, repeats = curves.shape[:4], curves.shape[4]
    mean, stderr = mean_and_stderr(np.moveaxis(curves, -2, 0))
    bends, estimates = bifurcation(times, curves.reshape(-1, repeats, len(times)), width)
    variables: Variables = {
        "quality": (_DIMS, mean),
        "quality_stderr": (_DIMS, stderr),
        "curvature": (_DIMS, bends.reshape(*shape, -1)),
    }
    ends = ("bifurcation_time", "bifurcation_time_low", "bifurcation_time_high")
    return variables | {name: (_DIMS[:4], estimates[:, i].reshape(shape)) for i, name in enumerate(ends)}
