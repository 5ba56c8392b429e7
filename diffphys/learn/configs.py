"""Sizes of networks, and how they are trained."""

import dataclasses
import math
from collections.abc import Sequence
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
    multipliers: Sequence[int] = (1, 2, 2)
    blocks: int = 1
    attention: Sequence[int] = ()
    heads: int = 4
    patch: int = 1
    dropout: float = 0.0
    embedding: int = 128
    num_labels: int = 0
    compute: str = "float32"

    def __post_init__(self) -> None:
        _check(self, positive=("channels", "blocks", "heads", "patch"))
        for name in ("multipliers", "attention"):
            # Lists too: a configuration is compared and kept as it is written in a folder.
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not all(is_whole(side, 1) for side in getattr(self, name)):
                raise ValueError(f"`UNetConfig` needs `{name}` of whole numbers from 1. Got {getattr(self, name)}.")
        if not self.multipliers:
            raise ValueError("`UNetConfig` needs `multipliers`, one a resolution. Got none.")


def is_whole(value: Any, least: int, top: float = math.inf) -> bool:
    """Whether a value is a whole number, by its type, of `least` or more and below `top`."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(least <= value < top)


def require_whole(config: Any, least: dict[str, int], top: float = math.inf) -> None:
    """Refuses fields of a configuration that are no whole numbers, or too small, or not below `top`."""
    for field, bound in least.items():
        if not is_whole(value := getattr(config, field), bound, top):
            below = "" if top == math.inf else f" and below {top}"
            raise ValueError(
                f"`{type(config).__name__}` needs `{field}` of at least {bound}{below}, a whole number. Got {value!r}."
            )


def _check(config: Any, positive: tuple[str, ...]) -> None:
    name = type(config).__name__
    require_whole(config, {field: 1 for field in positive} | {"embedding": 2, "num_labels": 0})
    if not 0 <= config.dropout < 1:
        raise ValueError(f"`{name}` needs `dropout` in [0, 1). Got {config.dropout}.")
    if config.compute not in _TYPES:
        raise ValueError(f"`{name}` needs `compute` of {' or '.join(_TYPES)}. Got {config.compute!r}.")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Args:
        steps: updates of the weights.
        batch: samples an update.
        learning_rate: of Adam, after the warm-up; it falls to 0 along a cosine.
        warmup: steps in which it rises from 0; at most all but one.
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
        require_whole(self, {"steps": 1, "batch": 1, "save_every": 1, "warmup": 0})
        # Beyond 32 bits a key would be that of another seed.
        require_whole(self, {"seed": 0}, 2**32)
        if self.rank is not None:
            require_whole(self, {"rank": 0})
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"`TrainingConfig` needs a positive `{name}`. Got {getattr(self, name)}.")
        for name in ("ema", "label_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`TrainingConfig` needs `{name}` in [0, 1). Got {getattr(self, name)}.")
