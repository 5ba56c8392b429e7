"""Samples of a denoiser: many trajectories from noise to data, in chunks on all devices."""

import pathlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from .._box_muller import box_muller
from .._devices import over_items
from .._keys import check_root
from .._types import PRNGKey
from ..clocks import check_grid
from ..processes import Kernel
from ..samplers import AbstractSampler
from ..samplers._checks import check_denoiser, check_estimate
from ..samplers.base import Increments, check_sampler, noise_of, place, run
from ..targets import is_divided
from ._assemble import check_count, runner_for
from ._chunks import ChunkedProgram


def generate(
    sampler: AbstractSampler,
    ts: Float[np.ndarray | Array, " n"],
    *,
    key: PRNGKey,
    number: int | None = None,
    dim: int | None = None,
    start: Float[np.ndarray | Array, "number ..."] | None = None,
    clean: bool = True,
    dtype: DTypeLike | None = None,
    increments: Increments = box_muller,
    features: int = 1,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> Float[np.ndarray, "number ..."]:
    r"""Samples of a denoiser, each by a trajectory of its own down a grid of times.

    Sample i starts from a draw of the prior $\mathcal N(0, \Sigma_{t_0})$ and has its own noise, both addressed by
    (key, i): so it is the same, but for rounding, whatever the number of samples, of devices and of those run at once.
    By default as many are run at once as stay near the caches of a CPU.

    Args:
        sampler: the rule of a step, with its denoiser.
        ts: decreasing times, from where the data are forgotten to where samples are wanted, the last above 0.
        key: a typed key, the root of all noise.
        number: how many samples; that of `start` if these are given.
        dim: coordinates of a sample.
        start: the states at `ts[0]`, one a row, in place of draws of the prior and of `number` and `dim`: where the
            data are not forgotten, or not centred.
        clean: whether to denoise the ends, $E[a | z]$ at the last time; if not, they are the states there.
        dtype: of the states; by default that of `start`, or float32, float64 for a denoiser whose estimates are.
        increments: how noise is drawn, as in `simulate`.
        features: numbers that the denoiser holds at once for each of a sample, 32 or 64 of a U-Net: the default chunk
            is as many times smaller.
        chunk: samples a compiled call; one that does not fit the memory is refused, the default one is made to.
        checkpoint: a folder for the journal of finished chunks; a run that finds its own there goes on from it.
        progress: whether to show a bar; by default on a terminal.

    Returns:
        The samples, one a row: (number, d), or states of the process if not `clean`.

    Raises:
        ValueError: for a grid, key, count, start or chunk that means nothing or does not fit, and for a denoiser whose
            estimates the states cannot hold.
        FloatingPointError: for a sample that is not finite, by its number; nothing of its chunk is kept.
    """
    check_sampler("generate", sampler)
    check_root(key)
    grid, lead = check_grid(ts), np.shape(sampler.process.start()[0])
    if start is not None and number is None and dim is None:
        start = jnp.asarray(start, dtype)
        number, dim, dtype = len(start), start.shape[-1], start.dtype
    elif start is not None or number is None or dim is None:
        raise ValueError(
            f"`generate` needs `number` and `dim`, or `start`. Got number={number}, dim={dim} and "
            f"{'no start' if start is None else 'a start'}. Do give the one or the other."
        )
    check_count("number", number, 1)
    check_count("dim", dim, 1)
    check_count("features", features, 1)
    if dtype is None:
        # Those that states of float32 could not hold are a denoiser's of float64 parameters.
        dtype = check_estimate(sampler.denoise, jax.ShapeDtypeStruct((dim,), np.float32)).dtype
        dtype = np.promote_types(dtype, np.float32)
    if np.dtype(dtype).kind != "f":
        raise ValueError(
            f"`dtype` needs one of NumPy's floating types, as samples come back to the host. Got {np.dtype(dtype)}. "
            "Do run `simulate` in it, under `jax.vmap`."
        )
    state = jax.ShapeDtypeStruct(
        (*lead, dim) if start is None else start.shape[1:], jax.dtypes.canonicalize_dtype(dtype)
    )
    check_denoiser(sampler.denoise, state, sampler.process)
    runner = runner_for(
        sampler.process, grid, key, chunk, checkpoint, progress, sampler=sampler, clean=clean, increments=increments
    )
    program = ends_program(
        sampler, grid, key, number, state, start, clean=clean, increments=increments, features=features,
        chunk=runner.chunk_of("samples"),
    )  # fmt: skip
    return runner.rows("samples", program, {"number": number, "dim": dim}, unit="sample")["samples"]


def ends_program(
    sampler: AbstractSampler,
    grid: Float[np.ndarray, " n"],
    key: PRNGKey,
    number: int,
    state: jax.ShapeDtypeStruct,
    start: Float[Array, "number ..."] | None = None,
    *,
    clean: bool,
    increments: Increments,
    features: int,
    chunk: int | None,
) -> ChunkedProgram:
    """The program of so many trajectories; `state` is the shape and dtype of one."""
    plans = place((sampler.plan(grid), sampler.process.table(grid[[0, -1]])), state.dtype)
    arguments = (sampler, plans, key, start, state, clean, increments)
    return ChunkedProgram(_ends, arguments, items=number, elements=features * state.size, chunk=chunk)


@eqx.filter_jit
def _ends(
    sampler: AbstractSampler,
    plans: tuple[Any, Kernel],
    key: PRNGKey,
    starts: Float[Array, "number ..."] | None,
    state: jax.ShapeDtypeStruct,
    clean: bool,
    increments: Increments,
    item: Array,
    chunk: int,
) -> dict[str, Float[Array, "chunk ..."]]:
    """The ends of trajectories `item ... item + chunk - 1`; `plans` are the steps, and the kernels at both ends."""
    rows, kernels = plans
    first, last = (jax.tree.map(lambda leaf, i=i: leaf[i], kernels) for i in (0, 1))

    def one(i):
        start_key, noise_key = jr.split(jr.fold_in(key, i))
        z = first.prior(start_key, state.shape[-1], state.dtype) if starts is None else starts[i]
        z = run(sampler, rows, z, noise_of(sampler, noise_key, z, increments))
        return sampler.denoise(*last.observe(z)).astype(z.dtype) if clean else z

    return {"samples": over_items(jax.vmap(one), item, chunk, together=is_divided(sampler))}
