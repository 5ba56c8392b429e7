"""What a sampler must provide, and the one loop that runs it."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._box_muller import box_muller
from .._describe import kind_of
from .._keys import check_key
from .._types import Data, Denoiser, Draws, Path, PRNGKey, Scalar, State
from ..clocks import check_grid
from ..processes import AbstractProcess
from ..targets._arrays import floating
from ._checks import check_denoiser, check_parts

if TYPE_CHECKING:
    # What a type checker does not take for an argument of the constructor.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class AbstractSampler(eqx.Module):
    """A rule for going down a grid of times, from noise to data.

    Three methods: `plan` makes the coefficients of every step on the host, in NumPy float64; `init` makes the carry
    of the loop from a state (a multistep sampler keeps its past estimates there); `step` takes one row of the plan.
    A sampler holds no randomness: noise is an argument of the step. So with the noise given a run is a
    deterministic, differentiable map of its starting state, and can be tested exactly.
    """

    process: eqx.AbstractVar[AbstractProcess]
    denoise: eqx.AbstractVar[Denoiser]

    is_time_reversal: AbstractClassVar[bool]
    """Whether, with the exact score and small steps, paths have the law of the forward process reversed.

    Only then is clone agreement an average over the posterior; a sampler that keeps the marginals alone has
    another one. This and the numbers below are class attributes, or properties where they depend on the fields.
    """

    draws: AbstractClassVar[int]
    """Standard normal arrays of the shape of a state that a step uses; 0 if it is deterministic."""

    evaluations: AbstractClassVar[int]
    """Calls of the denoiser a step; where the first steps have more of them, in the others."""

    def __check_init__(self):
        check_parts(type(self).__name__, self.process, self.denoise)

    def calls(self, steps: int) -> int:
        """Calls of the denoiser in a run of so many steps."""
        return steps * self.evaluations

    @abc.abstractmethod
    def plan(self, ts: Float[np.ndarray, " n"]) -> PyTree[np.ndarray]:
        """The coefficients of the steps `ts[i] -> ts[i + 1]`, each with a leading axis of n - 1.

        Raises:
            ValueError: if the parameters of the process are traced.
        """

    @abc.abstractmethod
    def init(self, z: State) -> PyTree[Array]:
        """The carry of the loop at a state."""

    @abc.abstractmethod
    def step(self, row: PyTree[Array], carry: PyTree[Array], noise: Draws) -> PyTree[Array]:
        """The carry at `s`, given the carry at `t`, one row of the plan and `draws` standard normal arrays."""

    def state(self, carry: PyTree[Array]) -> State:
        """The state in a carry; by default the carry is the state."""
        return carry

    def posterior_mean(self, t: Scalar, z: State) -> Data:
        """$E[a | z_t = z]$, as the denoiser has it."""
        return self.denoise(*self.process.kernel(t).observe(z))

    def score(self, t: Scalar, z: State) -> State:
        r"""$\nabla \log p_t(z)$, as the denoiser has it."""
        return self.process.kernel(t).score(z, self.posterior_mean(t, z))


def place(rows: PyTree[Array | np.ndarray], dtype: Any) -> PyTree[Array]:
    """A plan on the device, cast once to the dtype of the states."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), rows)


def run(
    sampler: AbstractSampler,
    rows: PyTree[Array],
    z: State,
    draw: Callable[[Array], Draws],
    *,
    path: bool = False,
) -> State | Path:
    """The loop over a placed plan: the last state, or all of them on a leading axis if `path`.

    `draw(i)` gives the noise of step i.
    """

    def body(carry, indexed):
        i, row = indexed
        carry = sampler.step(row, carry, draw(i))
        return carry, (sampler.state(carry) if path else None)

    steps = jax.tree.leaves(rows)[0].shape[0]
    carry, states = jax.lax.scan(body, sampler.init(z), (jnp.arange(steps), rows))
    return sampler.state(carry) if states is None else jnp.concatenate([z[None], states])


def run_halved(
    sampler: AbstractSampler,
    rows: PyTree[Array],
    coarse: PyTree[Array],
    mix: Float[Array, "pairs 2"],
    z: State,
    draw: Callable[[Array], Draws],
    coarse_z: State | None = None,
) -> tuple[State, State]:
    """The last states on a grid and on every second knot of it, along one Brownian path.

    A step of the halved grid takes `mix[i, 0] n + mix[i, 1] n'` of the noises of the two steps it spans, so that
    the noise is drawn once. It starts from `coarse_z`, where an earlier halved grid has ended; by default from z.
    """

    def body(carries, indexed):
        i, pair, whole, weights = indexed
        fine, half = carries
        # Both grids read them, and the second step what the first has made of them.
        first, second = (made_once(draw(2 * i + j), weights[j]) for j in range(2))
        for j, noise in enumerate((first, second)):
            fine = sampler.step(jax.tree.map(lambda leaf, j=j: leaf[j], pair), fine, noise)
        return (fine, sampler.step(whole, half, weights[0] * first + weights[1] * second)), None

    pairs = jax.tree.map(lambda leaf: leaf.reshape(-1, 2, *leaf.shape[1:]), rows)
    start = (sampler.init(z), sampler.init(z if coarse_z is None else coarse_z))
    (fine, half), _ = jax.lax.scan(body, start, (jnp.arange(len(mix)), pairs, coarse, mix))
    return sampler.state(fine), sampler.state(half)


Increments: TypeAlias = Callable[..., Array]
"""Draws noise, as `jax.random.normal` does: `increments(key, shape, dtype)`."""


def noise_of(
    sampler: AbstractSampler, key: PRNGKey, z: State, increments: Increments = box_muller
) -> Callable[[Array], Draws]:
    """Noise addressed by the number of the step: `fold_in(key, i)`."""
    return lambda i: increments(jr.fold_in(key, i), (sampler.draws, *z.shape), z.dtype)


@jax.custom_jvp
def made_once(noise: Draws, positive: Scalar) -> Draws:
    """The noise as it is, for a step that reads it more than once.

    XLA would fuse the drawing of the noise into each of its readers, and so draw it several times. A loop keeps them
    apart: it takes no turn, but XLA cannot know so, as it does not know that `positive` is positive. (The barrier that
    JAX has for this is gone by the time that XLA fuses, and a branch would copy the noise.)
    """
    # If a turn were taken, minus the noise would be as good.
    start = noise, jnp.asarray(positive <= 0)
    return jax.lax.while_loop(lambda carry: carry[1], lambda carry: (-carry[0], ~carry[1]), start)[0]


@made_once.defjvp
def _made_once_jvp(primals: tuple[Draws, Scalar], tangents: tuple[Draws, Scalar]) -> tuple[Draws, Draws]:
    # A loop of unknown length cannot be run backwards; this one is the identity.
    return made_once(*primals), tangents[0]


@eqx.filter_jit
def _simulate(sampler, key, rows, z, path, increments):
    return run(sampler, rows, z, noise_of(sampler, key, z, increments), path=path)


def simulate(
    sampler: AbstractSampler,
    key: PRNGKey,
    ts: Float[np.ndarray | Array, " n"],
    z: State,
    *,
    path: bool = False,
    increments: Increments = box_muller,
) -> State | Path:
    """Runs one state down a grid of times, from `ts[0]` to `ts[-1]`.

    The noise of step i comes from `fold_in(key, i)`. Many states: `jax.vmap` over keys and states.

    Args:
        sampler: the rule of a step.
        key: a typed key.
        ts: strictly decreasing times, the last above 0.
        z: the state at `ts[0]`.
        path: whether to return the state at every time of the grid, on a leading axis.
        increments: how noise is drawn: by default normals; `jax.random.normal` has others, and cheaper numbers keep
            the weak order of the sampler, `diffphys.rademacher` or `diffphys.three_point`.

    Returns:
        The state at `ts[-1]`, or at each time of `ts`.

    Raises:
        ValueError: for a grid that is traced, does not decrease or is too short for the sampler, times <= 0, a raw
            key, more than one state, a denoiser that does not take the data or whose estimate has not their shape.
    """
    check_sampler("simulate", sampler)
    check_key(key)
    try:
        grid = check_grid(ts)
    except jax.errors.TracerArrayConversionError:
        raise ValueError(
            "`ts` needs known times, since their coefficients are made on the host. Got traced ones. "
            "Do close over the grid instead of passing it through `jit`, `vmap` or `grad`."
        ) from None
    z = floating(z)
    check_denoiser(sampler.denoise, z, sampler.process)
    return _simulate(sampler, key, place(sampler.plan(grid), z.dtype), z, path, increments)


def check_sampler(owner: str, found: Any) -> None:
    """Refuses what is no sampler."""
    if not isinstance(found, AbstractSampler):
        raise ValueError(f"`{owner}` needs a sampler, such as `Bridge(process, denoise)`. Got {kind_of(found)}.")
