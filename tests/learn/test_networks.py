"""Networks of vectors and of images."""

import functools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from flax import nnx

from diffphys.experiments._chunks import fingerprint
from diffphys.learn.configs import MLPConfig, UNetConfig
from diffphys.learn.denoiser import NetworkDenoiser
from diffphys.learn.networks import MLP, UNet
from diffphys.learn.preconditioning import GaussianPreconditioning

SMALL = UNetConfig(channels=8, multipliers=(1, 2), blocks=1, attention=(3,), heads=2, embedding=8, num_labels=2)


def stirred(network):
    """The network with every parameter drawn at random, since many start at zero."""
    graph, weights = nnx.split(network)
    draws = np.random.default_rng(0)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(0.3 * draws.normal(size=leaf.shape), leaf.dtype), weights)
    return nnx.merge(graph, drawn)


def compiled(network):
    """The network as a jitted function of its arguments: op by op it would compile each of them alone."""
    graph, weights = nnx.split(network)
    return jax.jit(lambda x, level, label=None, key=None: nnx.merge(graph, weights)(x, level, label, key=key))


@pytest.mark.parametrize("shape", [(5, 6), pytest.param((6, 6, 3), marks=pytest.mark.slow)], ids=["odd", "colours"])
def test_a_unet_sees_every_pixel_the_level_and_the_label(shape, getkey):
    network = compiled(stirred(UNet(shape, 2, SMALL, rngs=nnx.Rngs(0))))
    x = jr.normal(getkey(), (*shape, 2), jnp.float32)
    output = network(x, 0.3, 0)
    assert output.shape == shape
    assert output.dtype == jnp.float32
    reach = jax.jit(jax.grad(lambda x: network(x, 0.3, 0).reshape(-1)[0]))(x)
    assert np.all(np.asarray(reach) != 0)
    assert not np.allclose(output, network(x, 0.9, 0))
    assert not np.allclose(output, network(x, 0.3, 1))
    np.testing.assert_allclose(network(x, 0.3), network(x, 0.3, 2), atol=1e-5)  # Two programs.


def test_a_patched_unet_puts_every_pixel_back_in_its_place(getkey):
    config = UNetConfig(channels=8, multipliers=(1,), patch=2, embedding=8)
    network, seen = UNet((4, 6), 1, config, rngs=nnx.Rngs(0)), []

    def watch(squares):
        seen.append(squares)
        return jnp.concatenate([squares, squares], axis=-1)

    # The last layer has no weights yet: what it adds to the pixels of a square tells where they go.
    network.first = watch
    network.last.bias[...] = jnp.arange(4, dtype=jnp.float32)
    x = jr.normal(getkey(), (4, 6, 1), jnp.float32)
    np.testing.assert_array_equal(network(x, 0.0), np.tile([[0, 1], [2, 3]], (2, 3)))
    np.testing.assert_array_equal(seen[0][1, 2], x[2:4, 4:6, 0].reshape(-1))


@pytest.mark.parametrize("kind", ["mlp", "unet"])
def test_an_untrained_network_adds_nothing(kind, getkey):
    x = jr.normal(getkey(), (4, 1) if kind == "mlp" else (4, 4, 1), jnp.float32)
    network = (
        MLP((4,), 1, MLPConfig(8, 1), rngs=nnx.Rngs(0)) if kind == "mlp"
        else UNet((4, 4), 1, UNetConfig(8, (1, 1)), rngs=nnx.Rngs(0))
    )  # fmt: skip
    np.testing.assert_array_equal(compiled(network)(x, 0.1), np.zeros(x.shape[:-1]))


def test_features_are_dropped_only_with_a_key(getkey):
    network = compiled(stirred(MLP((3,), 1, MLPConfig(16, 2, dropout=0.5), rngs=nnx.Rngs(0))))
    x, key = jnp.ones((3, 1), jnp.float32), getkey()
    calm = network(x, 0.0)
    np.testing.assert_array_equal(calm, network(x, 0.0))
    first, second = network(x, 0.0, key=key), network(x, 0.0, key=getkey())
    assert not np.allclose(first, calm)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, network(x, 0.0, key=jr.clone(key)))


def test_bfloat16_computes_in_it_and_keeps_its_parameters_in_float32(getkey):
    config = UNetConfig(channels=8, multipliers=(1,), embedding=8, compute="bfloat16")
    network = stirred(UNet((4, 4), 1, config, rngs=nnx.Rngs(0)))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(network))} == {jnp.dtype("float32")}
    x = jr.normal(getkey(), (4, 4, 1), jnp.float32)
    # flax is not clean under strict promotion in this type.
    with jax.numpy_dtype_promotion("standard"):
        program = str(jax.make_jaxpr(lambda x: network(x, 0.0))(x))
        rounded = compiled(network)(x, 0.0)
    convolutions = re.findall(r":(\w+)\[[\d,]*\] = conv_general_dilated", program)
    assert convolutions.count("bf16") == len(convolutions) - 1  # All but the last layer.
    exact = nnx.merge(nnx.graphdef(UNet((4, 4), 1, UNetConfig(8, (1,), embedding=8), rngs=nnx.Rngs(0))),
                      nnx.state(network))  # fmt: skip
    exact = compiled(exact)(x, 0.0)
    gap = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert 1e-6 < gap < 0.05


@functools.cache
def denoiser():
    points = np.random.default_rng(0).normal(size=(50, 12)) * np.linspace(2, 0.5, 12)
    network = stirred(UNet((3, 4), 2, UNetConfig(8, (1,), embedding=8, num_labels=2), rngs=nnx.Rngs(0)))
    return NetworkDenoiser.of(network, GaussianPreconditioning.fit(points), (3, 4))


def test_a_batch_is_one_batch_of_convolutions(getkey):
    ys, model = jr.normal(getkey(), (7, 12)), denoiser()
    program = str(jax.make_jaxpr(jax.vmap(lambda y: model(y, 0.5)))(ys))
    shapes = re.findall(r"f32\[([\d,]+)\] = conv_general_dilated", program)
    assert shapes
    assert all(np.prod([int(n) for n in shape.split(",")]) % 7 == 0 for shape in shapes)
    assert "feature_group_count=7" not in program


def test_a_denoiser_adds_the_network_to_the_linear_denoiser(getkey):
    y, v = jr.normal(getkey(), (12,)), 0.7
    model = denoiser()
    network = nnx.merge(model.graph, model.weights)
    linear = model.preconditioning.linear(y, v)
    shown = model.preconditioning.inputs(*(x.astype(jnp.float32) for x in (y, linear)), jnp.float32(v))
    output = compiled(network)(shown.reshape(3, 4, 2), 0.25 * np.log(v))
    added = model.preconditioning.output_scale(jnp.float32(v)) * output.reshape(-1)
    estimate = eqx.filter_jit(lambda model, y: model(y, v))
    np.testing.assert_allclose(estimate(model, y), linear + added.astype(y.dtype), atol=1e-6)
    assert estimate(model, y).dtype == y.dtype
    assert not np.allclose(estimate(model.given(0), y), estimate(model, y))


def test_a_denoiser_refuses_other_shapes_and_labels_it_does_not_know(getkey):
    with pytest.raises(ValueError, match=r"`y` needs one observation of shape \(12,\)"):
        denoiser()(jnp.zeros(11), 0.5)
    plain = UNet((3, 4), 2, UNetConfig(8, (1,), embedding=8), rngs=nnx.Rngs(0))
    model = NetworkDenoiser.of(plain, denoiser().preconditioning, (3, 4))
    with pytest.raises(ValueError, match="trained with labels"):
        model.given(0)
    for label in (2, -1, jnp.int32(2)):
        with pytest.raises(ValueError, match="below `num_labels` = 2"):
            denoiser().given(label)
    with pytest.raises(ValueError, match=r"`shape` of 12 numbers, .* Got \(3, 3\)"):
        NetworkDenoiser.of(plain, denoiser().preconditioning, (3, 3))


@pytest.mark.parametrize("label", [0.5, True, np.array([0, 1])])
def test_a_label_that_is_not_one_whole_number_is_refused(label, unchecked):
    with pytest.raises(ValueError, match=r"`NetworkDenoiser\.given` needs one whole number"):
        denoiser().given(label)


def test_a_denoiser_takes_whole_numbers_and_one_variance(unchecked):
    whole = np.arange(12)
    np.testing.assert_array_equal(denoiser()(whole, 2), denoiser()(jnp.asarray(whole, float), 2.0))
    with pytest.raises(ValueError, match="`variance` needs one number"):
        denoiser()(jnp.zeros(12), jnp.ones(1))


def test_a_denoiser_of_a_label_is_the_conditional_of_the_switch(getkey):
    y, model = jr.normal(getkey(), (12,)), denoiser()
    given = eqx.filter_jit(lambda model, y, k: model.conditional(y, 0.7, k))
    np.testing.assert_allclose(given(model, y, jnp.int32(1)), model.given(1)(y, 0.7), atol=1e-6)


def test_a_journal_tells_models_apart_by_their_weights_and_knows_one_again():
    model = denoiser()
    other = eqx.tree_at(lambda tree: tree.weights, model, jax.tree.map(lambda leaf: leaf + 1e-6, model.weights))
    marks = [fingerprint(one) for one in (model, other, model.given(0), model.given(1), model.conditional)]
    assert len(set(marks)) == 5
    # Made anew, with other objects in other places.
    again = NetworkDenoiser.of(nnx.merge(model.graph, model.weights), model.preconditioning, (3, 4))
    assert fingerprint(again) == marks[0]


def test_sizes_in_lists_as_a_file_has_them_are_those_in_tuples():
    assert UNetConfig(multipliers=[1, 2], attention=[4]) == UNetConfig(multipliers=(1, 2), attention=(4,))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MLPConfig(width=0), "width"),
        (lambda: MLPConfig(embedding=1), "embedding"),
        (lambda: MLPConfig(dropout=1.0), "dropout"),
        (lambda: MLPConfig(width=8.0), "width"),
        (lambda: MLPConfig(num_labels=1.5), "num_labels"),
        (lambda: UNetConfig(multipliers=()), "multipliers"),
        (lambda: UNetConfig(multipliers=(1, 1.5)), "multipliers"),
        (lambda: UNetConfig(attention=(0,)), "attention"),
        (lambda: UNetConfig(compute="float16"), "compute"),
        (lambda: UNetConfig(num_labels=-1), "num_labels"),
        (lambda: UNet((5, 6), 1, UNetConfig(patch=2), rngs=nnx.Rngs(0)), "patch"),
        (lambda: UNet((16,), 1, UNetConfig(), rngs=nnx.Rngs(0)), "images"),
        (lambda: UNet((4, 5), 1, UNetConfig(8, (1,), attention=(5,)), rngs=nnx.Rngs(0)), r"its maps, \[4\]"),
        (lambda: MLP((4, 4), 1, MLPConfig(), rngs=nnx.Rngs(0)), "vectors"),
        (lambda: UNet((4, 4), 1, UNetConfig(8, (1,), attention=(4,), heads=3), rngs=nnx.Rngs(0)), "heads"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(make, match, unchecked):
    with pytest.raises(ValueError, match=match):
        make()
