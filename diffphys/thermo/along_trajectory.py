"""The thermodynamics of a denoiser along a trajectory: fixed points, stability, susceptibility."""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._types import Denoiser
from ..targets._arrays import floating
from ._host import on_host
from .fixed_points import search_fixed_point
from .stability import leading_modes


@on_host
def along_trajectory(
    denoise: Denoiser,
    ys: Float[Array | np.ndarray, "n d"],
    variances: Float[Array | np.ndarray, " _"],
    *,
    count: int = 1,
    symmetric: bool = True,
    descents: int = 20,
) -> xr.Dataset:
    r"""Fixed points, leading modes and susceptibility of a denoiser, at each place of a trajectory.

    At each `(y, v)` the fixed point downhill of y is sought, $m = \langle a \rangle_m$: by iterations of the denoiser
    and then by Newton's method. The modes of the stability matrix are taken there and at y itself.

    Caveat: a fixed point does not look like what the denoiser has seen. Noisy observations lie on a shell of radius
    $\sqrt{d v}$ about their clean point, and the fixed point lies within: for a trained network, what happens there is
    extrapolation. `shell` shows by how much, `|y - m|` over `sqrt(d v)`: one for a typical observation of `m`. The
    modes at y are free of this.

    Args:
        denoise: any denoiser that JAX can differentiate.
        ys: observations in the units of the data, in the order of the trajectory.
        variances: their noise variances, > 0.
        count: how many leading modes.
        symmetric: whether the stability matrix is symmetric: pass False for a learned denoiser; then the modes are
            those of largest real part, and the real parts are given.
        descents: how many iterations of the denoiser before Newton's method.

    Returns:
        A dataset on `knot`: `variance`, `fixed_point`, its `residual` and whether it `converged` (if not, it is the
        last iterate and nothing more), `shell`; on `(knot, mode)`: `eigenvalue` at the fixed point, `susceptibility`
        there, and `eigenvalue_at_y`.

    Raises:
        ValueError: if the shapes do not fit, a variance is not positive, or what `leading_modes` refuses.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), eq. 29, which for a denoiser
        reads `f(m + h) = m`; the caveat is its own.
    """
    noise = np.asarray(variances, np.float64)
    if noise.shape != (len(ys),) or len(ys) == 0 or not (noise > 0).all():
        raise ValueError(
            f"`along_trajectory` needs one variance > 0 for each of the observations. Got {noise.shape} for {len(ys)}, "
            f"the least {noise.min() if noise.size else None}. Do leave out the clean end."
        )
    states = floating(ys)
    rows = []
    for y, variance in zip(states, noise, strict=True):
        at = jnp.asarray(variance, states.dtype)
        found = search_fixed_point(denoise, y, at, descents=descents)
        there = leading_modes(denoise, found.magnetisation, at, count, symmetric=symmetric)
        here = leading_modes(denoise, y, at, count, symmetric=symmetric)
        rows.append((found, there, here))
    points = np.stack([found.magnetisation for found, _, _ in rows])
    shell = np.linalg.norm(np.asarray(states) - points, axis=1) / np.sqrt(states.shape[1] * noise)
    return xr.Dataset(
        {
            "variance": ("knot", noise),
            "fixed_point": (("knot", "coordinate"), points),
            "residual": ("knot", np.array([found.residual for found, _, _ in rows])),
            "converged": ("knot", np.array([found.converged for found, _, _ in rows])),
            "shell": ("knot", shell),
            "eigenvalue": (("knot", "mode"), _real([there.eigenvalues for _, there, _ in rows])),
            "susceptibility": (("knot", "mode"), _real([there.susceptibilities for _, there, _ in rows])),
            "eigenvalue_at_y": (("knot", "mode"), _real([here.eigenvalues for _, _, here in rows])),
        }
    )


def _real(rows: list[np.ndarray]) -> np.ndarray:
    return np.real(np.stack(rows))
