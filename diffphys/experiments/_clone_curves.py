"""From cloned trajectories to labelled curves: their means, the bias of their steps, their settings."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from .._types import PRNGKey, Scalar
from ..samplers import AbstractSampler
from ..targets import AbstractTarget
from ._accuracy import Accuracy
from ._assemble import CloneOptions, Variables
from ._chunks import Runner
from ._clone_runs import CloneRun, run_clones
from ._clones import Readout, Source, clone_tables
from ._crossings import datum_crossings, label_crossings
from ._readouts import has_exact_score


def clone_curves(
    sampler: AbstractSampler,
    readout: Readout,
    target: AbstractTarget,
    times: Float[np.ndarray, " times"],
    options: CloneOptions,
    *,
    key: PRNGKey,
    dtype: Any,
    runner: Runner,
    name: str,
    quantity: str,
    expected: Callable[[Array, Scalar], dict[str, Array]] | None,
) -> tuple[Variables, dict[str, Any]]:
    """The curves of the clone experiment with their discretisation bias, and the attributes of the run.

    Args:
        sampler: how clones move.
        readout: what is read at their ends.
        target: where branch points come from, unless there is a trunk.
        times: of the experiment, on which the curves are given.
        options: of the clones; checked.
        key: root of the addressed noise.
        dtype: of the states.
        runner: chunk size, journals and progress.
        name: of the journal and the bar.
        quantity: the readout whose standard error `options.stderr` is.
        expected: the mean readout of clones that leave a given point, by the exact score. It is used only where clones
            are exact: by that score, from forward samples, and by a sampler that is the time reversal.
    """
    assert options.stop is not None, "options are checked"
    branch_times = np.sort(options.times)[::-1]
    how = {"stop": options.stop, "steps": options.steps, "grid": options.grid, "trunk_from": options.trunk_from}
    exact, forward = has_exact_score(sampler, target), options.trunk_from is None
    known = exact and forward and sampler.is_time_reversal
    source = Source(
        target if forward else None, target.dim, options.branches, np.dtype(dtype), options.increments,
        expected if known else None,
    )  # fmt: skip
    run = run_clones(
        source, sampler, readout, clone_tables(sampler, branch_times, **how), key=key, trajectories=options.clones,
        runner=runner, name=name, times=branch_times,
        settings=how | {"sampler": sampler, "branches": options.branches, "increments": options.increments},
        accuracy=None if options.stderr is None else Accuracy(quantity, options.stderr, 1.0, "clones_stderr"),
    )  # fmt: skip
    # Other samplers keep the marginals and have another agreement: it is named so.
    kind = "clones" if sampler.is_time_reversal else "sampler"
    attrs: dict[str, Any] = {}
    if "phi" in run.moments:
        attrs |= label_crossings(run, branch_times, kind)
    if "phi_c" in run.moments:
        attrs |= datum_crossings(run, branch_times, kind)
    return _curves(run, kind, times, branch_times), attrs | {
        "sampler": type(sampler).__name__, "is_time_reversal": int(sampler.is_time_reversal),
        "score": "exact" if exact else "given",
        "increments": options.increments.__name__,
        "clones": int(run.trajectories.max()), "clones_halved": run.halved, "branches": options.branches,
        "steps": options.steps, "stop": options.stop,
        "start": "forward samples" if forward else f"a trunk from t = {options.trunk_from}",
        "dtype": str(np.dtype(dtype)), "chunk_clones": run.chunk, "denoiser_evaluations": run.evaluations,
    }  # fmt: skip


def _curves(run: CloneRun, kind: str, times: np.ndarray, branch_times: np.ndarray) -> Variables:
    """What was measured, on all times: nan where no clones were run."""
    places = np.array([int(np.flatnonzero(times == t)[0]) for t in branch_times])

    def spread(values: np.ndarray) -> np.ndarray:
        full = np.full(len(times), np.nan)
        full[places] = values
        return full

    variables: Variables = {}
    for quantity, moments in run.moments.items():
        bias, error = run.bias[quantity].pooled()
        mean, stderr = moments.pooled()
        variables |= {
            f"{quantity}_{kind}": ("t", spread(mean)),
            f"{quantity}_{kind}_stderr": ("t", spread(stderr)),
            f"{quantity}_{kind}_bias": ("t", spread(bias), {"long_name": "on this grid, minus on every second knot"}),
            f"{quantity}_{kind}_bias_stderr": ("t", spread(error)),
        }
    for quantity, moments in run.excess.items():
        excess, error = moments.pooled()
        words = "over the posterior of the points that the clones left"
        variables |= {
            f"{quantity}_{kind}_excess": ("t", spread(excess), {"long_name": words}),
            f"{quantity}_{kind}_excess_stderr": ("t", spread(error)),
        }
    return variables | {"clones_run": ("t", spread(run.trajectories), {"long_name": "cloned trajectories"})}
