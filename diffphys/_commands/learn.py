"""The commands of learned scores: train a network on data, and draw samples of a model."""

import logging
from typing import Any

import jax
import numpy as np
import typer
import xarray as xr
from matplotlib.figure import Figure

from .. import experiments, plots
from .._devices import is_first_process
from .._files import replacing
from ..clocks import time_of_variance
from ..data import LabelledData
from ..learn import ClassifierFreeGuidance, MLPConfig, TrainedModel, TrainingConfig, UNetConfig, train
from ..learn.checkpoints import DESCRIPTION
from ._models import Model, describe_data, kept_out, open_model, save_mean
from ._sampling import generate_named
from ._shared import draw, folder, keep, load_data, root_key, whole_numbers

# Noise levels of the table of errors, its highest in units of the largest eigenvalue, and the most data it takes.
_LEVELS, _TOP, _MOST = 10, 10.0, 2000
# How the picture of a training is made, and the most images of any picture.
_PICTURES, _SAMPLER, _STEPS, _DRAWN = 64, "dpm-solver-multistep", 20, 256


def run_train(**options: Any) -> None:
    """Runs `train`: leaves a model, the history of its loss, samples and the table of its errors."""
    # What orbax logs from its threads, hundreds of lines, the error that stops the run says in one.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    key, out = root_key(options["seed"]), folder(options["out"])
    loaded = load_data(options)
    if options["conditional"] and loaded.classes == ("all",):
        raise ValueError(f"--conditional needs labelled data. Got {loaded.name} without labels. Leave it out.")
    held = kept_out(loaded.labels, options["held_out"], options["seed"])
    network, shape = _network(options, loaded)
    training = TrainingConfig(
        steps=options["steps"], batch=options["batch"], learning_rate=options["learning_rate"], ema=options["ema"],
        save_every=options["save_every"], seed=options["seed"],
    )  # fmt: skip
    milestones = [] if options["milestones"] is None else whole_numbers("--milestones", options["milestones"])
    # Before the model is there: a killed run leaves none without its mean, and that of another is left as it is.
    if not (out / DESCRIPTION).exists():
        save_mean(loaded, out)
    trained = train(
        loaded.points[~held], network, training, shape=shape,
        labels=loaded.labels[~held] if options["conditional"] else None, checkpoint=out, resume=options["resume"],
        milestones=milestones, description={"data": describe_data(loaded, options["held_out"], options["seed"])},
    )  # fmt: skip
    # At every noise level the objective is relative to the best linear denoiser.
    history = trained.history.assign_attrs(linear_loss=1.0)
    keep(history, out / "history.nc")
    draw(plots.training_history(history), out / "loss.png")
    sample_key, error_key = jax.random.split(key)
    model = open_model(str(out), {"typed": ()})
    made, _ = generate_named(
        model.denoiser, _SAMPLER, model.variances, key=sample_key, number=_PICTURES, dim=model.dim, steps=_STEPS
    )
    draw(_pictures(made + model.mean, model, loaded), out / "samples.png")
    errors = _errors(trained, loaded, held, model, error_key)
    keep(errors, out / "errors.nc")
    typer.echo("\n".join(_words(trained, loaded, held, errors)))
    typer.echo(f"Saved the model in {out}, with history.nc, loss.png, samples.png and errors.nc")


def run_sample(**options: Any) -> None:
    """Runs `sample`: leaves samples in the units of the data and a picture of them."""
    key, out = root_key(options["seed"]), folder(options["out"])
    for name in ("number", "steps"):
        if options[name] < 1:
            raise ValueError(f"--{name} needs at least 1. Got {options[name]}.")
    model = open_model(options["model"], options, options["step"])
    denoise, label = _given(model, options)
    made, evaluations = generate_named(
        denoise, options["sampler"].value, model.variances, key=key,
        number=options["number"], dim=model.dim, steps=options["steps"], chunk=options["chunk"],
    )  # fmt: skip
    values = made + model.mean
    name = "images" if len(model.shape) > 1 else "points"
    arrays: dict[str, Any] = {name: values.reshape(-1, *model.shape).astype(np.float32)}
    if label is not None:
        arrays["labels"] = np.full(len(values), label)
    path = out / "samples.npz"
    if is_first_process():
        with replacing(path) as writing:
            np.savez(writing, **arrays)
    draw(_pictures(values, model, None), out / "samples.png")
    typer.echo(f"{model.words}: {len(values)} samples by {options['sampler'].value}, {evaluations} evaluations "
               "of the denoiser each")  # fmt: skip
    typer.echo(f"Saved {path} and {out / 'samples.png'}")


def _network(options: dict[str, Any], loaded: LabelledData) -> tuple[MLPConfig | UNetConfig, tuple[int, ...]]:
    """The network of the options, and the shape in which it sees a sample."""
    chosen = options["network"]
    kind = chosen.value if chosen is not None else "unet" if len(loaded.shape) > 1 else "mlp"
    common = {"dropout": options["dropout"], "compute": options["compute"].value,
              "num_labels": len(loaded.classes) if options["conditional"] else 0}  # fmt: skip
    lists = {
        name: None if options[name] is None else tuple(whole_numbers(f"--{name}", options[name]))
        for name in ("multipliers", "attention")
    }
    names = {"channels": "channels", "blocks": "blocks"} if kind == "unet" else {"channels": "width", "blocks": "depth"}
    sizes = {theirs: options[ours] for ours, theirs in names.items()} | lists | {"patch": options["patch"]}
    given = {name: value for name, value in sizes.items() if value is not None}
    if kind == "unet":
        return UNetConfig(**given, **common), loaded.shape
    for name in ("multipliers", "attention", "patch"):
        if name in given:
            raise ValueError(f"--{name} needs a U-Net. Got {options[name]} for vectors. Leave it out.")
    return MLPConfig(**given, **common), (loaded.points.shape[1],)


def _given(model: Model, options: dict[str, Any]) -> tuple[Any, int | None]:
    """The denoiser of a label, guided towards it; and the number of the label."""
    text, weight = options["label"], options["guidance"]
    if text is None:
        if weight is not None:
            raise ValueError(f"--guidance needs --label. Got {weight} without one.")
        return model.denoiser, None
    denoise: Any = model.denoiser
    if not getattr(denoise, "num_labels", 0):
        raise ValueError(f"--label needs a model trained with --conditional. Got {text} with {model.words}.")
    # A model that the library trained knows its classes by their numbers alone.
    names = model.classes or tuple(map(str, range(denoise.num_labels)))
    if text not in names:
        raise ValueError(f"--label needs one of {', '.join(names)}. Got {text}.")
    label = names.index(text)
    # An array: as a Python number each label would be a program of its own.
    chosen = denoise.given(jax.numpy.asarray(label, jax.numpy.int32))
    return chosen if weight is None else ClassifierFreeGuidance(denoise, chosen, weight), label


def _pictures(values: np.ndarray, model: Model, loaded: LabelledData | None) -> Figure:
    """Pictures where samples are, the first of them; else all samples over the data, if these are known."""
    if len(model.shape) > 1:
        return plots.image_grid(values[:_DRAWN], model.shape, value_range=model.value_range)
    return plots.point_cloud(values, None if loaded is None else loaded.points + loaded.mean)


def _errors(trained: TrainedModel, loaded: LabelledData, held: np.ndarray, model: Model, key: Any) -> xr.Dataset:
    """Errors against the best linear denoiser, on the training data and on those kept out."""
    gaussian = trained.denoiser.preconditioning
    low, top = model.variances[0], _TOP * float(gaussian.scale)
    times = np.asarray(time_of_variance(np.geomspace(low, top, _LEVELS)))
    parts = []
    for i, rows in enumerate((~held, held)):
        if not rows.any():
            continue
        chosen = np.flatnonzero(rows)
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _MOST)).round().astype(int)]
        found = experiments.denoising_errors(
            trained.denoiser, loaded.points[chosen], times, key=jax.random.fold_in(key, i), against=gaussian.linear
        )
        parts.append(found.expand_dims(part=[("training", "held out")[i]]).assign(samples=("part", [len(chosen)])))
    joined: Any = xr.concat(parts, "part", coords="minimal", data_vars="all", compat="override", join="exact",
                       combine_attrs="override")  # fmt: skip
    del joined.attrs["samples"]
    return joined


def _words(trained: TrainedModel, loaded: LabelledData, held: np.ndarray, errors: xr.Dataset) -> list[str]:
    """The summary."""
    count = sum(leaf.size for leaf in jax.tree.leaves(trained.denoiser.weights))
    kind = trained.description["network"]["kind"].removesuffix("Config")
    recent = float(trained.history.loss[-max(1, trained.step // 20) :].mean())
    lines = [
        f"{loaded.name}: {np.count_nonzero(~held)} data trained on, {np.count_nonzero(held)} held out; "
        f"d = {loaded.points.shape[1]}",
        f"{'network':18} {kind} of {count} parameters, {trained.step} steps",
        f"{'loss':18} {recent:.4g} at the end; the best linear denoiser has 1",
        f"{'denoising error':18} mean square a coordinate, and its ratio to that of the best linear denoiser",
        f"{'t':>10} {'v':>10} " + " ".join(f"{name:>10} {'ratio':>8} {'+-':>7}" for name in errors.part.values),
    ]
    for i in range(errors.sizes["t"]):
        part = errors.isel(t=i)
        cells = [
            f"{float(row.mse):10.4g} {float(row.ratio):8.4f} {float(row.ratio_stderr):7.4f}"
            for row in (part.sel(part=name) for name in errors.part.values)
        ]
        lines.append(f"{float(part.t):10.4g} {float(part.sigma_v) ** 2:10.4g} " + " ".join(cells))
    if not held.any():
        lines.append("On the data trained on: ratios of new data may be larger. --held-out keeps some out to tell.")
    return lines
