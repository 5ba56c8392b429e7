"""Where the curves of clones cross: in the units of the classes that the model itself generates."""

from typing import Any

import numpy as np

from .. import thermo
from ._clone_runs import CloneRun
from ._statistics import crossing_interval


def agreement_level(weights: np.ndarray) -> float:
    r"""The class agreement at which classes of these weights are half decided; nan for a single one.

    For two classes it is the agreement at separation one, `thermo.threshold`; for more the overlap
    $(\phi - \sum_k w_k^2) / (1 - \sum_k w_k^2)$ is one half there.
    """
    if np.count_nonzero(weights) < 2:
        return float("nan")
    if len(weights) == 2:
        return thermo.threshold(float(weights[0] / np.sum(weights)))
    return 0.5 * (1 + float(np.sum(weights**2)))


def label_crossings(run: CloneRun, times: np.ndarray, kind: str) -> dict[str, Any]:
    """The weights of the classes at the ends, and where soft and hard agreement cross the threshold of these weights.

    The interval does not hold the error of the weights: about equal ones do not move the threshold.
    """
    attrs: dict[str, Any] = {}
    for suffix in ("", "_hard"):
        weights, stderr = run.ends[f"label_weight{suffix}"].pooled()
        level, floor = agreement_level(weights), float(np.sum(weights**2))
        found = crossing_interval(times, run.moments[f"phi{suffix}"], level, limits=(floor, 1.0))
        attrs |= {
            f"clone_label_weights{suffix}": weights.tolist(),
            f"clone_label_weights{suffix}_stderr": stderr.tolist(),
            f"phi_floor{suffix}_{kind}": floor,
            f"threshold{suffix}_{kind}": level,
        } | _named("crossing", f"{suffix}_{kind}", found)
    return attrs


def datum_crossings(run: CloneRun, times: np.ndarray, kind: str) -> dict[str, Any]:
    """Where half the clones meet at a datum, by weights and by the nearest datum; what share of them are copies."""
    attrs: dict[str, Any] = {}
    if "copied" in run.moments:
        # The law of the ends is that of the model, whenever their clones parted: the mean over all times.
        shares, errors = run.moments["copied"].pooled()
        weights = run.trajectories / run.trajectories.sum()
        attrs[f"copied_share_{kind}"] = float(weights @ shares)
        # As if the ends of one trajectory were one.
        attrs[f"copied_share_{kind}_stderr"] = float(weights @ errors)
    for suffix in ("", "_hard"):
        found = crossing_interval(times, run.moments[f"phi_c{suffix}"], 0.5)
        attrs |= _named("phi_c_half", f"{suffix}_{kind}", found)
    return attrs


def _named(name: str, suffix: str, found: tuple[float, float, float]) -> dict[str, Any]:
    return {f"{name}_{part}{suffix}": value for part, value in zip(("time", "low", "high"), found, strict=True)}
