"""The density of a state, by the change of volume along the probability flow."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .. import _block as block
from .._describe import kind_of
from .._keys import check_key
from .._types import Data, Denoiser, PRNGKey, Scalar, State
from ..processes import AbstractProcess, Kernel
from ..targets._arrays import floating
from ._checks import check_denoiser, check_parts, check_whole


def log_likelihood(
    process: AbstractProcess,
    denoise: Denoiser,
    z: State,
    t_min: float,
    t_max: float,
    *,
    key: PRNGKey | None = None,
    probes: int | None = None,
    prior: Callable[[State], Scalar] | None = None,
    solver: diffrax.AbstractSolver | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 4096,
) -> Scalar:
    r"""Log-density of a state under the model: the probability flow from it to noise, and what that does to volumes.

    $$ \log p_{t_{min}}(z) = \log p_{t_{max}}(z_{t_{max}}) + \int_{t_{min}}^{t_{max}}
       \nabla \cdot \big( F z_t - \tfrac12 G G^\top \nabla\log p_t(z_t) \big)\,dt . $$

    With a denoiser that is no exact one it is the density of what the flow makes of the prior, exactly still. Of
    position and momentum it is that of both: a bound on the density of data is its mean over
    $p_0 \sim q = \mathcal{N}(0, \kappa M)$ plus the entropy of q. Data that is discrete needs dequantisation.

    The trace needs the Jacobian of the denoiser: d products with it at each evaluation, or `probes` random ones
    (Hutchinson), which leave the estimate unbiased. Probes stay the same along the flow.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`, differentiable.
        z: the state at `t_min`.
        t_min: the time of the state, > 0.
        t_max: the time of the prior.
        key: for the probes; without one the trace is exact.
        probes: how many, of independent signs; by default one, with `key`.
        prior: log-density of a state at `t_max`; by default that of the noise there, N(0, covariance of the kernel).
        solver: of diffrax, with an estimate of its error; by default Tsitouras' 5/4 rule.
        tolerance: of the solver, absolute and relative, for the worst coordinate and for the log-density.
        max_steps: after so many the solver gives up, with an error.

    Returns:
        The log-density in nats, over all variables and coordinates.

    Raises:
        ValueError: unless 0 < `t_min` < `t_max`, `tolerance` is positive, the solver estimates its error, counts are
            whole numbers >= 1, probes come with a typed key, z is one state and the denoiser keeps shapes.

    Reference:
        Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eq. 39;
        Grathwohl et al., "FFJORD" (2019), for the probes.
    """
    if not 0 < t_min < t_max < np.inf:
        raise ValueError(f"`log_likelihood` needs finite times 0 < t_min < t_max. Got {t_min} and {t_max}.")
    check_parts("log_likelihood", process, denoise)
    z = floating(z)
    check_denoiser(denoise, z, process)
    solver = diffrax.Tsit5() if solver is None else solver
    _check_solver(solver, tolerance, max_steps)
    if key is None and probes is not None:
        raise ValueError("`log_likelihood` needs a `key` for its `probes`. Got none. Do leave both out for the trace.")
    probes = 1 if probes is None else probes
    check_whole("log_likelihood", "probes", probes, 1)
    if key is not None:
        check_key(key)
    process, settings = jax.tree.map(lambda leaf: jnp.asarray(leaf, z.dtype), (process, (t_min, t_max, tolerance)))
    return _log_likelihood(process, denoise, z, settings, key, probes, prior, solver, max_steps)


def _check_solver(solver: Any, tolerance: Scalar, max_steps: int):
    if not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        raise ValueError(
            "`log_likelihood` needs a `solver` of diffrax with an estimate of its error, such as `Tsit5()`. "
            f"Got {kind_of(solver)}. Do wrap it in `diffrax.HalfSolver`."
        )
    if block.fails((tolerance > 0) & (tolerance < np.inf)):
        raise ValueError(f"`log_likelihood` needs a finite `tolerance > 0`. Got {tolerance}.")
    check_whole("log_likelihood", "max_steps", max_steps, 1)


@eqx.filter_jit
def _log_likelihood(
    process: AbstractProcess,
    denoise: Denoiser,
    z: State,
    settings: tuple[Array, Array, Array],
    key: PRNGKey | None,
    probes: int,
    prior: Any,
    solver: Any,
    max_steps: int,
) -> Scalar:
    t_min, t_max, tolerance = settings
    signs = None if key is None else jr.rademacher(key, (probes, z.shape[-1]), z.dtype)
    term = diffrax.ODETerm(lambda t, state, args: flow_and_divergence(process, denoise, t, state[0], signs))
    solution = diffrax.diffeqsolve(
        term,
        solver,
        t_min,
        t_max,
        None,
        (z, jnp.zeros((), z.dtype)),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance, norm=_largest),
        max_steps=max_steps,
    )
    end, stretched = jax.tree.map(lambda leaf: leaf[-1], solution.ys)
    return stretched + (_log_noise(process.kernel(t_max), end) if prior is None else prior(end))


def flow_and_divergence(
    process: AbstractProcess, denoise: Denoiser, t: Scalar, z: State, signs: Float[Array, "probes d"] | None
) -> tuple[State, Scalar]:
    """The velocity of the probability flow and its divergence, estimated by products with `signs` if there are any."""
    drift, noise = process.coefficients(t)
    kernel = process.kernel(t)
    y, variance = kernel.observe(z)
    a, push = jax.linearize(lambda y: denoise(y, variance), y)
    force = 0.5 * block.outer(noise)
    velocity = block.apply(drift, z) - block.apply(force, kernel.score(z, a))
    # The score is P (m a - z), and a depends on z through y = w'z alone: one d x d trace, whatever the process.
    pull = block.matmul(force, kernel.precision)
    gain = block.matmul(kernel.gain, block.matmul(pull, kernel.mean))
    own = jnp.asarray(block.trace(drift) + block.trace(pull), z.dtype)
    return velocity, y.size * own - jnp.asarray(gain, z.dtype) * _trace(push, y, signs)


def _trace(push: Callable[[Data], Data], y: Data, signs: Float[Array, "probes d"] | None) -> Scalar:
    """The trace of a linear map, or its mean over probes."""
    if signs is None:
        return jnp.trace(jax.vmap(push)(jnp.eye(y.size, dtype=y.dtype)))
    return jnp.mean(jnp.sum(signs * jax.vmap(push)(signs), axis=-1))


def _log_noise(kernel: Kernel, z: State) -> Scalar:
    """Log-density of the state made of the data 0: by its channel and the rest."""
    y, variance = kernel.observe(z)
    return kernel.log_base_measure(z) - 0.5 * jnp.sum(y**2 / variance + jnp.log(2 * jnp.pi * variance))


def _largest(tree: Any) -> Float[Array, ""]:
    """The largest entry: means over coordinates would let that of the log-density count for one of them."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]))
