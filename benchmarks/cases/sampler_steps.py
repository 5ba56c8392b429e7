"""What a step costs beside its calls of the denoiser and its noise, for a denoiser of 2 MFLOP a sample.

Where that is more than a tenth, the step is run again with a denoiser of 8 MFLOP: its own cost stays the same.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

import diffphys as dp
from diffphys.samplers.base import noise_of, place, run

from .._harness import Goal, Race, Report, calls, race, ratio

# Of the time of the evaluations and noise.
_MOST = 1.1


class TwoLayers(eqx.Module):
    """A small network."""

    first: Float[Array, "d h"]
    second: Float[Array, "h d"]

    @property
    def flop(self) -> int:
        """The operations of its products, a sample."""
        return 2 * (self.first.size + self.second.size)

    def __call__(self, y: Float[Array, " d"], variance: Any) -> Float[Array, " d"]:
        return jnp.tanh(y @ self.first * jax.lax.rsqrt(1 + variance)) @ self.second


def measure(quick: bool, repeats: int) -> Report:
    # As many steps as a run has, beside which the start, where the memory of a multistep sampler is cleared, is little.
    dim, batch, steps = (64, 32, 4) if quick else (1024, 1024, 32)
    small, large = (_network(dim, hidden) for hidden in (dim // 2, 2 * dim))
    bigger = _samplers(large)
    races, goals = [], []
    for name, sampler in _samplers(small).items():
        for entrant, network in ((sampler, small), (bigger[name], large)):
            found = _race(f"{name}, {network.flop / 1e6:.2g} MFLOP", entrant, dim, batch, steps, repeats)
            own = found.ours[0]
            share = ratio(own, found.timings[1])
            races.append(found)
            goals.append(Goal(f"{own.name}: time over that of its evaluations and noise", share, _MOST))
            if share <= _MOST:
                break
    return Report(races, goals)


def _network(dim: int, hidden: int) -> TwoLayers:
    shapes = (dim, hidden), (hidden, dim)
    return TwoLayers(*(jr.normal(key, shape, np.float32) / shape[0] ** 0.5
                       for key, shape in zip(jr.split(jr.key(0), 2), shapes, strict=True)))  # fmt: skip


def _samplers(network: TwoLayers) -> dict[str, Any]:
    ou, langevin = dp.OrnsteinUhlenbeck(), dp.PhaseSpaceLangevin()
    return {
        "ReverseSDE": dp.ReverseSDE(ou, network), "Bridge": dp.Bridge(ou, network), "DDIM": dp.DDIM(ou, network),
        "EDM with churn": dp.EDM(ou, network, churn=5.0), "UniPC": dp.UniPC(ou, network),
        "DEIS": dp.DEIS(ou, network), "DPM-Solver++(2M) SDE": dp.DPMSolverMultistep(ou, network, stochastic=True),
        "SEEDS2": dp.SEEDS2(ou, network), "SASolver": dp.SASolver(ou, network),
        "PredictorCorrector": dp.PredictorCorrector(dp.Bridge(ou, network)),
        "ReverseSDE, phase space": dp.ReverseSDE(langevin, network), "SSCS": dp.SSCS(langevin, network),
        "OBA": dp.OBA(langevin, network), "VelocityVerlet": dp.VelocityVerlet(langevin, network),
        "Conjugate, order 3": dp.Conjugate(langevin, network, order=3),
    }  # fmt: skip


def _race(name: str, sampler: Any, dim: int, batch: int, steps: int, repeats: int) -> Race:
    ts = dp.clocks.log_snr_grid(1.0, 0.01, steps)
    shape = (batch, *np.shape(sampler.process.kernel(1.0).mean), dim)
    rows, zs = place(sampler.plan(ts), np.float32), jr.normal(jr.key(1), shape, np.float32)
    entrants = [
        calls(name, "ours", _steps, lambda i: (sampler, rows, zs, jr.key(i + 2))),
        calls("its evaluations and noise", "limit", _parts, lambda i: (sampler, steps, zs, jr.key(i + 2))),
    ]
    note = f"d = {dim}, batch {batch}, {sampler.evaluations} evaluations and {sampler.draws} noises a step"
    return race(note, entrants, repeats, work=float(batch * steps), unit="steps")


@eqx.filter_jit
def _steps(sampler, rows, zs, key):
    def one(key, z):
        return run(sampler, rows, z, noise_of(sampler, key, z))

    return jax.vmap(one)(jr.split(key, len(zs)), zs)


@eqx.filter_jit
def _parts(sampler, steps: int, zs, key):
    """The same calls of the denoiser and noises, and nothing else: each feeds the next, so that none can be skipped."""

    def one(key, z):
        draw = noise_of(sampler, key, z)

        def body(carry, i):
            y, total = carry
            for _ in range(sampler.evaluations):
                y = sampler.denoise(y, jnp.ones((), y.dtype))
            # All draws as they are: a sum of them XLA makes in a loop that is not vectorised, five times as long.
            return (y, total + draw(i)), None

        start = (z.reshape(-1, z.shape[-1])[0], jnp.zeros((sampler.draws, *z.shape), z.dtype))
        return jax.lax.scan(body, start, jnp.arange(steps))[0]

    return jax.vmap(one)(jr.split(key, len(zs)), zs)
