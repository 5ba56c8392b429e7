"""Trajectories of a mixture, stepped on the coordinates that tell its components apart; all others in one step."""

import functools
import operator

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .._box_muller import box_muller
from .._types import PRNGKey, State
from ..clocks import check_grid
from ..samplers import AbstractSampler, simulate
from ..samplers.affine import affine_steps, in_one
from ..samplers.base import Increments
from ..samplers.table import AbstractTableSampler
from ..targets.reduction import Reduction


def simulate_reduced(
    reduction: Reduction,
    sampler: AbstractSampler,
    key: PRNGKey,
    ts: Float[np.ndarray | Array, " n"],
    z: State,
    *,
    increments: Increments = box_muller,
) -> State:
    r"""Runs one state of a mixture down a grid of times, stepping the coordinates of its reduction alone.

    Whatever the label, the coordinates that are left out are Gaussian: along an eigenvector of the covariance, of
    eigenvalue $\lambda$, their denoiser is $(\lambda y + v m) / (\lambda + v)$. So each step is affine in them, and so
    are all steps together,

    $$ z_i \to A_i z_i + c_i m_i + L_i \varepsilon_i, $$

    A, c and L by the sampler's own table in float64. The state is read once and written once and a noise is drawn once
    for each of its numbers, whatever the number of steps. The law of the end, given z, is that of `simulate` on all
    coordinates; where the sampler draws no noise it is the same end.

    Args:
        reduction: a mixture by its few coordinates, `reduce(target)`.
        sampler: of the reduced target, `Bridge(process, reduction.target.posterior_mean)`; its steps are a table.
        key: a typed key.
        ts: strictly decreasing times, the last above 0.
        z: the state of the whole mixture at `ts[0]`, of shape (d,), or (k, d) in phase space.
        increments: how the noise of the stepped coordinates is drawn, as in `simulate`; that of the others is normal.

    Returns:
        The state of the whole mixture at `ts[-1]`.

    Raises:
        ValueError: for what is no reduction, a sampler without a table, and as `simulate` does.
    """
    if not isinstance(reduction, Reduction):
        raise ValueError(
            "`simulate_reduced` needs a mixture by its few coordinates, `reduce(target)`. "
            f"Got `{type(reduction).__name__}`."
        )
    if not isinstance(sampler, AbstractTableSampler):
        raise ValueError(
            "`simulate_reduced` needs a sampler whose steps are linear in state and estimates, an "
            f"`AbstractTableSampler`. Got `{type(sampler).__name__}`. Use `simulate` on the mixture itself."
        )
    end = simulate(sampler, key, ts, reduction.project(z), increments=increments)
    eigenvalues = reduction.rest.eigenvalues

    def denoise(variance: float, t: float) -> tuple[np.ndarray, np.ndarray]:
        # Each share by itself: their sum to one has no digits for the smaller.
        return eigenvalues / (eigenvalues + variance), variance / (eigenvalues + variance)

    grid = check_grid(ts)
    run = in_one(affine_steps(sampler, grid, denoise), np.size(sampler.process.start()[0]))
    placed = tuple(jnp.asarray(part, end.dtype) for part in run)
    # After the addresses of the steps.
    address = jr.fold_in(key, len(grid) - 1) if sampler.draws else None
    return _completed(reduction, placed, address, jnp.asarray(z, end.dtype), end)


@eqx.filter_jit
def _completed(
    reduction: Reduction, run: tuple[Array, ...], key: PRNGKey | None, z: State, end: Float[Array, "*k r"]
) -> State:
    """The end in all coordinates: those of the reduction as they are given, all others by one step."""
    basis, (mean, _, rotation) = reduction.basis, reduction.rest
    matrix, factor, offset = run

    def turned(x, back=False):
        if rotation is None:
            return x
        return jnp.matmul(x, rotation.T if back else rotation, precision="highest")

    def mixed(blocks, x):
        # Of each coordinate its own block, on the variables of a state; a vector is a state of one variable.
        rows = x.reshape(-1, x.shape[-1])
        return functools.reduce(operator.add, (blocks[:, :, j].T * rows[j][None] for j in range(len(rows))))

    moved = mixed(matrix, turned(z)) + offset.T * turned(mean)[None]
    if key is not None:
        # Turned or not, the noise has the same law.
        moved = moved + mixed(factor, box_muller(key, z.shape, z.dtype))
    moved = turned(moved, back=True).reshape(z.shape)
    stepped = end - jnp.matmul(moved, basis, precision="highest")
    return moved + jnp.matmul(stepped, basis.T, precision="highest")
