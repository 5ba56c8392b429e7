"""When, along a trajectory, the nearest datum changes for the last time."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from .._types import PRNGKey
from ..clocks import check_grid
from ..processes import Kernel
from ..samplers import AbstractSampler
from ..samplers.base import noise_of, place
from ..targets import Empirical
from ._chunks import ChunkedProgram, Runner


@eqx.filter_jit
def _last_change(data, sampler, rows, kernels: Kernel, root, first, chunk: int):
    """The step after which the nearest datum stays, of trajectories `first ... first + chunk - 1`."""

    def one(i):
        start_key, step_key = jr.split(jr.fold_in(root, i))
        data_key, noise_key = jr.split(start_key)
        now = jax.tree.map(lambda leaf: leaf[0], kernels)
        z = now.sample(noise_key, data.sample(data_key))

        def nearest(kernel, z):
            return data.weights_summary(*kernel.observe(z)).argmax

        draw = noise_of(sampler, step_key, z)

        def body(carry, indexed):
            step, row, kernel = indexed
            inner, held, last = carry
            inner = sampler.step(row, inner, draw(step))
            datum = nearest(kernel, sampler.state(inner))
            return (inner, datum, jnp.where(datum == held, last, step + 1)), None

        later = jax.tree.map(lambda leaf: leaf[1:], kernels)
        steps = jnp.arange(jax.tree.leaves(rows)[0].shape[0])
        carry = (sampler.init(z), nearest(now, z), jnp.zeros((), steps.dtype))
        (_, datum, last), _ = jax.lax.scan(body, carry, (steps, place(rows, z.dtype), later))
        return {"last": last, "datum": datum}

    return jax.vmap(one)(first + jnp.arange(chunk, dtype=jnp.int32))


def last_change_times(
    data: Empirical,
    sampler: AbstractSampler,
    start: float,
    stop: float,
    *,
    key: PRNGKey,
    trajectories: int,
    steps: int,
    grid: Callable[[float, float, int], np.ndarray],
    runner: Runner,
) -> Float[np.ndarray, " trajectories"]:
    """The first time, going down the grid, after the last change of the most likely datum; `start` if it never changes.

    Trajectories start from forward samples at `start` and end at `stop`.
    """
    ts = check_grid(grid(start, stop, steps))
    kernels = sampler.process.table(ts)
    program = ChunkedProgram(
        _last_change, (data, sampler, sampler.plan(ts), kernels, key), items=trajectories, elements=2 * data.dim,
        chunk=runner.chunk,
    )  # fmt: skip

    def reduce(i: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        padded = np.full(program.chunk, -1)
        padded[: len(results["last"])] = results["last"]
        return {"last": padded}

    stacked = runner.collect("last-change", program, reduce, {"trajectories": trajectories}, unit="trajectory")
    last = stacked["last"].ravel()
    return ts[last[last >= 0]]
