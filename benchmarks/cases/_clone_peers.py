"""The same steps as one writes them by hand, in JAX, diffrax and PyTorch.

Two Gaussians of mean +-(1, .., 1) and variance 1 stay Gaussians of variance 1, so the score is a tanh. A step is
x + h (x + 2 score) + sqrt(2h) noise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from diffphys import box_muller
from diffphys._threefry import threefry4x32
from diffphys.clocks import uniform_grid

Step = Callable[[Any, Float[Array, "b d"]], Any]
"""The last states, from a key and the first ones."""


class Problem(NamedTuple):
    """Clones of two Gaussians, from the speciation time down to 0.05 in equal steps."""

    dim: int
    batch: int
    steps: int

    @property
    def grid(self) -> np.ndarray:
        return uniform_grid(0.5 * np.log(self.dim), 0.05, self.steps)

    @property
    def h(self) -> float:
        return float(self.grid[0] - self.grid[1])


def drift(x: Float[Array, "... d"], t: Any) -> Float[Array, "... d"]:
    """`x + 2 score` at time `t`, of one state or of a batch."""
    shrink = jnp.exp(-jnp.asarray(t, x.dtype))
    lean = jnp.tanh(shrink * jnp.sum(x, axis=-1, keepdims=True))
    return 2 * shrink * lean - x


def step(x: Float[Array, "... d"], t: Any, h: Any, noise: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """One Euler-Maruyama step of the reverse process."""
    return x + h * drift(x, t) + (2 * h) ** 0.5 * noise


def plain_scan(problem: Problem) -> Step:
    """One key a step for the whole batch."""
    h, times = problem.h, problem.grid[:-1]

    def walk(key, starts):
        def body(x, indexed):
            i, t = indexed
            return step(x, t, h, jr.normal(jr.fold_in(key, i), x.shape, x.dtype)), None

        return jax.lax.scan(body, starts, (jnp.arange(problem.steps), jnp.asarray(times, starts.dtype)))[0]

    return walk


def drift_only(problem: Problem) -> Step:
    """The steps without their noise."""
    h, times = problem.h, jnp.asarray(problem.grid[:-1], np.float32)
    return lambda key, starts: jax.lax.scan(lambda x, t: (x + h * drift(x, t), None), starts, times)[0]


def fill_normals(problem: Problem) -> Step:
    """The noise without its steps; each array replaces the one before."""

    def walk(key, starts):
        body = lambda x, i: (box_muller(jr.fold_in(key, i), x.shape, x.dtype), None)  # noqa: E731
        return jax.lax.scan(body, starts, jnp.arange(problem.steps))[0]

    return walk


def fill_words(problem: Problem) -> Step:
    """The words of the noise, one a number, four a block, and nothing made of them."""
    shape = (problem.batch, problem.dim // 4)

    def walk(key, starts):
        zero, blocks = jnp.zeros(shape, jnp.uint32), jax.lax.iota(jnp.uint32, shape[0] * shape[1]).reshape(shape)

        def body(_, i):
            own = (*jr.bits(jr.fold_in(key, i), (2,), jnp.uint32), jnp.uint32(0), jnp.uint32(0))
            return threefry4x32(own, (blocks, zero, zero, zero)), None

        return jax.lax.scan(body, (zero,) * 4, jnp.arange(problem.steps))[0]

    return walk


def diffrax_solver(problem: Problem, path: str) -> Callable[[Any], Step]:
    """`diffeqsolve` of each state under `vmap`, in its own increasing clock."""
    top, h = float(problem.grid[0]), problem.h

    def make(diffrax: Any) -> Step:
        import lineax

        last = top - float(problem.grid[-1])

        def solve(key, z):
            if path == "UnsafeBrownianPath":
                noise = diffrax.UnsafeBrownianPath((problem.dim,), key)
            else:
                noise = diffrax.VirtualBrownianTree(0.0, last, 0.5 * h, (problem.dim,), key)
            spread = lambda tau, x, _: lineax.DiagonalLinearOperator(jnp.full_like(x, 2**0.5))  # noqa: E731
            force = diffrax.ODETerm(lambda tau, x, _: drift(x, top - tau))
            terms = diffrax.MultiTerm(force, diffrax.ControlTerm(spread, noise))
            # Forward mode is its fastest loop.
            return diffrax.diffeqsolve(
                terms, diffrax.Euler(), 0.0, last, h, z, adjoint=diffrax.ForwardMode(), max_steps=2 * problem.steps
            ).ys[0]

        return lambda key, starts: jax.vmap(solve)(jr.split(key, len(starts)), starts)

    return make


def torch_loop(torch: Any, problem: Problem) -> Callable[[int], Any]:
    """A loop over steps of eager operations on the whole batch."""
    h, times = problem.h, problem.grid[:-1].tolist()
    mean, starts = torch.ones(problem.dim), torch.randn(problem.batch, problem.dim)

    def walk(i: int) -> Any:
        torch.manual_seed(i)
        x = starts
        with torch.no_grad():
            for t in times:
                shrink = float(np.exp(-t))
                score = shrink * mean * torch.tanh(shrink * (x @ mean))[:, None] - x
                x = x + h * (x + 2 * score) + (2 * h) ** 0.5 * torch.randn_like(x)
        return x

    return walk
