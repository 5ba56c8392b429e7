"""The regimes of a model: of its clones, of its errors, and of what few steps make of a late start."""

import pathlib
from typing import Any

import jax
import numpy as np
import typer
import xarray as xr

from .. import experiments, plots
from ..learn import train_classifier
from ..processes import OrnsteinUhlenbeck
from ..targets import Empirical
from ._models import Model, data_of, open_model
from ._shared import checkpoint, folder, forget, leave, root_key, set_precision
from ._words import exact_words, model_words, named_time, time_words
from .regimes import clone_times, refuse_idle, refuse_model_options, sampler_of, times_of

# Late starts: of how many times, and how many repeats; in all as many samples as there are clones at a time.
_STARTS, _REPEATS = 8, 8
# With what share of the clones last changes are timed, and the least number of these and of samples a repeat.
_SHARE, _LEAST = 4, 32
# The most data whose errors are measured.
_MOST = 1000


def run(**options: Any) -> None:
    """Runs `regimes` of a model and leaves its regimes, its late starts, and what it knows of data it has not seen."""
    _refuse(options)
    set_precision(options["precision"].value)
    root = root_key(options["seed"])
    out, named = folder(options["out"]), options | {"dim": None}
    model = open_model(options["model"], named, options["step"])
    loaded, held = data_of(model)
    dtype = np.dtype(options["precision"].value)
    points, labels = loaded.points[~held].astype(dtype), loaded.labels[~held]
    target, process = Empirical(points, labels), OrnsteinUhlenbeck()
    top = process.time_of_variance(model.variances[1])
    times = _times(options["times"], target, process, top)
    estimator = options["estimator"].value
    classify, simulated, error = None, estimator in ("clones", "all"), options["clones_stderr"]
    typer.echo(model.words)
    if len(loaded.classes) > 1 and simulated:
        classify = train_classifier(loaded.points, loaded.labels, shape=loaded.shape)
        typer.echo(f"{'classifier':18} {classify.accuracy:.4f} right")
    walks = options["trajectories"]
    if walks is None and simulated:
        walks = max(_LEAST, options["clones"] // _SHARE)
    keys = jax.random.split(root, 3)
    kept = checkpoint(out, "model-regimes", options["resume"])
    described = {"model": options["model"], "data": f"{loaded.name}: {len(points)} data, d = {model.dim}"}

    def tell(first: xr.Dataset) -> None:
        """What the exact score says of the data is there before the model has moved."""
        of_data, *others = exact_words(first.assign_attrs(described))
        why = "for reference" if simulated else "since no clones of the model were asked for"
        typer.echo("\n".join([of_data, f"The data, by their exact score, {why}:", *others]))

    ds = experiments.regimes(
        target, process, times, key=keys[0], samples=options["samples"] if estimator in ("posterior", "all") else None,
        clones=options["clones"] if simulated and error is None else None, clones_stderr=error,
        clone_times=clone_times(times),
        sampler=sampler_of(options["sampler"].value)(process, model.denoiser) if simulated or walks else None,
        steps=options["steps"], trunk_from=top, classify=classify, trajectories=walks, chunk=options["chunk"],
        checkpoint=kept, tell=tell,
    )  # fmt: skip
    ds = ds.assign_attrs(described)
    leave(ds, out / "regimes.nc", plots.regimes(ds), model_words(ds))
    if simulated:
        _late_start(model, classify, points, times, keys[1], options, kept, out)
    fresh = loaded.points[held].astype(dtype) if held.any() else None
    _information(model, fresh, points, times, keys[2], options, kept, out)
    forget(kept)


def _refuse(options: dict[str, Any]) -> None:
    """Refuses what belongs to exact scores, and a denoiser in a file without data."""
    if options["target"] is not None:
        raise ValueError("Give --model or --target, not both.")
    if options["temperature"] != 1.0:
        raise ValueError(f"--temperature needs to be 1 with --model. Got {options['temperature']}. Leave it out.")
    refuse_idle(options)
    refuse_model_options(options, "--model")
    if options["data"] is None and ".py:" in options["model"]:
        raise ValueError(f"--model {options['model']} needs --data, whose regimes it is to have. Got none.")


def _times(text: str | None, target: Empirical, process: OrnsteinUhlenbeck, top: float) -> np.ndarray:
    """The times asked for, or those of the default ones at which the model knows the noise."""
    times = times_of(text, target, process)
    if text is not None and not text.strip().isdigit() and times.max() >= top:
        raise ValueError(
            f"--times needs times below {top:.4g}, the noise that the model knows. Got {times.max():g}. Leave it out."
        )
    return times[times < top]


def _late_start(
    model: Model, classify: Any, points: np.ndarray, times: np.ndarray, key: Any, options: dict[str, Any],
    kept: pathlib.Path, out: pathlib.Path,
) -> None:  # fmt: skip
    """What few steps make of Gaussian starts, by the Frechet distance of features, or of the samples themselves."""
    features = None if classify is None else classify.features
    name = "Frechet distance of the samples" if features is None else "Frechet distance of the classifier's features"
    chosen = times[np.unique(np.linspace(len(times) // 4, len(times) - 1, _STARTS).round().astype(int))]
    samples = max(_LEAST, options["clones"] // _REPEATS)
    ds = experiments.gaussian_start(
        points, OrnsteinUhlenbeck(), chosen, key=key, quality={name: experiments.frechet_distance(features, points)},
        denoise=model.denoiser, samples=samples, repeats=_REPEATS, denoised=True, chunk=min(samples, 256),
        checkpoint=kept,
    )  # fmt: skip
    words = [f"late starts, {samples * _REPEATS} samples at {len(chosen)} times; the {name} bends most at"]
    for sampler in ds.sampler.values:
        for steps in ds.steps.values:
            part = ds.sel(start="gaussian", sampler=sampler, steps=steps).squeeze()
            time, level, low, high = (
                float(part[f"bifurcation_time{end}"]) for end in ("", "_sigma_v", "_low", "_high")
            )
            words.append(time_words(f"{sampler}, {steps} steps", time, level, "", low, high).rstrip())
    leave(ds, out / "late-start.nc", plots.gaussian_start(ds), words)


def _information(
    model: Model, fresh: np.ndarray | None, points: np.ndarray, times: np.ndarray, key: Any, options: dict[str, Any],
    kept: pathlib.Path, out: pathlib.Path,
) -> None:  # fmt: skip
    """The collapse time of the population by the errors on new data, and the gap to those on the training data.

    Without new data the excess entropy on the training data alone.
    """
    data = points if fresh is None else fresh
    # Evenly: data may come class by class.
    rows = np.linspace(0, len(data) - 1, min(len(data), _MOST)).round().astype(int)
    ds = experiments.information(
        model.denoiser, data[rows], OrnsteinUhlenbeck(), times, key=key, count=len(points),
        training=None if fresh is None else points, chunk=options["chunk"], checkpoint=kept,
    )  # fmt: skip
    half = "excess_entropy_half_time"
    if fresh is None:
        # By the names that they have beside those of new data.
        names = [str(name) for name in ds.data_vars if name != "information_linear"]
        ds = ds.rename({name: _of_training(name) for name in names})
        ds.attrs = {
            name if half not in name else name.replace(half, f"{half}_training"): value
            for name, value in ds.attrs.items() if not name.startswith("collapse_time")
        }  # fmt: skip
        words = ["No data were held out: what it knows of new data is not told; `train --held-out` keeps some."]
    else:
        a = ds.attrs
        words = [
            named_time(
                a, "collapse_time", "t_C, population", "at most, by I-MMSE on data held out", "collapse_time_{}"
            ),
            named_time(a, "collapse_time_linear", "linear denoiser", "the same bound, by that of the training data"),
            named_time(a, half, "f/alpha = 1/2", "half the entropy, at most, on data held out"),
        ]
    words.append(named_time(ds.attrs, f"{half}_training", "f_e/alpha = 1/2", "half the entropy, on the training data"))
    leave(ds, out / "information.nc", plots.information(ds), words)


def _of_training(name: str) -> str:
    """The name of a variable of `information` when it is of points that were trained on."""
    base, mark, end = name.partition("_stderr")
    return f"{base}_training{mark}{end}"
