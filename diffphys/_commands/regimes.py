"""The commands of speciation and collapse: load, run, save, draw, and say it in words."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import typer
import xarray as xr

from .. import experiments, plots
from .._keys import root_of
from ..experiments import default_times
from ..processes import OrnsteinUhlenbeck
from ..samplers import AbstractSampler, Bridge, DPMSolverMultistep, ReverseSDE
from ..targets import AbstractLabelledTarget, Empirical, reduce, symmetric_mixture
from ._shared import checkpoint, folder, forget, leave, load_data, refuse, refuse_data_options, root_key, set_precision
from ._words import collapse_words, diagram_words, regimes_words, speciation_words

# Times at which clones of a data set are run by `collapse` and `regimes`: each step of each clone meets all the data.
_CLONE_TIMES = 10


def run(command: str, **options: Any) -> None:
    """Runs `speciation`, `collapse` or `regimes` and leaves a netCDF file, a figure and a summary."""
    set_precision(options["precision"].value)
    refuse_idle(options)
    key, out = root_key(options["seed"]), folder(options["out"])
    target, law, described = _target(command, options)
    process = OrnsteinUhlenbeck(options["temperature"])
    times = times_of(options["times"], target, process)
    estimator = options["estimator"].value
    simulated, error = estimator in ("clones", "all"), options.get("clones_stderr")
    if command == "speciation" and estimator == "all" and target.num_labels == 1:
        # Clones of one class agree always.
        refuse(options, ("clones", "clones_stderr", "steps", "sampler"), "data of two classes or more", "one class")
        simulated = False
    settings: dict[str, Any] = {
        "chunk": options["chunk"], "checkpoint": checkpoint(out, command, options["resume"])
    }  # fmt: skip
    samples = options["samples"] if estimator in ("posterior", "all") else None
    settings |= {"samples": samples, "steps": options["steps"]}
    if simulated or options.get("trajectories") is not None:
        settings["sampler"] = sampler_of(options["sampler"].value)(process, target.posterior_mean)
    if simulated:
        settings |= {
            "clones": options["clones"] if error is None else None, "clones_stderr": error,
            "clone_times": None if command == "speciation" else clone_times(times),
        }  # fmt: skip
    if command != "speciation":
        settings |= {"law": law, "trajectories": options["trajectories"]}
    if command == "collapse":
        settings["stderr"] = options["stderr"]
    in_words = {"speciation": speciation_words, "collapse": collapse_words, "regimes": regimes_words}[command]
    told: list[str] = []

    def tell(first: xr.Dataset) -> None:
        """What needs no trajectory is there in seconds."""
        told.extend(in_words(first.assign_attrs(described)))
        typer.echo("\n".join(told))

    ds = getattr(experiments, command)(target, process, times, key=key, tell=tell, **settings).assign_attrs(described)
    words = [line for line in in_words(ds) if line not in told]
    leave(ds, out / f"{command}.nc", getattr(plots, command)(ds), words)
    forget(settings["checkpoint"])


def refuse_idle(options: dict[str, Any]) -> None:
    """Refuses options of what the estimator does not run, and two that say the same."""
    estimator = options["estimator"].value
    got, walks = f"--estimator {estimator}", options.get("trajectories") is not None
    if estimator in ("clones", "theory"):
        refuse(options, ("samples", "stderr"), "--estimator posterior or all", got)
    if estimator in ("posterior", "theory"):
        refuse(options, ("clones", "clones_stderr"), "--estimator clones or all", got)
        if not walks:
            refuse(options, ("steps", "sampler"), "--estimator clones or all", got)
    if estimator == "theory" and not walks:
        refuse(options, ("chunk",), "another estimator", got)
    # Late starts of a model take their number of samples from --clones too.
    if options.get("model") is None and options["clones_stderr"] is not None:
        refuse(options, ("clones",), "to be alone", "--clones-stderr")
    if options.get("stderr") is not None:
        refuse(options, ("samples",), "to be alone", "--stderr")


def sampler_of(name: str) -> Callable[..., AbstractSampler]:
    """The sampler of clones of that name, of a process and a denoiser."""
    second_order = functools.partial(DPMSolverMultistep, stochastic=True)
    return {"dpm-solver": second_order, "bridge": Bridge, "reverse-sde": ReverseSDE}[name]


def run_diagram(**options: Any) -> None:
    """Runs `diagram`."""
    set_precision(options["precision"].value)
    key, out = root_key(options["seed"]), folder(options["out"])
    if options["target"] is not None:
        refuse(options, ("samples",), "data, subsets of which are measured", "--target")
    target, _, described = _target("diagram", options)
    ds = experiments.diagram(
        target, key=key, temperature=options["temperature"], samples=options["samples"]
    ).assign_attrs(described)
    leave(ds, out / "diagram.nc", plots.diagram(ds), diagram_words(ds))


def _target(command: str, options: dict[str, Any]) -> tuple[AbstractLabelledTarget, Any, dict[str, Any]]:
    """The target, the law its data were drawn from where that is known, and how to describe them."""
    dtype = np.dtype(options["precision"].value)
    if options["target"] is not None:
        if options["data"] is not None:
            raise ValueError("Give --data or --target, not both.")
        refuse_data_options(options, "--target")
        refuse(options, ("step",), "--model", "--target")
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
        data_key = root_of(options["seed"] + 1)
        points, labels = jax.vmap(law.sample_labelled)(jax.random.split(data_key, options["size"]))
        return Empirical(points, np.asarray(labels)), law, {"data": f"{options['size']} data of {words}"}
    if options.get("reduce"):
        raise ValueError("--reduce needs --target: the classes of data depend on every coordinate. Got data.")
    refuse_model_options(options, "data")
    refuse(options, ("step",), "--model", "the exact score of data")
    loaded = load_data(options)
    settings = {f"data_{name}": value for name, value in loaded.settings.items()}
    target = Empirical(loaded.points.astype(dtype), loaded.labels)
    per_class = ", ".join(f"{n} of {c}" for c, n in zip(loaded.classes, np.bincount(loaded.labels), strict=True))
    return target, None, settings | {"data": f"{loaded.name}: {per_class}; d = {target.dim}"}


def refuse_model_options(options: dict[str, Any], instead: str) -> None:
    """Refuses options that shape a solvable model where none is taken."""
    refuse(options, ("dim", "mean", "variance", "weight", "size"), "--target", instead)


def times_of(text: str | None, target: AbstractLabelledTarget, process: OrnsteinUhlenbeck) -> np.ndarray:
    """The times asked for, or as many as asked for, or the default ones."""
    if text is None or text.strip().isdigit():
        if text is not None and int(text) < 1:
            raise ValueError(f"--times needs at least one time. Got {text}.")
        return default_times(target, process, *([] if text is None else [int(text)]))
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise ValueError(f"--times needs numbers, T1,T2,..., or one whole number. Got {text!r}.") from None


def clone_times(times: np.ndarray) -> np.ndarray:
    """Those of the times at which clones of a data set are run, evenly."""
    return times[np.unique(np.linspace(0, len(times) - 1, _CLONE_TIMES + 1).round().astype(int)[1:])]
