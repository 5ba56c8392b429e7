"""The command of the magnet as a diffusion model."""

from typing import Any

import numpy as np
import xarray as xr

from .. import experiments, plots
from ..processes import OrnsteinUhlenbeck
from ._shared import checkpoint, folder, forget, leave, root_key, set_precision
from ._words import time_words


def run(**options: Any) -> None:
    """Runs `curie_weiss` and leaves a netCDF file, a figure and a summary."""
    set_precision(options["precision"].value)
    out = folder(options["out"])
    journals = checkpoint(out, "curie-weiss", options["resume"])
    ds = experiments.curie_weiss(
        options["dim"], options["beta"], options["field"], key=root_key(options["seed"]), checkpoint=journals,
        **{name: options[name] for name in ("temperature", "samples", "clones", "steps", "trajectories", "draws")},
    )  # fmt: skip
    leave(ds, out / "curie-weiss.nc", plots.curie_weiss(ds), _words(ds))
    forget(journals)


def _words(ds: xr.Dataset) -> list[str]:
    """The summary."""
    a = ds.attrs
    bath = "" if a["temperature"] == 1 else f", a bath at T = {a['temperature']:g}"
    error = np.hypot(ds.phi_clones_stderr, ds.phi_stderr)
    apart = np.abs(ds.phi_clones - ds.phi) / np.maximum(error, 1 / ds.attrs["clones"])
    return [
        f"Curie-Weiss magnet of N = {a['N']} spins, beta = {a['beta']:g}, h = {a['field']:g}{bath}",
        f"{'m*':18} {a['magnetisation']:.4f}   of each spin in the state up, m* = tanh(beta m*)",
        f"{'W+':18} {a['up_weight']:.4f}   exact at this N; for many spins {a['up_weight_limit']:.4f}",
        time_words("t_S", a["speciation_time"], _level(a, "speciation_time"), "theory: 1/2 log(N m*^2 / T)"),
        time_words("crossing", a["crossing_time"], _level(a, "crossing_time"), f"phi crosses {a['threshold']:.4f}",
                   a["crossing_low"], a["crossing_high"]),
        f"{'phi, clones':18} {a['clones']} pairs at {ds.sizes['t']} times; at most {float(apart.max()):.1f} standard "
        "errors from the identity",
        *_late_words(ds), *_learner_words(ds), *_step_words(ds),
    ]  # fmt: skip


def _level(attrs: dict[str, Any], name: str) -> float:
    """The noise level of a time."""
    return float(OrnsteinUhlenbeck(attrs["temperature"]).kernel(attrs[name]).variance ** 0.5)


def _late_words(ds: xr.Dataset) -> list[str]:
    """The weights after late starts."""
    lines = []
    for factor, name in ((0.5, "t_S / 2"), (1.0, "t_S"), (2.0, "2 t_S")):
        part = ds.isel(label=0).sel(t=factor * ds.attrs["speciation_time"], method="nearest")
        lines.append(
            f"{f'start at {name}':18} W+ = {float(part.label_weight):.4f} +- {float(part.label_weight_stderr):.4f} by "
            f"the identity, {float(part.label_weight_sampler):.4f} +- {float(part.label_weight_sampler_stderr):.4f} "
            "by trajectories"
        )
    return lines


def _learner_words(ds: xr.Dataset) -> list[str]:
    """The error of the weight that each way to learn leaves at the most data a spin, in the largest magnet."""
    part = ds.isel(dim=-1, ratio=-1)
    lines = [
        f"P data, P / N = {float(part.ratio):g}: root mean square error of W+, N = {int(part['dim'])} "
        f"(counting states {float(part.error_counting):.4f}, local theory {float(part.error_local_theory):.4f})"
    ]
    for name in part.learner.values:
        found = part.sel(learner=name)
        lines.append(f"  {str(name).replace('_', ' '):18} {float(found.error):.4f} +- {float(found.error_stderr):.4f}")
    return lines


def _step_words(ds: xr.Dataset) -> list[str]:
    """The error of the weights of a few steps, evenly and with the best number of them near the speciation time."""
    a, best = ds.attrs, ds.isel(inside=int(np.argmin(ds.critical_deficit.values)))
    return [
        f"{a['critical_steps']} steps, |W+ - true|: {a['critical_deficit_uniform']:.4f} +- "
        f"{a['critical_deficit_uniform_stderr']:.4f} evenly in log-SNR ({a['critical_inside_uniform']} near t_S), "
        f"{float(best.critical_deficit):.4f} +- {float(best.critical_deficit_stderr):.4f} with {int(best.inside)} near "
        "t_S, the best"
    ]
