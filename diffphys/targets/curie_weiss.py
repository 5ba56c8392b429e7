"""The Curie-Weiss ferromagnet: spins that all pull on each other."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.special import ndtr

from .._keys import check_key
from .._types import Data, PRNGKey, Scalar
from ._arrays import observation
from ._decoupling import Decoupling
from ._magnetisation import magnetisation_law
from .base import AbstractLabelledTarget
from .shell import AbstractShell, spins_squared_distance

# Magnetisations less likely than this are left out of the table for sampling: together 1e-13 at a million spins.
_LEAST_LOG_PROB = math.log(1e-19)


class CurieWeiss(AbstractShell, AbstractLabelledTarget):
    r"""Spins $a_i = \pm 1$, each coupled to the mean of all others.

    $$ p_0(a) \propto \exp\Big(\frac{\beta}{2N} \sum_{i \ne j} a_i a_j + \frac{h}{N} \sum_i a_i\Big) $$

    The field is scaled so that it weighs the two pure states of $\beta > 1$ finitely, $W_\pm \propto e^{\pm h m^*}$,
    and is not multiplied by $\beta$. Every average is exact, over one decoupling field $\varphi$ (Hubbard and
    Stratonovich) given which the spins are independent:

    $$ E[a_i \mid y] = E_\varphi \tanh(\varphi + h/N + y_i / v) $$

    in time $O(N)$: about 50 values of $\varphi$ do for any number of spins at moderate $\beta$.

    The label is the pure state, 0 for up and 1 for down: the sign of the decoupling field, which given the spins is
    normal, $\varphi \mid a \sim \mathcal{N}(\beta M/N, \beta/N)$. So it is the sign of $M$ but for a fuzz in $M$ of
    $\sqrt{N/\beta}$: a tie, $M = 0$, is split in halves, and the two signs differ with a probability of order
    $e^{-\beta N m^{*2}/2}$ where there are two states. The sign of $M$ itself is no easier to infer than all of the
    law of $M$ given $y$, in time $O(N^2)$; that of the field is exact at any size, at any temperature, and its
    posterior averages to `label_weights` at every noise.

    `log_evidence` and `posterior_mean` have written derivatives; there is none with respect to `beta` and `field`,
    which are fixed at construction. In float32 the log-odds of the two states of $10^5$ spins are right to 0.01.

    Attributes:
        dim: the number of spins, `N`.
        beta: the inverse temperature, in units of the coupling.
        field: `h`.
        decoupling: the integral over the decoupling field.
        magnetisations: the values of `M / N` that occur.
        cumulative: the probability of each and of all smaller ones.
        label_weights: the probabilities of the two pure states.
        log_partition: the logarithm of the sum over states, with the terms `i = j`.

    Reference:
        Biroli and Mezard, "Generative diffusion in very large dimensions" (2023), for the model; the integral for its
        score is derived here.
    """

    decoupling: Decoupling
    magnetisations: Float[Array, " m"]
    cumulative: Float[Array, " m"]
    label_weights: Float[Array, "2"]
    log_partition: Float[Array, ""]
    dim: int = eqx.field(static=True)
    beta: float = eqx.field(static=True)
    field: float = eqx.field(static=True)
    num_labels: int = eqx.field(static=True, default=2)

    def __init__(self, dim: int, beta: float, field: float = 0.0):
        """Tabulates the law of the magnetisation and the integral, on the host, in float64.

        Args:
            dim: the number of spins.
            beta: the inverse temperature, > 0; above 1 there are two pure states.
            field: `h`, the bias between them, of order 1.

        Raises:
            ValueError: if there is no spin, `beta` is not positive or so large that all spins are equal, or `field`
                is not finite.
        """
        if not isinstance(dim, int | np.integer) or dim < 1:
            raise ValueError(f"`CurieWeiss` needs a whole `dim` >= 1. Got {dim!r}. Do pass the number of spins.")
        if not 0 < beta < math.inf or not math.isfinite(field):
            raise ValueError(
                f"`CurieWeiss` needs `beta` > 0 and a finite `field`. Got {beta} and {field}. "
                "Do use `Ising` for couplings that are not ferromagnetic."
            )
        self.dim, self.beta, self.field, self.num_labels = dim, float(beta), float(field), 2
        self.decoupling = Decoupling(dim, beta)
        law = magnetisation_law(dim, beta, field)
        probs = np.exp(law.log_probs)
        # Given M, the decoupling field is positive with the probability of a normal variable.
        up = float(probs @ ndtr(law.totals * math.sqrt(beta / dim)))
        down = float(probs @ ndtr(-law.totals * math.sqrt(beta / dim)))
        self.label_weights = jnp.asarray([up, down], float)
        self.log_partition = jnp.asarray(law.log_partition + beta / 2, float)
        kept = law.log_probs > _LEAST_LOG_PROB
        cumulative = np.cumsum(probs[kept])
        self.magnetisations = jnp.asarray(law.totals[kept] / dim, float)
        self.cumulative = jnp.asarray(cumulative / cumulative[-1], float)

    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        check_key(key)
        rank_key, field_key, spin_key = jr.split(key, 3)
        dtype = self.cumulative.dtype
        index = jnp.searchsorted(self.cumulative, jr.uniform(rank_key, (), dtype), side="right")
        # The field that decouples a draw of the magnetisation; given it, all spins are drawn anew.
        local = self.beta * self.magnetisations[index]
        local = local + math.sqrt(self.beta / self.dim) * jr.normal(field_key, (), dtype)
        up = jax.nn.sigmoid(2 * (local + self.field / self.dim))
        spins = jnp.where(jr.uniform(spin_key, (self.dim,), dtype) < up, 1.0, -1.0).astype(dtype)
        return spins, jnp.where(local > 0, 0, 1)

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        return self.decoupling.means(self._fields(y, variance))

    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        logs = self.decoupling.log_integrand(self._fields(y, variance))
        return jax.nn.log_softmax(jax.nn.logsumexp(logs.reshape(2, -1), axis=1))

    def smoothed(self, y: Data, variance: Scalar) -> Scalar:
        """The square is completed with the field: at small noise nothing large cancels."""
        pulled = y + variance * (self.field / self.dim)
        excess = -0.5 * (jnp.abs(pulled) - 1) ** 2 / variance
        alone = jnp.sum(excess + jax.nn.softplus(-2 * jnp.abs(pulled) / variance))
        alone = alone + self.field * (jnp.mean(y) + 0.5 * variance * (self.field / self.dim))
        together = self.decoupling.log_partition(self._fields(y, variance)) - self.log_partition
        return together + alone - 0.5 * self.dim * jnp.log(2 * jnp.pi * variance)

    def squared_distance(self, y: Data, mean: Data, variance: Scalar) -> Scalar:
        return spins_squared_distance(y, mean)

    def _fields(self, y: Data, variance: Scalar) -> Data:
        y, variance = observation(self.dim, y, variance)
        return y / variance + self.field / self.dim
