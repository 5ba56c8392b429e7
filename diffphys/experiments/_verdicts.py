"""Whether labels are decided by speciation: the words, and the verdict on a model by its own clones."""

from typing import Any

import numpy as np

from ._assemble import Variables

# A departure beyond this says that label agreement is collapse, not speciation.
TOLERANCE = 0.05
BY_COLLAPSE = "collapse: label agreement is set by collapse here, not by speciation"
NO_CROSSING = "none: the agreement does not cross its threshold within these times"
ONE_CLASS = "one class: nothing to speciate"


def model_verdict(variables: Variables, attrs: dict[str, Any], times: np.ndarray) -> dict[str, Any]:
    r"""Whether clones of a given score speciate, and the time below which half of them end at one datum.

    Permuted labels of the nearest data would agree as often as $\sum_k w_k^2 + (1 - \sum_k w_k^2)\, \phi_C$: where this
    departs from $\sum_k w_k^2$ at the crossing, labels agree because data do. (For an exact score the datum can be left
    out as a second test. It cannot be left out of what a network has learned.)

    Clones that part late end near each other, and so near one datum, whatever a model has learned: it is collapse only
    where the ends are copies. The time at which half of the clones meet at a datum is measured on all ends alike,
    copies or not; so it is given as `t_C` only if more than half of the ends are copies, and else `t_C` is nan.
    """
    kind = "clones" if "phi_clones" in variables else "sampler"
    suffix = "_hard" if attrs["labelled_by"] == "classifier" else ""
    at = attrs[f"crossing_time{suffix}_{kind}"]
    order = np.argsort(times)
    agreement = variables[f"phi_c_hard_{kind}"][1][order]
    known = np.isfinite(agreement)
    meeting, copied = float(np.interp(at, times[order][known], agreement[known])), attrs[f"copied_share_{kind}"]
    copies = copied > 0.5
    if np.count_nonzero(attrs[f"clone_label_weights{suffix}"]) < 2:
        verdict = ONE_CLASS
    elif not np.isfinite(at):
        verdict = NO_CROSSING
    elif (1 - attrs[f"phi_floor{suffix}_{kind}"]) * meeting * copied > TOLERANCE:
        verdict = BY_COLLAPSE
    else:
        verdict = "speciation"
    return {
        "verdict_model": verdict, f"phi_c_hard_{kind}_at_crossing": meeting,
        "t_C": attrs[f"phi_c_half_time_hard_{kind}"] if copies else float("nan"),
        "collapsed_throughout": int(copies and np.all(agreement[known] > 0.5)),
    }  # fmt: skip
