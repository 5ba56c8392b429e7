r"""The Curie-Weiss ferromagnet seen through a diffusion: its two states, and when a trajectory chooses one.

With the law $P(a) \propto \exp(\frac{\beta}{2N} \sum_{i \ne j} a_i a_j + \frac{h}{N} \sum_i a_i)$ of `CurieWeiss`, of
which these are the limits for many spins, and the exact values for any number. Times are those of the
Ornstein-Uhlenbeck process at temperature `T`; what a trajectory feels is its magnetisation $\mu = \sum_i x_i / \sqrt N$
at the strength $\kappa = \sqrt N e^{-t}$ of the signal.

Reference:
    Biroli and Mezard, "Generative diffusion in very large dimensions" (2023).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from ..targets._magnetisation import magnetisation_law
from ..targets._mean_field import order
from ._host import on_host
from ._types import ArrayLike, Values


class FiniteMagnet(NamedTuple):
    """Exact averages of a magnet of `N` spins, with `M` the sum of them."""

    up_weight: float
    """Probability of M > 0, and half of that of a tie."""
    mean_absolute: float
    """E |M| / N."""
    mean: float
    """E M / N."""
    mean_square: float
    """E M^2 / N: of order one in a disordered magnet, N m*^2 in an ordered one."""
    log_partition: float
    """Log of the sum over states, without the terms `i = j`."""


@on_host
def finite_magnet(dim: int, beta: float, field: float = 0.0) -> FiniteMagnet:
    """Averages of a magnet of any finite size, summed over its magnetisations.

    Args:
        dim: the number of spins, `N >= 1`.
        beta: the inverse temperature, > 0.
        field: `h`, scaled by `1 / N` and not multiplied by `beta`.

    Returns:
        The averages, by name.

    Raises:
        ValueError: if there is no spin, or `beta` is not positive.
    """
    _positive("finite_magnet", "beta", beta)
    _positive("finite_magnet", "dim", dim)
    law = magnetisation_law(dim, beta, field)
    probs, each = np.exp(law.log_probs), law.totals / dim
    return FiniteMagnet(
        up_weight=float(probs @ (np.sign(law.totals) + 1) / 2),
        mean_absolute=float(probs @ np.abs(each)),
        mean=float(probs @ each),
        mean_square=float(probs @ (each * law.totals)),
        log_partition=law.log_partition,
    )


@on_host
def spontaneous_magnetisation(beta: ArrayLike) -> Values:
    r"""The magnetisation of each spin in the state up, $m^* = \tanh \beta m^*$; zero up to $\beta = 1$.

    Args:
        beta: the inverse temperatures, > 0, of any shape.

    Returns:
        `m*` at each, to its last digits also near the transition.

    Raises:
        ValueError: if an inverse temperature is not positive.
    """
    _positive("spontaneous_magnetisation", "beta", beta)

    def one(beta: float) -> float:
        # Spins are the two colours of a Potts model at twice the inverse temperature.
        return order(2 * beta, 2) if beta > 1 else 0.0

    return np.vectorize(one, otypes=[float])(beta)[()]


@on_host
def state_susceptibility(beta: ArrayLike) -> Values:
    r"""Variance of the magnetisation within one state, `chi`.

    $$ \chi = N\, \mathrm{Var}(M/N) = \frac{1 - m^{*2}}{1 - \beta (1 - m^{*2})} $$

    Args:
        beta: the inverse temperatures, > 0, of any shape.

    Returns:
        The susceptibility at each: infinite at the transition.

    Raises:
        ValueError: if an inverse temperature is not positive.
    """
    m = spontaneous_magnetisation(beta)
    freedom = (1 - m) * (1 + m)
    with np.errstate(divide="ignore"):
        return freedom / (1 - np.asarray(beta, float) * freedom)


@on_host
def state_weight(beta: ArrayLike, field: ArrayLike = 0.0) -> Values:
    r"""Probability of the state up in the limit of many spins, $W_+ = e^{h m^*} / 2 \cosh h m^*$.

    Args:
        beta: the inverse temperatures, > 0.
        field: `h`, of order one, as it is scaled by `1 / N`.

    Returns:
        The weight at each, broadcast.

    Raises:
        ValueError: if an inverse temperature is not positive.
    """
    return expit(2 * np.asarray(field, float) * spontaneous_magnetisation(beta))


@on_host
def magnet_speciation_time(dim: ArrayLike, beta: ArrayLike, temperature: ArrayLike = 1.0) -> Values:
    r"""The time at which a trajectory chooses its state, $t_S = \tfrac12 \log(N m^{*2} / T)$.

    Args:
        dim: the number of spins, `N`.
        beta: the inverse temperature of the magnet, > 0.
        temperature: T of the process.

    Returns:
        The time, broadcast; NaN where there is one state, or no such time >= 0.

    Raises:
        ValueError: if an argument is not positive.
    """
    for name, value in (("dim", dim), ("temperature", temperature)):
        _positive("magnet_speciation_time", name, value)
    growth = np.asarray(dim, float) * np.square(spontaneous_magnetisation(beta)) / np.asarray(temperature, float)
    return 0.5 * np.log(np.where(growth >= 1, growth, np.nan))


@on_host
def magnet_separation(dim: int, beta: float, t: ArrayLike, temperature: float = 1.0) -> Values:
    r"""Half distance of the two states in units of the noisy magnetisation's deviation, `delta`.

    $$ \delta^2 = \frac{\kappa^2 m^{*2}}{\Delta_t + e^{-2t} \chi}, \qquad \Delta_t = T (1 - e^{-2t}) $$

    so that two clones end in the same state with the probability `agreement(delta, state_weight(beta, field))`.

    Args:
        dim: the number of spins, `N`.
        beta: the inverse temperature of the magnet, above 1.
        t: the times, >= 0.
        temperature: T of the process.

    Returns:
        The separation at each time, to leading order in `N`.

    Raises:
        ValueError: if an argument is out of its range.
    """
    for name, value in (("dim", dim), ("temperature", temperature)):
        _positive("magnet_separation", name, value)
    if not 1 < beta < math.inf:
        raise ValueError(f"`magnet_separation` needs two states, `beta` > 1. Got {beta}. Do lower the temperature.")
    times = np.asarray(t, float)
    if not (times >= 0).all():
        raise ValueError(f"`magnet_separation` needs times `t` >= 0. Got {np.min(times)}. Check the sign.")
    noise = temperature * np.expm1(2 * times) + state_susceptibility(beta)
    return math.sqrt(dim) * spontaneous_magnetisation(beta) / np.sqrt(noise)


@on_host
def magnetisation_potential(
    mu: ArrayLike, kappa: ArrayLike, beta: float, field: float = 0.0, temperature: float = 1.0
) -> Values:
    r"""The potential in which the magnetisation of a trajectory moves, as `t` decreases; zero at `mu = 0`.

    $$ V(\mu) = \tfrac12 \mu^2 - 2 T \log \frac{\cosh(h m^* + \kappa m^* \mu / T)}{\cosh h m^*} $$

    For $\kappa \ll 1$ it is one parabola about $2 m^* \kappa \tanh h m^*$; for $\kappa \gg 1$ two wells,
    $\tfrac12 \mu^2 - 2 m^* \kappa |\mu|$: the state is chosen between, with the weights that the first gives it.

    Args:
        mu: the magnetisation over the square root of the number of spins, `sum x / sqrt(N)`.
        kappa: the strength of the signal, `sqrt(N) exp(-t)`.
        beta: the inverse temperature of the magnet, > 0.
        field: `h`.
        temperature: T of the process.

    Returns:
        The potential, broadcast, to leading order in `N` at fixed `kappa`.

    Raises:
        ValueError: if `beta` or `temperature` is not positive.

    Reference:
        Biroli and Mezard (2023); there the shift of the first regime lacks the factor 2 and has a factor 1 / T,
        which the second regime, and the weights of the states, contradict.
    """
    at, zero, _ = _local_fields(mu, kappa, beta, field, temperature)
    log_ratio = np.logaddexp(at, -at) - np.logaddexp(zero, -zero)
    return 0.5 * np.square(np.asarray(mu, float)) - 2 * temperature * log_ratio


@on_host
def magnetisation_drift(
    mu: ArrayLike, kappa: ArrayLike, beta: float, field: float = 0.0, temperature: float = 1.0
) -> Values:
    r"""The velocity of the magnetisation of a reverse trajectory, minus the slope of `magnetisation_potential`.

    $$ -d\mu = \big[-\mu + 2 \kappa m^* \tanh(h m^* + \kappa m^* \mu / T)\big] dt + \sqrt{2T}\, dW $$

    Args:
        mu: the magnetisation over the square root of the number of spins, `sum x / sqrt(N)`.
        kappa: the strength of the signal, `sqrt(N) exp(-t)`.
        beta: the inverse temperature of the magnet, > 0.
        field: `h`.
        temperature: T of the process.

    Returns:
        The velocity in decreasing time, broadcast.

    Raises:
        ValueError: if `beta` or `temperature` is not positive.
    """
    at, _, m = _local_fields(mu, kappa, beta, field, temperature)
    return -np.asarray(mu, float) + 2 * np.asarray(kappa, float) * m * np.tanh(at)


def _local_fields(mu: ArrayLike, kappa: ArrayLike, beta: float, field: float, temperature: float):
    """Half the log-odds of the two states at a magnetisation and at none; and `m*`."""
    _positive("magnetisation_potential", "temperature", temperature)
    m = spontaneous_magnetisation(beta)
    zero = field * m
    return zero + np.asarray(kappa, float) * m * np.asarray(mu, float) / temperature, zero, m


def _positive(function: str, name: str, value: ArrayLike) -> None:
    values = np.asarray(value, float)
    if not ((values > 0) & np.isfinite(values)).all():
        raise ValueError(f"`{function}` needs finite `{name}` > 0. Got {value}. Check its sign and its unit.")
