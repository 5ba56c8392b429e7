"""Collapse times by name: where E[L], phi_C and f_e / alpha cross, and where theory puts the collapse."""

import numpy as np

from .. import thermo
from ..processes import AbstractProcess
from ..targets import AbstractDataSet, AbstractLabelledTarget, AbstractTarget
from ..thermo.row_sums import DataRows
from ._assemble import CRITERIA, Variables
from ._statistics import Moments, crossing_interval
from ._theory import class_rows, spectrum_of, within_spectrum


def times_by_name(
    data: AbstractDataSet,
    process: AbstractProcess,
    times: np.ndarray,
    scaled: dict[str, Moments],
    law: AbstractTarget | None,
) -> Variables:
    """Every collapse time under its own name, pooled and for each class, with bootstrap intervals."""
    levels = {"mean_log_ratio_zero": ("log_ratio", 0.0, True), "phi_c_half": ("phi_c", 0.5, False)}
    levels["excess_entropy_half"] = ("excess_entropy", 0.5, True)
    values = np.full((3, len(CRITERIA), data.num_labels + 1), np.nan)
    for g in range(data.num_labels + 1):
        for c, criterion in enumerate(CRITERIA[:-1]):
            name, level, rising = levels[criterion]
            part = scaled[name] if g == 0 else Moments(*(array[:, [g - 1]] for array in scaled[name]))
            values[:, c, g] = crossing_interval(times, part, level, rising=rising)
        members = DataRows.of(data) if g == 0 else class_rows(data, g - 1)
        count = members.shape[0]
        if count > 1:
            if law is not None:
                spectrum = within_spectrum(law)
            else:
                spectrum = spectrum_of(data) if g == 0 else thermo.covariance_spectrum(members)
            # Separated classes collapse alone, each with its own data.
            whole = g == 0 or data.num_labels == 1
            separated = law.num_labels if whole and isinstance(law, AbstractLabelledTarget) else 1
            v_c = float(thermo.collapse_variance(count / separated, spectrum))
            values[0, -1, g] = process.time_of_variance(v_c)
    names = ("collapse_time", "collapse_time_low", "collapse_time_high")
    return {name: (("criterion", "group"), value) for name, value in zip(names, values, strict=True)}
