"""The command of the thermodynamics of a model or a data set."""

from typing import Any

import numpy as np
import xarray as xr

from .. import experiments, plots, targets
from ..targets import AbstractTarget, Empirical
from ._shared import folder, leave, load_data, numbers, refuse, refuse_data_options, root_key, set_precision


def run(**options: Any) -> None:
    """Runs `thermodynamics` and leaves a netCDF file, a figure and a summary."""
    # Newton's method next to a critical point, and windows of exponents down to 1e-9, want all digits.
    set_precision("float64")
    out = folder(options["out"])
    target, words = _target(options)
    bounds = None
    if options["variances"] is not None:
        low, *rest = numbers("--variances", options["variances"])
        if len(rest) != 1:
            raise ValueError(f"--variances needs two numbers, LOW,HIGH. Got {options['variances']!r}.")
        bounds = (low, rest[0])
    ds = experiments.thermodynamics(
        target, key=root_key(options["seed"]), bounds=bounds, temperature=options["temperature"]
    ).assign_attrs(data=words)
    leave(ds, out / "thermo.nc", plots.thermodynamics(ds), _words(ds))


def _target(options: dict[str, Any]) -> tuple[AbstractTarget, str]:
    """The model, or the data set, centred."""
    if options["data"] is not None:
        if options["model"] is not None:
            raise ValueError("Give --data or --model, not both.")
        refuse(options, ("dim", "beta"), "a model", "--data")
        loaded = load_data(options)
        points = loaded.points.astype(np.float64)
        target = Empirical(points - points.mean(0), loaded.labels)
        return target, f"{loaded.name}: {len(points)} data, centred; d = {target.dim}"
    refuse_data_options(options, "a model")
    model = "two-deltas" if options["model"] is None else options["model"].value
    if model not in ("curie-weiss", "ising-ring"):
        refuse(options, ("beta",), "--model curie-weiss or ising-ring", f"--model {model}")
    if model == "four-deltas":
        refuse(options, ("dim",), "a model of any dimension", "--model four-deltas")
    dim, beta = options["dim"], options["beta"]
    if dim < 1:
        raise ValueError(f"--dim needs to be at least 1. Got {dim}.")
    makers = {
        "two-deltas": lambda: targets.deltas(np.stack([np.ones(dim), -np.ones(dim)]) / dim**0.5),
        "four-deltas": lambda: targets.deltas([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]),
        "sphere": lambda: targets.Sphere(dim),
        "curie-weiss": lambda: targets.CurieWeiss(dim, beta),
        "ising-ring": lambda: targets.Ising(targets.ring_couplings(dim, beta)),
        "mixture": lambda: targets.symmetric_mixture(np.ones(dim)),
    }
    words = {
        "two-deltas": f"two points at distance 1 from the origin, d = {dim}",
        "four-deltas": "four points at distance 1 from the origin, on two axes",
        "sphere": f"the unit sphere in {dim} dimensions",
        "curie-weiss": f"Curie-Weiss spins, N = {dim}, beta = {beta:g}",
        "ising-ring": f"Ising spins on a ring, d = {dim}, coupling {beta:g}",
        "mixture": f"two Gaussian classes, d = {dim}, means +-1 in each coordinate, variance 1",
    }
    return makers[model](), words[model]


def _words(ds: xr.Dataset) -> list[str]:
    """The summary."""
    lines = [ds.attrs["data"], f"{'Lambda':18} {ds.attrs['eigenvalue']:.6g}   largest eigenvalue of the covariance"]
    if ds.attrs["symmetric"]:
        lines.append(f"{'critical point':18} {'variance':>10} {'OU t':>8} {'VP u':>8} {'DDPM i':>8}")
        said = {
            "spectral": "Lambda e^(-2t) = T",
            "score_zero": "the origin of F~ unstable, J = 1",
            "drift": "of x + 2 T s",
        }
        for criterion, words in said.items():
            part = ds.sel(criterion=criterion)
            values = [float(part[name]) for name in ("critical_variance", "critical_time", "vp_linear", "ddpm_index")]
            shown = "none" if not np.isfinite(values[0]) else " ".join(
                f"{value:{width}}" for value, width in zip(values, ("10.6g", "8.4f", "8.4f", "8.2f"), strict=True)
            )  # fmt: skip
            lines.append(f"{criterion.replace('_', ' '):18} {shown}   {words}")
    for number, name in enumerate(ds.branch_name.values):
        own = ds.special_branch.values == number
        found = [
            f"{kind} at v = {v:.6g}"
            for kind, v in zip(ds.kind.values[own], ds.special_variance.values[own], strict=True)
        ]
        several = sorted(set(found), key=found.index)
        counted = [
            f"{text}" + (f" ({found.count(text)} directions)" if found.count(text) > 1 else "") for text in several
        ]
        points = int(np.sum(ds.branch.values == number))
        lines.append(f"{f'branch, {name}':18} {points} points; " + (", ".join(counted) or "no special points"))
    if "quartic" in ds.attrs:
        order = "continuous" if ds.attrs["continuous"] else "first order"
        lines.append(f"{'transition':18} {order}: kappa_4 = {ds.attrs['quartic']:.4g}")
    if "value" in ds:
        for name, expected in (("beta", "1/2"), ("gamma", "1"), ("gamma_below", "1"), ("delta", "3")):
            part = ds.sel(exponent=name)
            value, low, high = (float(part[end]) for end in ("value", "low", "high"))
            lines.append(f"{name.replace('_', ' '):18} {value:.5f} [{low:.5f}, {high:.5f}]   mean field: {expected}")
    return lines
