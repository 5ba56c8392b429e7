"""The regime diagram: speciation and collapse in the plane of data size and noise."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.special import xlogy

from .. import thermo
from .._types import PRNGKey
from ..processes import OrnsteinUhlenbeck
from ..results import dataset
from ..targets import AbstractDataSet, AbstractLabelledTarget
from ._assemble import Variables, check_count, seed_of, split_key
from ._chunks import Runner
from ._forward import ForwardRun, measure_forward
from ._long_names import with_long_names
from ._noise_levels import noise_levels, with_noise_levels
from ._statistics import crossing_interval
from ._theory import channel_variances, default_times, spectral, spectrum_of, within_spectrum
from .speciation import speciation_curves


def diagram(
    target: AbstractLabelledTarget,
    *,
    key: PRNGKey,
    temperature: float = 1.0,
    sizes: Sequence[float] | Float[np.ndarray, " sizes"] | None = None,
    dims: Sequence[int] | Int[np.ndarray, " dims"] | None = None,
    measured_sizes: int = 4,
    samples: int = 500,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Where the three regimes lie, for any number of data: t_S and t_C(n) with its width, in log n against log v.

    $$ \log n = \tfrac12 \sum_i \log(1 + \lambda_i / v_C), \quad \delta \log v = 2 / \sqrt{d_{eff}(v_C)}, \quad
       v_S = \Lambda - T, \quad \log n^* = \tfrac12 \sum_i \log(1 + \lambda_i / v_S). $$

    Below `n*` collapse precedes speciation and there is no second regime. For a data set, subsets of it are also
    measured: where E[L] = 0, and where the labels are decided, which may be collapse in disguise.

    A law of the same shape in another dimension d' has each eigenvalue d' / d times, so that $v_C(n, d') =
    v_C(n^{d/d'}, d)$, between the limits of few and of many data for the dimension, of rank r,

    $$ \log n \ll d: \; v_C \simeq \frac{d\, \overline{\lambda}}{2 \log n}, \qquad
       \log n \gg d: \; v_C \simeq n^{-2/r} \exp \overline{\log \lambda}. $$

    To hold the collapse at one noise n has to grow as $e^{cd}$: the curse of dimensionality.

    Args:
        target: a data set, or a model with a known covariance.
        key: a typed key, for the subsets and their forward samples.
        temperature: T of the Ornstein-Uhlenbeck bath.
        sizes: numbers of data of the theory curve; by default 60 from 2, or below `n*`, to 10^4 times `n*`.
        dims: dimensions of the curves of the same shape; by default a quarter of that of a law, its own, four and
            sixteen times it, and that of a data set alone.
        measured_sizes: how many subset sizes of a data set are measured, the whole included; 0 for none.
        samples: forward samples of each measurement.
        progress: whether to show bars.

    Returns:
        A dataset on `n`: `variance_collapse`, `variance_low`, `variance_high` (width) and `time_collapse`; on `dim`
        and `n`: `variance_collapse_of_dim` with its limits `variance_few_data` and `variance_many_data`; on
        `n_measured`: `variance_measured` and `variance_label` with `verdict_speciation` (1 where labels are decided
        by speciation), each with the ends `_low` and `_high` of its 95 % interval, by bootstrap over blocks of
        samples of one subset, and the same as times, `time_measured` and `time_label`. Each time has its noise level,
        `_sigma_v` at the end of its name. Attributes: `variance_speciation`, `spectral_time`, `log_n_star`, all
        settings.

    Raises:
        ValueError: for a target without a known covariance, or a key or counts that mean nothing.
    """
    check_count("samples", samples, 32)
    check_count("measured_sizes", measured_sizes, 0)
    subset_key, forward_key = split_key(key)
    process = OrnsteinUhlenbeck(temperature)
    found = spectral(target, temperature)
    v_s = found.eigenvalue - temperature
    is_data = isinstance(target, AbstractDataSet)
    spectrum = spectrum_of(target) if is_data else within_spectrum(target)
    log_n_star = float(thermo.log_capacity(v_s, spectrum)) if v_s > 0 else float("nan")
    if sizes is None:
        sizes = _default_sizes(log_n_star, target.num_points if is_data else 1)
    sizes = np.asarray(sizes, np.float64)
    variables = _of_sizes(sizes, spectrum, temperature)
    coords: dict[str, Any] = {"n": sizes, "log_n": ("n", np.log(sizes))}
    if dims is None:
        dims = [target.dim] if is_data else sorted({max(1, round(f * target.dim)) for f in (0.25, 1, 4, 16)})
    for dim in dims:
        check_count("dims", dim, 1)
    coords["dim"] = np.array(dims)
    variables |= _of_dimensions(sizes, coords["dim"], spectrum)
    if is_data and measured_sizes:
        counts, measured = _measure_subsets(target, process, subset_key, forward_key, measured_sizes, samples, progress)
        coords["n_measured"] = counts
        variables |= measured
    attrs = {
        "variance_speciation": v_s if v_s > 0 else float("nan"), "spectral_time": found.time,
        "eigenvalue": found.eigenvalue, "log_n_star": log_n_star, "temperature": temperature, "d": target.dim,
        "target": type(target).__name__, "samples": samples,
    }  # fmt: skip
    if is_data:
        attrs |= {"n_data": target.num_points}
    variables, told = with_noise_levels(process, variables, attrs)
    ds = dataset(variables, coords, experiment="diagram", seed=seed_of(key), parameters=attrs)
    return with_long_names(ds).assign_attrs(told)


def _default_sizes(log_n_star: float, num_points: int) -> np.ndarray:
    """Sizes past the one where the transitions meet, and past that of the data."""
    top = log_n_star if np.isfinite(log_n_star) else float(np.log(1e4))
    top = max(top + np.log(1e4), np.log(num_points) + 2)
    # Two data are the least, but the curve has to reach the point where the transitions meet.
    least = np.log(2.0) if not log_n_star > 0 else min(np.log(2.0), 0.5 * log_n_star)
    return np.exp(np.linspace(least, top, 60))


def _of_sizes(sizes: np.ndarray, spectrum: np.ndarray, temperature: float) -> Variables:
    """The collapse of data of this spectrum, with its width."""
    v_c = np.asarray(thermo.collapse_variance(sizes, spectrum))
    half_width = 0.5 * np.asarray(thermo.collapse_width(v_c, spectrum))
    return {
        "variance_collapse": ("n", v_c),
        "variance_low": ("n", v_c * np.exp(-half_width)),
        "variance_high": ("n", v_c * np.exp(half_width)),
        "time_collapse": ("n", 0.5 * np.log1p(v_c / temperature)),
        "effective_dimension": ("n", np.asarray(thermo.effective_dimension(v_c, spectrum))),
    }


def _of_dimensions(sizes: np.ndarray, dims: np.ndarray, spectrum: np.ndarray) -> Variables:
    """The collapse of a spectrum of this shape in other dimensions, with its limits."""
    own, log_n = len(spectrum), np.log(sizes)
    positive = spectrum[spectrum > 0]
    rank = dims * len(positive) / own
    curves = [thermo.collapse_variance(np.exp(log_n * own / dim), spectrum) for dim in dims]
    few = dims[:, None] * spectrum.mean() / (2 * log_n)
    many = np.exp(np.log(positive).mean() - 2 * log_n / rank[:, None])
    names = ("variance_collapse_of_dim", "variance_few_data", "variance_many_data")
    return {name: (("dim", "n"), values) for name, values in zip(names, (np.array(curves), few, many), strict=True)}


def _measure_subsets(
    data: AbstractDataSet,
    process: OrnsteinUhlenbeck,
    subset_key: PRNGKey,
    forward_key: PRNGKey,
    number: int,
    samples: int,
    progress: bool | None,
) -> tuple[np.ndarray, Variables]:
    """Sizes, and for each where E[L] = 0 and where labels cross, with intervals, and whether that is speciation."""
    labels = np.asarray(data.labels)
    rng = np.random.default_rng(seed_of(subset_key))
    fractions = 2.0 ** -np.arange(number)[::-1]
    times = default_times(data, process)
    ratio, label, sound, counts = [], [], [], []
    for i, fraction in enumerate(fractions):
        chosen = [rng.permutation(np.flatnonzero(labels == k)) for k in range(data.num_labels)]
        kept = np.concatenate([c[: max(2, round(fraction * len(c)))] for c in chosen])
        subset = data.subset(kept)
        measured = measure_forward(
            subset, channel_variances(process, times), times, key=jax.random.fold_in(forward_key, i), samples=samples,
            runner=Runner(progress=progress), name=f"n = {len(kept)}",
        )  # fmt: skip
        ratio.append(crossing_interval(times, measured.moments["log_rest_over_own"], 0.0, rising=True))
        attrs = speciation_curves(subset, times, measured)[1]
        label.append(_label_time(times, measured, attrs))
        sound.append(float(attrs["verdict"] == "speciation"))
        counts.append(len(kept))
    variables: Variables = {"verdict_speciation": ("n_measured", np.array(sound))}
    for name, found in (("measured", np.array(ratio)), ("label", np.array(label))):
        for end, values in zip(("", "_low", "_high"), found.T, strict=True):
            variables[f"time_{name}{end}"] = ("n_measured", values)
            variables[f"variance_{name}{end}"] = ("n_measured", noise_levels(process, values) ** 2)
    return np.array(counts), variables


def _label_time(times: np.ndarray, measured: ForwardRun, attrs: dict[str, Any]) -> tuple[float, float, float]:
    """Where two classes cross their threshold, else where half of the information on the classes is there."""
    weights = np.asarray(attrs["label_weights"])
    if len(weights) == 2 and np.isfinite(attrs["crossing_time"]):
        return attrs["crossing_time"], attrs["crossing_low"], attrs["crossing_high"]
    whole = -float(np.sum(xlogy(weights, weights)))
    entropy = measured.moments["label_entropy"]
    return crossing_interval(times, entropy, 0.5 * whole, rising=True, limits=(0.0, whole))
