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

from .._keys import root_of
from .._types import Data, Scalar
from ..targets._arrays import floating, require_finite
from .configs import require_whole
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
        require_whole(self, {"channels": 1, "features": 1, "steps": 1, "batch": 1})
        require_whole(self, {"seed": 0}, 2**32)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"`ClassifierConfig` needs a positive `learning_rate`. Got {self.learning_rate}.")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"`ClassifierConfig` needs `noise` of at least 0. Got {self.noise}.")


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
        mean: what is subtracted from samples.
        scale: what they are then divided by.
        accuracy: on samples that it was not trained on; nan if there were none.
    """

    graph: Any
    weights: Any
    mean: Float[Array, " d"]
    scale: Float[Array, ""]
    accuracy: float = eqx.field(static=True)

    def __call__(self, a: Data, variance: Scalar = 0.0) -> Float[Array, " k"]:
        """$\\log P(k | a)$ in nats; the noise variance is not looked at.

        Raises:
            ValueError: if `a` is not one flat sample.
        """
        a = floating(a)
        return jax.nn.log_softmax(self._network(self._seen(a))).astype(a.dtype)

    def features(self, a: Data) -> Float[Array, " f"]:
        """The numbers before the last layer: in them a Frechet distance is measured.

        Raises:
            ValueError: if `a` is not one flat sample.
        """
        a = floating(a)
        return self._network.features(self._seen(a)).astype(a.dtype)

    def with_weights(self, weights: Any) -> "TrainedClassifier":
        """The classifier with other parameters."""
        return TrainedClassifier(self.graph, weights, self.mean, self.scale, self.accuracy)

    @property
    def _network(self) -> Any:
        return nnx.merge(self.graph, self.weights)

    def _seen(self, a: Data) -> Data:
        if a.shape != self.mean.shape:
            raise ValueError(
                f"`a` needs one flat sample of shape {self.mean.shape}. Got {a.shape}. Map over many with `jax.vmap`."
            )
        return ((a - self.mean.astype(a.dtype)) / self.scale.astype(a.dtype)).astype(jnp.float32)


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
        ValueError: for fewer than two classes, labels or a shape that do not fit, samples that are not finite or do
            not vary, or a share outside [0, 1).
    """
    samples, codes = np.asarray(points, np.float32), np.asarray(labels)
    shape = samples.shape[1:] if shape is None else tuple(int(side) for side in shape)
    _check(samples, codes, shape, held_out)
    mean = samples.mean(0, dtype=np.float64).astype(np.float32)
    spread = float(np.sqrt(np.mean((samples - mean) ** 2, dtype=np.float64)))
    codes = codes.astype(np.int32)
    generator = np.random.Generator(np.random.Philox(key=[config.seed, 0]))
    order = generator.permutation(len(samples))
    kept, rest = np.split(order, [len(order) - int(held_out * len(order))])
    network = Classifier(shape, int(codes.max()) + 1, config, rngs=nnx.Rngs(root_of(config.seed)))
    graph, weights = nnx.split(network)
    scale = jnp.asarray(spread, jnp.float32)
    model = TrainedClassifier(graph, weights, jnp.asarray(mean), scale, float("nan"))
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    params: Any = weights
    state = optimizer.init(params)
    noise = config.noise * spread
    for step in range(config.steps):
        rows = kept[generator.integers(len(kept), size=config.batch)]
        weights, state = _update(optimizer, model, weights, state, samples[rows], codes[rows], noise,
                                 np.uint32(config.seed), np.int32(step))  # fmt: skip
    model = model.with_weights(weights)
    if not len(rest):
        return model
    right = [np.argmax(np.asarray(_logits(model, samples[part])), 1) == codes[part]
             for part in np.array_split(rest, -(-len(rest) // 1000))]  # fmt: skip
    return TrainedClassifier(model.graph, model.weights, model.mean, model.scale, float(np.concatenate(right).mean()))


def _check(samples: np.ndarray, codes: np.ndarray, shape: tuple[int, ...], held_out: float) -> None:
    """Refuses data that no classifier can be trained on."""
    if samples.ndim != 2 or codes.shape != samples.shape[:1]:
        raise ValueError(
            f"`train_classifier` needs flat samples (n, d) and one label each. Got {samples.shape} and {codes.shape}."
        )
    found = np.unique(codes)
    if codes.dtype.kind not in "iu" or len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        raise ValueError(
            "`labels` needs whole numbers 0, 1, ..., of two classes at least, each of them used. "
            f"Got {codes.dtype} {found[:10].tolist()}. Do renumber by `np.unique(labels, return_inverse=True)[1]`."
        )
    require_finite("points", samples)
    if (samples == samples[:1]).all():
        raise ValueError("`points` needs data that vary. Got the same point throughout. Do check them.")
    if not 0 <= held_out < 1:
        raise ValueError(f"`held_out` needs a share in [0, 1). Got {held_out}.")
    if not 1 <= len(shape) <= 3 or min(shape) < 1 or math.prod(shape) != samples.shape[1]:
        raise ValueError(
            f"`shape` needs {samples.shape[1]} numbers a sample, as (d,) or (height, width[, channels]). Got {shape}."
        )


@functools.partial(jax.jit, static_argnums=0)
def _update(optimizer, model, weights, state, points, labels, noise, seed, step):
    """One step of the cross-entropy of a batch."""

    def loss(weights):
        seen = points + noise * jr.normal(jr.fold_in(root_of(seed), step), points.shape, points.dtype)
        logs = jax.vmap(model.with_weights(weights))(seen)
        return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], 1))

    change, state = optimizer.update(jax.grad(loss)(weights), state, weights)
    return optax.apply_updates(weights, change), state


@eqx.filter_jit
def _logits(model: Any, points: Float[Array | np.ndarray, "n d"]) -> Float[Array, "n k"]:
    return jax.vmap(model)(points)
