"""What samplers make of a Gaussian start and of the prior at each time, and how good it is."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .._describe import described
from .._devices import on_all_devices, over_items, to_host
from .._journal import DIGEST, Journal, run_chunks
from .._types import PRNGKey, Scalar
from ..processes import AbstractProcess, Kernel
from ..samplers import AbstractSampler
from ..samplers.base import noise_of, place, run
from ..targets import is_divided
from ._assemble import seed_of
from ._chunks import fingerprint
from ._normal_law import NormalLaw

Quality: TypeAlias = Callable[[Float[np.ndarray, "m d"]], float]
"""How far generated samples are from what is wanted: less is better."""


def start_qualities(
    law: NormalLaw,
    process: AbstractProcess,
    samplers: Mapping[str, AbstractSampler],
    times: Float[np.ndarray, " times"],
    grids: Mapping[int, Sequence[np.ndarray]],
    quality: Mapping[str, Quality],
    *,
    key: PRNGKey,
    dtype: Any,
    samples: int,
    repeats: int,
    chunk: int,
    denoised: bool,
    checkpoint: str | pathlib.Path | None,
    progress: bool | None,
) -> Float[np.ndarray, "samplers steps times starts measures repeats"]:
    """The qualities of what every sampler generates, in every number of steps, from every time and start.

    Arguments as in `gaussian_start`; `grids` are those of each number of steps, from each time to where all end.
    """
    stop = next(iter(grids.values()))[0][-1:]
    end = jax.tree.map(lambda leaf: leaf[0], place(process.table(stop), dtype))
    generate = partial(_generate, *on_all_devices((law.placed(dtype), end, key)), repeats * samples, chunk, denoised)
    cases = [
        (sampler, own, k)
        for sampler in on_all_devices([*samplers.values()])
        for own in grids.values()
        for k in range(len(times))
    ]

    def measure(i: int) -> dict[str, np.ndarray]:
        sampler, own, k = cases[i]
        start = jax.tree.map(lambda leaf: leaf[0], place(process.table(times[k : k + 1]), dtype))
        rows = place(sampler.plan(own[k]), dtype)
        found = []
        for share in (1.0, 0.0):
            generated = to_host(generate(sampler, *on_all_devices((rows, start, jnp.asarray(share, dtype)))))
            parts = generated.reshape(repeats, -1, generated.shape[-1])
            found.append([[float(judge(part)) for part in parts] for judge in quality.values()])
        return {"quality": np.array(found)}

    journal = None
    if checkpoint is not None:
        config = {
            DIGEST: fingerprint((law, end, samplers, seed_of(key))), "samplers": list(samplers),
            "measures": list(quality), "quality": described(quality), "samples": samples, "repeats": repeats,
            "chunk": chunk, "denoised": denoised,
            "grids": {str(n): [ts.tolist() for ts in own] for n, own in grids.items()},
        }  # fmt: skip
        journal = Journal(pathlib.Path(checkpoint) / "gaussian-start", config)
    stacked = run_chunks(measure, len(cases), journal=journal, progress=progress, label="gaussian-start", unit="start")
    return stacked["quality"].reshape(len(samplers), len(grids), len(times), 2, len(quality), repeats)


@eqx.filter_jit
def _generate(
    law: NormalLaw,
    end: Kernel,
    root: PRNGKey,
    number: int,
    chunk: int,
    denoised: bool,
    sampler: AbstractSampler,
    rows: Any,
    start: Kernel,
    share: Scalar,
) -> Float[Array, "m d"]:
    """Generated samples; `share` is 1 for a start from the Gaussian of the data, 0 for one without data."""

    def one(i):
        # Addressed, not drawn in sequence: the same noise wherever and however a sample starts.
        data_key, start_key, noise_key = jr.split(jr.fold_in(root, i), 3)
        dtype = law.mean.dtype
        clean = jnp.asarray(share, dtype) * law.draw(jr.normal(data_key, law.eigenvalues.shape, dtype))
        z = start.noised(clean, jr.normal(start_key, (*np.shape(start.mean), *clean.shape), dtype))
        z = run(sampler, rows, z, noise_of(sampler, noise_key, z))
        y, variance = end.observe(z)
        return sampler.denoise(y, variance) if denoised else y

    # Each device takes as many chunks; the last ones are padded: a remainder would be compiled apart.
    devices = jax.device_count()
    chunk = min(chunk, -(-number // devices))
    padded = -(-number // (devices * chunk)) * devices * chunk

    def many(items):
        found = jnp.asarray(jax.lax.map(jax.vmap(one), items.reshape(-1, chunk)))
        return found.reshape(len(items), -1)

    return over_items(many, jnp.int32(0), padded, together=is_divided(sampler))[:number]
