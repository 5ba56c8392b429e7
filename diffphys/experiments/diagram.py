"""The regime diagram: speciation and collapse in the plane of data size and noise."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from .. import thermo
from .._types import PRNGKey
from ..processes import OrnsteinUhlenbeck
from ..results import dataset
from ..targets import AbstractDataSet, AbstractLabelledTarget
from ._assemble import check_count, seed_of, split_key
from ._chunks import Runner
from ._forward import measure_forward
from ._statistics import crossing
from ._theory import channel_variances, spectral, spectrum_of, within_spectrum


def diagram(
    target: AbstractLabelledTarget,
    *,
    key: PRNGKey,
    temperature: float = 1.0,
    sizes: Sequence[float] | Float[np.ndarray, " sizes"] | None = None,
    measured_sizes: int = 4,
    samples: int = 500,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Where the three regimes lie, for any number of data: t_S and t_C(n) with its width, in log n against log v.

    $$ \log n = \tfrac12 \sum_i \log(1 + \lambda_i / v_C), \quad \delta \log v = 2 / \sqrt{d_{eff}(v_C)}, \quad
       v_S = \Lambda - T, \quad \log n^* = \tfrac12 \sum_i \log(1 + \lambda_i / v_S). $$

    Below `n*` collapse precedes speciation and there is no second regime. For a data set, subsets of it are also
    measured: where E[L] = 0, and where the labels are decided, which may be collapse in disguise.

    Args:
        target: a data set, or a model with a known covariance.
        key: a typed key, for the subsets and their forward samples.
        temperature: T of the Ornstein-Uhlenbeck bath.
        sizes: numbers of data of the theory curve; by default 60 from 2 to 10^4 times `n*`.
        measured_sizes: how many subset sizes of a data set are measured, the whole included; 0 for none.
        samples: forward samples of each measurement.
        progress: whether to show bars.

    Returns:
        A dataset on `n`: `variance_collapse`, `variance_low`, `variance_high` (width) and `time_collapse`; on
        `n_measured`: `variance_measured` and `variance_label` with `verdict_speciation` (1 where labels are decided
        by speciation). Attributes: `variance_speciation`, `spectral_time`, `log_n_star`, all settings.

    Raises:
        ValueError: for a target without a known covariance, or a key or counts that mean nothing.
    """
    subset_key, forward_key = split_key(key)
    process = OrnsteinUhlenbeck(temperature)
    found = spectral(target, temperature)
    v_s = found.eigenvalue - temperature
    is_data = isinstance(target, AbstractDataSet)
    spectrum = spectrum_of(target) if is_data else within_spectrum(target)
    log_n_star = float(thermo.log_capacity(v_s, spectrum)) if v_s > 0 else float("nan")
    if sizes is None:
        top = log_n_star if np.isfinite(log_n_star) else float(np.log(1e4))
        top = max(top + np.log(1e4), np.log(target.num_points) + 2 if is_data else 0)
        sizes = np.exp(np.linspace(np.log(2.0), top, 60))
    sizes = np.asarray(sizes, np.float64)
    v_c = np.asarray(thermo.collapse_variance(sizes, spectrum))
    half_width = 0.5 * np.asarray(thermo.collapse_width(v_c, spectrum))
    variables: dict[str, tuple] = {
        "variance_collapse": ("n", v_c),
        "variance_low": ("n", v_c * np.exp(-half_width)),
        "variance_high": ("n", v_c * np.exp(half_width)),
        "time_collapse": ("n", 0.5 * np.log1p(v_c / temperature)),
        "effective_dimension": ("n", np.asarray(thermo.effective_dimension(v_c, spectrum))),
    }
    coords: dict[str, Any] = {"n": sizes, "log_n": ("n", np.log(sizes))}
    if is_data and measured_sizes:
        check_count("measured_sizes", measured_sizes, 1)
        counts, table = _measure_subsets(
            target,
            process,
            subset_key,
            forward_key,
            measured_sizes,
            samples,
            v_c.min(),
            found.eigenvalue,
            progress,
        )
        coords["n_measured"] = counts
        names = ("variance_measured", "variance_label", "verdict_speciation")
        variables |= {name: ("n_measured", column) for name, column in zip(names, table.T, strict=True)}
    attrs = {
        "variance_speciation": v_s if v_s > 0 else float("nan"), "spectral_time": found.time,
        "eigenvalue": found.eigenvalue, "log_n_star": log_n_star, "temperature": temperature, "d": target.dim,
        "target": type(target).__name__, "samples": samples,
    }  # fmt: skip
    if is_data:
        attrs |= {"n_data": target.num_points}
    return dataset(variables, coords, experiment="diagram", seed=seed_of(key), parameters=attrs).assign_attrs(attrs)


def _measure_subsets(
    data: AbstractDataSet,
    process,
    subset_key,
    forward_key,
    number: int,
    samples: int,
    least: float,
    top: float,
    progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and for each the variances of E[L] = 0 and of the label crossing, and whether that is speciation."""
    from .speciation import speciation_curves

    labels = np.asarray(data.labels)
    rng = np.random.default_rng(seed_of(subset_key))
    fractions = 2.0 ** -np.arange(number)[::-1]
    times = np.linspace(0.5 * np.log1p(0.02 * top), 0.5 * np.log1p(20 * top), 40)
    rows, counts = [], []
    for i, fraction in enumerate(fractions):
        chosen = [rng.permutation(np.flatnonzero(labels == k)) for k in range(data.num_labels)]
        kept = np.concatenate([c[: max(2, round(fraction * len(c)))] for c in chosen])
        subset = data.subset(kept)
        measured = measure_forward(
            subset, channel_variances(process, times), times, key=jax.random.fold_in(forward_key, i), samples=samples,
            runner=Runner(progress=progress), name=f"n = {len(kept)}",
        )  # fmt: skip
        ratio = crossing(times, measured.moments["log_rest_over_own"].pooled()[0], 0.0, rising=True)
        attrs = speciation_curves(subset, times, measured)[1]
        label_time = attrs.get("crossing_time", float("nan"))
        label_time = label_time if np.isfinite(label_time) else attrs.get("half_information_time", float("nan"))
        temperature = float(process.temperature)
        row = [temperature * np.expm1(2 * ratio), temperature * np.expm1(2 * label_time)]
        rows.append([*row, float(attrs["verdict"] == "speciation")])
        counts.append(len(kept))
    return np.array(counts), np.array(rows)
