"""The exact law of the magnetisation of a Curie-Weiss ferromagnet of any size, on the host."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln


class MagnetisationLaw(NamedTuple):
    """The total magnetisations that are possible, their probabilities, and the partition function."""

    totals: Float[np.ndarray, " m"]
    """M = sum of the spins: -N, -N + 2, .., N."""
    log_probs: Float[np.ndarray, " m"]
    """Log-probability of each."""
    log_partition: float
    """Log of the sum over states of `exp(beta / 2N sum_{i != j} a_i a_j + h M / N)`."""


def magnetisation_law(dim: int, beta: float, field: float) -> MagnetisationLaw:
    r"""$P(M) \propto \binom{N}{(N + M)/2}\, e^{\beta (M^2 - N) / 2N + h M / N}$."""
    ups = np.arange(dim + 1.0)
    totals = 2 * ups - dim
    log_states = gammaln(dim + 1) - gammaln(ups + 1) - gammaln(dim - ups + 1)
    logs = log_states + beta / (2 * dim) * (totals**2 - dim) + field / dim * totals
    largest = logs.max()
    log_partition = float(largest + np.log(np.exp(logs - largest).sum()))
    return MagnetisationLaw(totals, logs - log_partition, log_partition)
