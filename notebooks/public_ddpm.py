"""A public DDPM network for MNIST, in plain JAX functions, its weights read from a file of arrays.

`MyUNet` of github.com/BrianPulfer/PapersReimplementations, `ddpm/models.py` (MIT licence): 606 852 weights, trained
on images in [-1, 1] and the linear schedule of 1000 betas from 1e-4 to 0.02, predicting the noise. Its layer norms are
over channels, rows and columns at once, with a weight for each; its times are looked up in a table. Written anew:

    network = load("brianpulfer_ddpm_mnist.npz")       # network(x, index), x of shape (n, 1, 28, 28)
    denoise = from_network(network, NoiseOutput(), DiscreteSchedule.from_betas(clocks.linear_betas()), (28, 28, 1),
                           channels_first=True, scale=2.0, offset=-1.0)       # for data in [0, 1]
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Images = Float[Array, "n c h w"]
Weights = dict[str, Any]


def load(path: str | os.PathLike) -> jax.tree_util.Partial:
    """The network, as a pytree that is called as `network(x, index)`."""
    with np.load(path, allow_pickle=False) as file:
        weights = {name.removeprefix("network."): jnp.asarray(file[name]) for name in file.files}
    return jax.tree_util.Partial(predict, weights)


def predict(weights: Weights, x: Images, index: Int[Array, " n"]) -> Images:
    """The noise in x, which has seen `index` + 1 steps of it."""
    embedding = weights["time_embed.weight"][index]

    def block(name: str, time: str, x: Images) -> Images:
        x = x + _embed(weights, time, embedding)[:, :, None, None]
        # The last block of the last level was built without its norm.
        return _layer(weights, f"{name}.2", _twice(weights, name, x), norm=name != "b_out")

    first = block("b1", "te1", x)
    second = block("b2", "te2", _down(weights, "down1", first))
    third = block("b3", "te3", _down(weights, "down2", second))
    low = jax.nn.silu(_conv(weights, "down3.0", third))
    low = block("b_mid", "te_mid", _down(weights, "down3.2", low))
    low = _up(weights, "up1.2", jax.nn.silu(_up(weights, "up1.0", low, 1)), 0, stride=1)
    x = block("b4", "te4", jnp.concatenate([third, low], axis=1))
    x = block("b5", "te5", jnp.concatenate([second, _up(weights, "up2", x, 1)], axis=1))
    x = block("b_out", "te_out", jnp.concatenate([first, _up(weights, "up3", x, 1)], axis=1))
    return _conv(weights, "conv_out", x, 1)


def _twice(weights: Weights, name: str, x: Images) -> Images:
    return _layer(weights, f"{name}.1", _layer(weights, f"{name}.0", x))


def _layer(weights: Weights, name: str, x: Images, norm: bool = True) -> Images:
    """A norm over all of an image, and two convolutions, each with its nonlinearity."""
    if norm:
        centred = x - jnp.mean(x, axis=(1, 2, 3), keepdims=True)
        scale = jax.lax.rsqrt(jnp.mean(centred**2, axis=(1, 2, 3), keepdims=True) + 1e-5)
        x = centred * scale * weights[f"{name}.ln.weight"][None] + weights[f"{name}.ln.bias"][None]
    x = jax.nn.silu(_conv(weights, f"{name}.conv1", x, 1))
    return jax.nn.silu(_conv(weights, f"{name}.conv2", x, 1))


def _embed(weights: Weights, name: str, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
    for layer in ("0", "2"):
        x = x if layer == "0" else jax.nn.silu(x)
        x = x @ weights[f"{name}.{layer}.weight"].T + weights[f"{name}.{layer}.bias"][None]
    return x


def _conv(weights: Weights, name: str, x: Images, padding: int = 0, stride: int = 1) -> Images:
    kernel, around = weights[f"{name}.weight"], ((padding, padding),) * 2
    x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), around)
    return x + weights[f"{name}.bias"][None, :, None, None]


def _down(weights: Weights, name: str, x: Images) -> Images:
    return _conv(weights, name, x, padding=1, stride=2)


def _up(weights: Weights, name: str, x: Images, padding: int, stride: int = 2) -> Images:
    """The transpose of a convolution: zeros between the pixels, and the kernel turned round, inputs before outputs."""
    kernel = jnp.flip(weights[f"{name}.weight"], (2, 3)).swapaxes(0, 1)
    around = ((kernel.shape[-1] - 1 - padding,) * 2,) * 2
    x = jax.lax.conv_general_dilated(x, kernel, (1, 1), around, lhs_dilation=(stride, stride))
    return x + weights[f"{name}.bias"][None, :, None, None]
