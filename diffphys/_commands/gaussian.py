"""The command of the three regimes of learning a Gaussian law."""

from typing import Any

import numpy as np
import xarray as xr

from .. import experiments, plots, thermo
from ._shared import folder, leave, load_data, numbers, refuse, refuse_data_options, root_key, whole_numbers


def run(**options: Any) -> None:
    """Runs `gaussian_regimes` and leaves a netCDF file, a figure and a summary."""
    out = folder(options["out"])
    spectrum, words = _spectrum(options)
    counts = None if options["counts"] is None else whole_numbers("--counts", options["counts"])
    ds = experiments.gaussian_regimes(
        spectrum, key=root_key(options["seed"]), counts=counts, draws=options["draws"], steps=options["steps"],
        temperature=options["temperature"],
    ).assign_attrs(data=words)  # fmt: skip
    leave(ds, out / "gaussian-regimes.nc", plots.gaussian_regimes(ds), _words(ds))


def _spectrum(options: dict[str, Any]) -> tuple[np.ndarray, str]:
    """The eigenvalues of the true covariance: of data, or evenly spaced."""
    if options["data"] is not None:
        refuse(options, ("dim", "spectrum"), "a model", "--data")
        loaded = load_data(options)
        found = thermo.covariance_spectrum(loaded.points)
        kept = found[found > 1e-9 * found[0]]
        return kept, f"Gaussian data with the covariance of {loaded.name}: N = {len(kept)} directions that vary"
    refuse_data_options(options, "a model")
    ends = numbers("--spectrum", options["spectrum"])
    if len(ends) != 2 or options["dim"] < 2:
        raise ValueError(
            f"--spectrum needs LOW,HIGH and --dim at least 2. Got {options['spectrum']!r}, {options['dim']}."
        )
    words = f"Gaussian data, N = {options['dim']}, eigenvalues from {ends[0]:g} to {ends[1]:g}"
    return np.linspace(ends[0], ends[1], options["dim"]), words


def _words(ds: xr.Dataset) -> list[str]:
    """The summary."""
    lines = [ds.attrs["data"], f"{'P':>8} {'W2^2/N':>9} {'theory':>9} {'TV':>7} {'theory':>7} {'1/IPR':>7}  regime"]
    ends = ds.attrs["regime_two_from"], ds.attrs["regime_three_from"]
    for i, count in enumerate(ds["count"].values.tolist()):
        part = ds.isel(count=i)
        regime = ("rank P, wrong spectrum", "spectrum right, eigenvectors mixed", "learned")[
            np.searchsorted(ends, count)
        ]
        lines.append(
            f"{count:8d} {float(part.wasserstein):9.4g} {float(part.wasserstein_theory):9.4g} "
            f"{float(part.total_variation):7.4f} {float(part.total_variation_theory):7.4f} "
            f"{float(part.participation):7.2f}  {regime}"
        )
    return lines
