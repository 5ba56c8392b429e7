"""Increments of fewer bits: what they cost, and what they do to the agreement of clones."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import diffphys as dp
from diffphys.clocks import uniform_grid
from diffphys.samplers.base import noise_of, place, run

from .._harness import Goal, Race, Report, Timing, calls, race, ratio

_INCREMENTS = {
    "box_muller": dp.box_muller,
    "jax normal": jr.normal,
    "three_point": dp.three_point,
    "rademacher": dp.rademacher,
}
# Clones end where the classes are told apart without doubt.
_STOP = 0.01


def measure(quick: bool, repeats: int) -> Report:
    dim, states, counts = (64, 64, (8,)) if quick else (1024, 1024, (8, 16, 32))
    speed = _speeds(dim, states, repeats)
    goals = [
        Goal(f"{name}: time of an Euler step over that with {other}", ratio(speed[name], speed[other]), bound)
        for name, other, bound in (
            ("box_muller", "jax normal", 0.5),
            ("rademacher", "jax normal", 0.1),
            ("three_point", "jax normal", 0.5),
        )
    ]
    sizes = ((16, 512), (1, 512)) if quick else ((256, 2**16), (1, 2**22))
    biases = [_biases(*size, steps) for size in sizes for steps in counts]
    return Report([speed, *biases], goals)


@eqx.filter_jit
def _euler(sampler, rows, zs, key, increments):
    def one(key, z):
        return run(sampler, rows, z, noise_of(sampler, key, z, increments))

    return jax.vmap(one)(jr.split(key, len(zs)), zs)


def _speeds(dim: int, states: int, repeats: int) -> Race:
    """32 Euler steps of the exact two-class score, where random numbers are nearly all of the work."""
    target, steps = dp.symmetric_mixture(np.ones(dim, np.float32)), 32
    sampler = dp.ReverseSDE(dp.OrnsteinUhlenbeck(), target.posterior_mean)
    rows = place(sampler.plan(uniform_grid(2.0, 0.1, steps)), np.float32)
    zs = jr.normal(jr.key(0), (states, dim), np.float32)
    entrants = [
        calls(name, "ours", _euler, lambda i, draw=draw: (sampler, rows, zs, jr.key(i + 2), draw))
        for name, draw in _INCREMENTS.items()
    ]
    limit = calls("no noise", "limit", _euler, lambda i: (sampler, rows, zs, jr.key(i + 2), _zeros))
    return race(f"d = {dim}, {states} states", [*entrants, limit], repeats, work=float(dim * states * steps), unit="el")


def _zeros(key, shape, dtype):
    return jnp.zeros(shape, dtype)


@eqx.filter_jit
def _disagreement(target, sampler, rows, t, key, first, chunk: int, increments):
    """Of pairs of clones from forward samples at t: agreement, less the exact agreement given the state they left."""
    process, law = sampler.process, dp.Diffused(target, sampler.process)
    end = process.kernel(_STOP)

    def one(i):
        own = jr.fold_in(key, i)
        z = law.sample(jr.fold_in(own, 0), t)

        def clone(c):
            end_state = run(sampler, rows, z, noise_of(sampler, jr.fold_in(own, c), z, increments))
            return target.label_log_posterior(*end.observe(end_state))

        one, other = jnp.exp(clone(1)), jnp.exp(clone(2))
        # The exact value is a control variate: what is left is bias, and the scatter of the clones alone.
        return jnp.sum(one * other) - jnp.sum(jnp.exp(2 * law.label_log_posterior(t, z)))

    return jax.vmap(one)(first + jnp.arange(chunk, dtype=jnp.int32))


def _biases(dim: int, pairs: int, steps: int) -> Race:
    """The bias of phi at the speciation time, 1/2 log |m|^2, of two classes with |m|^2 = 256.

    Their axis lies along all of `dim` coordinates alike. Where it is one coordinate, the others say nothing: dim = 1.
    """
    mean = np.full(dim, 16 / dim**0.5, np.float32)
    target, process = dp.symmetric_mixture(mean), dp.OrnsteinUhlenbeck()
    t = np.log(16.0)
    sampler = dp.ReverseSDE(process, target.posterior_mean)
    rows, chunk = place(sampler.plan(uniform_grid(t, _STOP, steps)), np.float32), min(pairs, 2**20 // dim)
    timings = []
    for name, draw in _INCREMENTS.items():
        values = np.concatenate([
            _disagreement(target, sampler, rows, np.float32(t), jr.key(1), np.int32(start), chunk, draw)
            for start in range(0, pairs, chunk)
        ])  # fmt: skip
        note = f"bias of phi {values.mean():+.5f} +- {values.std() / len(values) ** 0.5:.5f}"
        timings.append(Timing(name, "ours", None, (), 1.0, note))
    return Race(f"d = {dim}, {steps} uniform steps, {pairs} pairs of clones", tuple(timings))
