r"""Associative memories: the modern Hopfield network, which is the free energy of a data set, and the classical one."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._types import Data, Denoiser, Scalar
from ..targets._arrays import concrete, floating
from ._points import placed

_PRECISION = jax.lax.Precision.HIGHEST

Patterns = Float[Array, "n d"] | Float[np.ndarray, "n d"]
"""Stored patterns, one a row."""


def hopfield_energy(
    patterns: Patterns, state: Data, variance: Scalar, bias: Float[Array, " n"] | None = None
) -> Scalar:
    r"""The energy of a modern Hopfield network at inverse temperature $\beta = 1 / v$.

    $$ E(x) = -\frac1\beta \log \sum_j e^{\beta\, x \cdot y_j + b_j} + \tfrac12 |x|^2 + \frac{\log N}\beta
       + \tfrac12 M^2, \qquad M = \max_j |y_j| $$

    For patterns of one norm it equals the regularised free energy of their `Empirical` measure at every variance, not
    in the limit only; for any others, with the bias of `free_energy_bias`.

    Args:
        patterns: the stored patterns.
        state: where the energy is taken.
        variance: v = 1 / beta > 0.
        bias: a log-weight for each pattern; none in the original network.

    Returns:
        The energy, in the units of the patterns squared.

    Reference:
        Ramsauer et al., "Hopfield networks is all you need" (2020), eq. 2; the identity is Ambrogioni, "In search of
        dispersed memories" (2023), there for beta to infinity.
    """
    patterns, state = floating(patterns), floating(state)
    variance = jnp.asarray(variance, state.dtype)
    largest = jnp.max(jnp.sum(patterns**2, axis=1))
    pulls = jnp.matmul(patterns, state, precision=_PRECISION) / variance + (0 if bias is None else bias)
    gathered = jax.nn.logsumexp(pulls) - jnp.log(jnp.asarray(len(patterns), state.dtype))
    return -variance * gathered + 0.5 * (jnp.sum(state**2) + largest)


def free_energy_bias(
    patterns: Patterns, variance: Scalar, log_weights: Float[Array, " n"] | None = None
) -> Float[Array, " n"]:
    r"""The bias that makes the Hopfield energy the free energy of patterns of any norms and weights.

    $$ b_j = \log N \phi_j + \frac{M^2 - |y_j|^2}{2v} $$

    Args:
        patterns: the stored patterns.
        variance: the noise variance, v > 0.
        log_weights: log phi_j, not necessarily normalised; equal weights by default.

    Returns:
        The bias: zero for patterns of equal norms and weights.
    """
    patterns = floating(patterns)
    squares = jnp.sum(patterns**2, axis=1)
    bias = 0.5 * (jnp.max(squares) - squares) / jnp.asarray(variance, patterns.dtype)
    if log_weights is None:
        return bias
    return bias + jax.nn.log_softmax(floating(log_weights)) + jnp.log(jnp.asarray(len(patterns), patterns.dtype))


def hopfield_update(patterns: Patterns, state: Data, variance: Scalar, bias: Float[Array, " n"] | None = None) -> Data:
    r"""One retrieval of a modern Hopfield network, $Y^\top \mathrm{softmax}(\beta Y x + b)$.

    It is a unit gradient step of `hopfield_energy`, and the posterior mean: one full denoising jump.

    Args:
        patterns: the stored patterns.
        state: the cue.
        variance: v = 1 / beta > 0.
        bias: a log-weight for each pattern.

    Returns:
        The retrieved state.

    Reference:
        Ramsauer et al. (2020), eq. 3.
    """
    patterns, state = floating(patterns), floating(state)
    pulls = jnp.matmul(patterns, state, precision=_PRECISION) / jnp.asarray(variance, state.dtype)
    weights = jax.nn.softmax(pulls + (0 if bias is None else bias))
    return jnp.matmul(weights, patterns, precision=_PRECISION)


def retrieve(denoise: Denoiser, cue: Data, variance: Scalar, *, most: int = 100) -> tuple[Data, Int[Array, ""]]:
    """Iterates a denoiser at one variance until nothing moves: recall from an associative memory.

    Each iteration is a unit gradient step of the free energy, which it never raises.

    Args:
        denoise: any denoiser; `hopfield_update` of some patterns, or the posterior mean of an `Empirical` measure.
        cue: where to begin, in the units of the data.
        variance: the noise variance, v > 0.
        most: the largest number of iterations.

    Returns:
        The last state, and how many iterations were made: fewer than `most` if it had come to rest, to rounding.
    """
    cue, variance = placed(denoise, cue, variance, "cue")
    rounding = 8 * jnp.finfo(cue.dtype).eps

    def moving(carry) -> Bool[Array, ""]:
        state, previous, count = carry
        # Relative to the cue too: a state that dies away is at rest.
        scale = jnp.maximum(jnp.max(jnp.abs(state)), jnp.max(jnp.abs(cue)))
        moved = jnp.max(jnp.abs(state - previous)) > rounding * scale
        return (count < most) & ((count == 0) | moved)

    def move(carry):
        state, _, count = carry
        return denoise(state, variance), state, count + 1

    state, _, count = jax.lax.while_loop(moving, move, (cue, cue, jnp.zeros((), jnp.int32)))
    return state, count


def hebbian_weights(patterns: Patterns) -> Float[Array, "d d"]:
    r"""The couplings of a classical Hopfield network by Hebb's rule, $W = \frac1d \sum_j y_j y_j^\top$, diagonal zero.

    Args:
        patterns: the stored patterns, entries 1 and -1.

    Raises:
        ValueError: if an entry of known patterns is neither 1 nor -1.
    """
    known = concrete(patterns)
    if known is not None and not np.all(np.abs(known) == 1):
        raise ValueError("`hebbian_weights` needs patterns of 1 and -1. Got others. Do take their signs.")
    patterns = floating(patterns)
    coupling = jnp.matmul(patterns.T, patterns, precision=_PRECISION) / patterns.shape[1]
    return coupling * (1 - jnp.eye(patterns.shape[1], dtype=patterns.dtype))


def classical_energy(weights: Float[Array, "d d"], state: Data) -> Scalar:
    r"""The energy of a classical Hopfield network, $-\frac12 x^\top W x$.

    Args:
        weights: symmetric couplings with a zero diagonal; `hebbian_weights` makes them.
        state: spins, 1 or -1.

    Reference:
        Hopfield, "Neural networks and physical systems with emergent collective computational abilities" (1982), with
        the sign and the half that Ambrogioni (2023) leaves out.
    """
    weights, state = floating(weights), floating(state)
    return -0.5 * jnp.dot(state, jnp.matmul(weights, state, precision=_PRECISION), precision=_PRECISION)


def sign_sweep(weights: Float[Array, "d d"], state: Data) -> Data:
    """Every spin in turn set along its local field; where that is zero the spin stays.

    One after the other, so that the energy never rises: updates at once may alternate between two states for ever.

    Args:
        weights: symmetric couplings with a zero diagonal.
        state: spins, 1 or -1.

    Returns:
        The state after one sweep.
    """
    weights, state = floating(weights), floating(state)

    def turn(i, spins):
        field = jnp.dot(weights[i], spins, precision=_PRECISION)
        return spins.at[i].set(jnp.where(field == 0, spins[i], jnp.sign(field)))

    return jax.lax.fori_loop(0, state.size, turn, state)


def retrieve_classical(weights: Float[Array, "d d"], cue: Data, *, most: int = 100) -> tuple[Data, Int[Array, ""]]:
    """Sweeps until no spin turns: recall from a classical Hopfield network.

    Args:
        weights: symmetric couplings with a zero diagonal.
        cue: spins, 1 or -1.
        most: the largest number of sweeps.

    Returns:
        The last state, and how many sweeps were made.
    """
    return retrieve(lambda state, _: sign_sweep(weights, state), cue, 1.0, most=most)
