"""When, along a trajectory, the nearest datum changes for the last time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from .._devices import over_items
from .._types import PRNGKey
from ..clocks import check_grid
from ..processes import AbstractProcess, Kernel, OrnsteinUhlenbeck
from ..samplers import AbstractSampler
from ..samplers.base import noise_of, place
from ..targets import AbstractDataSet, is_divided
from ._assemble import Variables, check_count
from ._chunks import ChunkedProgram, Runner
from ._theory import channel_variances, temperature_of

# Of the journal and the bar.
_NAME = "last-change"

Times = Float[np.ndarray, " times"]


@eqx.filter_jit
def _last_change(data, sampler, rows, kernels: Kernel, from_prior: bool, root, first, chunk: int):
    """The step after which the nearest datum stays, of trajectories `first ... first + chunk - 1`."""

    def one(i):
        start_key, step_key = jr.split(jr.fold_in(root, i))
        data_key, noise_key = jr.split(start_key)
        now = jax.tree.map(lambda leaf: leaf[0], kernels)
        # The start at zero is the prior: the data forgotten.
        a = data.sample(data_key)
        z = now.sample(noise_key, jnp.zeros_like(a) if from_prior else a)

        def nearest(kernel, z):
            return data.weights_summary(*kernel.observe(z), with_labels=False).argmax

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
        (inner, datum, last), _ = jax.lax.scan(body, carry, (steps, place(rows, z.dtype), later))
        # The datum nearest to no number is a datum: the end itself tells that it is none.
        return {"last": last, "datum": datum, "end": jnp.mean(sampler.state(inner))}

    return over_items(jax.vmap(one), first, chunk, together=is_divided((data, sampler)))


class Walks(NamedTuple):
    """Trajectories on which last changes are timed."""

    number: int
    steps: int
    grid: Callable[[float, float, int], np.ndarray]
    trunk_from: float | None
    """The time at which they start, from the prior; None for forward samples at the greatest of the times."""

    @classmethod
    def asked(
        cls,
        times: Times,
        trajectories: int | None,
        steps: int,
        grid: Callable[[float, float, int], np.ndarray],
        trunk_from: float | None,
    ) -> "Walks | None":
        """Those of an experiment, None for none; refuses what could not be run, before anything is."""
        check_count("trajectories", trajectories, 2)
        if trajectories is None:
            return None
        if trunk_from is None and times.size < 2:
            raise ValueError(f"`trajectories` needs two `times`, where they start and end. Got {times.tolist()}.")
        if trunk_from is not None and trunk_from <= times.max():
            raise ValueError(f"`trunk_from` needs a time above all `times`, {times.max()}. Got {trunk_from}.")
        return cls(trajectories, steps, grid, trunk_from)


def last_changes(
    data: AbstractDataSet, sampler: AbstractSampler, times: Times, walks: Walks, *, key: PRNGKey, runner: Runner
) -> tuple[Variables, dict[str, Any]]:
    r"""The first time, going down the grid, after the last change of the nearest datum; the start if it never changes.

    Nearest to the channel, $\arg\min_\mu |y - a_\mu|$, so to $x / m$ where the state is $x = m a + $ noise.
    Trajectories end at the least of the times.
    """
    start = float(times.max()) if walks.trunk_from is None else walks.trunk_from
    ts = check_grid(walks.grid(start, float(times.min()), walks.steps))
    rows, kernels, from_prior = sampler.plan(ts), sampler.process.table(ts), walks.trunk_from is not None
    program = ChunkedProgram(
        _last_change, (data, sampler, rows, kernels, from_prior, key), items=walks.number, elements=2 * data.dim,
        chunk=runner.chunk_of(_NAME),
    )  # fmt: skip
    config = {"trajectories": walks.number}
    # What else is told of a trajectory, that it is finite, has been looked at by then.
    kept = runner.rows(_NAME, program, config, unit="trajectory", reduce=lambda results: {"last": results["last"]})
    found = ts[kept["last"]]
    variable = ("trajectory", found, {"long_name": "last change of the nearest datum"})
    return {"last_change_time": variable}, last_change_attributes(sampler.process, found)


def last_change_attributes(process: AbstractProcess, times: Float[np.ndarray, " trajectories"]) -> dict[str, Any]:
    """Mean, standard deviation and standard error of the mean of last changes, in Ornstein-Uhlenbeck time.

    Of the transformed times: the transform of the mean is another number. The noise level is that of the mean.
    """
    temperature = temperature_of(process)
    if not isinstance(process, OrnsteinUhlenbeck):
        knots, where = np.unique(times, return_inverse=True)
        times = 0.5 * np.log1p(channel_variances(process, knots))[where]
    mean, std = float(times.mean()), float(times.std(ddof=1))
    return {
        "last_change_mean": mean,
        "last_change_mean_sigma_v": float(np.sqrt(temperature * np.expm1(2 * mean))),
        "last_change_std": std,
        "last_change_stderr": std / len(times) ** 0.5,
    }
