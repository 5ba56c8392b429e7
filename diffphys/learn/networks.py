"""Networks in flax: of vectors, of images, and of the classes of either.

A network takes one sample, channels last, and a noise level, and returns as many numbers as a clean sample has.
"""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from .._types import PRNGKey, Scalar
from .configs import MLPConfig, UNetConfig


def fresh(key: PRNGKey, shape: tuple[int, ...], dtype: Any = jnp.float32, *_: Any) -> Array:
    """Normal weights of variance one over the number of inputs, drawn on the host.

    Drawn by jax, every shape would be a program of its own to compile: half a minute for a small U-Net.
    """
    words = np.asarray(jax.random.key_data(key), np.uint64).reshape(-1)[:2]
    drawn = np.random.Generator(np.random.Philox(key=words)).normal(size=shape)
    return jnp.asarray(drawn / math.sqrt(math.prod(shape[:-1])), dtype)


class _Condition(nnx.Module):
    """The noise level, and the label if there is one, as a vector."""

    def __init__(self, config: Any, rngs: nnx.Rngs):
        self.size = config.embedding
        self.num_labels = config.num_labels
        self.hidden = nnx.Linear(self.size, self.size, kernel_init=fresh, rngs=rngs)
        # One more: no label.
        embed = functools.partial(nnx.Embed, config.num_labels + 1, self.size, embedding_init=fresh, rngs=rngs)
        self.labels = embed() if config.num_labels else None

    def __call__(self, level: Scalar, label: Int[Array, ""] | int | None) -> Float[Array, " c"]:
        # A quarter of log v runs over a few units: waves from a tenth of one to ten.
        frequencies = jnp.exp(jnp.linspace(math.log(0.3), math.log(30.0), self.size // 2, dtype=jnp.float32))
        phases = jnp.asarray(level, jnp.float32) * frequencies
        waves = jnp.concatenate([jnp.cos(phases), jnp.sin(phases)])
        found = self.hidden(jnp.pad(waves, (0, self.size - waves.shape[0])))
        if self.labels is not None:
            found = found + self.labels(jnp.asarray(self.num_labels if label is None else label, jnp.int32))
        return nnx.silu(found)


class _Block(nnx.Module):
    """A residual block whose second half is scaled and shifted by the condition; it starts as the identity."""

    def __init__(self, layer: Any, norm: Any, size: int, out: int, config: Any, rngs: nnx.Rngs):
        self.norms = nnx.List([norm(size, rngs), norm(out, rngs)])
        self.first = layer(size, out, rngs)
        self.second = layer(out, out, rngs, kernel_init=nnx.initializers.zeros)
        self.condition = nnx.Linear(config.embedding, 2 * out, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)
        project = functools.partial(nnx.Linear, use_bias=False, dtype=_dtype(config), kernel_init=fresh, rngs=rngs)
        self.skip = None if size == out else project(size, out)

    def __call__(self, x: Array, condition: Array, rngs: nnx.Rngs | None) -> Array:
        scale, shift = jnp.split(self.condition(condition).astype(x.dtype), 2)
        h = self.first(nnx.silu(self.norms[0](x)))
        around = (1,) * (h.ndim - 1)
        h = self.norms[1](h) * (1 + scale.reshape(*around, -1)) + shift.reshape(*around, -1)
        h = self.second(self.dropout(nnx.silu(h), deterministic=rngs is None, rngs=rngs))
        return h + (x if self.skip is None else self.skip(x))


class _Attention(nnx.Module):
    """Attention of all places of a map to all; it starts as the identity."""

    def __init__(self, size: int, config: UNetConfig, rngs: nnx.Rngs):
        if size % config.heads:
            raise ValueError(f"`UNetConfig` needs `heads` that divide {size} channels. Got {config.heads}.")
        self.norm = _norm(config)(size, rngs)
        self.attend = nnx.MultiHeadAttention(
            config.heads,
            size,
            decode=False,
            dtype=_dtype(config),
            kernel_init=fresh,
            out_kernel_init=nnx.initializers.zeros,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        flat = self.norm(x).reshape(-1, x.shape[-1])
        return x + self.attend(flat).reshape(x.shape)


def _dtype(config: Any) -> Any:
    return jnp.dtype(config.compute)


def _norm(config: Any) -> Any:
    def make(size: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
        groups = math.gcd(size, max(1, size // 8))
        return nnx.GroupNorm(size, groups, dtype=_dtype(config), rngs=rngs)

    return make


def _convolution(config: Any, strides: int = 1) -> Any:
    def make(size: int, out: int, rngs: nnx.Rngs, **options: Any) -> nnx.Conv:
        options = {"kernel_init": fresh} | options
        return nnx.Conv(size, out, (3, 3), strides=strides, dtype=_dtype(config), rngs=rngs, **options)

    return make


def _attending_block(config: UNetConfig, rngs: nnx.Rngs, size: int, out: int, side: int | None) -> Any:
    """A residual block of maps, and attention after it at the sides that have it."""
    made = [_Block(_convolution(config), _norm(config), size, out, config, rngs)]
    return nnx.List([*made, _Attention(out, config, rngs)] if side in config.attention else made)


class MLP(nnx.Module):
    """A residual network of vectors.

    Args:
        shape: of a clean sample, `(d,)`.
        inputs: vectors of that shape that it is shown, on the last axis.
        config: its size.
        rngs: flax's random numbers, for the first parameters.
    """

    def __init__(self, shape: tuple[int, ...], inputs: int, config: MLPConfig, *, rngs: nnx.Rngs):
        if len(shape) != 1:
            raise ValueError(f"`MLP` needs vectors. Got samples of shape {shape}. Take a `UNet`, or leave `shape` out.")

        def layer(size: int, out: int, rngs: nnx.Rngs, **options: Any) -> nnx.Linear:
            options = {"kernel_init": fresh} | options
            return nnx.Linear(size, out, dtype=_dtype(config), rngs=rngs, **options)

        def norm(size: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
            return nnx.LayerNorm(size, dtype=_dtype(config), rngs=rngs)

        self.condition = _Condition(config, rngs)
        self.first = layer(shape[0] * inputs, config.width, rngs)
        self.blocks = nnx.List(
            [_Block(layer, norm, config.width, config.width, config, rngs) for _ in range(config.depth)]
        )
        self.last = nnx.Linear(config.width, shape[0], kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "d inputs"],
        level: Scalar,
        label: Int[Array, ""] | int | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Float[Array, " d"]:
        """Its output, float32, at a noise level (a quarter of log v); with a `key`, features are dropped."""
        rngs = None if key is None else nnx.Rngs(key)
        condition = self.condition(level, label)
        h = self.first(x.reshape(-1))
        for block in self.blocks:
            h = block(h, condition, rngs)
        return self.last(nnx.silu(h).astype(jnp.float32))


class UNet(nnx.Module):
    """A U-Net of residual blocks, with attention where it is asked for.

    Args:
        shape: of a clean image, `(height, width)` or `(height, width, channels)`; sides need not be even.
        inputs: images of that shape that it is shown, on the last axis.
        config: its size.
        rngs: flax's random numbers, for the first parameters.
    """

    def __init__(self, shape: tuple[int, ...], inputs: int, config: UNetConfig, *, rngs: nnx.Rngs):
        if len(shape) not in (2, 3) or any(side % config.patch for side in shape[:2]):
            raise ValueError(
                f"`UNet` needs images, with sides that are multiples of `patch` = {config.patch}. Got samples of shape "
                f"{shape}."
            )
        self.shape, self.patch = shape, config.patch
        colours = math.prod(shape[2:]) * config.patch**2
        sizes = [config.channels * multiplier for multiplier in config.multipliers]
        block = functools.partial(_attending_block, config, rngs)
        sides = [min(shape[:2]) // config.patch]
        for _ in sizes[1:]:
            sides.append(-(-sides[-1] // 2))
        if not set(config.attention) <= set(sides):
            raise ValueError(f"`UNet` needs `attention` at sides of its maps, {sides}. Got {config.attention}.")

        self.condition = _Condition(config, rngs)
        self.first = _convolution(config)(colours * inputs, sizes[0], rngs)
        # The sizes of the maps that the way up is shown again.
        skips, size = [sizes[0]], sizes[0]
        self.down, self.halvings = nnx.List([]), nnx.List([])
        for out, side in zip(sizes, sides, strict=True):
            if self.down:
                self.halvings.append(_convolution(config, strides=2)(size, size, rngs))
                skips.append(size)
            self.down.append(nnx.List([block(shown, out, side) for shown in (size, *[out] * (config.blocks - 1))]))
            skips += [out] * config.blocks
            size = out
        self.middle = nnx.List([block(size, size, side), block(size, size, None)])
        self.up, self.doublings = nnx.List([]), nnx.List([])
        for out, side in zip(reversed(sizes), reversed(sides), strict=True):
            if self.up:
                self.doublings.append(_convolution(config)(size, size, rngs))
            shown = (size, *[out] * config.blocks)
            self.up.append(nnx.List([block(own + skips.pop(), out, side) for own in shown]))
            size = out
        self.last_norm = _norm(config)(size, rngs)
        self.last = nnx.Conv(size, colours, (3, 3), kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "*shape inputs"],
        level: Scalar,
        label: Int[Array, ""] | int | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Float[Array, "*shape"]:
        """Its output, float32, at a noise level (a quarter of log v); with a `key`, features are dropped."""
        rngs = None if key is None else nnx.Rngs(key)
        condition = self.condition(level, label)

        def through(stage: Any, h: Array) -> Array:
            h = stage[0](h, condition, rngs)
            return stage[1](h) if len(stage) > 1 else h

        height, width = (side // self.patch for side in self.shape[:2])
        squares = x.reshape(height, self.patch, width, self.patch, -1).swapaxes(1, 2)
        h = self.first(squares.reshape(height, width, -1))
        kept = [h]
        for stage, halve in itertools.zip_longest(self.down, self.halvings):
            for part in stage:
                h = through(part, h)
                kept.append(h)
            if halve is not None:
                h = halve(h)
                kept.append(h)
        for part in self.middle:
            h = through(part, h)
        for stage, double in itertools.zip_longest(self.up, self.doublings):
            for part in stage:
                h = through(part, jnp.concatenate([h, kept.pop()], axis=-1))
            if double is not None:
                # Each feature twice along both sides, up to the map that comes next: sides may be odd.
                twice = jnp.repeat(jnp.repeat(h, 2, axis=0), 2, axis=1)
                h = double(twice[: kept[-1].shape[0], : kept[-1].shape[1]])
        h = self.last(nnx.silu(self.last_norm(h)).astype(jnp.float32))
        squares = h.reshape(height, width, self.patch, self.patch, -1).swapaxes(1, 2)
        return squares.reshape(self.shape)
