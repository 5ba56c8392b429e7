"""The ferromagnet as a diffusion model: how generation breaks its symmetry and rebuilds the weights of its states."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from .. import thermo
from .._keys import check_root
from .._types import PRNGKey
from ..processes import OrnsteinUhlenbeck
from ..results import dataset
from ..targets import CurieWeiss
from ._assemble import check_count, seed_of
from .critical_steps import critical_steps
from .late_start import late_start
from .speciation import speciation
from .weights_from_data import weights_from_data

# Attributes that are kept: of the clones, and of the steps near the critical time.
_OF_CLONES = ("threshold", "crossing_time", "crossing_low", "crossing_high", "verdict", "spectral_time", "floor")
_OF_STEPS = (
    "deficit_uniform", "deficit_uniform_stderr", "diversity_uniform", "diversity_true", "inside_uniform", "steps",
    "width",
)  # fmt: skip


def curie_weiss(
    dim: int,
    beta: float,
    field: float = 0.0,
    *,
    key: PRNGKey,
    temperature: float = 1.0,
    number: int = 15,
    samples: int = 2000,
    clones: int | None = 1000,
    steps: int = 64,
    few_steps: int = 16,
    trajectories: int = 4096,
    data_dims: Sequence[int] = (50, 200),
    ratios: Sequence[float] = (0.25, 1.0, 4.0, 16.0, 64.0),
    draws: int = 24,
    checkpoint: str | pathlib.Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Everything that Biroli and Mezard ask of the Curie-Weiss magnet below its critical temperature.

    When a trajectory chooses its state (clones, and the posterior identity); in which potential its magnetisation
    moves; which weights of the states are generated if the dynamics starts late, if the score is estimated from P data,
    and if few steps are spent near the speciation time.

    Args:
        dim: the number of spins N.
        beta: the inverse temperature of the magnet, above 1.
        field: `h`, of order 1; the bias between the states.
        key: a typed key.
        temperature: T of the Ornstein-Uhlenbeck bath.
        number: times, evenly from a quarter of the speciation time to twice it; with 8 or 15 its half, itself and its
            double are among them.
        samples: forward samples of the identity, and draws of the prior.
        clones: clone pairs at each time; None for no trajectories.
        steps: of a clone and of a late trajectory, an even number.
        few_steps: of the grids on which steps near the speciation time are counted.
        trajectories: of every such grid.
        data_dims: numbers of spins of the magnets whose score is estimated.
        ratios: numbers of data a spin, P / N.
        draws: data sets for each.
        checkpoint: a folder for the journals of clones and other trajectories.
        progress: whether to show bars.

    Returns:
        A dataset with the variables of `speciation` and `late_start` on `t`, of `weights_from_data` on (`learner`,
        `dim`, `ratio`), of `critical_steps` on `inside` (as `critical_*`), and `potential` on (`kappa`, `mu`).
        Attributes: the speciation time of theory, the true weight of the state up, and all settings.

    Raises:
        ValueError: for a magnet of one state, or numbers that mean nothing.

    Reference:
        Biroli and Mezard, "Generative diffusion in very large dimensions" (2023).
    """
    check_root(key)
    # What is used late is refused early.
    for name, value, least in (
        ("number", number, 3), ("samples", samples, 32), ("clones", clones, 2), ("few_steps", few_steps, 3),
        ("trajectories", trajectories, 2), ("draws", draws, 2),
    ):  # fmt: skip
        check_count(name, value, least)
    if not beta > 1:
        raise ValueError(f"`curie_weiss` needs two states, `beta` > 1. Got {beta}. Do lower the temperature.")
    speciation_time = float(thermo.magnet_speciation_time(dim, beta, temperature))
    if not speciation_time > 0:
        raise ValueError(f"`curie_weiss` needs `dim` spins that speciate at t > 0. Got {dim}. Do take more.")
    clone_key, late_key, step_key, data_key = jax.random.split(key, 4)
    magnet, process = CurieWeiss(dim, beta, field), OrnsteinUhlenbeck(temperature)
    times = np.linspace(0.25, 2.0, number) * speciation_time
    how: dict[str, Any] = {"checkpoint": checkpoint, "progress": progress}
    phi = speciation(magnet, process, times, key=clone_key, samples=samples, clones=clones, steps=steps, **how)
    late = late_start(magnet, process, times, key=late_key, samples=samples, trajectories=clones, steps=steps, **how)
    near = critical_steps(
        magnet, process, speciation_time, key=step_key, start=speciation_time + 4.0, stop=0.1 * speciation_time,
        steps=few_steps, width=min(0.5, 0.8 * speciation_time), trajectories=trajectories, **how,
    )  # fmt: skip
    data = weights_from_data(beta, field, key=data_key, dims=data_dims, ratios=ratios, draws=draws)
    potential = _potential(beta, field, temperature)
    named = near.rename({name: f"critical_{name}" for name in near.data_vars})
    variables, coords = _together(phi, late, named, data, potential)
    parameters = {
        "dim": dim, "beta": beta, "field": field, "temperature": temperature, "samples": samples, "clones": clones,
        "steps": steps, "few_steps": few_steps, "trajectories": trajectories, "draws": draws,
    }  # fmt: skip
    ds = dataset(variables, coords, experiment="curie-weiss", seed=seed_of(key), parameters=parameters)
    ds = ds.assign_attrs({name: phi.attrs[name] for name in _OF_CLONES})
    ds = ds.assign_attrs({f"critical_{name}": near.attrs[name] for name in _OF_STEPS})
    return ds.assign_attrs(
        speciation_time=speciation_time, magnetisation=float(thermo.spontaneous_magnetisation(beta)),
        up_weight=float(magnet.label_weights[0]), up_weight_limit=float(thermo.state_weight(beta, field)), N=dim,
        clones=clones, beta=beta, field=field, temperature=temperature,
    )  # fmt: skip


def _potential(beta: float, field: float, temperature: float) -> xr.Dataset:
    """The potential in which the magnetisation moves, on (`kappa`, `mu`)."""
    kappa, mu = np.array([0.1, 0.5, 1.0, 2.0, 4.0]), np.linspace(-8.0, 8.0, 161)
    potential = thermo.magnetisation_potential(mu, kappa[:, None], beta, field, temperature)
    return xr.Dataset({"potential": (("kappa", "mu"), potential)}, {"kappa": kappa, "mu": mu})


def _together(*parts: xr.Dataset) -> tuple[dict[str, tuple], dict[str, Any]]:
    """The variables and the coordinates of all parts."""
    variables, coords = (
        {str(name): (array.dims, array.values, array.attrs) for part in parts for name, array in arrays(part).items()}
        for arrays in (lambda part: part.data_vars, lambda part: part.coords)
    )
    return variables, coords
