"""What a dynamics that starts late makes of the weights of the classes."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._devices import exchanging, on_all_devices, over_rows, to_host
from .._types import PRNGKey, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess, Kernel
from ..samplers import AbstractSampler
from ..samplers.base import noise_of, place, run
from ..targets import AbstractLabelledTarget, is_divided
from ._assemble import check_count, check_times, experiment_dataset, sampler_for, split_key
from ._chunks import refuse_not_finite


def late_start(
    target: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Times,
    *,
    key: PRNGKey,
    samples: int = 4096,
    trajectories: int | None = None,
    sampler: AbstractSampler | None = None,
    steps: int = 64,
    stop: float | None = None,
    grid: Callable[[float, float, int], np.ndarray] = log_snr_grid,
) -> xr.Dataset:
    r"""Weights of the classes that are generated when the reverse dynamics starts from the prior at a time t.

    The reverse diffusion is a martingale of label posteriors, from whatever law it starts; so with the prior
    $\mathcal N(0, \Sigma_t)$ in place of $P_t$ the generated weights need no trajectory,

    $$ W_k(t) = E_{x \sim \mathcal N(0, \Sigma_t)}\, P(k | x, t), $$

    and tend to the true ones as t grows. Started below the speciation time they keep what symmetry the prior has:
    the classes have been decided by the start, and not by the data.

    Args:
        target: what is generated; its labels are the classes.
        process: the forward process; its prior is N(0, Sigma_t).
        times: times at which the dynamics starts, above 0, in order.
        key: a typed key.
        samples: draws of the prior for the identity; the same at all times.
        trajectories: reverse trajectories of the simulation from each time; none by default.
        sampler: how they move; by default `Bridge` with the exact denoiser of the target.
        steps: steps from each time to `stop`.
        stop: where they end and are read; by default half the least time.
        grid: makes their grid, `grid(t, stop, steps)`.

    Returns:
        A dataset on `t` (every clock as coordinates) and `label`: `label_weight` and `label_weight_stderr` by the
        identity, `label_weight_true`; `label_weight_sampler` with its error, if trajectories were asked for; on `t`
        `deficit`, the total variation distance of the generated weights from the true ones.

    Raises:
        ValueError: for times, counts or keys that mean nothing, or `stop` not below all times.
        FloatingPointError: if a trajectory does not end at a finite state, with its number.

    Reference:
        Biroli and Mezard, "Generative diffusion in very large dimensions" (2023), for the magnet; Raya and Ambrogioni,
        "Spontaneous symmetry breaking in generative diffusion models" (2023), for late starts. The identity is ours.
    """
    times = check_times(times)
    check_count("samples", samples, 2)
    check_count("trajectories", trajectories, 2)
    check_count("steps", steps, 1)
    prior_key, walk_key = split_key(key)
    dtype = jax.eval_shape(target.sample, jr.key(0)).dtype
    kernels = place(process.table(times), dtype)
    starts = [jax.tree.map(lambda leaf, i=i: leaf[i], kernels) for i in range(len(times))]
    placed = on_all_devices((target, kernels, jr.split(prior_key, samples)))
    with exchanging():
        found = to_host(_prior_posteriors(*placed)).astype(np.float64)
    refuse_not_finite({"label_weight": found}, 0, "all at once", "sample")
    true = np.asarray(target.label_weights, np.float64)
    dims = ("t", "label")
    mean = found.mean(0)
    variables: dict[str, tuple] = {
        "label_weight": (dims, mean),
        "label_weight_stderr": (dims, found.std(0, ddof=1) / np.sqrt(samples)),
        "label_weight_true": ("label", true),
        "deficit": ("t", 0.5 * np.abs(mean - true).sum(1)),
    }
    attrs = {"samples": samples, "d": target.dim, "target": type(target).__name__}
    if trajectories is not None:
        sampler = sampler_for(sampler, process, target)
        stop = 0.5 * float(times.min()) if stop is None else stop
        if not 0 < stop < times.min():
            raise ValueError(f"`stop` needs a time above 0 and below all `times`, {times.min()}. Got {stop}.")
        end = jax.tree.map(lambda leaf: leaf[0], place(process.table(np.array([stop])), dtype))
        keys = jr.split(walk_key, (len(times), trajectories))
        plans = [place(sampler.plan(grid(float(t), stop, steps)), dtype) for t in times]
        known = on_all_devices((sampler, target))
        with exchanging():
            walks = [_walk(*known, *on_all_devices((plans[i], starts[i], end, keys[i]))) for i in range(len(times))]
        ends = np.stack([to_host(posteriors).astype(np.float64) for posteriors in walks])
        for time, found in zip(times, ends, strict=True):
            refuse_not_finite({"label_weight_sampler": found}, 0, f"from t = {time:g}", "trajectory")
        variables["label_weight_sampler"] = (dims, ends.mean(1))
        variables["label_weight_sampler_stderr"] = (dims, ends.std(1, ddof=1) / np.sqrt(trajectories))
        attrs |= {"trajectories": trajectories, "sampler": type(sampler).__name__, "steps": steps, "stop": stop}
    parameters = {"target": target, "sampler": sampler, "grid": grid}
    return experiment_dataset("late-start", process, times, variables, attrs, key, **parameters)


@eqx.filter_jit
def _prior_posteriors(
    target: AbstractLabelledTarget, kernels: Kernel, keys: Array
) -> Float[Array, "samples times labels"]:
    """Posteriors of the labels of draws of the prior at each time."""
    variances = jnp.asarray(kernels.variance)

    def one(key):
        # One noise for all times, and one time after the other.
        noise = jr.normal(key, (*np.shape(kernels.mean)[1:], target.dim), variances.dtype)
        nothing = jnp.zeros(target.dim, variances.dtype)

        def at(kernel):
            return jnp.exp(target.label_log_posterior(*kernel.observe(kernel.noised(nothing, noise))))

        return jax.lax.map(at, kernels)

    return over_rows(jax.vmap(one), keys, together=is_divided(target))


@eqx.filter_jit
def _walk(
    sampler: AbstractSampler, target: AbstractLabelledTarget, rows, start: Kernel, end: Kernel, keys: Array
) -> Float[Array, "trajectories labels"]:
    """Posteriors of the labels at the end of reverse trajectories from the prior."""

    def one(key):
        start_key, noise_key = jr.split(key)
        z = start.prior(start_key, target.dim, jnp.asarray(start.variance).dtype)
        z = run(sampler, rows, z, noise_of(sampler, noise_key, z))
        return jnp.exp(target.label_log_posterior(*end.observe(z)))

    return over_rows(jax.vmap(one), keys, together=is_divided((sampler, target)))
