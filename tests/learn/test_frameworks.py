"""Networks of flax as plain functions: the same weights give the same numbers in every framework."""

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from flax import nnx

from diffphys import clocks
from diffphys.learn.adapters import from_network
from diffphys.learn.frameworks import linen_network, nnx_network
from diffphys.learn.outputs import NoiseOutput
from diffphys.learn.schedules import DiscreteSchedule

DDPM = DiscreteSchedule.from_betas(clocks.linear_betas())
SHAPE, CHANNELS = (5, 4, 2), 2
KERNEL = np.random.default_rng(0).normal(size=(3, 3, 2, 2)).astype("float32")
BIAS, CENTRE, SPREAD = np.float32([0.3, -0.2]), np.float32([0.1, 0.2]), np.float32([2.0, 0.5])


def level(index):
    return (index.astype(jnp.float32) / 1000)[:, None, None, None]


class Linen(linen.Module):
    sizes: list[int]

    @linen.compact
    def __call__(self, x, index, train=True):
        x = linen.BatchNorm(use_running_average=not train)(linen.Conv(CHANNELS, self.sizes)(x))
        return linen.Dropout(0.5, deterministic=not train)(jnp.tanh(x)) + level(index)


class NNX(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(CHANNELS, CHANNELS, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(CHANNELS, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, index):
        return self.dropout(jnp.tanh(self.norm(self.conv(x)))) + level(index)


class Equinox(eqx.Module):
    """One sample, channels first, as equinox has it."""

    conv: eqx.nn.Conv2d

    def __call__(self, x, index):
        x = self.conv(x)
        x = (x - CENTRE[:, None, None]) / jnp.sqrt(SPREAD + np.float32(1e-5))[:, None, None]
        return jnp.tanh(x) + index.astype(jnp.float32) / 1000


def in_linen():
    module = Linen([3, 3])  # A list, as a module may have: it has no hash then.
    variables = module.init(jr.key(0), jnp.zeros((1, *SHAPE), jnp.float32), jnp.zeros(1, jnp.int32), train=False)
    params = {**variables["params"], "Conv_0": {"kernel": jnp.asarray(KERNEL), "bias": jnp.asarray(BIAS)}}
    stats = {"BatchNorm_0": {"mean": jnp.asarray(CENTRE), "var": jnp.asarray(SPREAD)}}
    return linen_network(module, {"params": params, "batch_stats": stats}, train=False), {}


def in_nnx():
    module = NNX(nnx.Rngs(0))
    module.conv.kernel = nnx.Param(jnp.asarray(KERNEL))
    module.conv.bias = nnx.Param(jnp.asarray(BIAS))
    module.norm.mean = nnx.BatchStat(jnp.asarray(CENTRE))
    module.norm.var = nnx.BatchStat(jnp.asarray(SPREAD))
    return nnx_network(module), {}


def in_equinox():
    conv = eqx.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, key=jr.key(0))
    weights = (jnp.asarray(KERNEL.transpose(3, 2, 0, 1)), jnp.asarray(BIAS)[:, None, None])
    conv = eqx.tree_at(lambda c: (c.weight, c.bias), conv, weights)
    return Equinox(conv), {"batched": False, "channels_first": True}


@pytest.mark.parametrize("make", [in_linen, in_nnx, in_equinox])
def test_the_same_weights_are_the_same_denoiser_in_every_framework(make):
    network, options = make()
    denoise = from_network(network, NoiseOutput(), DDPM, SHAPE, **options)
    y, v = jnp.linspace(-1.0, 1.0, 40, dtype=jnp.float32), jnp.float32(np.exp(DDPM.log_variances[400]))
    x = np.pad((DDPM.signals[400] * np.asarray(y)).reshape(SHAPE), ((1, 1), (1, 1), (0, 0)))
    conv = sum(np.einsum("hwi,io->hwo", x[i : i + 5, j : j + 4], KERNEL[i, j]) for i in range(3) for j in range(3))
    said = np.tanh((conv + BIAS - CENTRE) / np.sqrt(SPREAD + 1e-5)) + 0.4
    wanted = np.asarray(y) - np.sqrt(v) * said.reshape(-1)
    np.testing.assert_allclose(eqx.filter_jit(denoise)(y, v), wanted, atol=2e-6)
    np.testing.assert_allclose(jax.vmap(denoise, (0, None))(y[None], v)[0], wanted, atol=2e-6)


@pytest.mark.parametrize("make", [in_linen, in_nnx, in_equinox])
def test_the_weights_of_a_network_are_leaves_and_have_gradients(make):
    network, options = make()
    denoise = from_network(network, NoiseOutput(), DDPM, SHAPE, **options)
    found = [leaf.shape for leaf in jax.tree.leaves(denoise.network) if eqx.is_inexact_array(leaf)]
    assert any(sorted(shape) == [2, 2, 3, 3] for shape in found)

    @eqx.filter_grad
    def slope(denoise):
        return jnp.sum(denoise(jnp.linspace(-1.0, 1.0, 40, dtype=jnp.float32), jnp.float32(1.0)))

    slopes = [np.abs(leaf).sum() for leaf in jax.tree.leaves(slope(denoise).network) if leaf.ndim == 4]
    assert slopes[0] > 0


def test_an_nnx_network_is_a_copy_in_evaluation():
    module = NNX(nnx.Rngs(0))
    network = nnx_network(module)
    x, index = jnp.ones((1, *SHAPE), jnp.float32), jnp.zeros(1, jnp.int32)
    before = network(x, index)
    module.conv.kernel = nnx.Param(jnp.zeros_like(KERNEL))
    np.testing.assert_array_equal(network(x, index), before)
    assert not module.dropout.deterministic
    assert not module.norm.use_running_average
