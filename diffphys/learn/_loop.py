"""The loop of training: batches, updates, averages, and the bar."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from .._devices import hides_bar, in_shares, lost
from .._keys import root_of
from .._types import Data, PRNGKey, Scalar
from .checkpoints import Checkpoints
from .configs import TrainingConfig
from .denoiser import NetworkDenoiser
from .levels import stratified_levels
from .objectives import AbstractObjective

# Steps between looks at the loss: each waits for the device.
_LOOK = 20


class State(NamedTuple):
    """Everything that changes; random numbers are not in it, but addressed by the step.

    Weights are plain lists of arrays: each level of a flax state costs a call of Python at every step, milliseconds
    in all, which is longer than a step of a small network takes a GPU.
    """

    weights: list[Array]
    average: list[Array]
    optimizer: Any
    losses: Float[Array, " steps"]

    def items(self) -> dict[str, Any]:
        """In two parts: what a model is read from, and what only training needs."""
        return {
            "model": {"average": self.average, "losses": self.losses},
            "rest": {"weights": self.weights, "optimizer": self.optimizer},
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """What a run of training is made of, apart from its state."""

    points: np.ndarray
    labels: np.ndarray | None
    model: NetworkDenoiser
    objective: AbstractObjective
    optimizer: optax.GradientTransformation
    training: TrainingConfig
    kept: Checkpoints | None
    milestones: frozenset[int]
    on_save: Callable[[int, NetworkDenoiser], None] | None

    def run(self, state: State, first: int, progress: bool | None) -> State:
        """The state after all steps, from that after `first` of them."""
        steps, batch = self.training.steps, self.training.batch
        order = _Order(len(self.points), batch, self.training.seed)
        bar = tqdm(
            total=steps * batch, initial=first * batch, desc="training", unit="sample", unit_scale=True,
            disable=hides_bar(progress), file=sys.stderr,
        )  # fmt: skip
        done = first
        with bar:
            try:
                for step in range(first, steps):
                    shown = self._shown(order.batch(step))
                    # In one statement: an interrupt finds the state of the step it is told of.
                    state, done = self._updated(state, step, *shown), step + 1
                    if done % _LOOK == 0 or done == steps:
                        self._look(state, done, bar)
                    if done % self.training.save_every == 0 or done == steps or done in self.milestones:
                        self._save(state, done)
                        if self.on_save is not None:
                            self.on_save(done, self.model.with_weights(state.average))
            except (jax.errors.JaxRuntimeError, ValueError) as error:
                if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
                    raise
                raise lost(error) from error
            except KeyboardInterrupt as stop:
                # A state is saved by all processes together, and they are not interrupted at the same step.
                if self.kept is not None and done and jax.process_count() == 1:
                    self._save(state, done)
                    stop.add_note(f"Step {done} is kept in `{self.kept.folder}`: resume from there.")
                raise
        return state

    def _shown(self, rows: Int[np.ndarray, " batch"]) -> tuple[Array, Array]:
        """A batch and its labels, shared out over the devices; each process reads its own share."""
        if self.labels is None:
            labels = np.zeros(len(rows), np.int32)
        else:
            labels = self.labels[rows].astype(np.int32)
        points = in_shares(lambda share: self.points[rows[share]], (len(rows), self.points.shape[1]))
        return points, in_shares(lambda share: labels[share], labels.shape)

    def _updated(self, state: State, step: int, points: Array, labels: Array) -> State:
        training = self.training
        recipe = _Recipe(self.optimizer, training.batch, training.ema, training.label_dropout)
        seed = np.uint32(training.seed)
        return _update(recipe, self.model, self.objective, state, seed, np.int32(step), points, labels)

    def _look(self, state: State, done: int, bar: Any) -> None:
        """Shows the loss of the last steps; stops if it is not finite."""
        recent = self._recent(state, done, _LOOK)
        bar.set_postfix(loss=f"{recent.mean():.4g}", refresh=False)
        bar.update(done * self.training.batch - bar.n)

    def _save(self, state: State, done: int) -> None:
        recent = self._recent(state, done, self.training.save_every)
        # What the last update did is in no loss yet.
        if not all(np.isfinite(leaf).all() for leaf in jax.device_get(jax.tree.leaves(state.weights))):
            raise FloatingPointError(_not_finite("the weights are", done))
        if self.kept is not None:
            self.kept.save(done, state.items(), float(recent.mean()))

    def _recent(self, state: State, done: int, number: int) -> Float[np.ndarray, " recent"]:
        """The losses of the last steps, if they are finite."""
        recent = np.asarray(state.losses[max(0, done - number) : done])
        if not np.isfinite(recent).all():
            raise FloatingPointError(
                _not_finite("the loss is", done - len(recent) + int(np.argmin(np.isfinite(recent))))
            )
        return recent


class _Recipe(NamedTuple):
    """What a step depends on that is not an array: runs that share it share a program."""

    optimizer: optax.GradientTransformation
    batch: int
    ema: float
    label_dropout: float


# Nothing is donated: an interrupt may lose what a call returns, and `on_save` may keep what it is given.
# The Gaussian is an argument, with the rest of the model: a large basis takes long to compile as a constant.
@eqx.filter_jit
def _update(
    recipe: _Recipe, model: NetworkDenoiser, objective: AbstractObjective, state: State, seed: Any, step: Any,
    points: Float[Array, "b d"], labels: Int[Array, " b"],
) -> State:  # fmt: skip
    """One step: the batch's gradient, clipped and applied, and the average of the weights."""
    level_key, key = jr.split(jr.fold_in(root_of(seed), step))
    levels = stratified_levels(level_key, recipe.batch, jnp.float32)
    keys = jax.vmap(jr.fold_in, (None, 0))(key, jnp.arange(recipe.batch))

    def loss(weights: list[Array]) -> Any:
        one = functools.partial(_one, recipe, model.with_weights(weights), objective)
        return jnp.mean(jax.vmap(one)(levels, points, labels, keys))

    value, gradient = jax.value_and_grad(loss)(state.weights)
    change, optimizer = recipe.optimizer.update(gradient, state.optimizer, state.weights)
    weights: Any = optax.apply_updates(state.weights, change)
    # The first weights are soon forgotten.
    keep = jnp.minimum(recipe.ema, (1 + step) / (10 + step)).astype(jnp.float32)
    average: Any = optax.incremental_update(weights, state.average, 1 - keep)
    return State(weights, average, optimizer, state.losses.at[step].set(value.astype(state.losses.dtype)))


def _one(
    recipe: _Recipe, model: NetworkDenoiser, objective: AbstractObjective, level: Scalar, a: Data, label: Array,
    key: PRNGKey,
) -> Scalar:  # fmt: skip
    """The objective of one sample; its label is hidden now and then, so that the network learns both laws."""
    hide_key, drop_key, noise_key = jr.split(key, 3)
    if model.num_labels:
        hidden = jr.bernoulli(hide_key, recipe.label_dropout)
        model = model.given(jnp.where(hidden, model.num_labels, label))
    return objective(functools.partial(model, key=drop_key), a, level, noise_key)


def _not_finite(what: str, step: int) -> str:
    return (
        f"{what} not finite at step {step}. Lower `learning_rate`, or look at the data. "
        "The checkpoints before it are kept."
    )


@dataclasses.dataclass
class _Order:
    """Which samples a step is shown: each of them once an epoch, in an order of its own."""

    size: int
    batch_size: int
    seed: int
    _known: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)

    def batch(self, step: int) -> Int[np.ndarray, " batch"]:
        """The rows of a batch."""
        places = step * self.batch_size + np.arange(self.batch_size)
        return np.concatenate([self._epoch(int(e))[places[places // self.size == e] % self.size]
                               for e in np.unique(places // self.size)])  # fmt: skip

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._known:
            order = np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.size)
            self._known = {e: known for e, known in self._known.items() if e >= epoch - 1} | {epoch: order}
        return self._known[epoch]
