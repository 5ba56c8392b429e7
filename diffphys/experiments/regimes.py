"""Both transitions of one data set in one run: the three dynamical regimes."""

import pathlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._box_muller import box_muller
from .._types import Data, PRNGKey, Scalar, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess
from ..samplers import AbstractSampler
from ..samplers.base import Increments
from ..targets import AbstractDataSet, AbstractTarget
from ._asked import Asked
from ._assemble import CloneOptions, check_times
from ._last_change import Walks
from ._readouts import Classifier, DatumAgreement, LabelAgreement, datum_agreement, label_reading, labelled_by
from ._verdicts import model_verdict
from .collapse import collapse_curves, collapse_theory, excess_entropy_errors
from .speciation import speciation_curves, speciation_theory


class _BothAgreements(eqx.Module):
    """The classes and the data of the same clones."""

    labels: LabelAgreement
    data: DatumAgreement

    def __call__(self, ys: Float[Array, "c d"], variance: Scalar) -> dict[str, Array]:
        return self.labels(ys, variance) | self.data(ys, variance)


class _BothExpected(eqx.Module):
    """What clones of a point say on average, in one pass; of classes only where its own posterior labels them."""

    target: AbstractDataSet
    labels: bool = eqx.field(static=True)

    def __call__(self, y: Data, variance: Scalar) -> dict[str, Array]:
        summary: Any = self.target.weights_summary(y, variance, with_labels=self.labels)
        expected = {"phi_c": summary.participation}
        return expected | ({"phi": jnp.sum(jnp.exp(2 * summary.label_log_posterior))} if self.labels else {})


def regimes(
    data: AbstractDataSet,
    process: AbstractProcess,
    times: Times,
    *,
    key: PRNGKey,
    samples: int | None = 2000,
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
    classify: Classifier | None = None,
    trajectories: int | None = None,
    datasets: int | None = None,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
    tell: Callable[[xr.Dataset], None] | None = None,
) -> xr.Dataset:
    """Everything that `speciation` and `collapse` return for a data set, from one set of samples and of clones.

    All arguments are described in `speciation`, but for `law` and `trajectories`, which are those of `collapse`;
    `clones_stderr` is a standard error of phi.

    Returns:
        A dataset with the variables and attributes of both experiments, and four attributes more: `regimes`, in words
        which of the three regimes there are; `t_C`, where E[L] = 0, nan if that is at none of the times
        (`collapse_time`, of criterion "mean_log_ratio_zero", with `collapse_time_low` and `collapse_time_high`);
        `collapsed_throughout`, whether all of the times lie below it; and `has_regime_two`, whether labels are decided
        by speciation, and at a time above `t_C`, so that there is a second regime between the two transitions.

        If the `sampler` moves by another score than that of the data, these four are told of its clones: `t_C` is then
        the time below which half of them end near one datum, the one nearest to the denoised end, and nan unless more
        than half of the ends are copies. `verdict_model` says whether the clones speciate; `verdict` stays that of
        the exact score of the data.

    Raises:
        ValueError: as `speciation` and `collapse` do, and for what is no data set.
    """
    if not isinstance(data, AbstractDataSet):
        raise ValueError(f"`regimes` needs a data set, `Empirical(points, labels)`. Got `{type(data).__name__}`.")
    times = check_times(times)
    walks = Walks.asked(times, trajectories, steps, grid, trunk_from)
    options = CloneOptions.asked(
        times, clones, clones_stderr, clone_times, branches, steps, stop, grid, trunk_from, increments,
        classify=classify,
    )  # fmt: skip
    asked = Asked.checked(
        "regimes", data, process, times, key, options, sampler=sampler, samples=samples, datasets=datasets,
        chunk=chunk, checkpoint=checkpoint, progress=progress, tell=tell, walks=walks, law=law, classify=classify,
    )  # fmt: skip
    variables, attrs = speciation_theory(data, process, times)
    theory, results = collapse_theory(data, process, times, law)
    variables, attrs = variables | theory, attrs | results
    if samples is not None:
        measured = asked.forward()
        for curves, results in (
            speciation_curves(data, times, measured),
            collapse_curves(data, process, times, measured, law),
        ):
            variables, attrs = variables | curves, attrs | results
        errors = asked.data_errors("phi", "phi_left_out", "phi_c", "entropy")
        variables |= excess_entropy_errors(data, errors)
        attrs["collapsed_throughout"] = int(np.all(variables["log_ratio"][1] < 0))
        t_c = float(variables["collapse_time"][1][0, 0])
        attrs |= _regimes_in_words(attrs["spectral_time"], attrs["verdict"], t_c, attrs["collapsed_throughout"])
    asked.report(variables, attrs)
    if options is not None:
        labels = LabelAgreement(label_reading(data, asked.sampler.denoise, classify))
        readout = _BothAgreements(labels, datum_agreement(data, asked.sampler))
        curves, results = asked.clones(readout, "phi", _BothExpected(data, classify is None))
        variables, attrs = variables | curves, attrs | results
        attrs["labelled_by"] = labelled_by(classify)
        if attrs["score"] == "given":
            attrs |= model_verdict(variables, attrs, times)
            of_model = ("spectral_time", "verdict_model", "t_C", "collapsed_throughout")
            attrs |= _regimes_in_words(*(attrs[name] for name in of_model))
    last, results = asked.last_changes()
    return asked.dataset(variables | last, attrs | results)


def _regimes_in_words(t_s: float, verdict: str, t_c: float, collapsed: bool | int) -> dict[str, Any]:
    """Which of the three regimes exist; `collapsed` tells that all times lie below collapse, so that none is t_C."""
    # Labels can be set by collapse where E[L] = 0 at no time: of data that are there several times, say.
    missing = "t_C" if verdict.startswith("collapse") else "collapse"
    two, third = False, "III below t_C" if np.isfinite(t_c) else f"no {missing} within these times"
    if collapsed:
        third = "III at all of these times"
    if not np.isfinite(t_s):
        words = "none: no speciation by the spectral criterion (Lambda <= T)"
        if verdict == "speciation":
            words += "; labels are decided all the same"
    elif verdict.startswith(("collapse", "one class")):
        words = f"{third}; no regime I or II: {verdict.removeprefix('collapse: ')}"
    elif verdict != "speciation":
        words = f"I above t_S, {third}; no regime II: {verdict.removeprefix('none: ')}"
    elif collapsed or t_c >= t_s:
        words = "I and III: collapse precedes speciation, there is no regime II"
    elif not np.isfinite(t_c):
        words, two = "I and II: no collapse within these times", True
    else:
        words, two = "I, II and III", True
    return {"regimes": words, "t_C": t_c, "has_regime_two": int(two)}
