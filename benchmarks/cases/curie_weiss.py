"""The posterior mean of a large Curie-Weiss magnet, beside the integral that it takes node by node."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float

import diffphys as dp

from .._harness import Entrant, Goal, Report, calls, race

_BETA = 1.5
# Of the nodes of the plain integral, only one in so many is summed; its time is multiplied by their number.
_THINNED = 256


def measure(quick: bool, repeats: int) -> Report:
    dim, batch = (2000, 4) if quick else (1_000_000, 16)
    target = dp.CurieWeiss(dim, _BETA)
    # At the speciation time, where both states have weight.
    variance = np.float32(dim * dp.thermo.spontaneous_magnetisation(_BETA) ** 2)
    clean = eqx.filter_vmap(target.sample)(jr.split(jr.key(0), batch))
    ys = clean + np.sqrt(variance) * jr.normal(jr.key(1), clean.shape, clean.dtype)
    nodes = decoupling_nodes(dim)[:: 1 if quick else _THINNED]
    share = batch * len(decoupling_nodes(dim)) / len(nodes)
    entrants = [
        calls("CurieWeiss.posterior_mean", "ours", _score, lambda _: (target, ys, variance)),
        Entrant("plain trapezoid", "peer", lambda _: plain_trapezoid(ys[0], variance, nodes), scale=share,
                note=f"one sample, {len(nodes)} nodes of {len(decoupling_nodes(dim))}"),
    ]  # fmt: skip
    found = race(f"N = {dim}, batch {batch}, beta = {_BETA}, at t_S", entrants, repeats, work=batch * dim, unit="spins")
    goals = [Goal("seconds", found["CurieWeiss.posterior_mean"].median, 5.0)]
    return Report([found], goals)


@eqx.filter_jit
def _score(target, ys, variance):
    return jax.vmap(target.posterior_mean, (0, None))(ys, variance)


def decoupling_nodes(dim: int) -> np.ndarray:
    """Two nodes on each width of a bump of the integrand: exact to 1e-13."""
    width = math.sqrt(_BETA / dim)
    return np.arange(-_BETA - 9 * width, _BETA + 9 * width, width / 2)


@jax.jit
def plain_trapezoid(y: Float[Array, " d"], variance: Float[Array, ""], nodes: Float[Array, " g"]) -> Float[Array, " d"]:
    """The average of `tanh(phi + y / v)`, spin by spin and node by node."""
    fields = y / variance
    nodes = nodes.astype(y.dtype)
    at_zero = jnp.logaddexp(fields, -fields)

    def log_weight(node):
        return jnp.sum(jnp.logaddexp(node + fields, -node - fields) - at_zero - node**2 / (2 * _BETA))

    weights = jax.nn.softmax(lax.map(log_weight, nodes))
    terms = (weights, nodes)
    return lax.scan(lambda total, term: (total + term[0] * jnp.tanh(term[1] + fields), None), 0 * fields, terms)[0]
