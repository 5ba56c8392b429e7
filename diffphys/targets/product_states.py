"""Mixtures of pure states: within each, the sites are independent."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import Values, concrete, floating, observation, positive_log_weights, require_finite
from ._mean_field import critical_inverse_temperature, order
from .base import AbstractLabelledTarget

_PRECISION = jax.lax.Precision.HIGHEST


class ProductStates(AbstractLabelledTarget):
    r"""A mixture of product measures: `k` pure states, of `n` sites that take one of `q` vectors each.

    $$ p_0(a) = \sum_k w_k \prod_i \sum_c P_{kic}\, \delta(a_i - e_c) $$

    This is what a mean-field model with finitely many pure states is, to leading order in its size: Ising spins have
    the two values $\pm 1$, the colours of a Potts model are unit vectors. The label is the pure state. A
    configuration is the vectors of its sites one after the other.

    Attributes:
        log_weights: the log-weights of the states; they need not be normalised.
        log_probs: the log-probability of each value, by state and by site; minus infinity where it never occurs.
        alphabet: the values that a site can take.
    """

    log_weights: Float[Array, " k"]
    log_probs: Float[Array, "k n q"]
    alphabet: Float[Array, "q e"]

    def __init__(self, probabilities: Values, alphabet: Values, weights: Values | None = None):
        """Builds the mixture.

        Args:
            probabilities: of each value of each site in each state, of shape (k, n, q); each row sums to one.
            alphabet: the values, of shape (q, e).
            weights: positive weights of the states, of shape (k,); they are normalised. Equal by default.

        Raises:
            ValueError: if the shapes do not fit, or a row is no probability law, or a weight is not positive.
        """
        probabilities = floating(probabilities)
        self.alphabet = floating(alphabet, probabilities.dtype)
        _check_probabilities(probabilities, self.alphabet)
        self.log_probs = jnp.log(probabilities)
        self.log_weights = positive_log_weights(weights, len(probabilities), probabilities.dtype)

    @property
    def dim(self) -> int:
        return self.log_probs.shape[1] * self.alphabet.shape[1]

    @property
    def num_labels(self) -> int:
        return self.log_probs.shape[0]

    @property
    def label_weights(self) -> Float[Array, " k"]:
        return jax.nn.softmax(self.log_weights)

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        check_key(key)
        label_key, site_key = jr.split(key)
        label = jr.categorical(label_key, self.log_weights)
        values = jr.categorical(site_key, self.log_probs[label], axis=-1)
        return self.alphabet[values].reshape(-1), label

    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        y, variance = observation(self.dim, y, variance)
        likelihood = self._log_likelihood(y, variance)
        # Relative to the nearest values, so that states differ in digits that are there.
        nearest = jnp.max(likelihood, axis=-1, keepdims=True)
        states = self._log_joint(likelihood - nearest)
        return jax.nn.logsumexp(states) + jnp.sum(nearest) - 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        posterior, values = self._posterior(y, variance)
        marginals = jnp.einsum("k,knq->nq", posterior, values, precision=_PRECISION)
        return jnp.matmul(marginals, self.alphabet, precision=_PRECISION).reshape(-1)

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        posterior, values = self._posterior(y, variance)
        means = jnp.matmul(values, self.alphabet, precision=_PRECISION)
        between = (means - jnp.einsum("k,kne->ne", posterior, means, precision=_PRECISION)[None]).reshape(
            self.num_labels, -1
        )
        spread = self.alphabet[None, None] - means[:, :, None]
        within = jnp.einsum("k,knq,knqe,knqf->nef", posterior, values, spread, spread, precision=_PRECISION)
        sites = jnp.eye(len(within), dtype=within.dtype)
        blocks = jnp.einsum("nef,nm->nemf", within, sites, precision=_PRECISION).reshape(self.dim, self.dim)
        return blocks + jnp.matmul((posterior[:, None] * between).T, between, precision=_PRECISION)

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        likelihood = self._log_likelihood(*observation(self.dim, y, variance))
        return jax.nn.log_softmax(self._log_joint(likelihood - jnp.max(likelihood, axis=-1, keepdims=True)))

    def _log_likelihood(self, y: Data, variance: Scalar) -> Float[Array, "n q"]:
        sites = y.reshape(self.log_probs.shape[1], -1)
        return -0.5 * jnp.sum((sites[:, None] - self.alphabet[None]) ** 2, axis=-1) / variance

    def _log_joint(self, likelihood: Float[Array, "n q"]) -> Float[Array, " k"]:
        sites = jax.nn.logsumexp(self.log_probs + likelihood[None], axis=-1)
        return jax.nn.log_softmax(self.log_weights) + jnp.sum(sites, axis=-1)

    def _posterior(self, y: Data, variance: Scalar) -> tuple[Float[Array, " k"], Float[Array, "k n q"]]:
        """The probabilities of the states, and of the values of each site in each of them."""
        likelihood = self._log_likelihood(*observation(self.dim, y, variance))
        likelihood = likelihood - jnp.max(likelihood, axis=-1, keepdims=True)
        values = jax.nn.softmax(self.log_probs + likelihood[None], axis=-1)
        return jax.nn.softmax(self._log_joint(likelihood)), values


def pure_states(magnetisations: Values, weights: Values | None = None) -> ProductStates:
    r"""States of independent spins $\pm 1$: $p_0 = \sum_k w_k \prod_i \frac{1 + m_{ki} a_i}{2}$.

    With two opposite states it is the Curie-Weiss model at leading order; in the talk's words, speciation is the
    choice among states by $\log \sum_k w_k e^{m_k \cdot y / v}$.

    Args:
        magnetisations: the mean of each spin in each state, of shape (k, d), within [-1, 1].
        weights: positive weights of the states, of shape (k,); they are normalised. Equal by default.

    Returns:
        The mixture, labelled by its states.

    Raises:
        ValueError: if a magnetisation is out of range, or the shapes do not fit, or a weight is not positive.
    """
    means = floating(magnetisations)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(f"`magnetisations` needs shape (k, d). Got {means.shape}. Do stack the states.")
    known = concrete(means)
    if known is not None and not np.all(np.abs(known) <= 1):
        worst = known.flat[np.argmax(np.abs(known))]
        raise ValueError(f"`magnetisations` needs means of spins, within [-1, 1]. Got {worst:g}. Do scale the states.")
    return ProductStates(jnp.stack([(1 + means) / 2, (1 - means) / 2], axis=-1), [[1.0], [-1.0]], weights)


def low_load_hopfield(patterns: Values, beta: float) -> ProductStates:
    r"""The Hopfield model with a few patterns, in its ordered phase: pure states $\pm m^* \xi^\mu$.

    $m^* = \tanh \beta m^*$, as in the Curie-Weiss model; right to leading order in the number of spins while the
    patterns are fewer than its root and nearly orthogonal. Mixture states, saddles or less likely, are left out.

    Args:
        patterns: the patterns, of shape (p, d), of values +1 and -1.
        beta: the inverse temperature, above 1.

    Returns:
        The mixture of 2 p states of equal weight: the patterns, then their opposites.

    Raises:
        ValueError: if a pattern has another value, or `beta` is not above 1.
    """
    patterns = np.asarray(patterns, float)
    if patterns.ndim != 2 or not np.all(np.abs(patterns) == 1):
        raise ValueError(
            f"`patterns` needs rows of +1 and -1. Got an array of shape {patterns.shape}. Do take the signs."
        )
    if not 1 < beta < math.inf:
        raise ValueError(f"`beta` needs to be above 1, the critical one. Got {beta:g}. Do use independent spins.")
    return pure_states(order(2 * beta, 2) * np.concatenate([patterns, -patterns]))


def potts_mean_field(sites: int, colours: int, beta: float) -> ProductStates:
    r"""The mean-field Potts model in its ordered phase: one pure state for each colour.

    Sites of `q` colours with $p_0 \propto \exp\big(\frac{\beta}{2n} \sum_{i \ne j} \delta_{c_i c_j}\big)$; a
    colour is a unit vector of $\mathbb{R}^q$. To leading order in the number of sites, the colour of the state has
    the probability $(1 + (q - 1) m)/q$ and each other one $(1 - m)/q$, with

    $$ m = \frac{e^{\beta m} - 1}{e^{\beta m} + q - 1} . $$

    For more than two colours the order jumps, at $\beta_c = 2 \frac{q-1}{q-2} \log(q-1)$, to $\frac{q-2}{q-1}$.

    Args:
        sites: the number of sites, `n`; a configuration has `n q` coordinates.
        colours: the number of colours, `q`, at least 2.
        beta: the inverse temperature, above the critical one.

    Returns:
        The mixture, labelled by the prevailing colour.

    Raises:
        ValueError: if there is no site or are no two colours, or `beta` is not above the transition.

    Reference:
        Wu, "The Potts model" (1982), section I.C, where the coupling is that of one pair.
    """
    if sites < 1 or colours < 2:
        raise ValueError(
            f"`potts_mean_field` needs `sites` >= 1 and `colours` >= 2. Got {sites} and {colours}. Do pass the sizes."
        )
    critical = critical_inverse_temperature(colours)
    if not critical < beta < math.inf:
        raise ValueError(
            f"`beta` needs to be above {critical:.6g}, where {colours} colours order. Got {beta:g}. "
            "Do use equal probabilities in `ProductStates` for the disordered state."
        )
    m = order(beta, colours)
    row = (1 - m) / colours + m * np.eye(colours)
    return ProductStates(np.repeat(row[:, None], sites, axis=1), np.eye(colours))


def _check_probabilities(probabilities: Array, alphabet: Array) -> None:
    """Raises ValueError if these are no probabilities of the values."""
    if alphabet.ndim != 2 or probabilities.ndim != 3 or probabilities.shape[2] != alphabet.shape[0]:
        raise ValueError(
            "`probabilities` needs shape (k, n, q) and `alphabet` (q, e). "
            f"Got {probabilities.shape} and {alphabet.shape}. Do give each site each of the values."
        )
    if 0 in probabilities.shape or 0 in alphabet.shape:
        raise ValueError(
            f"`probabilities` needs states, sites and values. Got shape {probabilities.shape}. Do give at least one."
        )
    require_finite("alphabet", alphabet)
    known = concrete(probabilities)
    # The rounding of a row of float32.
    if known is not None and not (np.all(known >= 0) and np.allclose(known.sum(-1), 1, rtol=0, atol=1e-5)):
        raise ValueError(
            f"`probabilities` needs rows that are not negative and sum to one. Got sums from {known.sum(-1).min():g} "
            f"to {known.sum(-1).max():g} and a least value of {known.min():g}. Do normalise them."
        )
