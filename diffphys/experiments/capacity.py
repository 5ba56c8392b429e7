"""How many patterns an associative memory holds: retrieval against load, modern beside classical."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from .._keys import check_root
from .._types import PRNGKey
from ..results import dataset
from ..thermo import hebbian_weights, hopfield_update, retrieve, retrieve_classical
from ._assemble import check_count, seed_of
from ._statistics import mean_and_stderr

# Trials taken at once: their patterns are in memory together.
_AT_ONCE = 8


def retrieval_curve(
    loads: Sequence[float] | Float[np.ndarray, " loads"],
    *,
    key: PRNGKey,
    dim: int = 256,
    variance: float = 1.0,
    corruption: float = 0.1,
    trials: int = 32,
) -> xr.Dataset:
    r"""The overlap with a stored pattern after retrieval from a corrupted cue, against the load n / d.

    Patterns are d independent signs. The modern network iterates the posterior mean of the patterns at noise variance
    v, $x \leftarrow Y^\top \mathrm{softmax}(Y x / v)$: one fixed point of the reverse process. The classical one turns
    spins along the fields of Hebb's couplings. It forgets everything above n = .138 d; the modern one holds a number
    that grows exponentially with d, until the load meets the random energy of the others: collapse, seen from memory.

    Args:
        loads: numbers of patterns over d, at least one pattern each.
        key: a typed key. A trial has the same patterns and cue at every load, the first n of them.
        dim: d, how many spins.
        variance: v = 1 / beta of the modern network, > 0.
        corruption: the fraction of spins that are flipped in the cue, within [0, 1/2).
        trials: how many sets of patterns, at least two.

    Returns:
        A dataset on `load`: `overlap_modern` and `overlap_classical`, $x \cdot y / d$ after retrieval, each with its
        `_stderr` over trials, and `patterns`, their number. The attribute `overlap_cue` is that of the cue.

    Raises:
        ValueError: for loads below one pattern, or settings out of range.

    Reference:
        Amit, Gutfreund, Sompolinsky, "Storing infinite numbers of patterns in a spin-glass model of neural networks"
        (1985), for the classical capacity; Ramsauer et al., "Hopfield networks is all you need" (2020).
    """
    check_root(key)
    check_count("dim", dim, 2)
    check_count("trials", trials, 2)
    counts = np.round(np.asarray(loads, np.float64) * dim).astype(int)
    if counts.ndim != 1 or counts.size == 0 or not (counts >= 1).all():
        raise ValueError(
            f"`loads` needs at least one pattern each, 1 / d = {1 / dim:.3g}. Got {list(loads)}. Raise them."
        )
    if not (variance > 0 and 0 <= corruption < 0.5):
        raise ValueError(
            "`retrieval_curve` needs `variance` > 0 and `corruption` in [0, 1/2). "
            f"Got {variance} and {corruption}. A cue of one half is of no pattern."
        )
    flips = round(corruption * dim)
    keys = jr.split(key, trials)
    dtype = jnp.result_type(float)
    overlaps = np.asarray(
        _overlaps(keys, jnp.asarray(counts), jnp.asarray(variance, dtype), int(counts.max()), dim, flips)
    )
    mean, error = mean_and_stderr(overlaps)
    variables: dict[str, tuple] = {"patterns": ("load", counts)}
    for i, name in enumerate(("overlap_modern", "overlap_classical")):
        variables |= {name: ("load", mean[:, i]), f"{name}_stderr": ("load", error[:, i])}
    attrs = {
        "d": dim, "variance": variance, "corruption": flips / dim, "trials": trials, "overlap_cue": 1 - 2 * flips / dim
    }  # fmt: skip
    return dataset(
        variables, {"load": counts / dim}, experiment="retrieval-curve", seed=seed_of(key), parameters=attrs
    ).assign_attrs(attrs)


@eqx.filter_jit
def _overlaps(
    keys: Array, counts: Int[Array, " loads"], variance: Array, most: int, dim: int, flips: int
) -> Float[Array, "trials loads 2"]:
    """Overlaps of the modern and the classical network, for each trial and load."""

    def trial(key: PRNGKey) -> Float[Array, "loads 2"]:
        pattern_key, flip_key = jr.split(key)
        patterns = jr.rademacher(pattern_key, (most, dim), variance.dtype)
        cue = patterns[0] * jnp.where(jr.permutation(flip_key, dim) < flips, -1, 1).astype(variance.dtype)

        def at_load(count: Int[Array, ""]) -> Float[Array, " 2"]:
            stored = jnp.arange(most) < count
            bias = jnp.where(stored, 0, -jnp.inf).astype(variance.dtype)
            modern, _ = retrieve(lambda x, v: hopfield_update(patterns, x, v, bias), cue, variance)
            # Couplings of the stored ones: a pattern of zeros adds nothing.
            weights = hebbian_weights(patterns * stored[:, None].astype(variance.dtype))
            classical, _ = retrieve_classical(weights, cue)
            return jnp.stack([modern, classical]) @ patterns[0] / dim

        return jax.lax.map(at_load, counts)

    return jax.lax.map(trial, keys, batch_size=_AT_ONCE)
