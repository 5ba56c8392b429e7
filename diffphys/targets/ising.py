"""Ising models with any couplings, by enumeration of their states."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float
from scipy.special import logsumexp

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, observation, require_finite
from .shell import AbstractShell, spins_squared_distance

_PRECISION = jax.lax.Precision.HIGHEST
_MOST_SPINS = 20


class Ising(AbstractShell):
    r"""Spins $a_i = \pm 1$ with pair couplings, summed over all of their $2^d$ states.

    $$ p_0(a) \propto \exp\Big(\tfrac12 \sum_{i \ne j} K_{ij} a_i a_j + \sum_i h_i a_i\Big) $$

    A positive coupling is ferromagnetic. The spins are split in two halves: a noisy observation acts on each half
    alone, so that what is summed is one table of log-probabilities, $2^{d/2} \times 2^{d/2}$, with a vector added to
    its rows and one to its columns. No list of all states is made.

    Attributes:
        log_probs: the log-probability of each state, by the states of the first half and of the second.
        dim: the number of spins, `d`.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), eqs. 23-24, for the
        diffused Ising model; there with `W = -K / beta`.
    """

    log_probs: Float[Array, "first second"]
    dim: int = eqx.field(static=True)

    def __init__(self, couplings: Values, field: Values = 0.0):
        """Tabulates the probabilities of the states on the host, in float64.

        Args:
            couplings: `K`, symmetric, of shape (d, d); its diagonal, which adds a constant, is left out.
            field: `h`, of shape (d,), or one number for all spins.

        Raises:
            ValueError: if a shape does not fit, or a value is not finite, or `couplings` is not symmetric, or there
                are more than 20 spins.
        """
        couplings, field = np.asarray(couplings, float), np.asarray(field, float)
        _check(couplings, field)
        self.dim = len(couplings)
        field = np.broadcast_to(field, (self.dim,))
        couplings = couplings - np.diag(np.diag(couplings))
        first, second = _states(self.dim // 2), _states(self.dim - self.dim // 2)
        cut = self.dim // 2
        logs = first @ couplings[:cut, cut:] @ second.T
        logs += _log_weights(first, couplings[:cut, :cut], field[:cut])[:, None]
        logs += _log_weights(second, couplings[cut:, cut:], field[cut:])[None]
        self.log_probs = jnp.asarray(logs - logsumexp(logs), float)

    def sample(self, key: PRNGKey) -> Data:
        check_key(key)
        first_key, second_key = jr.split(key)
        row = jr.categorical(first_key, jax.nn.logsumexp(self.log_probs, axis=1))
        column = jr.categorical(second_key, self.log_probs[row])
        first, second = self._halves()
        return jnp.concatenate([first[row], second[column]])

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        first, second = self._pulls(*observation(self.dim, y, variance))
        marginals = (
            first + jax.nn.logsumexp(self.log_probs + second[None], axis=1),
            second + jax.nn.logsumexp(self.log_probs + first[:, None], axis=0),
        )
        means = [
            jnp.matmul(jax.nn.softmax(logs), states, precision=_PRECISION)
            for logs, states in zip(marginals, self._halves(), strict=True)
        ]
        return jnp.concatenate(means)

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        first, second = self._pulls(*observation(self.dim, y, variance))
        logs = self.log_probs + first[:, None] + second[None]
        joint = jnp.exp(logs - jax.nn.logsumexp(logs))
        rows, columns = joint.sum(axis=1), joint.sum(axis=0)
        # Differences from the mean before products: in a cold posterior all spins are near their means.
        left, right = (
            states - jnp.matmul(weights, states, precision=_PRECISION)[None]
            for weights, states in zip((rows, columns), self._halves(), strict=True)
        )
        across = _product(left.T, _product(joint, right))
        return jnp.block(
            [[_product(left.T * rows[None], left), across], [across.T, _product(right.T * columns[None], right)]]
        )

    def smoothed(self, y: Data, variance: Scalar) -> Scalar:
        first, second = self._pulls(y, variance)
        rows = first + jax.nn.logsumexp(self.log_probs + second[None], axis=1)
        nearest = -0.5 * jnp.sum((jnp.abs(y) - 1) ** 2) / variance
        return jax.nn.logsumexp(rows) + nearest - 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)

    def squared_distance(self, y: Data, mean: Data, variance: Scalar) -> Scalar:
        return spins_squared_distance(y, mean)

    def _pulls(self, y: Data, variance: Scalar) -> tuple[Float[Array, " first"], Float[Array, " second"]]:
        """Log-likelihood of the states of each half, relative to those nearest to `y`: exact at any noise."""
        first, second = self._halves()
        fields = y / variance
        cut = self.dim // 2
        return _pull(first, fields[:cut]), _pull(second, fields[cut:])

    def _halves(self) -> tuple[Float[Array, "first f"], Float[Array, "second s"]]:
        """The states of the two halves."""
        dtype = self.log_probs.dtype
        cut = self.dim // 2
        return jnp.asarray(_states(cut), dtype), jnp.asarray(_states(self.dim - cut), dtype)


def curie_weiss_couplings(dim: int, strength: float) -> Float[np.ndarray, "d d"]:
    r"""Each spin with each other, $K_{ij} = b / d$: ferromagnetic beyond $b = 1$ as $d \to \infty$.

    Args:
        dim: the number of spins, `d`.
        strength: `b`, the inverse temperature in units of the coupling.

    Returns:
        The couplings, zero on the diagonal.
    """
    return strength / dim * (1 - np.eye(dim))


def ring_couplings(dim: int, strength: float) -> Float[np.ndarray, "d d"]:
    r"""Each spin with its two neighbours on a ring, $K_{i, i \pm 1} = k$: ordered at no finite strength.

    Args:
        dim: the number of spins, `d`, at least 3.
        strength: `k`.

    Returns:
        The couplings, zero but for neighbours.

    Raises:
        ValueError: if there are fewer than three spins.
    """
    if dim < 3:
        raise ValueError(f"`ring_couplings` needs `dim` >= 3. Got {dim}. Do write the couplings of a pair by hand.")
    step = np.roll(np.eye(dim), 1, axis=1)
    return strength * (step + step.T)


def _pull(states: Float[Array, "states spins"], fields: Float[Array, " spins"]) -> Float[Array, " states"]:
    return jnp.sum(jnp.minimum(2 * states * fields[None], 0), axis=1)


def _product(left: Float[Array, "a b"], right: Float[Array, "b c"]) -> Float[Array, "a c"]:
    return jnp.matmul(left, right, precision=_PRECISION)


def _states(count: int) -> Float[np.ndarray, "states spins"]:
    """All states of some spins: of none there is one."""
    return np.array(list(itertools.product([1.0, -1.0], repeat=count))).reshape(2**count, count)


def _log_weights(states: np.ndarray, couplings: np.ndarray, field: np.ndarray) -> np.ndarray:
    return 0.5 * np.einsum("si,ij,sj->s", states, couplings, states) + states @ field


def _check(couplings: np.ndarray, field: np.ndarray) -> None:
    """Raises ValueError if these are no couplings and fields of few enough spins."""
    if couplings.ndim != 2 or couplings.shape[0] != couplings.shape[1] or couplings.size == 0:
        raise ValueError(f"`couplings` needs shape (d, d). Got {couplings.shape}. Do pass one for each pair of spins.")
    dim = len(couplings)
    if dim > _MOST_SPINS:
        raise ValueError(
            f"`Ising` needs at most {_MOST_SPINS} spins, which it enumerates. Got {dim}, with {2**dim:.3g} states. "
            "Do use `CurieWeiss` for equal couplings, of any size."
        )
    if field.shape not in ((), (dim,)):
        raise ValueError(f"`field` needs shape () or ({dim},). Got {field.shape}. Do match the couplings.")
    require_finite("couplings", couplings)
    require_finite("field", field)
    skew = np.max(np.abs(couplings - couplings.T))
    if skew > 1e-6 * np.max(np.abs(couplings)):
        raise ValueError(
            f"`couplings` needs a symmetric matrix. Got one that differs from its transpose by {skew:g}. "
            "Do pass (K + K.T) / 2 if that is what is meant."
        )
