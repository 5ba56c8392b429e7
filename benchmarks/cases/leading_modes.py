"""The leading eigenpair of the Jacobian of a data set's denoiser, beside the whole Jacobian."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import diffphys as dp
from diffphys.thermo import leading_modes

from .._harness import Entrant, Goal, Report, race

# Columns of the Jacobian that are made at once, and to which its time is extrapolated.
_COLUMNS = 16


def measure(quick: bool, repeats: int) -> Report:
    n, dim = (300, 96) if quick else (6000, 3072)
    points_key, y_key = jr.split(jr.key(0))
    # A spectrum that falls as that of images does.
    scales = jnp.arange(1, dim + 1, dtype=jnp.float32) ** -0.5
    points = jr.normal(points_key, (n, dim), jnp.float32) * scales[None]
    target = dp.Empirical(np.asarray(points))
    variance = jnp.asarray(1.0, jnp.float32)
    y = points[0] + jr.normal(y_key, (dim,), jnp.float32)
    entrants = [
        Entrant("leading_modes, 1 pair", "ours", lambda _: _eigenvalues(target, y, variance, 1), note=_shown),
        Entrant("leading_modes, 5 pairs", "ours", lambda _: _eigenvalues(target, y, variance, 5), note=_shown),
        Entrant(
            "the whole Jacobian by jvp", "peer", lambda _: _columns(target, y, variance),
            scale=dim / _COLUMNS, note=f"from {_COLUMNS} columns",
        ),
    ]  # fmt: skip
    found = race(f"Empirical, n = {n}, d = {dim}, v = 1, float32", entrants, repeats)
    goal = Goal("seconds of the leading eigenpair", found["leading_modes, 1 pair"].median, 5.0)
    return Report([found], [goal])


def _eigenvalues(target, y, variance, count: int) -> np.ndarray:
    return leading_modes(target.posterior_mean, y, variance, count).eigenvalues


def _shown(eigenvalues: np.ndarray) -> str:
    return "eigenvalues " + ", ".join(f"{value:.5f}" for value in eigenvalues)


@eqx.filter_jit
def _columns(target, y, variance):
    """The first columns of the Jacobian, as `jacfwd` makes all of them."""
    tangents = jnp.eye(_COLUMNS, y.size, dtype=y.dtype)
    return jax.vmap(lambda e: jax.jvp(lambda x: target.posterior_mean(x, variance), (y,), (e,))[1])(tangents)
