"""A training step of a U-Net beside the convolutions and matrix products that it is made of."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from flax import nnx

from diffphys import learn
from diffphys.learn.objectives import DenoisingScoreMatching

from .._harness import Entrant, Goal, Report, race, ratio

_HEAVY = ("conv_general_dilated", "dot_general")


def measure(quick: bool, repeats: int) -> Report:
    on_cpu = jax.default_backend() == "cpu"
    side = 16 if quick else 32
    # A laptop trains a small network; an accelerator one of the size of the paper's, in the type of its matrix units.
    small = learn.UNetConfig(8 if quick else 32, (1, 2), patch=2)
    wide = learn.UNetConfig(64, (1, 2, 2), blocks=2, attention=(8,), compute="bfloat16")
    config, batch = (small, 8 if quick else 128) if on_cpu else (wide, 512)
    points = np.random.default_rng(0).normal(size=(4 * batch, side**2)).astype(np.float32)
    gaussian = learn.GaussianPreconditioning.isotropic(side**2, 1.0)
    network = learn.UNet((side, side), 2, config, rngs=nnx.Rngs(0))
    model = learn.NetworkDenoiser.of(network, gaussian, (side, side))
    structure = jax.tree.structure(model.weights)
    objective = DenoisingScoreMatching(learn.LogUniformLevels(1e-3, 400.0), gaussian.relative_weight)
    optimizer = optax.adam(1e-3)

    def loss(weights: list, key: Any, a: Any) -> Any:
        tree = jax.tree.unflatten(structure, weights)
        denoise = learn.NetworkDenoiser(model.graph, tree, gaussian, model.shape)
        levels, keys = learn.stratified_levels(key, batch, jnp.float32), jr.split(key, batch)
        return jnp.mean(jax.vmap(functools.partial(objective, denoise))(a, levels, keys))

    @jax.jit
    def step(weights: list, state: Any, key: Any, a: Any) -> Any:
        gradient = jax.grad(loss)(weights, key, a)
        change, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, change), state

    weights = [jnp.asarray(leaf) for leaf in jax.tree.leaves(model.weights)]
    state, a = optimizer.init(weights), jnp.asarray(points[:batch])
    heavy = list(_heavy(jax.make_jaxpr(jax.grad(loss))(weights, jr.key(0), a).jaxpr))
    alone, inputs = jax.jit(functools.partial(_alone, heavy)), _inputs(heavy)
    parts = f"{len(heavy)} of them, {sum(map(_flop, heavy)) / 1e9:.3g} GFLOP"
    words = f"{config.compute}, {batch} images of {side} x {side}"
    found = race(
        f"a training step: {words}",
        [
            Entrant("step", "ours", lambda i: step(weights, state, jr.key(i + 1), a)),
            Entrant("its convolutions and products", "limit", lambda i: alone(inputs), note=parts),
        ],
        repeats,
        unit="images", work=batch,
    )  # fmt: skip
    return Report([found], [Goal("step over its convolutions and products", ratio(*found.timings), 1.3)])


def _heavy(jaxpr: Any) -> Iterator[Any]:
    """The equations of a program that are convolutions or products, those of its parts too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in _HEAVY:
            yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _heavy(inner)


def _inputs(equations: list) -> dict[str, Any]:
    """One array for each type and shape that goes into them."""
    kinds = {str(variable.aval): variable.aval for equation in equations for variable in equation.invars}
    return {
        name: jr.normal(jr.key(i), aval.shape, jnp.float32).astype(aval.dtype)
        for i, (name, aval) in enumerate(kinds.items())
    }


def _alone(equations: list, inputs: dict[str, Any]) -> list:
    """What the equations give, each by itself."""
    return [
        equation.primitive.bind(*(inputs[str(variable.aval)] for variable in equation.invars), **equation.params)
        for equation in equations
    ]


def _flop(equation: Any) -> float:
    """Multiplications and additions of one of them."""
    left, right = (variable.aval.shape for variable in equation.invars)
    out = np.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "dot_general":
        contracted = equation.params["dimension_numbers"][0][0]
        return 2.0 * out * np.prod([left[axis] for axis in contracted])
    numbers = equation.params["dimension_numbers"]
    features = right[numbers.rhs_spec[1]]
    return 2.0 * out * features * np.prod([right[axis] for axis in numbers.rhs_spec[2:]])
