"""A small classifier: it labels what a model generates, and its features measure how far that is from the data."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from .._types import Data, Scalar
from .networks import fresh


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """The size of a classifier, and how it is trained.

    Args:
        channels: of the first convolution of images, or width of the first layer of vectors; the second has twice.
        features: numbers before the last layer.
        steps: updates of the weights.
        batch: samples an update.
        learning_rate: of Adam, which falls to 0 along a cosine.
        noise: standard deviation, in that of the data, of the noise that is added in training: generated samples
            are not quite clean.
        seed: of all random numbers.
    """

    channels: int = 16
    features: int = 64
    steps: int = 600
    batch: int = 128
    learning_rate: float = 2e-3
    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "features", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"`ClassifierConfig` needs `{name}` of at least 1. Got {getattr(self, name)}.")


class Classifier(nnx.Module):
    """Two strided convolutions (of vectors, two layers), a layer of features, and the logits."""

    def __init__(self, shape: tuple[int, ...], num_labels: int, config: ClassifierConfig, *, rngs: nnx.Rngs):
        self.shape, wide = shape, config.channels
        layers: list[Any]
        if len(shape) == 1:
            layers = [
                nnx.Linear(shape[0], wide, kernel_init=fresh, rngs=rngs),
                nnx.Linear(wide, 2 * wide, kernel_init=fresh, rngs=rngs),
            ]
            flat = 2 * wide
        else:
            colours = math.prod(shape[2:])
            layers = [nnx.Conv(colours, wide, (5, 5), strides=2, kernel_init=fresh, rngs=rngs),
                      nnx.Conv(wide, 2 * wide, (5, 5), strides=2, kernel_init=fresh, rngs=rngs)]  # fmt: skip
            flat = 2 * wide * math.prod(-(-side // 4) for side in shape[:2])
        self.layers = nnx.List(layers)
        self.dense = nnx.Linear(flat, config.features, kernel_init=fresh, rngs=rngs)
        self.last = nnx.Linear(config.features, num_labels, kernel_init=fresh, rngs=rngs)

    def features(self, x: Float[Array, " d"]) -> Float[Array, " f"]:
        """The numbers before the last layer, of one flat sample."""
        h = x.reshape(self.shape if len(self.shape) != 2 else (*self.shape, 1))
        for layer in self.layers:
            h = nnx.relu(layer(h))
        return nnx.relu(self.dense(h.reshape(-1)))

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " k"]:
        """The logits of one flat sample."""
        return self.last(self.features(x))


class TrainedClassifier(eqx.Module):
    """The log-probabilities of the classes of a clean sample: `classify(a, v)`, whatever v.

    Args:
        graph: the definition of a flax classifier, of `flax.nnx.split`.
        weights: its parameters.
        scale: what samples are divided by.
        accuracy: on samples that it was not trained on; nan if there were none.
    """

    graph: Any
    weights: Any
    scale: Float[Array, ""]
    accuracy: float = eqx.field(static=True)

    def __call__(self, a: Data, variance: Scalar = 0.0) -> Float[Array, " k"]:
        """$\\log P(k | a)$ in nats; the noise variance is not looked at."""
        return jax.nn.log_softmax(self._network(self._seen(a))).astype(a.dtype)

    def features(self, a: Data) -> Float[Array, " f"]:
        """The numbers before the last layer: in them a Frechet distance is measured."""
        return self._network.features(self._seen(a)).astype(a.dtype)

    @property
    def _network(self) -> Any:
        return nnx.merge(self.graph, self.weights)

    def _seen(self, a: Data) -> Data:
        return (a / self.scale.astype(a.dtype)).astype(jnp.float32)


def train_classifier(
    points: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    config: ClassifierConfig = ClassifierConfig(),
    *,
    shape: Sequence[int] | None = None,
    held_out: float = 0.1,
) -> TrainedClassifier:
    """Trains a classifier of clean samples by cross-entropy, with Adam.

    Args:
        points: the data, one flat sample a row.
        labels: their classes, 0, 1, ...
        config: its size and training.
        shape: of a sample; that of a vector by default.
        held_out: the share of the data that tells its accuracy, and that it is not trained on.

    Raises:
        ValueError: for fewer than two classes, labels or a shape that do not fit, or a share outside [0, 1).
    """
    samples, codes = np.asarray(points, np.float32), np.asarray(labels, np.int32)
    if samples.ndim != 2 or codes.shape != samples.shape[:1] or codes.min() < 0 or len(np.unique(codes)) < 2:
        raise ValueError(
            "`train_classifier` needs flat samples (n, d) and one label each, of two classes at least. "
            f"Got {samples.shape} and {len(np.unique(codes))} classes in {codes.shape}."
        )
    if not 0 <= held_out < 1:
        raise ValueError(f"`held_out` needs a share in [0, 1). Got {held_out}.")
    shape = samples.shape[1:] if shape is None else tuple(int(side) for side in shape)
    if math.prod(shape) != samples.shape[1]:
        raise ValueError(f"`shape` needs {samples.shape[1]} numbers a sample. Got {shape}.")
    generator = np.random.Generator(np.random.Philox(key=[config.seed, 0]))
    order = generator.permutation(len(samples))
    kept, rest = np.split(order, [len(order) - int(held_out * len(order))])
    network = Classifier(shape, int(codes.max()) + 1, config, rngs=nnx.Rngs(config.seed))
    graph, weights = nnx.split(network)
    model = TrainedClassifier(graph, weights, jnp.asarray(samples.std(), jnp.float32), float("nan"))
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    params: Any = weights
    state = optimizer.init(params)
    noise = config.noise * float(samples.std())
    for step in range(config.steps):
        rows = kept[generator.integers(len(kept), size=config.batch)]
        weights, state = _update(optimizer, model, weights, state, samples[rows], codes[rows], noise, config.seed,
                                 np.int32(step))  # fmt: skip
    model = eqx.tree_at(lambda tree: tree.weights, model, weights)
    if not len(rest):
        return model
    right = [np.argmax(np.asarray(_logits(model, samples[part])), 1) == codes[part]
             for part in np.array_split(rest, -(-len(rest) // 1000))]  # fmt: skip
    return TrainedClassifier(model.graph, model.weights, model.scale, float(np.concatenate(right).mean()))


@functools.partial(jax.jit, static_argnums=0)
def _update(optimizer, model, weights, state, points, labels, noise, seed, step):
    """One step of the cross-entropy of a batch."""

    def loss(weights):
        seen = points + noise * jr.normal(jr.fold_in(jr.key(seed), step), points.shape, points.dtype)
        logs = jax.vmap(eqx.tree_at(lambda tree: tree.weights, model, weights))(seen)
        return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], 1))

    change, state = optimizer.update(jax.grad(loss)(weights), state, weights)
    return optax.apply_updates(weights, change), state


@eqx.filter_jit
def _logits(model: Any, points: Float[Array | np.ndarray, "n d"]) -> Float[Array, "n k"]:
    return jax.vmap(model)(points)
