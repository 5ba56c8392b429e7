"""When the class of a trajectory is decided, by one trajectory: conditioned first, and then let go."""

import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .. import thermo
from .._box_muller import box_muller
from .._devices import over_items
from .._types import Data, Denoiser, PRNGKey, Scalar, Times
from ..clocks import log_snr_grid
from ..processes import AbstractProcess, Kernel
from ..samplers import AbstractSampler, Bridge
from ..samplers.base import Increments, noise_of, place
from ..targets import AbstractLabelledTarget, is_divided
from ._assemble import (
    CloneOptions,
    Variables,
    check_count,
    check_times,
    curve,
    experiment_dataset,
    runner_for,
    split_key,
)  # fmt: skip
from ._checks import check_denoiser_of
from ._chunks import ChunkedProgram, Runner
from ._clones import ends_of, halved_chunk, halved_plans
from ._conditional import Conditional, Guided, checked_guidance, exact_conditional, towards
from ._crossings import agreement_level
from ._forward import measure_forward
from ._readouts import Classifier, has_exact_score, label_reading
from ._statistics import Moments, chunk_moments, crossing_interval, stacked_moments
from ._theory import channel_variances, two_classes

# How much noisier than the latest release the trunk starts: the law at the release remembers 1/400 of its start.
_ABOVE = 400.0


class _Switch(eqx.Module):
    """What moves, towards which classes and how strongly, and how an end is read."""

    guided: AbstractSampler
    free: AbstractSampler
    reading: Callable[[Data, Scalar], Float[Array, " k"]]
    log_weights: Float[Array, " k"]
    guidance: Float[Array, " w"]
    dim: int = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)
    increments: Increments = eqx.field(static=True)


class _SwitchRun(NamedTuple):
    """Moments of what was kept, a column a release time: for each guidance, and for its change on the halved grid."""

    kept: list[Moments]
    hard: list[Moments]
    bias: list[Moments]
    chunk: int
    evaluations: int


def switch(
    target: AbstractLabelledTarget,
    process: AbstractProcess,
    times: Times,
    conditional: Conditional | None = None,
    *,
    key: PRNGKey,
    trajectories: int,
    guidance: float | Sequence[float] = 1.0,
    denoise: Denoiser | None = None,
    classify: Classifier | None = None,
    sampler: Callable[[AbstractProcess, Denoiser], AbstractSampler] = Bridge,
    increments: Increments = box_muller,
    samples: int | None = 2000,
    steps: int = 64,
    stop: float | None = None,
    grid: Callable[[float, float, int], np.ndarray] = log_snr_grid,
    trunk_from: float | None = None,
    chunk: int | None = None,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Probability that a trajectory, conditioned on a class above t and free below, ends in that class.

    Down to t it moves by the guided denoiser $\hat a_u + w (\hat a_k - \hat a_u)$, from there on by $\hat a_u$. With
    w = 1 and the paths of the time reversal, $x_t$ has the law of the class, so

    $$ \mathrm{kept}(t) = E_{k,\, x_t | k} P(k | x_t) = E_{x_t} \sum_k P(k | x_t)^2 = \phi(t), $$

    the agreement of clones, from one trajectory and without a clone. (Of samplers that are not the time reversal the
    agreement of clones is another number, and this one too: by the probability flow it tells whether $x_t$ lies on the
    side of its class.) With w = 0 it is $\sum_k w_k^2$ at every t. Where
    it is near 1, guidance at lower noise decides nothing; where it is near that floor, guidance above was in vain.

    Args:
        target: its labels are the classes, drawn by their weights; a data set, if the denoisers are learned.
        process: the forward process.
        times: times at which trajectories are let go, above 0, in order.
        conditional: `(y, v, label) -> estimate of a`, the denoiser of each class; by default the exact one.
        key: a typed key, the root of all noise.
        trajectories: conditioned trajectories; each is let go at every time, for each guidance with the same noise.
        guidance: weights w, any number of them.
        denoise: the denoiser of all classes; by default the exact one.
        classify: as in `speciation`.
        sampler: makes the sampler of a denoiser, `sampler(process, denoise)`: a class of samplers, or a function.
        increments: how noise is drawn.
        samples: forward samples of the identity phi; None for no identity.
        steps: steps from each time to `stop`, an even number; half as many lead from each time to the next.
        stop: where trajectories end and are read; by default half the least time.
        grid: makes the grids, `grid(t, stop, steps)`.
        trunk_from: the time at which trajectories start, from the prior; by default where the noise variance is 400
            times that of the greatest of `times`. A learned denoiser has to know such noise.
        chunk: trajectories (and samples) a compiled call.
        checkpoint: a folder for the journals of finished chunks.
        progress: whether to show a bar.

    Returns:
        A dataset on `t` (every clock as coordinates) and `guidance`: `kept` (posterior probability of the class at the
        end), `kept_hard` (whether it is the most likely one), with their errors; `kept_bias`, the change of `kept` from
        grids of every second knot to these; on `t` the identity `phi` and, for two Gaussian classes, `phi_theory`; on
        `guidance` `crossing_time` (with `_low` and `_high`), where `kept` passes the attribute `threshold`.

    Raises:
        ValueError: for times, keys, counts, weights or grids that mean nothing, for denoisers of other data, and for a
            chunk that does not fit.

    Reference:
        The identity is ours: time reversal of the forward process given its class. For guidance that is on for part
        of the time, Kynkaanniemi et al., "Applying guidance in a limited interval" (2024).
    """
    times = check_times(times)
    check_count("samples", samples, 32)
    check_count("trajectories", trajectories, 2)
    weights = checked_guidance(guidance)
    variances = channel_variances(process, times)
    if trunk_from is None:
        trunk_from = process.time_of_variance(_ABOVE * float(variances.max()))
    options = CloneOptions(trajectories, None, 2, steps, stop, grid, trunk_from, increments).checked(times)
    forward_key, walk_key = split_key(key)
    runner = runner_for(process, times, key, chunk, checkpoint, progress, target=target)
    dtype = jax.eval_shape(target.sample, jr.key(0)).dtype
    denoise = target.posterior_mean if denoise is None else denoise
    class_weights = np.asarray(target.label_weights, np.float64)
    given = exact_conditional(target) if conditional is None else conditional
    check_denoiser_of(target, denoise)
    check_denoiser_of(target, lambda y, v: given(y, v, jnp.int32(0)), "conditional")
    guided = Guided(given, denoise, jnp.int32(0), jnp.ones((), dtype))
    experiment = _Switch(
        sampler(process, guided), sampler(process, denoise), label_reading(target, denoise, classify),
        jnp.asarray(np.log(class_weights), dtype), jnp.asarray(weights, dtype), target.dim, np.dtype(dtype), increments,
    )  # fmt: skip
    result = _run(experiment, times, options, walk_key, runner)
    variables = _variables(result, times, level := agreement_level(class_weights))
    exact = conditional is None and has_exact_score(experiment.free, target)
    attrs = {
        "trajectories": trajectories, "sampler": type(experiment.free).__name__, "steps": steps, "stop": options.stop,
        "is_time_reversal": int(experiment.free.is_time_reversal), "increments": increments.__name__,
        "score": "exact" if exact else "given", "labelled_by": "posterior" if classify is None else "classifier",
        "trunk_from": float(trunk_from), "label_weights": class_weights.tolist(), "threshold": level,
        "floor": float(np.sum(class_weights**2)), "dtype": str(np.dtype(dtype)), "chunk_switch": result.chunk,
        "denoiser_evaluations": result.evaluations, "target": type(target).__name__, "d": target.dim,
    }  # fmt: skip
    pair = two_classes(target)
    if pair is not None:
        delta = thermo.separation(pair.half_difference, pair.covariance, variances)
        variables["phi_theory"] = ("t", thermo.agreement(delta, pair.weight))
    if samples is not None:
        measured = measure_forward(
            target, variances, times, key=forward_key, samples=samples, runner=runner, name="switch-forward"
        )
        variables |= curve("phi", measured.moments["phi"])
        attrs["samples"] = samples
    parameters = {
        "target": target, "sampler": experiment.free, "conditional": conditional, "denoise": denoise,
        "classify": classify, "guidance": weights, "samples": samples, "trajectories": options._asdict(),
    }  # fmt: skip
    ds = experiment_dataset("switch", process, times, variables, attrs, key, **parameters)
    return ds.assign_coords(guidance=weights)


class _Tables(NamedTuple):
    """Every coefficient: of the start, of the legs from each release to the next, of the free branches."""

    start: Kernel
    led: Any
    free: Any
    end: Kernel


def _tables(experiment: _Switch, releases: np.ndarray, options: CloneOptions) -> _Tables:
    """Plans both legs of every release; the led ones have half the steps of the free ones, an even number."""
    assert options.stop is not None, "options are checked"
    assert options.trunk_from is not None, "there is a trunk"
    process = experiment.free.process
    knots = np.concatenate([[options.trunk_from], releases])
    led = [options.grid(float(t), float(s), max(2, options.steps // 4 * 2)) for t, s in itertools.pairwise(knots)]
    free = [options.grid(float(t), options.stop, options.steps) for t in releases]
    return _Tables(
        process.kernel(float(knots[0])),
        halved_plans(experiment.guided, led),
        halved_plans(experiment.free, free),
        process.kernel(options.stop),
    )


@eqx.filter_jit
def _measure(experiment: _Switch, tables: _Tables, root, first, chunk: int):
    """What trajectories `first ... first + chunk - 1` keep of their class, at every release and guidance.

    Noise is addressed by (root, trajectory, release, step), the same for every guidance.
    """
    dtype, guided, free = experiment.dtype, experiment.guided, experiment.free
    variance = jnp.asarray(tables.end.variance, dtype)
    halved = halved_chunk(first, chunk)

    def one(i):
        label_key, prior_key, led_key, free_key = jr.split(jr.fold_in(root, i), 4)
        label = jr.categorical(label_key, experiment.log_weights)
        z = tables.start.prior(prior_key, experiment.dim, dtype)

        def kept(z):
            posterior = jnp.exp(experiment.reading(tables.end.observe(z)[0], variance))
            return posterior[label], (jnp.argmax(posterior) == label).astype(dtype)

        def release(starts, indexed):
            b, led, branch = indexed
            lead = noise_of(guided, jr.fold_in(led_key, b), z, experiment.increments)
            loose = noise_of(free, jr.fold_in(free_key, b), z, experiment.increments)

            def at(weight, starts):
                starts = ends_of(towards(guided, label, weight), led, starts, lead, halved)
                fine, coarse = ends_of(free, branch, starts, loose, halved)
                soft, hard = kept(fine)
                return starts, {"kept": soft, "hard": hard, "bias": soft - kept(coarse)[0]}

            return jax.vmap(at)(experiment.guidance, starts)

        start = jnp.broadcast_to(z, (len(experiment.guidance), *z.shape))
        led, branches = place((tables.led, tables.free), dtype)
        return jax.lax.scan(release, (start, start), (jnp.arange(len(led[2])), led, branches))[1]

    results = over_items(jax.vmap(one), first, chunk, together=is_divided(experiment))
    return results | {"halved": jnp.broadcast_to(halved, (chunk,))}


def _run(experiment: _Switch, times: np.ndarray, options: CloneOptions, key: PRNGKey, runner: Runner) -> _SwitchRun:
    """Runs the experiment in chunks of trajectories; its columns are in the order of `times`."""
    order = np.argsort(times)[::-1]
    tables = _tables(experiment, times[order], options)
    blocks = 1 if tables.end.complement is None else tables.end.complement.shape[0]
    number = len(experiment.guidance)
    program = ChunkedProgram(
        _measure, (experiment, tables, key), items=options.clones, elements=experiment.dim * blocks * 3 * number,
        chunk=runner.chunk_of("switch"),
    )  # fmt: skip

    def reduce(i: int, results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        halved = results.pop("halved")
        sums = {}
        for name, values in results.items():
            # Back to the order of `times`; and a column a time, one guidance after the other.
            values = values[halved if name == "bias" else slice(None)][:, np.argsort(order)]
            flat = {"": values.transpose(0, 2, 1).reshape(len(values), number * len(times))}
            parts = chunk_moments(flat, np.zeros(len(values), int), 1, program.chunk, program.chunks)
            sums |= {f"{name}:{part}": array for part, array in parts.items()}
        return sums

    stacked = runner.collect("switch", program, reduce, {"trajectories": options.clones}, unit="trajectory")

    def moments(kind: str) -> list[Moments]:
        parts = {name.removeprefix(f"{kind}:"): a for name, a in stacked.items() if name.startswith(f"{kind}:")}
        whole = stacked_moments(parts)[""]
        return [Moments(*part) for part in zip(*(np.split(array, number, axis=-1) for array in whole), strict=True)]

    # A guided step asks both denoisers; pairs of steps are steps of the halved grid.
    pairs = number * (tables.free[2][..., 0].size + 2 * tables.led[2][..., 0].size)
    calls = (2 * options.clones + int(stacked["bias:count"][..., 0].sum())) * pairs
    return _SwitchRun(
        moments("kept"), moments("hard"), moments("bias"), program.chunk, calls * experiment.free.evaluations
    )


def _variables(result: _SwitchRun, times: np.ndarray, level: float) -> Variables:
    """The curves on (t, guidance), and where they cross."""
    variables: Variables = {}
    for name, curves in (("kept", result.kept), ("kept_hard", result.hard), ("kept_bias", result.bias)):
        mean, stderr = (np.stack(part, axis=1) for part in zip(*(c.pooled() for c in curves), strict=True))
        variables |= {name: (("t", "guidance"), mean), f"{name}_stderr": (("t", "guidance"), stderr)}
    found = np.array([crossing_interval(times, curve, level) for curve in result.kept])
    names = ("crossing_time", "crossing_low", "crossing_high")
    return variables | {name: ("guidance", found[:, i]) for i, name in enumerate(names)}
