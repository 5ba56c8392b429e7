"""Collapse: when a trajectory is bound to one datum of the training set."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from .. import thermo
from .._box_muller import box_muller
from .._types import PRNGKey, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess
from ..samplers import AbstractSampler
from ..samplers.base import Increments
from ..targets import AbstractDataSet, AbstractTarget
from ._accuracy import PILOT, Accuracy
from ._asked import Asked
from ._assemble import QUANTILES, CloneOptions, Variables, check_times, curve, forward_attributes, load_attributes
from ._collapse_times import times_by_name
from ._forward import ForwardRun
from ._last_change import Walks
from ._readouts import ExpectedDatumAgreement, datum_agreement
from ._statistics import Moments
from ._theory import channel_variances, spectrum_of, two_classes, within_spectrum


def collapse(
    data: AbstractDataSet,
    process: AbstractProcess,
    times: Times,
    *,
    key: PRNGKey,
    samples: int | None = 2000,
    stderr: float | None = None,
    law: AbstractTarget | None = None,
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
    trajectories: int | None = None,
    datasets: int | None = None,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
    tell: Callable[[xr.Dataset], None] | None = None,
) -> xr.Dataset:
    r"""Excess entropy f_e / alpha and datum agreement phi_C(t) of the exact score of a data set.

    With the posterior weights w of forward samples, J the datum a sample came from,

    $$ d\, f_e(t) = E\,H(w), \qquad \phi_C(t) = E \sum_\mu w_\mu^2, \qquad L = \log(Z_{-J} / Z_J), $$

    the excess entropy is that of the weights (never the raw log-density, whose noise is $1/\sqrt{2d}$ a sample).

    Args:
        data: the data set.
        process: the forward process.
        times: times of the process, above 0, in order.
        key: a typed key, the root of all noise.
        samples: forward samples of the identities; None for none. Not used if `stderr` is given.
        stderr: the standard error of f_e / alpha to reach at every time, in place of `samples`. A pilot of 256 samples
            tells how many each time needs; it then gets a tenth more than these, and at least 1 / stderr, lest a rare
            event be missed. That is repeated until the error is reached at all times; an error that would take more
            than a million samples at some time is refused.
        law: the law that the data were drawn from, for the theory; by default a Gaussian of their covariance.
        clones: trajectories of the simulation at each time; none by default.
        clones_stderr: a standard error of phi_C that clones are to have at every time; `clones` are then a pilot, by
            default of 256, and each time gets as many as it needs.
        clone_times: as in `speciation`, like all that follows but `trajectories`.
        sampler: how clones move.
        increments: how their noise is drawn.
        branches: clones a branch point.
        steps: steps of a clone.
        stop: where clones stop.
        grid: makes the grid of a branch.
        trunk_from: start one trunk from the prior at this time; the `trajectories` start there too.
        trajectories: trajectories on which the last change of the nearest datum is timed; none by default. They
            start from forward samples at the greatest of `times`, and end at the least.
        datasets: half-samples that give `stderr_data`.
        chunk: trajectories (and samples) a compiled call.
        checkpoint: a folder for the journals of finished chunks.
        progress: whether to show a bar.
        tell: called with all that needs no trajectory, before any is run.

    Returns:
        A dataset on `t`: `excess_entropy` f_e / alpha, `phi_c`, `log_ratio` E[L], each pooled and by class with its
        errors; `samples`, how many each time had; `psi` and the random-energy theory `psi_theory`, `lambda_c`;
        `participation_ratio` 1 / phi_C; `collapse_time` by criterion and group (pooled, then each class), with
        intervals; quantiles of the times at which L of single data points crosses 0; `phi_c_clones`,
        `phi_c_clones_excess` and `clones_run` as in `speciation`, `last_change_time` if asked for.
        The attributes give alpha, d with and without constant coordinates, d_eff and the width 2 / sqrt(d_eff); of
        clones `score`, as in `speciation`, and `phi_c_half_time_clones` (from `phi_c_half_low_clones` to `_high_`),
        where half of them meet; `last_change_mean` and `last_change_std` of the Ornstein-Uhlenbeck times of last
        changes. Every time has its noise level beside it, `_sigma_v` at the end of its name.

        For a learned score give the `sampler` and `trunk_from`. Then `phi_c_clones` weighs the data by their posterior
        at the ends as they are, at `stop`, and `phi_c_hard_clones` is the agreement of the data nearest to the denoised
        ends, the quantity of the paper; the lower `stop`, the less they differ. Both tend to 1 at small times, where
        clones hardly part, of a model too that copies nothing: `copied_clones` is the share of the ends that are three
        times nearer to one datum than to any other, and the attribute `copied_share_clones` its mean over the times.

    Raises:
        ValueError: for times, keys, counts or grids that mean nothing, and for a chunk that does not fit.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), eq. 5.
    """
    if not isinstance(data, AbstractDataSet):
        raise ValueError(f"`collapse` needs a data set, `Empirical(points)`. Got `{type(data).__name__}`.")
    times = check_times(times)
    walks = Walks.asked(times, trajectories, steps, grid, trunk_from)
    accuracy = None
    if stderr is not None:
        if not 0 < stderr < np.inf:
            raise ValueError(f"`stderr` needs a positive error of f_e / alpha. Got {stderr}.")
        most = float(np.log(data.num_points))
        samples, accuracy = PILOT, Accuracy("entropy", stderr * most, most)
    options = CloneOptions.asked(
        times, clones, clones_stderr, clone_times, branches, steps, stop, grid, trunk_from, increments
    )
    asked = Asked.checked(
        "collapse", data, process, times, key, options, sampler=sampler, samples=samples, accuracy=accuracy,
        datasets=datasets, chunk=chunk, checkpoint=checkpoint, progress=progress, tell=tell, walks=walks, law=law,
        stderr=stderr,
    )  # fmt: skip
    variables, attrs = collapse_theory(data, process, times, law)
    if samples is not None:
        curves, results = collapse_curves(data, process, times, asked.forward(labels=False), law)
        errors = asked.data_errors("entropy", "phi_c", labels=False)
        variables |= curves | excess_entropy_errors(data, errors)
        attrs |= results
    asked.report(variables, attrs)
    if options is not None:
        curves, results = asked.clones(datum_agreement(data, asked.sampler), "phi_c", ExpectedDatumAgreement(data))
        variables, attrs = variables | curves, attrs | results
    last, results = asked.last_changes()
    return asked.dataset(variables | last, attrs | results)


def excess_entropy_errors(data: AbstractDataSet, errors: Variables) -> Variables:
    """`entropy` renamed and scaled to the excess entropy over alpha."""
    if not errors:
        return {}
    scaled = errors.pop("entropy_stderr_data")[1] / np.log(data.num_points)
    return errors | {"excess_entropy_stderr_data": ("t", scaled)}


def collapse_curves(
    data: AbstractDataSet,
    process: AbstractProcess,
    times: np.ndarray,
    measured: ForwardRun,
    law: AbstractTarget | None,
) -> tuple[Variables, dict[str, Any]]:
    """The variables and attributes of collapse that come from forward samples."""
    log_n, dim, moments = float(np.log(data.num_points)), data.dim, measured.moments
    scaled = {
        "excess_entropy": _scaled(moments["entropy"], 1 / log_n),
        "phi_c": moments["phi_c"],
        "own_weight": moments["own_weight"],
        "log_ratio": moments["log_rest_over_own"],
    }
    variables: Variables = {}
    for name, values in scaled.items():
        variables |= curve(name, values)
        mean, stderr = values.by_group()
        variables |= {
            f"{name}_class": (("label", "t"), mean),
            f"{name}_class_stderr": (("label", "t"), stderr),
        }
    variables["participation_ratio"] = (
        "t",
        1 / variables["phi_c"][1],
        {"long_name": "data that share the weight"},
    )
    # log Z_J is minus half the squared noise: -d/2 on average.
    variables["psi"] = ("t", variables["log_ratio"][1] / dim - 0.5, {"long_name": "E log Z_rest / d"})
    variables |= times_by_name(data, process, times, scaled, law)
    groups = [np.ones(len(measured.labels), bool), *(measured.labels == k for k in range(data.num_labels))]
    own = [np.nanquantile(measured.own_time[g], QUANTILES) if np.isfinite(measured.own_time[g]).any() else
           np.full(len(QUANTILES), np.nan) for g in groups]  # fmt: skip
    variables["own_collapse_time"] = (
        ("quantile", "group"),
        np.array(own).T,
        {"long_name": "where L of a datum is 0"},
    )
    variables["samples"] = ("t", measured.samples, {"long_name": "forward samples of the identities"})
    return variables, forward_attributes(data, int(measured.samples.max()), measured.chunk)


def _scaled(moments: Moments, factor: float) -> Moments:
    return Moments(moments.count, moments.total * factor, moments.squares * factor**2)


def collapse_theory(
    data: AbstractDataSet, process: AbstractProcess, times: np.ndarray, law: AbstractTarget | None
) -> tuple[Variables, dict[str, Any]]:
    """Population excess entropy and random-energy model, of the law or of a Gaussian with the data's covariance."""
    variances = channel_variances(process, times)
    n, log_n = data.num_points, float(np.log(data.num_points))
    information, origin = np.zeros_like(variances), "a Gaussian with the covariance of the data"
    spectrum = spectrum_of(data) if law is None else within_spectrum(law)
    if law is not None:
        origin = f"{type(law).__name__}, classes told apart included"
        pair = two_classes(law)
        if pair is not None:
            delta = thermo.separation(pair.half_difference, pair.covariance, variances)
            information = thermo.class_information(delta, pair.weight)
    population = thermo.excess_entropy(variances, spectrum, n, information) * data.dim / log_n
    energy = thermo.random_energy(log_n, spectrum, variances)
    v_c = float(thermo.collapse_variance(n, spectrum))
    variables = {
        "excess_entropy_theory": ("t", np.maximum(population, 0), {"long_name": f"theory of {origin}"}),
        "psi_theory": ("t", energy.psi), "lambda_c": ("t", energy.lambda_c),
    }  # fmt: skip
    return variables, load_attributes(data) | {
        "theory": origin,
        "collapse_time_theory": process.time_of_variance(v_c),
        "effective_dimension": float(thermo.effective_dimension(v_c, spectrum)),
        "width_log_v": float(thermo.collapse_width(v_c, spectrum)),
    }
