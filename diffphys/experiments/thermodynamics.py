"""The thermodynamics of one target: where its symmetry breaks, along which branches, and with which exponents."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from .. import thermo
from .._describe import kind_of
from .._keys import check_root
from .._types import Data, Denoiser, PRNGKey
from ..results import dataset
from ..targets import AbstractTarget
from ._assemble import seed_of

# The symmetric point is one at every noise; asked at these, per unit of the spectral eigenvalue.
_PROBES = (0.1, 1.0, 10.0)
# Eigenvalues of J nearer to each other than this are one.
_DEGENERATE = 1e-6
# How far from the pitchfork, in its variance, the ordered branch begins: at a thousandth of its size or so.
_DEPARTURE = 1e-6
# Draws of which the farthest is followed.
_DRAWS = 16
_EXPONENTS = ("beta", "gamma", "gamma_below", "delta")


def thermodynamics(
    target: AbstractTarget,
    *,
    key: PRNGKey,
    bounds: tuple[float, float] | None = None,
    temperature: float = 1.0,
    most: int = 1000,
) -> xr.Dataset:
    r"""Branches of self-consistent magnetisations of a target, their stability, and the transition between them.

    Two branches of $m = \langle a \rangle_m$ are followed: the one that comes from pure noise, down in the variance,
    and an ordered one, from where the first loses its stability along one direction, else (many directions, or no
    symmetry) from where a draw of the data comes to rest at the least variance. Of a target that is symmetric about the
    origin the three critical points, the Landau coefficients and the exponents of the transition are found too.

    Args:
        target: the target; in float64, and of at most a few hundred dimensions.
        key: a typed key, of the draw.
        bounds: the least and the largest variance; by default from 1/50 to 3/2 of the largest eigenvalue of the
            covariance, or of the critical variance.
        temperature: T of the Ornstein-Uhlenbeck bath, for the criteria and the clocks.
        most: the largest number of points of a branch.

    Returns:
        A dataset on `point`: `branch` (0 from noise, 1 the ordered one), `variance`, `magnetisation`, `lambda_max`,
        `susceptibility`, `unstable`, `stable` and `free_energy` (regularised); on `special`, the folds and pitchforks,
        as in `thermo.continue_branch`, with their `special_branch`; of a symmetric target, on `criterion`,
        `critical_variance`, `critical_time` and the moments in every clock, and on `exponent` the `value` with its
        `low` and `high`. Attributes: `eigenvalue` Lambda, `symmetric`, and, of a symmetric target, `quartic`,
        `continuous` and `amplitude_ratio`.

    Raises:
        ValueError: unless JAX is in float64, or where a branch is lost.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023).
    """
    check_root(key)
    if not isinstance(target, AbstractTarget):
        raise ValueError(
            f"`thermodynamics` needs a target. Got {kind_of(target)}. Of a denoiser do take `thermo.continue_branch` "
            "and `thermo.critical_points`."
        )
    if jnp.result_type(float) != jnp.float64:
        raise ValueError("`thermodynamics` needs float64. Got float32. Do switch on `jax_enable_x64` first.")
    denoise, origin = target.posterior_mean, jnp.zeros(target.dim, float)
    eigenvalue = thermo.spectral_eigenvalue(denoise, origin)
    symmetric = all(
        float(jnp.linalg.norm(denoise(origin, jnp.asarray(probe * eigenvalue)))) <= 1e-9 * eigenvalue**0.5
        for probe in _PROBES
    )
    attrs: dict[str, Any] = {"eigenvalue": eigenvalue, "symmetric": int(symmetric), "temperature": temperature,
                             "d": target.dim, "target": type(target).__name__}  # fmt: skip
    variables: dict[str, tuple] = {}
    coords: dict[str, Any] = {}
    critical = float("nan")
    if symmetric:
        points = thermo.critical_points(denoise, origin, temperature)
        critical = float(points.variance.sel(criterion="score_zero"))
        coords["criterion"] = points.criterion.values
        shown = {"variance": "critical_variance", "time": "critical_time"}
        variables |= {shown.get(str(n), str(n)): ("criterion", points[n].values) for n in points.data_vars}
    scale = critical if np.isfinite(critical) else eigenvalue
    low, high = (0.02 * scale, 1.5 * scale) if bounds is None else bounds
    if not 0 < low < high < np.inf:
        raise ValueError(f"`bounds` needs 0 < low < high. Got {bounds}. Give two noise variances.")
    within = symmetric and low < critical < high
    mode = _only_mode(denoise, origin, critical) if within else None
    branches = _branches(target, key, (low, high), critical, mode, most)
    variables |= _joined(branches)
    if within:
        direction = _departure(branches["ordered"], critical) if mode is None else jnp.asarray(mode)
        exponents, results = _transition(denoise, origin, critical, direction)
        variables, attrs = variables | exponents, attrs | results
        if exponents:
            coords["exponent"] = np.array(_EXPONENTS)
    parameters = {"bounds": [low, high], "temperature": temperature, "most": most}
    return dataset(
        variables, coords, experiment="thermodynamics", seed=seed_of(key), parameters=parameters
    ).assign_attrs(attrs)


def _transition(
    denoise: Denoiser, origin: Data, critical: float, direction: jax.Array
) -> tuple[dict[str, tuple], dict[str, Any]]:
    """The exponents of the transition, if it is continuous, and the coefficients that tell whether it is."""
    expansion = thermo.landau(denoise, origin, critical, direction)
    attrs = {"quartic": float(expansion.quartic), "continuous": int(expansion.is_continuous)}
    if not expansion.is_continuous:
        return {}, attrs
    found = thermo.critical_exponents(denoise, origin, critical, direction)
    rows = np.array([getattr(found, name)[:3] for name in _EXPONENTS])
    variables: dict[str, tuple] = {n: ("exponent", rows[:, i]) for i, n in enumerate(("value", "low", "high"))}
    return variables, attrs | {"amplitude_ratio": found.amplitude_ratio}


def _branches(
    target: AbstractTarget,
    key: PRNGKey,
    bounds: tuple[float, float],
    critical: float,
    mode: np.ndarray | None,
    most: int,
) -> dict[str, xr.Dataset]:
    """The branch of noise, cooled, and the ordered one: along the critical mode, or from where draws come to rest."""
    (low, high), denoise = bounds, target.posterior_mean
    origin = jnp.zeros(target.dim, float)

    def energy(y, variance):
        return thermo.regularised_free_energy(target, y, variance)

    options = {"free_energy": energy, "most": most}
    noisy = thermo.fixed_point(denoise, np.asarray(denoise(origin, jnp.asarray(high))), high).magnetisation
    cooled = thermo.continue_branch(denoise, noisy, high, bounds, heading=-1, **options)
    if mode is None:
        ordered, heading = _ordered(target, key, low, cooled.magnetisation.values[-1]), 1
    else:
        ordered = thermo.switch_branch(denoise, np.asarray(origin), critical, mode, distance=_DEPARTURE)
        # The side that the switch did not go to is the same by symmetry; a subcritical one turns on its own.
        heading = -1 if ordered[1] < critical else 1
    ordered = thermo.continue_branch(denoise, *ordered, bounds, heading=heading, **options)
    return {"from noise": cooled, "ordered": ordered}


def _ordered(target: AbstractTarget, key: PRNGKey, low: float, known: np.ndarray) -> tuple[np.ndarray, float]:
    """A stable fixed point at the least variance, of those where draws come to rest the farthest from a known one."""

    def rest(key):
        return thermo.retrieve(target.posterior_mean, target.sample(key), jnp.asarray(low), most=500)[0]

    found = np.asarray(jax.jit(jax.vmap(rest))(jax.random.split(key, _DRAWS)))
    return found[np.argmax(np.linalg.norm(found - known, axis=1))], low


def _only_mode(denoise: Denoiser, origin: Data, critical: float) -> np.ndarray | None:
    """The critical eigenvector, if there is one and not several."""
    matrix = np.asarray(thermo.stability_matrix(denoise, origin, jnp.asarray(critical, origin.dtype)))
    values, vectors = np.linalg.eigh(matrix)
    return None if values[-2:].max() - values[-2:].min() < _DEGENERATE < len(values) - 1 else vectors[:, -1]


def _departure(ds: xr.Dataset, critical: float) -> jax.Array:
    """The direction in which the branch of the data leaves the symmetric point: where it is nearest to it."""
    below = ds.variance.values < critical
    rows = ds.magnetisation.values[below]
    nearest = rows[np.argmax(ds.variance.values[below])]
    return jnp.asarray(nearest / np.linalg.norm(nearest))


def _joined(branches: dict[str, xr.Dataset]) -> dict[str, tuple]:
    """The points of all branches one after the other, and their special points."""
    variables: dict[str, tuple] = {}
    for name in branches["ordered"].data_vars:
        parts = [ds[name] for ds in branches.values()]
        variables[str(name)] = (parts[0].dims, np.concatenate([part.values for part in parts]))
    for dim, name in (("point", "branch"), ("special", "special_branch")):
        sizes = [ds.sizes[dim] for ds in branches.values()]
        variables[name] = (dim, np.repeat(np.arange(len(branches)), sizes))
    variables["branch_name"] = ("number", np.array([*branches]))
    return variables
