"""Times as noise levels: every time of a result is also told as sigma_v, the noise in the units of the data."""

import re
from typing import Any

import numpy as np
from jaxtyping import Float

from ..processes import AbstractProcess
from ._theory import channel_variances

# What results call a time, or an end of its interval.
_TIME = re.compile(r"(?:^|_)times?(?:_|$)|^t_C$|^(?:crossing|phi_c_half)_(?:low|high)(?:_|$)")


def noise_levels(process: AbstractProcess, times: Any) -> Float[np.ndarray, "..."]:
    r"""$\sigma_v = \sqrt v$ of the channel at times of any shape; nan where there is no time."""
    times = np.asarray(times, np.float64)
    levels = np.where(times == 0, 0.0, np.nan)
    known = np.isfinite(times) & (times > 0)
    knots, where = np.unique(times[known], return_inverse=True)
    levels[known] = np.sqrt(channel_variances(process, knots))[where]
    return levels


def with_noise_levels(
    process: AbstractProcess, variables: dict[str, tuple], attrs: dict[str, Any]
) -> tuple[dict[str, tuple], dict[str, Any]]:
    """The variables and attributes of a result and, beside each time, its noise level: its name and `_sigma_v`."""
    more_variables = {
        f"{name}_sigma_v": (entry[0], noise_levels(process, entry[1]), {"long_name": f"noise level at {name}"})
        for name, entry in variables.items()
        if _TIME.search(name) and np.asarray(entry[1]).dtype.kind == "f"
    }
    more_attrs = {
        f"{name}_sigma_v": noise_levels(process, value).tolist()
        for name, value in attrs.items()
        if _TIME.search(name) and np.asarray(value).dtype.kind == "f"
    }
    return variables | more_variables, attrs | more_attrs
