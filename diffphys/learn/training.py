"""Training of a denoiser: every random number addressed by the step, so that a resumed run is the same run."""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from flax import nnx
from jaxtyping import Float, Int

from .._config import canonical
from .._describe import described
from .._devices import on_all_devices
from .._keys import root_of
from ..results import dataset
from ._loop import Loop, State
from .checkpoints import Checkpoints, describe, restore
from .configs import MLPConfig, TrainingConfig, UNetConfig, is_whole
from .denoiser import NetworkDenoiser
from .levels import LogUniformLevels
from .networks import MLP, UNet
from .objectives import AbstractObjective, DenoisingScoreMatching
from .preconditioning import GaussianPreconditioning

# What makes a Gaussian.
_ARRAYS = ("mean", "basis", "eigenvalues", "rest")
_CONFIGS: dict[str, Any] = {"MLPConfig": MLPConfig, "UNetConfig": UNetConfig}


class TrainedModel(NamedTuple):
    """What training leaves."""

    denoiser: NetworkDenoiser
    """With the averaged weights."""
    history: xr.Dataset
    """`loss` on `step`: the objective of each batch, before its update."""
    description: dict[str, Any]
    """The configurations, the shape of a sample, and what the caller added."""
    step: int
    """How many updates the weights have had."""


def train(
    points: Float[np.ndarray, "n d"],
    network: MLPConfig | UNetConfig,
    training: TrainingConfig = TrainingConfig(),  # noqa: B008 (frozen)
    *,
    shape: Sequence[int] | None = None,
    labels: Int[np.ndarray, " n"] | None = None,
    objective: AbstractObjective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    milestones: Sequence[int] = (),
    on_save: Callable[[int, NetworkDenoiser], None] | None = None,
    description: dict[str, Any] | None = None,
    progress: bool | None = None,
) -> TrainedModel:
    r"""Trains a preconditioned network as a denoiser of data.

    By default the objective is denoising score matching over noise variances from $10^{-3} \bar\lambda$ to
    $400\,\Lambda$, evenly in log v, relative to the best linear denoiser: the network starts as that, with loss 1.

    The order of the data, the noise of each sample and the features that are dropped depend on the seed and on the
    number of the step alone. So a run that was killed and resumed is, on the same devices, the same run to the bit;
    and on other devices it differs by rounding. Batches are split over all devices.

    Args:
        points: the data, one flat sample a row, centred or not.
        network: the size of the network.
        training: how it is trained.
        shape: of a sample; that of a vector by default.
        labels: the class of each sample, for a network with labels.
        objective: another objective. Its settings are written into the folder (of a function in it, the name), and a
            run with other ones does not resume there.
        optimizer: another optimizer than Adam with the schedule and clipping of `training`. The folder tells only
            that one was given: when you resume, give the same.
        checkpoint: the folder of the model; None keeps nothing on disk.
        resume: whether to go on with the model in the folder.
        milestones: steps, numbers from 1 to `steps`, with a checkpoint each that is kept beside the last and the best;
            the same ones when you resume, of which those that are no longer asked for go.
        on_save: called with the step and the averaged denoiser every `save_every` steps, at milestones and at the
            end, when the checkpoint is being written; not when the run is interrupted.
        description: what else the folder should tell of the model, plain enough for JSON.
        progress: whether to show a bar with loss and samples a second; by default on a terminal.

    Returns:
        The averaged denoiser, the history of the loss, and the description.

    Raises:
        ValueError: for points, labels or shapes that do not fit, a batch that the devices cannot share, milestones
            that are no steps or gone by, nothing to resume from, or the folder of another model, of other data or
            settings, or one in which another run is training.
        FloatingPointError: if the loss or the weights are not finite; nothing is saved then.
    """
    samples = _checked(points, shape, labels, network)
    _check_plan(training, milestones)
    if resume and checkpoint is None:
        raise ValueError("`resume` needs the `checkpoint` of a model. Got none. Give its folder.")
    shape = samples.shape[1:] if shape is None else tuple(int(side) for side in shape)
    gaussian = GaussianPreconditioning.fit(samples, training.rank)
    model = _untrained(network, gaussian, shape, training.seed)
    told = {"objective": objective, "optimizer": "Adam" if optimizer is None else "given"}
    everything = _described(network, training, shape, told, samples, labels, description or {})
    if objective is None:
        scale = float(gaussian.scale)
        levels = LogUniformLevels(1e-3 * float(gaussian.variance), 400 * scale)
        objective = DenoisingScoreMatching(levels, gaussian.relative_weight)
    optimizer = _adam(training) if optimizer is None else optimizer
    kept = None
    if checkpoint is not None:
        kept = Checkpoints(checkpoint, everything, _arrays(gaussian), milestones=tuple(milestones), resume=resume)
    with contextlib.nullcontext() if kept is None else contextlib.closing(kept):
        weights = jax.tree.leaves(model.weights)
        average = [jnp.copy(leaf) for leaf in weights]
        state = State(weights, average, optimizer.init(weights), jnp.zeros(training.steps, jnp.float32))
        state, model = on_all_devices((state, model))
        first = 0
        if kept is not None and kept.last is not None:
            first = kept.last
            found = kept.restore(state.items())
            state = State(**found["model"], **found["rest"])
        loop = Loop(
            samples, labels, model, on_all_devices(objective), optimizer, training, kept, frozenset(milestones), on_save
        )
        state = loop.run(state, first, progress)
    history = _history(np.asarray(state.losses), training, training.steps)
    return TrainedModel(model.with_weights(state.average), history, everything, training.steps)


def load(folder: str | os.PathLike[str], step: int | str = "last") -> TrainedModel:
    """The model in a folder, with the averaged weights of a step that was kept.

    Args:
        folder: as `train` left it.
        step: a number, `last`, or `best`, the one of the least loss.

    Raises:
        ValueError: if there is no model, no such step, or a checkpoint of another architecture.
    """
    description, arrays = describe(folder)
    try:
        settings = dict(description["network"])
        config = _CONFIGS[settings.pop("kind")]
        network = config(**settings)
        training = TrainingConfig(**description["training"])
        mean, basis, eigenvalues, rest = (arrays[name] for name in _ARRAYS)
        gaussian = GaussianPreconditioning.of(mean, basis, eigenvalues, rest)
        model = _untrained(network, gaussian, tuple(description["shape"]), training.seed)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"`folder` needs a model of this release. Got `{folder}`, which is described otherwise: {error}."
        ) from error
    like = {"average": jax.tree.leaves(model.weights), "losses": jnp.zeros(training.steps, jnp.float32)}
    found, state = restore(folder, {"model": like}, step)
    denoiser = model.with_weights(state["model"]["average"])
    return TrainedModel(denoiser, _history(np.asarray(state["model"]["losses"]), training, found), description, found)


def _described(
    network: Any, training: TrainingConfig, shape: tuple[int, ...], told: dict, points: Any, labels: Any, more: Any
) -> dict[str, Any]:
    """What identifies a model, in plain values: the data by their digest.

    The objective by default follows from the data; its numbers would differ by rounding between machines.
    """
    own = {"network": {"kind": type(network).__name__, **dataclasses.asdict(network)},
           "training": dataclasses.asdict(training), "shape": list(shape), "samples": len(points),
           "arrays": {"points": points}, **described(told)}  # fmt: skip
    if labels is not None:
        own["arrays"]["labels"] = np.asarray(labels, np.int64)
    if taken := sorted(set(own) & set(more)):
        raise ValueError(f"`description` needs names of its own. Got {taken}, which are those of `train`. Rename them.")
    return json.loads(canonical(own | dict(more)))


@functools.lru_cache
def _adam(training: TrainingConfig) -> optax.GradientTransformation:
    """Adam after clipping; its rate rises linearly, then falls along a cosine."""
    warmup = min(training.warmup, training.steps - 1)
    rate = optax.warmup_cosine_decay_schedule(0.0, training.learning_rate, warmup, training.steps)
    return optax.chain(optax.clip_by_global_norm(training.clip), optax.adam(rate))


def _untrained(network: Any, gaussian: GaussianPreconditioning, shape: tuple[int, ...], seed: int) -> NetworkDenoiser:
    kind: Any = MLP if isinstance(network, MLPConfig) else UNet
    return NetworkDenoiser.of(kind(shape, 2, network, rngs=nnx.Rngs(root_of(seed))), gaussian, shape)


def _arrays(gaussian: GaussianPreconditioning) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(gaussian, name)) for name in _ARRAYS}


def _history(losses: np.ndarray, training: TrainingConfig, steps: int) -> xr.Dataset:
    return dataset(
        {"loss": ("step", losses[:steps], {"long_name": "objective of the batch"})},
        {"step": ("step", np.arange(steps))},
        experiment="training", seed=training.seed, parameters=dataclasses.asdict(training),
    )  # fmt: skip


def _check_plan(training: TrainingConfig, milestones: Sequence[int]) -> None:
    """Refuses a batch that the devices cannot share, and milestones that are no steps."""
    if training.batch % jax.device_count():
        raise ValueError(
            f"`batch` needs a multiple of the {jax.device_count()} devices. Got {training.batch}. Round it."
        )
    if not all(is_whole(step, 1, training.steps + 1) for step in milestones):
        raise ValueError(f"`milestones` needs steps from 1 to {training.steps}. Got {list(milestones)}.")


def _checked(points: Any, shape: Any, labels: Any, network: Any) -> np.ndarray:
    """The points in float32, if they, their labels and their shape fit each other and the network."""
    samples = np.asarray(points, np.float32)
    if samples.ndim != 2 or len(samples) < 2:
        raise ValueError(f"`points` needs flat samples, (n, d), two or more. Got {samples.shape}. Reshape them.")
    if not np.isfinite(samples).all():
        raise ValueError(f"`points` needs finite values. Got {np.count_nonzero(~np.isfinite(samples))} others.")
    if shape is not None and (min(shape) < 1 or np.prod(shape) != samples.shape[1]):
        raise ValueError(f"`shape` needs {samples.shape[1]} numbers a sample. Got {tuple(shape)}.")
    if network.num_labels and labels is None:
        raise ValueError(f"`labels` are needed by a network with `num_labels` = {network.num_labels}. Got none.")
    if labels is not None and not network.num_labels:
        raise ValueError("`labels` need a network with `num_labels`. Got one without. Set it, or leave them out.")
    if labels is not None:
        codes = np.asarray(labels)
        if codes.shape != samples.shape[:1] or codes.dtype.kind not in "iu":
            raise ValueError(f"`labels` needs one whole number a sample. Got {codes.dtype} {codes.shape}.")
        if not (0 <= codes.min() and codes.max() < network.num_labels):
            raise ValueError(
                f"`labels` needs numbers below `num_labels` = {network.num_labels}. Got {codes.min()} to {codes.max()}."
            )
    return samples
