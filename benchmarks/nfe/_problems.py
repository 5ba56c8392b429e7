"""Targets with exact scores, what is started on them, and how the ends are judged."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import diffphys as dp

from ._batch import Batch, random_batch, unit_batch
from ._grids import SIGMA_MIN
from ._metrics import Sketch, flow_error, moment_error, sketch, sliced_wasserstein

MOMENTS, WASSERSTEIN, FLOW = "moment error", "sliced Wasserstein", "distance to the flow"

_FLOORS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A target, the trajectories run on it, and what is measured of their ends.

    Args:
        name: of the target.
        title: what it is, in words.
        target: with its exact denoiser; its dtype is that of the run.
        precise: the same in float64, for the exact flow.
        batch: the trajectories.
        metrics: what is measured, without the distance to the flow: name -> function of the ends.
        variance: of a coordinate of the data, their mean.
        scale: in what unit the distance to the flow is given.
        floors: of each metric, what exact samples of the size of the batch score: several values.
        tolerance: of the exact flow.
    """

    name: str
    title: str
    target: Any
    precise: Any
    batch: Batch
    metrics: dict[str, Callable[[np.ndarray], float]]
    variance: float
    scale: float
    floors: dict[str, np.ndarray]
    tolerance: float

    @property
    def dtype(self) -> Any:
        return self.batch.clean.dtype

    @functools.cached_property
    def denoise(self) -> Callable[[Any, float], np.ndarray]:
        """The denoiser on a batch of observations, compiled: the network that all programs call."""
        program = jax.jit(lambda target, ys, v: jax.vmap(target.posterior_mean, (0, None))(ys, v))
        return lambda ys, v: np.asarray(program(self.target, np.asarray(ys, self.dtype), self.dtype.type(v)))

    def noise(self, metric: str) -> float:
        """The error that an exact sample of the size of the batch may have: nothing below it can be told apart."""
        floor = self.floors.get(metric)
        return 0.0 if floor is None else float(floor.mean() + 2 * floor.std())

    def spread(self, metric: str) -> float:
        """How much of an error is chance: a standard deviation."""
        floor = self.floors.get(metric)
        return 0.0 if floor is None else float(floor.std())

    def flow_error(self, ends: np.ndarray, exact: np.ndarray) -> float:
        """The distance to the ends of the exact flow."""
        return flow_error(ends, exact, self.scale)


def gaussian(quick: bool) -> Problem:
    variances = np.geomspace(1e-3, 1.0, 4 if quick else 16)
    target = dp.Gaussian(np.zeros(len(variances)), variances)
    batch = unit_batch(np.sqrt(variances), 512)
    exact = variances**2 / (variances + SIGMA_MIN**2)
    # The mean over the batch is to be the sum over its unit inputs, in units of the deviation of a coordinate.
    scale = float(np.sqrt(np.mean(variances) / len(batch.clean)))
    return Problem(
        "gaussian", f"anisotropic Gaussian: {len(variances)} variances from 0.001 to 1", target, target, batch,
        {MOMENTS: lambda ends: moment_error(ends, exact)}, float(np.mean(variances)), scale, {}, 1e-11,
    )  # fmt: skip


def mixture(quick: bool) -> Problem:
    weights = np.array([0.35, 0.25, 0.2, 0.15, 0.05])
    angles = 2 * np.pi * np.arange(5) / 5 + 0.3
    means = np.array([1.0, 1.2, 0.8, 1.1, 0.9])[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    target = dp.IsotropicMixture(np.log(weights), means, np.array([0.15, 0.08, 0.05, 0.12, 0.03]) ** 2)
    size = 256 if quick else 8192
    batch = random_batch(target, size, np.dtype(np.float64), 1)

    @jax.jit
    def exact(keys):
        clean = jax.vmap(target.sample)(keys)
        noise = jax.vmap(lambda key: jr.normal(jr.fold_in(key, 1), (2,)))(keys)
        return jax.vmap(target.posterior_mean, (0, None))(clean + SIGMA_MIN * noise, jnp.asarray(SIGMA_MIN**2))

    def sample(seed, number):
        return np.asarray(exact(jr.split(jr.key(seed), number)))

    against = sketch(sample(2, 16 * size), size, 32)
    sets = [sample(3 + i, size) for i in range(_FLOORS)]
    title = "mixture of 5 Gaussians: of unequal weights and widths, in 2 dimensions"
    return _in_law("mixture", title, target, target, batch, against, sets, 1e-9)


def digits(quick: bool) -> Problem:
    title, load = "scikit-learn digits 1 and 8", functools.partial(dp.load, "digits", classes=[1, 8])
    return _data_set("digits", title, load, 128, quick)


def mnist(quick: bool) -> Problem:
    """The lab's MNIST; where there is none, the digits that come with scikit-learn."""
    if not _has("mnist"):
        return dataclasses.replace(digits(quick), title="scikit-learn digits 1 and 8: no MNIST in $DIFFPHYS_DATA")
    return _data_set("mnist", "MNIST 1 and 8", functools.partial(dp.load, "mnist", classes=[1, 8]), 192, quick)


def cifar(quick: bool) -> Problem:
    title = "CIFAR-10 automobile and horse, red channel"
    load = functools.partial(dp.load, "cifar10", classes=["automobile", "horse"], channel="red")
    return _data_set("cifar10", title, load, 192, quick)


PROBLEMS = {"gaussian": gaussian, "mixture": mixture, "mnist": mnist, "cifar10": cifar}


def missing(name: str) -> str:
    """Why a target cannot be had; empty if it can."""
    return "no cifar10 in $DIFFPHYS_DATA" if name == "cifar10" and not _has("cifar10") else ""


def _has(name: str) -> bool:
    folder = os.environ.get("DIFFPHYS_DATA")
    return folder is not None and (pathlib.Path(folder) / name).is_dir()


def _data_set(name: str, title: str, load: Callable[..., dp.LabelledData], per_class: int, quick: bool) -> Problem:
    per_class = 32 if quick else per_class
    points = load(per_class=per_class).points
    target, precise = dp.Empirical(points), dp.Empirical(points.astype(np.float64))
    batch = random_batch(target, 64 if quick else 128, points.dtype, 1)
    rng = np.random.default_rng(2)
    # At sigma_min the denoiser gives back a datum: the exact law is that of the data.
    against = sketch(points, len(batch.clean), 64)
    sets = [points[rng.integers(len(points), size=len(batch.clean))] for _ in range(_FLOORS)]
    title = f"{title}: {len(points)} points in {points.shape[1]} dimensions"
    return _in_law(name, title, target, precise, batch, against, sets, 1e-6)


def _in_law(
    name: str, title: str, target: Any, precise: Any, batch: Batch, against: Sketch, sets: list, tolerance: float
) -> Problem:
    floors = np.array([sliced_wasserstein(exact, against) for exact in sets])
    metrics = {WASSERSTEIN: lambda ends: sliced_wasserstein(ends, against)}
    return Problem(
        name, title, target, precise, batch, metrics, against.scale**2, against.scale, {WASSERSTEIN: floors}, tolerance
    )  # fmt: skip
