"""Speciation: when the class of a trajectory is decided."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import xlogy

from .. import thermo
from .._box_muller import box_muller
from .._types import PRNGKey, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess
from ..samplers import AbstractSampler
from ..samplers.base import Increments
from ..targets import AbstractDataSet, AbstractLabelledTarget
from ._asked import Asked
from ._assemble import CloneOptions, Variables, check_times, curve, forward_attributes
from ._crossings import agreement_level
from ._forward import ForwardRun
from ._readouts import Classifier, ExpectedLabelAgreement, LabelAgreement, label_reading, labelled_by
from ._statistics import crossing, crossing_interval
from ._theory import (
    channel_variances,
    origin_times,
    spectral,
    spectrum_of,
    temperature_of,
    time_of_ou,
    two_classes,
    within_spectrum,
)
from ._verdicts import BY_COLLAPSE, NO_CROSSING, ONE_CLASS, TOLERANCE


def speciation(
    target: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Times,
    *,
    key: PRNGKey,
    samples: int | None = 2000,
    clones: int | None = None,
    clones_stderr: float | None = None,
    clone_times: Times | None = None,
    sampler: AbstractSampler | None = None,
    increments: Increments = box_muller,
    branches: int = 2,
    steps: int = 64,
    stop: float | None = None,
    grid: Callable[[float, float, int], np.ndarray] = log_snr_grid,
    trunk_from: float | None = None,
    classify: Classifier | None = None,
    datasets: int | None = None,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
    tell: Callable[[xr.Dataset], None] | None = None,
) -> xr.Dataset:
    r"""Clone agreement phi(t), by the posterior identity, by cloned trajectories, and by theory where there is one.

    $$ \phi(t) = E_{x \sim P_t} \sum_k P(k|x)^2, $$

    the probability that two clones which leave the same $x_t$ end in the same class. The identity needs no
    trajectory: it is an average over forward samples, exact for any sampler that is the time reversal.

    Args:
        target: what is generated; its labels are the classes.
        process: the forward process.
        times: times of the process, above 0, in order.
        key: a typed key, the root of all noise.
        samples: forward samples of the identity; None for no identity.
        clones: trajectories of the simulation at each time; none by default.
        clones_stderr: a standard error of phi that clones are to have at every time; `clones` are then a pilot, by
            default of 256, and each time gets as many as it needs.
        clone_times: those of `times` at which clones are run; by default all.
        sampler: how clones move; by default `Bridge` with the exact denoiser of the target.
        increments: how the noise of clones is drawn: by default normals; with `diffphys.rademacher` a step takes a
            quarter of the time and keeps weak order 1.
        branches: clones a branch point.
        steps: steps from each branch point to `stop`, an even number.
        stop: where clones stop and their posteriors are compared; by default half the least time. Any time above 0
            gives the same mean, since posteriors are martingales along reverse paths.
        grid: makes the grid of a branch, `grid(t, stop, steps)`.
        trunk_from: start one trunk from the prior at this time and branch off it at every time, as one must with
            a learned score, in `steps / times` steps from one to the next, at least six; by default each branch point
            is a fresh forward sample.
        classify: `(a, v) -> log-probabilities` of the labels of the target (up to a constant), such as a classifier
            network, which labels the ends of clones; by default the target's own posterior does. At `stop` an end
            still has noise, of variance v: the classifier is shown what the denoiser of the sampler makes of it.
        datasets: half-samples of a data set that give `stderr_data`; by default 8 below 5000 points, else none.
        chunk: trajectories (and samples) a compiled call; by default chosen from the memory it needs.
        checkpoint: a folder for the journals of finished chunks; a run that finds its own there goes on from them.
        progress: whether to show a bar; by default on a terminal.
        tell: called with all that needs no trajectory, before clones are run.

    Returns:
        A dataset on `t` (with every clock and `sigma_v` as coordinates): `phi` and its errors, `class_information`
        I(C; X_t) / H(C), `overlap` (phi - sum w^2) / (1 - sum w^2), `phi_clones` with its discretisation bias (named
        `phi_sampler` for a sampler that is not the time reversal), `phi_theory`; for a data set also `phi_permuted`,
        `phi_left_out`, `nishimori_violation` and `phi_c`. The attributes give the threshold (the agreement at
        separation one for two classes, at an overlap of one half for more), the crossing and its interval (that of
        the samples alone: that of two Gaussian classes is found to .0007 between times 0.5 apart, to .007 between
        those 1 apart), the critical times by name (each with its noise level, `_sigma_v` at the end of its name), the
        `verdict`, and all settings. `clones_run` counts the trajectories of each time.
        `phi_clones_excess` is the agreement of clones less that of the posterior at the points they left: zero but for
        the errors of the steps, with the statistical error of the clones alone.

        Of clones they give `score`, "exact" if they move by the target's own posterior mean and "given" otherwise:
        then the identity is no longer their answer, but that of another model. `clone_label_weights` are the weights
        of the classes that they generate, `phi_floor_clones` their sum of squares, `crossing_time_clones` (from
        `crossing_low_clones` to `crossing_high_clones`) where `phi_clones` passes `threshold_clones`, that of these
        weights. With `_hard` the same of `phi_hard_clones`, the agreement of hard labels, which is what experiments
        with a classifier report.

    Raises:
        ValueError: for a target without labels, times, keys, counts or grids that mean nothing, and for a chunk that
            does not fit.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), eqs. 4 and 6.
    """
    if not isinstance(target, AbstractLabelledTarget):
        raise ValueError(
            f"`speciation` needs a target with labels, a mixture or `Empirical(points, labels)`. Got "
            f"`{type(target).__name__}`."
        )
    times = check_times(times)
    options = CloneOptions.asked(
        times, clones, clones_stderr, clone_times, branches, steps, stop, grid, trunk_from, increments,
        classify=classify,
    )  # fmt: skip
    asked = Asked.checked(
        "speciation", target, process, times, key, options, sampler=sampler, samples=samples, datasets=datasets,
        chunk=chunk, checkpoint=checkpoint, progress=progress, tell=tell, classify=classify,
    )  # fmt: skip
    variables, attrs = speciation_theory(target, process, times)
    if samples is not None:
        curves, results = speciation_curves(target, times, asked.forward())
        variables |= curves | asked.data_errors("phi", "phi_left_out")
        attrs |= results
    asked.report(variables, attrs)
    if options is not None:
        labels = LabelAgreement(label_reading(target, asked.sampler.denoise, classify))
        expected = ExpectedLabelAgreement(target.label_log_posterior) if classify is None else None
        curves, results = asked.clones(labels, "phi", expected)
        variables, attrs = variables | curves, attrs | results
        attrs["labelled_by"] = labelled_by(classify)
    return asked.dataset(variables, attrs)


def speciation_curves(
    target: AbstractLabelledTarget, times: np.ndarray, measured: ForwardRun
) -> tuple[Variables, dict[str, Any]]:
    """The variables and attributes of speciation that come from forward samples."""
    moments, weights = measured.moments, np.asarray(target.label_weights, np.float64)
    floor, prior_entropy = float(np.sum(weights**2)), float(-np.sum(xlogy(weights, weights)))
    variables: Variables = curve("phi", moments["phi"]) | curve("phi_true", moments["phi_true"])
    if len(weights) > 1:
        scale = 1 / (1 - floor)
        phi, stderr = moments["phi"].pooled()
        variables |= {"overlap": ("t", (phi - floor) * scale), "overlap_stderr": ("t", stderr * scale)}
        entropy, stderr = moments["label_entropy"].pooled()
        variables["class_information"] = ("t", 1 - entropy / prior_entropy, {"long_name": "I(C; X_t) / H(C)"})
        variables["class_information_stderr"] = ("t", stderr / prior_entropy)
    levels = [moments[name].pooled() for name in sorted(moments) if name.startswith("phi_level_")]
    if levels:
        variables["phi_level"] = (("level", "t"), np.stack([level[0] for level in levels]))
        variables["phi_level_stderr"] = (("level", "t"), np.stack([level[1] for level in levels]))
    for name in ("phi_permuted", "phi_left_out", "overlap_left_out", "phi_c"):
        if name in moments:
            variables |= curve(name, moments[name])
    if "overlap_left_out" in moments:
        violation = variables["overlap_left_out"][1] - variables["phi_left_out"][1]
        variables["nishimori_violation"] = (
            "t",
            violation,
            {"long_name": "E sum p^2 - E p_true, datum left out"},
        )
    attrs = forward_attributes(target, int(measured.samples.max()), measured.chunk)
    attrs |= {"label_weights": weights.tolist(), "floor": floor}
    attrs |= _verdict(times, variables, moments, weights)
    return variables, attrs


def speciation_theory(
    target: AbstractLabelledTarget, process: AbstractProcess, times: np.ndarray
) -> tuple[Variables, dict[str, Any]]:
    """The theory of two Gaussian classes where there are two, and the critical times by name."""
    temperature = temperature_of(process)
    spectrum = spectral(target, temperature)
    attrs: dict[str, Any] = {"eigenvalue": spectrum.eigenvalue, "eigenvalue_corrected": spectrum.corrected}
    for name in ("time", "time_low", "time_high"):
        attrs[name.replace("time", "spectral_time", 1)] = time_of_ou(process, getattr(spectrum, name))
    if target.hierarchy:
        # One time for each eigenvalue that stands out of the classes, largest first.
        within, values = within_spectrum(target)[0], spectrum_of(target)[: target.num_labels - 1]
        levels = [0.5 * np.log(value / temperature) for value in values if value > 1.001 * within]
        attrs["outlier_times"] = [time_of_ou(process, time) for time in levels if time > 0]
    pair = two_classes(target)
    if pair is None:
        return {}, attrs
    variances = channel_variances(process, times)
    delta = thermo.separation(pair.half_difference, pair.covariance, variances)
    phi = thermo.agreement(delta, pair.weight)
    origin = (
        "its classes" if not isinstance(target, AbstractDataSet) else "Gaussian classes with the moments of the data"
    )
    level_time = thermo.crossing_time(pair.half_difference, pair.covariance, p=pair.weight, temperature=temperature)
    attrs["theory_crossing_time"] = time_of_ou(process, level_time)
    attrs["threshold"] = thermo.threshold(pair.weight)
    attrs |= origin_times(target, process)
    return {"phi_theory": ("t", phi, {"long_name": f"theory of {origin}"}), "separation": ("t", delta)}, attrs


def _verdict(times: np.ndarray, variables: Variables, moments: dict, weights: np.ndarray) -> dict[str, Any]:
    """The crossing with its interval, and whether it is speciation at all."""
    names = ["threshold", "crossing_time", "crossing_low", "crossing_high", "half_information_time"]
    if "phi_permuted" in variables:
        names += [f"{name}_at_crossing" for name in ("phi_permuted", "phi_left_out", "phi_c")]
    attrs: dict[str, Any] = dict.fromkeys(names, float("nan"))
    if len(weights) < 2:
        return attrs | {"verdict": ONE_CLASS}
    floor = float(np.sum(weights**2))
    half = crossing(times, variables["class_information"][1], 0.5, limits=(0.0, 1.0))
    attrs |= {"half_information_time": half, "threshold": agreement_level(weights)}
    found = crossing_interval(times, moments["phi"], attrs["threshold"], limits=(floor, 1.0))
    attrs |= dict(zip(("crossing_time", "crossing_low", "crossing_high"), found, strict=True))
    at = found[0]
    if not np.isfinite(at):
        return attrs | {"verdict": NO_CROSSING}
    if "phi_permuted" in variables:
        order = np.argsort(times)
        value = {
            n: float(np.interp(at, times[order], variables[n][1][order])) for n in variables if n.startswith("phi")
        }
        attrs |= {f"{name}_at_crossing": value[name] for name in ("phi_permuted", "phi_left_out", "phi_c")}
        if abs(value["phi_permuted"] - floor) > TOLERANCE or abs(value["phi_left_out"] - value["phi"]) > TOLERANCE:
            return attrs | {"verdict": BY_COLLAPSE}
    return attrs | {"verdict": "speciation"}
