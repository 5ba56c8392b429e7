"""From moments to labelled variables: what the experiments have in common."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from .._box_muller import box_muller
from .._config import canonical
from .._describe import describe_process, described
from .._keys import check_root
from .._types import PRNGKey
from ..clocks import clocks, log_snr_grid
from ..processes import AbstractProcess, OrnsteinUhlenbeck
from ..results import dataset
from ..samplers import AbstractSampler, Bridge
from ..samplers._checks import check_denoiser
from ..samplers.base import Increments, check_sampler
from ..targets import AbstractDataSet, AbstractLabelledTarget, AbstractTarget, shape_of
from ..thermo.row_sums import DataRows, blocks_of
from ._accuracy import PILOT
from ._chunks import Runner
from ._long_names import with_long_names
from ._noise_levels import with_noise_levels
from ._readouts import Classifier
from ._statistics import Moments
from ._theory import channel_variances, temperature_of

Variables = dict[str, tuple]

CRITERIA = ("mean_log_ratio_zero", "phi_c_half", "excess_entropy_half", "gaussian")
"""The collapse times by name: E[L] = 0, phi_C = 1/2, f_e / alpha = 1/2, and the theory of Gaussian data."""

# Items are numbered by 32 bits, those of the padding of the last chunk too.
_MOST = 2**30

QUANTILES = (0.1, 0.5, 0.9)
"""Of the times at which L of single data points crosses 0."""


def check_times(times: Any) -> Float[np.ndarray, " times"]:
    """The times of a measurement as NumPy float64.

    Raises:
        ValueError: unless they are positive, finite, distinct and in order, one way or the other.
    """
    try:
        times = np.atleast_1d(np.asarray(times, np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"`times` needs numbers. Got {times!r}.") from None
    steps = np.diff(times)
    if times.ndim != 1 or times.size == 0 or not np.all(np.isfinite(times)) or np.any(times <= 0):
        raise ValueError(f"`times` needs finite times above 0, where the score does not diverge. Got {times.tolist()}.")
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(f"`times` needs distinct times in order. Got {times.tolist()}. Sort them.")
    return times


def held_variances(
    process: AbstractProcess, times: Float[np.ndarray, " times"], target: AbstractTarget
) -> Float[np.ndarray, " times"]:
    """The channel variance at each time.

    Raises:
        ValueError: unless the type of the data can hold them, and their inverses: what is measured beyond is nan.
    """
    with np.errstate(all="ignore"):  # Of a time far beyond, the lift underflows on the way.
        variances = channel_variances(process, times)
    limits = jnp.finfo(shape_of(target).dtype)
    bad = ~((variances >= limits.tiny) & (variances <= limits.max))
    if bad.any():
        raise ValueError(
            f"`times` needs times whose noise variance {limits.dtype} can hold. Got {times[bad].tolist()}, of "
            f"{[float(f'{v:.3g}') for v in variances[bad]]}. Do take those at which a state tells of the data."
        )
    return variances


def check_count(name: str, value: int | None, least: int) -> None:
    """Refuses a count that is too small to mean anything, or too large to number what it counts by 32 bits."""
    if value is not None and (not isinstance(value, int | np.integer) or value < least):
        raise ValueError(f"`{name}` needs a whole number, at least {least}. Got {value!r}.")
    if value is not None and value > _MOST:
        raise ValueError(f"`{name}` needs at most {_MOST}. Got {value}. Do take fewer, or several keys.")


def checked_stop(stop: float | None, times: Float[np.ndarray, " times"], name: str = "times") -> float:
    """Where trajectories from some times end; by default half the least of them.

    Raises:
        ValueError: unless it is above 0 and below all of them; `name` is what the caller calls them.
    """
    least = float(times.min())
    stop = 0.5 * least if stop is None else stop
    if not 0 < stop < least:
        raise ValueError(f"`stop` needs a time above 0 and below all `{name}`, {least}. Got {stop}.")
    return stop


def time_coordinates(process: AbstractProcess, times: np.ndarray) -> Variables:
    """The times in every clock and as a noise level in the units of the data."""
    variances = channel_variances(process, times)
    temperature = temperature_of(process)
    ou = times if isinstance(process, OrnsteinUhlenbeck) else 0.5 * np.log1p(variances)
    coords: Variables = {"t": ("t", times, {"long_name": f"diffusion time of {type(process).__name__}"})}
    coords["t_ou"] = ("t", ou, {"long_name": "time of an Ornstein-Uhlenbeck process with this channel"})
    coords |= {name: ("t", values) for name, values in clocks(ou, temperature).items()}
    coords["sigma_v"] = ("t", np.sqrt(variances), {"long_name": "noise level in the units of the data"})
    return coords


def curve(name: str, moments: Moments) -> Variables:
    """A mean and its Monte-Carlo standard error."""
    mean, stderr = moments.pooled()
    return {name: ("t", mean), f"{name}_stderr": ("t", stderr)}


class CloneOptions(NamedTuple):
    """How cloned trajectories are run."""

    clones: int
    times: Any = None
    branches: int = 2
    steps: int = 64
    stop: float | None = None
    grid: Callable[[float, float, int], np.ndarray] = log_snr_grid
    trunk_from: float | None = None
    increments: Increments = box_muller
    stderr: float | None = None

    @classmethod
    def asked(
        cls,
        times: np.ndarray,
        clones: int | None,
        stderr: float | None,
        *others: Any,
        classify: Classifier | None = None,
    ) -> "CloneOptions | None":
        """The options of an experiment, or None if neither `clones` nor a `stderr` of theirs was asked for.

        With a `stderr` alone a pilot of `PILOT` clones comes first. A `classify` without clones is refused.
        """
        options = cls(PILOT if clones is None else clones, *others, stderr=stderr)
        if clones is not None or stderr is not None:
            return options.checked(times)
        if classify is not None:
            raise ValueError("`classify` labels the ends of clones. Got no `clones`. Do ask for some.")
        return None

    def checked(self, times: np.ndarray) -> "CloneOptions":
        """With `times` and `stop` filled in; refuses what cannot be run."""
        own = times if self.times is None else check_times(self.times)
        if not np.isin(own, times).all():
            raise ValueError(f"`clone_times` needs some of `times`, {times.tolist()}. Got {own.tolist()}.")
        check_count("clones", self.clones, 2)
        if self.stderr is not None and not 0 < self.stderr < np.inf:
            raise ValueError(f"`clones_stderr` needs a positive error of the agreement. Got {self.stderr}.")
        check_count("branches", self.branches, 2)
        check_count("steps", self.steps, 2)
        if self.steps % 2:
            raise ValueError(
                f"`steps` needs an even number, since the bias is measured on the halved grid. Got {self.steps}."
            )
        stop, most = checked_stop(self.stop, own, "clone_times"), float(own.max())
        if self.trunk_from is not None and self.trunk_from <= most:
            raise ValueError(f"`trunk_from` needs a time above all times of clones, {most}. Got {self.trunk_from}.")
        return self._replace(stop=stop, times=own)


def runner_for(
    process: AbstractProcess,
    times: np.ndarray,
    key: PRNGKey,
    chunk: int | None,
    checkpoint: str | pathlib.Path | None,
    progress: bool | None,
    **parameters: Any,
) -> Runner:
    """Runs of an experiment, whose journals know its process, times, seed and other parameters by name."""
    settings = describe_process(process) | {"times": times, "seed": seed_of(key), **described(parameters)}
    return Runner(chunk, None if checkpoint is None else pathlib.Path(checkpoint), progress, settings)


def sampler_for(sampler: AbstractSampler | None, process: AbstractProcess, target: AbstractTarget) -> AbstractSampler:
    """The sampler asked for, or by default `Bridge` with the exact denoiser of the target.

    Raises:
        ValueError: for what is no sampler, one of another process, on which the times would be others, or of other
            data.
    """
    if sampler is None:
        return Bridge(process, target.posterior_mean)
    check_sampler("sampler", sampler)
    theirs, ours = (canonical(describe_process(each)) for each in (sampler.process, process))
    if theirs != ours:
        raise ValueError(
            f"`sampler` needs the process of the experiment, {ours}. Got one of {theirs}. Do give it that."
        )
    point = shape_of(target)
    state = jax.ShapeDtypeStruct((*np.shape(process.start()[0]), *point.shape), point.dtype)
    check_denoiser(sampler.denoise, state, process)
    return sampler


def experiment_dataset(
    name: str,
    process: AbstractProcess,
    times: np.ndarray,
    variables: Variables,
    attrs: dict[str, Any],
    key: PRNGKey,
    **parameters: Any,
) -> xr.Dataset:
    """The labelled result of an experiment on times, with all that is needed to make it again: the parameters."""
    words = seed_of(key)
    coords = time_coordinates(process, times)
    variables, attrs = with_noise_levels(process, variables, attrs)
    if "collapse_time" in variables:
        groups = variables["collapse_time"][1].shape[1]
        coords["criterion"] = ("criterion", np.array(CRITERIA))
        coords["group"] = ("group", np.array(["pooled", *(f"class {k}" for k in range(groups - 1))]))
        coords["quantile"] = ("quantile", np.array(QUANTILES))
    ds = dataset(
        variables, coords, experiment=name, seed=words,
        parameters=describe_process(process) | {"times": times, **described(parameters)},
    )  # fmt: skip
    return with_long_names(ds).assign_attrs(attrs)


def forward_attributes(target: AbstractLabelledTarget, samples: int, chunk: int) -> dict[str, Any]:
    """What the identities were measured on."""
    attrs: dict[str, Any] = {"samples": samples, "chunk_forward": chunk, "d": target.dim}
    attrs["draws"] = "the same clean points and the same noise at every time"
    attrs["target"] = type(target).__name__
    return attrs | (load_attributes(target) if isinstance(target, AbstractDataSet) else {})


def load_attributes(data: AbstractDataSet) -> dict[str, Any]:
    """How many data there are for the dimension, with and without the coordinates that do not vary."""
    first = data.rows(np.arange(1))
    varying = int(np.sum(np.any([np.any(rows != first, axis=0) for rows in blocks_of(DataRows.of(data))], axis=0)))
    log_n = float(np.log(data.num_points))
    return {"n": data.num_points, "alpha": log_n / data.dim, "d_varying": varying, "alpha_varying": log_n / varying}


def seed_of(key: PRNGKey) -> list[int]:
    """The words of a key: what a result says of its seed."""
    return [int(word) for word in np.ravel(jax.random.key_data(key))]


def split_key(key: PRNGKey) -> tuple[PRNGKey, PRNGKey]:
    """Independent keys for the forward samples and for the clones."""
    check_root(key)
    forward_key, clone_key = jax.random.split(key)
    return forward_key, clone_key
