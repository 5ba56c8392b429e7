"""Speciation of two Gaussians by the posterior identity, in full dimension."""

import jax
import jax.random as jr
import numpy as np
import xarray as xr

import diffphys as dp
from diffphys.experiments._chunks import Runner
from diffphys.experiments._forward import measure_forward
from diffphys.experiments._theory import channel_variances

from .._harness import Entrant, Goal, Race, Report, race

TIMES = np.arange(1.0, 10.01, 0.5)
# Below this error the samples that matter are too rare for a mean of them to be normal.
_LEAST_STDERR = 2e-4


def measure(quick: bool, repeats: int) -> Report:
    dims, samples = ((64,), 128) if quick else ((256, 1024, 4096, 16384), 1200)
    races, goals = [], []
    for dim in dims:
        found, ds = _dimension(dim, samples, repeats)
        races.append(found)
        stderr = ds["phi_stderr"].values
        told = stderr > _LEAST_STDERR
        z = (ds["phi"].values - ds["phi_theory"].values)[told] / stderr[told]
        goals += [
            Goal(f"d = {dim}: seconds after compilation", found["dp.speciation"].median, 5),
            Goal(f"d = {dim}: largest standard error", float(stderr.max()), 0.005),
            Goal(f"d = {dim}: largest |z| against theory, at {told.sum()} times", float(np.abs(z).max()), 4),
        ]
    return Report(races, goals)


def _dimension(dim: int, samples: int, repeats: int) -> tuple[Race, xr.Dataset]:
    target, process = dp.symmetric_mixture(np.ones(dim, np.float32)), dp.OrnsteinUhlenbeck()
    variances, quiet = channel_variances(process, TIMES), Runner(progress=False)
    fill = jax.jit(lambda key: jr.normal(key, (samples, 2 * dim), np.float32))

    def whole(i: int) -> xr.Dataset:
        return dp.speciation(target, process, TIMES, key=jr.key(i + 1), samples=samples, progress=False)

    def forward(i: int):
        return measure_forward(target, variances, TIMES, key=jr.key(i + 1), samples=samples, runner=quiet)

    entrants = [
        Entrant("dp.speciation", "ours", whole),
        Entrant("its forward samples alone", "part", forward),
        Entrant("the same normals", "limit", lambda i: fill(jr.key(i + 1))),
    ]
    found = race(f"d = {dim}", entrants, repeats, work=samples * len(TIMES), unit="posteriors")
    return found, whole(0)
