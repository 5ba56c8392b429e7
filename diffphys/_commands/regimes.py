"""The commands of speciation and collapse: load, run, save, draw, and say it in words."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import typer
import xarray as xr

from .. import experiments, plots
from ..clocks import log_snr_grid
from ..experiments import default_times
from ..processes import OrnsteinUhlenbeck
from ..samplers import AbstractSampler, Bridge, DPMSolverMultistep, ReverseSDE
from ..targets import AbstractLabelledTarget, Empirical, reduce, symmetric_mixture
from ._shared import checkpoint, folder, forget, leave, load_data, refuse_data_options, set_precision, time_words

# Times at which clones of a data set are run by `collapse` and `regimes`: each step of each clone meets all the data.
_CLONE_TIMES = 10


def run(command: str, **options: Any) -> None:
    """Runs `speciation`, `collapse` or `regimes` and leaves a netCDF file, a figure and a summary."""
    set_precision(options["precision"].value)
    out = folder(options["out"])
    target, law, described = _target(command, options)
    process = OrnsteinUhlenbeck(options["temperature"])
    times = times_of(options["times"], target, process)
    estimator = options["estimator"].value
    simulated, error = estimator in ("clones", "all"), options.get("clones_stderr")
    if error is not None and not simulated:
        raise ValueError(f"--clones-stderr needs --estimator clones or all. Got {estimator}.")
    settings: dict[str, Any] = {
        "chunk": options["chunk"], "checkpoint": checkpoint(out, command, options["resume"])
    }  # fmt: skip
    if command != "speciation":
        settings["law"] = law

    samples = options["samples"] if estimator in ("posterior", "all") else None
    settings |= {
        "samples": samples, "steps": options["steps"], "grid": log_snr_grid,
        "sampler": sampler_of(options["sampler"].value)(process, target.posterior_mean),
    }  # fmt: skip
    if simulated:
        settings |= {
            "clones": options["clones"] if error is None else None, "clones_stderr": error,
            "clone_times": None if command == "speciation" else clone_times(times),
        }  # fmt: skip
    if command == "collapse":
        if options["stderr"] is not None and samples is None:
            raise ValueError(f"--stderr needs --estimator posterior or all. Got {estimator}.")
        settings |= {"stderr": options["stderr"], "trajectories": options["trajectories"]}
    in_words = {"speciation": _speciation_words, "collapse": _collapse_words, "regimes": regimes_words}[command]
    told: list[str] = []

    def tell(first: xr.Dataset) -> None:
        """What needs no trajectory is there in seconds."""
        told.extend(in_words(first.assign_attrs(described)))
        typer.echo("\n".join(told))

    key = jax.random.key(options["seed"])
    ds = getattr(experiments, command)(target, process, times, key=key, tell=tell, **settings).assign_attrs(described)
    words = [line for line in in_words(ds) if line not in told]
    leave(ds, out / f"{command}.nc", getattr(plots, command)(ds), words)
    forget(settings["checkpoint"])


def sampler_of(name: str) -> Callable[..., AbstractSampler]:
    """The sampler of clones of that name, of a process and a denoiser."""
    second_order = functools.partial(DPMSolverMultistep, stochastic=True)
    return {"dpm-solver": second_order, "bridge": Bridge, "reverse-sde": ReverseSDE}[name]


def run_diagram(**options: Any) -> None:
    """Runs `diagram`."""
    set_precision(options["precision"].value)
    out = folder(options["out"])
    target, _, described = _target("diagram", options)
    ds = experiments.diagram(
        target, key=jax.random.key(options["seed"]), temperature=options["temperature"], samples=options["samples"]
    ).assign_attrs(described)
    star = ds.attrs["log_n_star"]
    words = [described["data"], time_words("t_S", ds.attrs["spectral_time"], "spectral: 1/2 log(Lambda / T)")]
    if np.isfinite(star):
        words.append(f"n* = {np.exp(star):.3g}: with fewer data collapse precedes speciation (log n* = {star:.2f})")
    for n, ratio, label, sound in zip(
        *(ds[name].values for name in ("n_measured", "variance_measured", "variance_label", "verdict_speciation")),
        strict=True,
    ) if "n_measured" in ds else ():  # fmt: skip
        origin = "speciation" if sound else "not by speciation"
        words.append(f"n = {n}: E[L] = 0 at v = {ratio:.4g}; labels decided at v = {label:.4g} ({origin})")
    leave(ds, out / "diagram.nc", plots.diagram(ds), words)


def _target(command: str, options: dict[str, Any]) -> tuple[AbstractLabelledTarget, Any, dict[str, Any]]:
    """The target, the law its data were drawn from where that is known, and how to describe them."""
    dtype = np.dtype(options["precision"].value)
    if options["target"] is not None:
        if options["data"] is not None:
            raise ValueError("Give --data or --target, not both.")
        refuse_data_options(options, "--target")
        dim, mean, variance = options["dim"], options["mean"], options["variance"]
        if dim < 1 or variance <= 0 or not 0 < options["weight"] < 1:
            raise ValueError("--dim needs to be at least 1, --variance above 0, --weight between 0 and 1.")
        law = symmetric_mixture(np.full(dim, mean, dtype), variance, options["weight"])
        words = f"two Gaussian classes, d = {dim}, means +-{mean:g} in each coordinate, variance {variance:g}"
        if command in ("speciation", "diagram"):
            if options.get("reduce"):
                small = reduce(law).target
                return small, small, {"data": f"{words}, reduced to {small.dim} coordinate"}
            return law, law, {"data": words}
        if options["size"] < 2:
            raise ValueError(f"--size needs at least 2 data. Got {options['size']}.")
        points, labels = jax.vmap(law.sample_labelled)(
            jax.random.split(jax.random.key(options["seed"] + 1), options["size"])
        )
        return Empirical(points, np.asarray(labels)), law, {"data": f"{options['size']} data of {words}"}
    if options.get("reduce"):
        raise ValueError("--reduce needs --target: the classes of data depend on every coordinate. Got data.")
    loaded = load_data(options)
    settings = {f"data_{name}": value for name, value in loaded.settings.items()}
    target = Empirical(loaded.points.astype(dtype), loaded.labels)
    per_class = ", ".join(f"{n} of {c}" for c, n in zip(loaded.classes, np.bincount(loaded.labels), strict=True))
    return target, None, settings | {"data": f"{loaded.name}: {per_class}; d = {target.dim}"}


def times_of(text: str | None, target: AbstractLabelledTarget, process: OrnsteinUhlenbeck) -> np.ndarray:
    """The times asked for, or as many as asked for, or the default ones."""
    if text is None or text.strip().isdigit():
        return default_times(target, process, *([] if text is None else [int(text)]))
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise ValueError(f"--times needs numbers, T1,T2,..., or one whole number. Got {text!r}.") from None


def clone_times(times: np.ndarray) -> np.ndarray:
    """Those of the times at which clones of a data set are run, evenly."""
    return times[np.unique(np.linspace(0, len(times) - 1, _CLONE_TIMES + 1).round().astype(int)[1:])]


def _speciation_words(ds: xr.Dataset) -> list[str]:
    """The summary of a speciation run."""
    a = ds.attrs
    lines = [a["data"]]
    if np.isfinite(a["spectral_time"]):
        words = f"spectral: 1/2 log(Lambda / T), Lambda = {a['eigenvalue']:.4g}"
        if a.get("verdict", "").startswith("collapse"):
            words += "; of the spectrum alone, no speciation time here"
        lines.append(time_words("t_S", a["spectral_time"], words, a["spectral_time_low"], a["spectral_time_high"]))
    else:
        lines.append(
            f"t_S                none: no speciation by the spectral criterion (Lambda = {a['eigenvalue']:.3g} <= T)"
        )
    for name, words in (("score_zero_time", "score zero at the origin"), ("drift_time", "reverse drift at the origin"),
                        ("theory_crossing_time", "theory crosses its threshold")):  # fmt: skip
        if name in a:
            lines.append(time_words(name.removesuffix("_time"), a[name], words))
    if "verdict" in a:
        if not a["verdict"].startswith(("collapse", "one class")):
            if np.isfinite(a["threshold"]):
                words = f"phi crosses {a['threshold']:.4f}"
                lines.append(time_words("crossing", a["crossing_time"], words, a["crossing_low"], a["crossing_high"]))
            lines.append(time_words("half information", a["half_information_time"], "I(C; X_t) = H(C) / 2"))
        lines.append(f"{'verdict':18} {a['verdict']}")
        if np.isfinite(a.get("phi_permuted_at_crossing", np.nan)):
            lines.append(
                f"{'':18} at the crossing: permuted labels {a['phi_permuted_at_crossing']:.3f}, datum left out "
                f"{a['phi_left_out_at_crossing']:.3f}, phi_C {a['phi_c_at_crossing']:.3f}"
            )
    return lines + _clone_words(ds, "phi")


def _collapse_words(ds: xr.Dataset) -> list[str]:
    """The summary of a collapse run."""
    a = ds.attrs
    lines = [a["data"]]
    if "alpha" in a:
        lines.append(
            f"{'load':18} alpha = log n / d = {a['alpha']:.4g} "
            f"({a['alpha_varying']:.4g} over the {a['d_varying']} coordinates that vary)"
        )
    names = {
        "mean_log_ratio_zero": ("t_C", "E[L] = 0"),
        "phi_c_half": ("phi_C = 1/2", "half the clones meet"),
        "excess_entropy_half": ("f_e/alpha = 1/2", "half the entropy"),
        "gaussian": ("theory", a["theory"]),
    }
    if "collapse_time" in ds:
        for c, criterion in enumerate(experiments.CRITERIA):
            name, words = names[criterion]
            time, low, high = (float(ds[f"collapse_time{end}"][c, 0]) for end in ("", "_low", "_high"))
            by_class = ", ".join(f"{float(t):.3f}" for t in ds.collapse_time[c, 1:])
            lines.append(time_words(name, time, words + (f"; by class {by_class}" if by_class else ""), low, high))
        low, median, high = (float(q) for q in ds.own_collapse_time[:, 0])
        lines.append(f"{'data points':18} L = 0 between {low:.3f} and {high:.3f} for 80 % of them, median {median:.3f}")
    if "last_change_time" in ds:
        low, median, high = np.quantile(ds.last_change_time, [0.1, 0.5, 0.9])
        words = (
            f"of the nearest datum, median of {ds.sizes['trajectory']} trajectories; 10-90 % {low:.3f} to {high:.3f}"
        )
        lines.append(time_words("last change", median, words))
    lines.append(
        f"{'width':18} d_eff = {a['effective_dimension']:.3g}, 2 / sqrt(d_eff) = {a['width_log_v']:.2g} in log v"
    )
    return lines + _clone_words(ds, "phi_c")


def regimes_words(ds: xr.Dataset) -> list[str]:
    """The summary of both."""
    last = [f"{'regimes':18} {ds.attrs['regimes']}"] if "regimes" in ds.attrs else []
    return _speciation_words(ds) + _collapse_words(ds)[1:] + last


def _clone_words(ds: xr.Dataset, name: str) -> list[str]:
    """How far the simulated curve lies from the identity, its bias, and where it crosses.

    From its own identity in standard errors: a check. From that of another score as it is: a result.
    """
    for kind in ("clones", "sampler"):
        if f"{name}_{kind}" not in ds:
            continue
        part = ds.dropna("t", subset=[f"{name}_{kind}"])
        bias, spread = (part[f"{name}_{kind}_bias{end}"].values for end in ("", "_stderr"))
        worst = int(np.abs(bias).argmax())
        line = f"{f'{name}, {kind}':18} {_pairs(part)} pairs at {part.sizes['t']} times; "
        line += f"halving the grid moves it {abs(bias[worst]):.3f} +- {spread[worst]:.3f}"
        gap = part[f"{name}_{kind}"] - part[name] if name in ds else None
        if gap is not None and ds.attrs["score"] == "given":
            most = int(np.abs(gap.values).argmax())
            line += f"; a given score: {float(gap[most]):+.3f} from the exact one's identity, "
            line += f"at most, at t = {float(part.t[most]):.3g}"
        elif gap is not None and kind == "clones":
            error = np.hypot(part[f"{name}_{kind}_stderr"], part[f"{name}_stderr"])
            z = np.abs(gap) / np.maximum(error, 1 / part.clones_run)
            line += f"; at most {float(z.max()):.1f} standard errors from the identity"
        return [line, *_clone_times(ds, name, kind)]
    return []


def _pairs(ds: xr.Dataset) -> str:
    """How many pairs of clones there were, at each time or at the least and the most."""
    least, most = int(ds.clones_run.min()), int(ds.clones_run.max())
    return f"{most}" if least == most else f"{least} to {most}"


def _clone_times(ds: xr.Dataset, name: str, kind: str) -> list[str]:
    """Where clones of a model cross, by soft and by hard labels; for the exact score the identity has said it."""
    if ds.attrs["score"] == "exact":
        return []
    lines = []
    for suffix in ("", "_hard"):
        curve = f"{name}{suffix}_{kind}"
        if name == "phi_c":
            times, words = f"phi_c_half_{{}}{suffix}_{kind}", f"{curve} crosses 1/2"
        else:
            times = f"crossing_{{}}{suffix}_{kind}"
            words = f"{curve} crosses {ds.attrs[f'threshold{suffix}_{kind}']:.4f}"
            if suffix and ds.attrs["labelled_by"] == "classifier":
                words += ", by the classifier"
        found = [ds.attrs[times.format(part)] for part in ("time", "low", "high")]
        if np.isfinite(found[0]):
            lines.append(time_words("of the model", found[0], words, *found[1:]))
    return lines
