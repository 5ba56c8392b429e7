"""Models that a command is given: a folder that `train` left, or a denoiser in a Python file."""

import importlib.util
import inspect
import math
import pathlib
import sys
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .. import thermo
from .._describe import said_by
from .._devices import is_first_process
from .._files import replacing
from .._types import Denoiser
from ..data import LabelledData, load
from ..data._named import NAMES
from ._shared import load_data, refuse_data_options

# In the folder of a model: what was subtracted from its data.
_MEAN = "mean.npz"
# Noise variances that a model is trained and sampled between: the highest in units of the largest eigenvalue of the
# covariance, the lowest in those of the mean one.
_HIGHEST, _LOWEST = 400.0, 1e-3


class Model(NamedTuple):
    """A denoiser, and what a command has to know of its data."""

    denoiser: Denoiser
    """Of centred data."""
    shape: tuple[int, ...]
    """Of a sample as a user sees it: a picture where the network may see a vector."""
    mean: Float[np.ndarray, " d"]
    """What was subtracted from the data."""
    variances: tuple[float, float]
    """The lowest and the highest noise variance between which it denoises."""
    data: dict[str, Any] | None
    """Of those it was trained on, if known: the `settings` of `load`, `classes`, `shape`, and how many of each class
    were `held_out`, by which `seed`."""
    words: str
    """What it is."""

    @property
    def dim(self) -> int:
        """Numbers of a sample."""
        return math.prod(self.shape)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes."""
        return () if self.data is None else tuple(self.data["classes"])

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The values of black and white, if known."""
        scale = None if self.data is None else self.data["settings"]["scale"]
        return None if scale is None else (scale[0], scale[1])


def describe_data(loaded: LabelledData, held_out: int, seed: int) -> dict[str, Any]:
    """What a model's folder tells of its data: enough to load them again and to know that they are the same."""
    settings = dict(loaded.settings)
    if settings["source"] not in NAMES:
        # The model may be asked for them in another working folder.
        settings["source"] = str(pathlib.Path(settings["source"]).absolute())
    return {
        "name": loaded.name, "settings": settings, "classes": list(loaded.classes),
        "shape": list(loaded.shape), "held_out": held_out, "seed": seed,
    }  # fmt: skip


def save_mean(loaded: LabelledData, folder: pathlib.Path) -> None:
    """Keeps what was subtracted from the data beside their model, from the first process."""
    if is_first_process():
        with replacing(folder / _MEAN) as writing:
            np.savez(writing, mean=loaded.mean)


def open_model(text: str, options: dict[str, Any], step: str = "last") -> Model:
    """The model that `--model` names: DIR, or FILE.py:NAME with the options of data or `dim` for its shape.

    Raises:
        ValueError: if there is none, it is damaged, or its shape is not known.
    """
    file, _, name = text.rpartition(":")
    if file.endswith(".py"):
        if step != "last":
            raise ValueError(f"--step needs a model in a folder. Got {step} with {text}. Leave it out.")
        return _from_file(text, pathlib.Path(file), name, options)
    if text.endswith(".py"):
        raise ValueError(f"--model needs the name of a denoiser in the file, FILE.py:NAME. Got {text!r}.")
    for option in ("data", "dim"):
        if options.get(option) is not None:
            raise ValueError(f"--{option} is for a model in a file; one in a folder knows it. Got both. Leave it out.")
    refuse_data_options(options, f"the model {text}")
    return _from_folder(text, step)


def data_of(model: Model) -> tuple[LabelledData, np.ndarray]:
    """The data of a model, loaded again, and which of them were kept out of its training.

    Raises:
        ValueError: if the model does not know, or the source has other data by now.
        OSError: if it is gone.
    """
    if model.data is None:
        raise ValueError(
            f"--model needs to know its data. Got {model.words}, which does not. Train by `diffphys train`, or give a "
            "denoiser FILE.py:NAME with --data."
        )
    settings = dict(model.data["settings"])
    expected = settings.pop("sha256")
    loaded = load(settings.pop("source"), **settings)
    if loaded.settings["sha256"] != expected:
        raise ValueError(
            f"--model needs the data it was trained on. Got other values in {loaded.settings['source']} now "
            f"(SHA-256 {loaded.settings['sha256'][:12]} for {expected[:12]}). Restore them, or train again."
        )
    return loaded, kept_out(loaded.labels, model.data["held_out"], model.data["seed"])


def kept_out(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Which data are kept out of training: so many of each class, drawn by the seed alone.

    Raises:
        ValueError: if a class would have nothing left.
    """
    counts = np.bincount(labels)
    if not 0 <= number < counts.min():
        raise ValueError(
            f"--held-out needs a number from 0, below that of the smallest class, {counts.min()}. Got {number}."
        )
    generator = np.random.Generator(np.random.Philox(key=[seed, 1]))
    chosen = np.zeros(len(labels), bool)
    for k in range(len(counts)):
        chosen[generator.permutation(np.flatnonzero(labels == k))[:number]] = True
    return chosen


def _from_folder(text: str, step: str) -> Model:
    from ..learn import load as load_trained

    if step not in ("last", "best") and not step.isdecimal():
        raise ValueError(f"--step needs last, best or a number. Got {step!r}.")
    trained = load_trained(text, int(step) if step.isdecimal() else step)
    data = trained.description.get("data")
    shape = tuple(trained.description["shape"] if data is None else data["shape"])
    denoiser, gaussian = trained.denoiser, trained.denoiser.preconditioning
    if data is None:
        # Data of the library need not be centred; their denoiser knows y by its difference from their mean alone.
        mean = np.asarray(gaussian.mean, np.float64)
        denoiser = eqx.tree_at(lambda tree: tree.preconditioning.mean, denoiser, jnp.zeros_like(gaussian.mean))
    else:
        try:
            with np.load(pathlib.Path(text) / _MEAN, allow_pickle=False) as file:
                mean = file["mean"]
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"--model needs a whole model. Got {text} without a sound {_MEAN}: {error}.") from None
    variances = noise_range(float(gaussian.scale), float(gaussian.variance))
    words = f"{text}, {trained.description['network']['kind'].removesuffix('Config')} after {trained.step} steps"
    return Model(denoiser, shape, mean, variances, data, words)


def noise_range(largest: float, average: float) -> tuple[float, float]:
    """The lowest and the highest noise variance, for the largest and the mean eigenvalue of the data."""
    return _LOWEST * average, _HIGHEST * largest


def _from_file(text: str, file: pathlib.Path, name: str, options: dict[str, Any]) -> Model:
    if not file.is_file():
        raise ValueError(f"--model needs an existing file. Got {file}. Check the path.")
    if options["data"] is None and options["dim"] is None:
        raise ValueError(f"--model {text} needs --data or --dim, which tell the shape of a sample. Got neither.")
    spec: Any = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    # What lies beside the file can be imported, as when it is run.
    sys.path.insert(0, str(file.parent.absolute()))
    spec.loader.exec_module(module)
    denoise: Any = getattr(module, name, None)
    if not callable(denoise):
        raise ValueError(f"--model needs a denoiser, a function of (y, v), called {name!r} in {file}. Got {denoise!r}.")
    if options["data"] is None:
        refuse_data_options(options, "--dim")
        if options["dim"] < 1:
            raise ValueError(f"--dim needs at least 1. Got {options['dim']}.")
        shape, mean, data, variances = (options["dim"],), np.zeros(options["dim"]), None, noise_range(1.0, 1.0)
    else:
        if options["dim"] is not None:
            raise ValueError("Give --data or --dim, not both.")
        loaded = load_data(options)
        shape, mean, data = loaded.shape, loaded.mean, describe_data(loaded, 0, 0)
        spectrum = thermo.covariance_spectrum(loaded.points)
        variances = noise_range(float(spectrum[0]), float(spectrum.sum()) / math.prod(shape))
    dim = math.prod(shape)
    asked = jax.ShapeDtypeStruct((dim,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    try:
        found = jax.eval_shape(denoise, *asked)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise ValueError(
            f"--model needs a denoiser that computes in jax. Got {text}, which asks for numbers while jax traces. "
            "Wrap NumPy or torch in jax.pure_callback."
        ) from error
    except Exception as error:
        raise ValueError(
            f"--model needs a denoiser that is called as (y, v): one flat sample of {dim} numbers, and the variance of "
            f"its noise. Got {said_by(error)} Check {text}."
        ) from error
    returned = getattr(found, "shape", type(found).__name__)
    if returned != (dim,):
        raise ValueError(f"--model needs a denoiser that returns shape ({dim},). Got {returned} from {text}.")
    known = _known_noise(denoise, variances, text)
    if data is not None:
        _refuse_uncentred(denoise, mean, known[1], variances[1] / _HIGHEST, text)
    return Model(cast(Denoiser, denoise), shape, mean, known, data, text)


def _refuse_uncentred(denoise: Any, mean: Float[np.ndarray, " d"], noise: float, largest: float, text: str) -> None:
    """Refuses a denoiser of data as they are: in noise that hides them it says their mean, and one of centred data 0.

    Both would run, and what is generated would be off by the mean. Less noise than the `largest` eigenvalue tells
    nothing.
    """
    if noise <= largest:
        return
    y = math.sqrt(noise) * np.random.default_rng(0).normal(size=(8, len(mean))).astype(np.float32)
    # What is odd in y, as all that is linear, cancels.
    estimates = jax.jit(jax.vmap(denoise, (0, None)))(np.concatenate([y, -y]), np.float32(noise))
    off = np.asarray(estimates, np.float64).mean(0) - mean
    if np.linalg.norm(off) < 0.5 * np.linalg.norm(mean):
        raise ValueError(
            "--model needs a denoiser of centred samples, the data less their mean. Got one whose estimate in noise of "
            f"variance {noise:.3g} is that mean, where it should be 0: {text}. Ask it for y + mean and take the mean "
            "from its estimate, or give `from_network` the mean as its `offset`."
        )


def _known_noise(denoise: Any, wanted: tuple[float, float], text: str) -> tuple[float, float]:
    """The part of a range of noise variances that a denoiser knows: an adapted network refuses what is outside."""
    from ..learn import AdaptedDenoiser

    # A compiled function wraps what it compiles.
    network = inspect.unwrap(denoise)
    known = network.variances if isinstance(network, AdaptedDenoiser) else wanted
    low, high = max(wanted[0], known[0]), min(wanted[1], known[1])
    if low >= high:
        raise ValueError(
            f"--model needs a network that knows noise variances in {wanted[0]:.3g} to {wanted[1]:.3g}. Got one of "
            f"{known[0]:.3g} to {known[1]:.3g} in {text}. Check its `schedule` and `scale`."
        )
    return low, high
