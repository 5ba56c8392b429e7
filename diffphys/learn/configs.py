"""Sizes of networks, and how they are trained."""

import dataclasses
from typing import Any

import numpy as np

_TYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """The size of a network of vectors.

    Args:
        width: of the hidden layers.
        depth: residual blocks.
        dropout: share of hidden units dropped in training.
        embedding: numbers that tell the noise level, at least 2.
        num_labels: classes it may be conditioned on; 0 for none.
        compute: the type that layers compute in, float32 or bfloat16; parameters are float32.
    """

    width: int = 128
    depth: int = 3
    dropout: float = 0.0
    embedding: int = 64
    num_labels: int = 0
    compute: str = "float32"

    def __post_init__(self) -> None:
        _check(self, positive=("width", "depth"))


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """The size of a network of images.

    Args:
        channels: at the highest resolution.
        multipliers: of the channels, one a resolution; each resolution halves the one before.
        blocks: residual blocks a resolution, on the way down; as many and one more on the way up.
        attention: sides of the feature maps (in patches, the shorter one) at which blocks attend to the whole map.
        heads: of an attention.
        patch: side of the squares of pixels that enter as one; 1 for every pixel alone.
        dropout: share of features dropped in training.
        embedding: numbers that tell the noise level, at least 2.
        num_labels: classes it may be conditioned on; 0 for none.
        compute: the type that layers compute in, float32 or bfloat16; parameters are float32.
    """

    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention: tuple[int, ...] = ()
    heads: int = 4
    patch: int = 1
    dropout: float = 0.0
    embedding: int = 128
    num_labels: int = 0
    compute: str = "float32"

    def __post_init__(self) -> None:
        _check(self, positive=("channels", "blocks", "heads", "patch"))
        if not self.multipliers or min(self.multipliers) < 1:
            raise ValueError(f"`UNetConfig` needs `multipliers` of at least 1. Got {self.multipliers}.")


def _check(config: Any, positive: tuple[str, ...]) -> None:
    name = type(config).__name__
    for field in positive:
        if getattr(config, field) < 1:
            raise ValueError(f"`{name}` needs `{field}` of at least 1. Got {getattr(config, field)}.")
    if config.embedding < 2:
        raise ValueError(f"`{name}` needs `embedding` of at least 2, a cosine and a sine. Got {config.embedding}.")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"`{name}` needs `dropout` in [0, 1). Got {config.dropout}.")
    if config.num_labels < 0:
        raise ValueError(f"`{name}` needs `num_labels` of at least 0. Got {config.num_labels}.")
    if config.compute not in _TYPES:
        raise ValueError(f"`{name}` needs `compute` of {' or '.join(_TYPES)}. Got {config.compute!r}.")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Args:
        steps: updates of the weights.
        batch: samples an update.
        learning_rate: of Adam, after the warm-up; it falls to 0 along a cosine.
        warmup: steps in which it rises from 0.
        clip: the norm that gradients are clipped to.
        ema: decay a step of the average of the weights, which is what denoises; less in the first steps.
        label_dropout: share of samples whose label is hidden, of a network with labels.
        rank: of the Gaussian that the network is added to; None for the whole covariance.
        save_every: steps between checkpoints.
        seed: of the weights, the order of the data, and all noise.
    """

    steps: int = 2000
    batch: int = 128
    learning_rate: float = 1e-3
    warmup: int = 100
    clip: float = 1.0
    ema: float = 0.999
    label_dropout: float = 0.1
    rank: int | None = None
    save_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"`TrainingConfig` needs `{name}` of at least 1. Got {getattr(self, name)}.")
        for name in ("warmup", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"`TrainingConfig` needs `{name}` of at least 0. Got {getattr(self, name)}.")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"`TrainingConfig` needs a positive `{name}`. Got {getattr(self, name)}.")
        for name in ("ema", "label_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`TrainingConfig` needs `{name}` in [0, 1). Got {getattr(self, name)}.")
