r"""Grids of decreasing times, and the clocks of other papers.

A noise schedule is a choice of times, not a process: whatever a paper calls it, it visits times of the
Ornstein-Uhlenbeck process. All of this is done once, on the host, in float64.

The common measure is the noise variance of the channel `y = a + sqrt(v) * noise`, $v = T (e^{2t} - 1)$ at
bath temperature $T$; the clocks of variance-preserving schedules (DDPM, VP, flow matching) assume $T = 1$.
"""

from .grids import (
    check_grid as check_grid,
    karras_grid as karras_grid,
    log_snr_grid as log_snr_grid,
    quadratic_grid as quadratic_grid,
    uniform_grid as uniform_grid,
)
from .maps import (
    Given as Given,
    clocks as clocks,
    ddpm_index as ddpm_index,
    ddpm_times as ddpm_times,
    flow_matching_clock as flow_matching_clock,
    flow_matching_time as flow_matching_time,
    linear_betas as linear_betas,
    log_snr as log_snr,
    nearest_ddpm_index as nearest_ddpm_index,
    time_of_variance as time_of_variance,
    variance_of_time as variance_of_time,
    vp_clock as vp_clock,
    vp_time as vp_time,
)

# Without it `help` shows none of them.
__all__ = [
    "Given", "check_grid", "clocks", "ddpm_index", "ddpm_times", "flow_matching_clock", "flow_matching_time",
    "karras_grid", "linear_betas", "log_snr", "log_snr_grid", "nearest_ddpm_index", "quadratic_grid",
    "time_of_variance", "uniform_grid", "variance_of_time", "vp_clock", "vp_time",
]  # fmt: skip
