"""The reverse diffusion by steps that choose their own length."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .. import _block as block
from .._keys import check_key
from .._types import Denoiser, PRNGKey, Scalar, State
from ..processes import AbstractProcess
from ._checks import check_denoiser, check_parts, check_whole
from ._drift import reverse_drift

# Nested rejections halve the step at least: a run that needs so many has lost its way in rounding.
_DEPTH = 24


class AdaptiveStatistics(NamedTuple):
    """What an adaptive run cost.

    Attributes:
        accepted: steps taken.
        rejected: steps tried in vain.
        evaluations: calls of the denoiser, two for each try.
    """

    accepted: Int[Array, ""]
    rejected: Int[Array, ""]
    evaluations: Int[Array, ""]


class _Known(NamedTuple):
    """The Brownian path that earlier tries have seen ahead: a stack of pieces, the next one on top."""

    ends: Float[Array, " depth"]
    increments: Float[Array, "depth ..."]
    pieces: Int[Array, ""]


class _Run(NamedTuple):
    t: Float[Array, ""]
    z: State
    last: State
    h: Scalar
    known: _Known
    accepted: Int[Array, ""]
    tries: Int[Array, ""]


class _Rule(NamedTuple):
    """How steps are judged, and what follows."""

    t_min: Any
    atol: Scalar
    rtol: Scalar
    safety: Scalar
    exponent: Scalar


def simulate_adaptive(
    process: AbstractProcess,
    denoise: Denoiser,
    key: PRNGKey,
    z: State,
    t_max: float,
    t_min: float,
    *,
    atol: Scalar = 0.0078,
    rtol: Scalar = 0.05,
    h0: Scalar = 0.01,
    safety: float = 0.9,
    exponent: float = 0.9,
    max_steps: int = 10_000,
) -> tuple[State, AdaptiveStatistics]:
    r"""Anderson's reverse diffusion from `t_max` down to `t_min`, with steps as long as a tolerance allows.

    With $b$ the drift down in time and $W$ the noise of the step, a try compares Euler's step with Heun's,

    $$ z' = z + h\,b(t, z) + G_t W, \qquad z'' = \tfrac12 \big(z' + z + h\,b(t - h, z') + G_{t - h} W\big), $$

    by $e = \mathrm{rms}\,(z' - z'') / \max(\epsilon_a, \epsilon_r \max(|z'|, |z'_{last}|))$. It is accepted, with
    z'', if $e \le 1$; then $h \leftarrow \theta h e^{-r}$, and at most h / 2 after a rejection.

    The paper draws new noise for a step that was rejected, which thins out large noises, whose steps fail more often:
    of a Gaussian in one dimension that loses half the variance, at any tolerance. Here what a try has seen of the
    Brownian path stays true: a shorter step takes its part of it, drawn from the Brownian bridge. So the law
    converges to that of the reverse diffusion as tolerances shrink.

    Noises are addressed by the number of the try. Many states: `jax.vmap`, which then waits for the longest run.
    It has no derivatives; `simulate` and the terms of `as_diffrax` have.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.
        key: a typed key.
        z: the state at `t_max`.
        t_max: the time to start at.
        t_min: the time to end at, > 0.
        atol: $\epsilon_a$, in units of the state; the default is for images in [-1, 1].
        rtol: $\epsilon_r$.
        h0: the first step, in units of time.
        safety: $\theta$, in (0, 1).
        exponent: r, in (0, 1].
        max_steps: tries, after which the run fails with an error.

    Returns:
        The state at `t_min`, and what it cost.

    Raises:
        ValueError: unless 0 < `t_min` < `t_max`, tolerances and `h0` are positive, `safety` and `exponent` in
            range, `max_steps` a whole number, the key is typed, z is one state and the denoiser keeps shapes.
        RuntimeError: when `max_steps` tries were not enough.

    Reference:
        Jolicoeur-Martineau et al., "Gotta go fast when generating data with score-based models" (2021), algorithm 1;
        Rackauckas, Nie, "Adaptive methods for stochastic differential equations via natural embeddings and
        rejection sampling with memory" (2017), for the noise.
    """
    check_key(key)
    check_parts("simulate_adaptive", process, denoise)
    check_denoiser(denoise, z, process)
    check_whole("simulate_adaptive", "max_steps", max_steps, 1)
    if not 0 < t_min < t_max < np.inf:
        raise ValueError(f"`simulate_adaptive` needs finite times 0 < t_min < t_max. Got {t_min} and {t_max}.")
    for name, value in {"atol": atol, "rtol": rtol, "h0": h0}.items():
        if block.fails((value > 0) & (value < np.inf)):
            raise ValueError(f"`simulate_adaptive` needs a finite `{name} > 0`. Got {value}.")
    if not (0 < safety < 1 and 0 < exponent <= 1):
        raise ValueError(
            "`simulate_adaptive` needs `safety` in (0, 1) and `exponent` in (0, 1]. "
            f"Got {safety} and {exponent}: steps would not settle."
        )
    given = (process, (t_max, h0), _Rule(t_min, atol, rtol, safety, exponent))
    process, first, rule = jax.tree.map(lambda leaf: jnp.asarray(leaf, z.dtype), given)
    return _simulate_adaptive(process, denoise, key, z, first, rule, max_steps)


@eqx.filter_jit
def _simulate_adaptive(
    process: AbstractProcess,
    denoise: Denoiser,
    key: PRNGKey,
    z: State,
    first: tuple[Array, Array],
    rule: _Rule,
    max_steps: int,
) -> tuple[State, AdaptiveStatistics]:
    none = jnp.zeros((), jnp.int32)
    known = _Known(jnp.zeros(_DEPTH, z.dtype), jnp.zeros((_DEPTH, *z.shape), z.dtype), none)
    start = _Run(t=first[0], z=z, last=z, h=first[1], known=known, accepted=none, tries=none)

    def attempt(run: _Run) -> _Run:
        xi = jr.normal(jr.fold_in(key, run.tries), z.shape, z.dtype)
        known = _seen(run, xi, rule.t_min)
        s, w = known.ends[known.pieces - 1], known.increments[known.pieces - 1]
        h = run.t - s
        drift, noise = reverse_drift(process, denoise, run.t, run.z, 1.0)
        euler = run.z - h * drift + block.apply(noise, w)
        drift, noise = reverse_drift(process, denoise, s, euler, 1.0)
        heun = 0.5 * (euler + run.z - h * drift + block.apply(noise, w))
        size = jnp.maximum(rule.atol, rule.rtol * jnp.maximum(jnp.abs(euler), jnp.abs(run.last)))
        error = jnp.sqrt(jnp.mean(((euler - heun) / size) ** 2))
        # A full stack cannot be split: then what has been tried must do.
        good = (error <= 1) | (known.pieces == _DEPTH)
        counted = good.astype(run.tries.dtype)
        # After a step of no error any will do: the time that is left cuts it.
        wanted = rule.safety * h * jnp.maximum(error, jnp.finfo(z.dtype).tiny ** 0.5) ** -rule.exponent
        return _Run(
            t=jnp.where(good, s, run.t),
            z=jnp.where(good, heun, run.z),
            last=jnp.where(good, euler, run.last),
            h=jnp.where(good, wanted, jnp.minimum(wanted, 0.5 * h)),
            known=known._replace(pieces=known.pieces - counted),
            accepted=run.accepted + counted,
            tries=run.tries + 1,
        )

    def unfinished(run: _Run) -> Bool[Array, ""]:
        return (run.t > rule.t_min) & (run.tries < max_steps)

    end = jax.lax.while_loop(unfinished, attempt, start)
    end = eqx.error_if(
        end, end.t > rule.t_min, f"`max_steps` = {max_steps} tries did not reach `t_min`. Raise it, or the tolerances."
    )
    return end.z, AdaptiveStatistics(end.accepted, end.tries - end.accepted, 2 * end.tries)


def _seen(run: _Run, xi: State, t_min: Scalar) -> _Known:
    """The path ahead, with a piece on top that is the step to try: as long as wanted, or up to the next known time."""
    known, fresh = run.known, run.known.pieces == 0
    top = jnp.maximum(known.pieces - 1, 0)
    end, increment = jnp.where(fresh, t_min, known.ends[top]), known.increments[top]
    # A step that is lost in rounding is the least one.
    s = jnp.maximum(jnp.minimum(run.t - run.h, jnp.nextafter(run.t, jnp.zeros_like(run.t))), end)
    h, split = run.t - s, (s > end) & (known.pieces < _DEPTH) & ~fresh
    share = jnp.where(split, h / (run.t - end), 1)
    part = share * increment + jnp.sqrt(h * (1 - share)) * xi
    # What is left of a piece that was split stays below its first part.
    increments = known.increments.at[top].set(increment - part)
    at, grown = jnp.where(split, top + 1, top), fresh | split
    return _Known(
        known.ends.at[at].set(jnp.where(grown, s, end)),
        increments.at[at].set(jnp.where(fresh, jnp.sqrt(h) * xi, part)),
        known.pieces + grown.astype(known.pieces.dtype),
    )
