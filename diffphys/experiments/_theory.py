"""What theory says of a target: its leading eigenvalue, its two Gaussian classes, its critical times."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from .._describe import kind_of
from ..processes import AbstractProcess, Brownian, OrnsteinUhlenbeck
from ..samplers._checks import check_process
from ..targets import AbstractDataSet, AbstractTarget, CurieWeiss, Gaussian, IsotropicMixture, SharedCovarianceMixture
from ..thermo import (
    SpectralTime,
    collapse_variance,
    covariance_spectrum,
    critical_times,
    finite_magnet,
    spectral_time,
    spontaneous_magnetisation,
    state_susceptibility,
)
from ..thermo.row_sums import DataRows, mean_of, products_of, scatter_of

# Draws of a law whose covariance is not known in closed form.
_DRAWS = 4096
# Eigenvalues that are rounding, relative to the largest.
_NULL = 1e-13

Variances = Float[np.ndarray, " times"]


class TwoClasses(NamedTuple):
    """Two Gaussian classes of one covariance: a number, or its eigenvalues in the basis of `half_difference`.

    The basis may leave out directions in which the means agree.
    """

    weight: float
    half_difference: Float[np.ndarray, " directions"]
    covariance: float | np.ndarray


def temperature_of(process: AbstractProcess) -> float:
    """T of an Ornstein-Uhlenbeck bath; 1, that of the unit in which others are compared, for any other process."""
    return float(process.temperature) if isinstance(process, OrnsteinUhlenbeck) else 1.0


def channel_variances(process: AbstractProcess, times: Float[np.ndarray, " times"]) -> Variances:
    """The channel variance v at each time."""
    return np.array([float(process.kernel(float(t)).variance) for t in times])


def time_of_ou(process: AbstractProcess, time: float) -> float:
    """The time of a process at which its channel is that of OU at `time`: the same, for OU."""
    if isinstance(process, OrnsteinUhlenbeck) or not np.isfinite(time):
        return time
    return process.time_of_variance(float(np.expm1(2 * time)))


def two_classes(target: AbstractTarget) -> TwoClasses | None:
    """The two Gaussian classes of a target: its own, or those with the moments of its data; None if it has not two."""
    if isinstance(target, AbstractDataSet):
        if target.num_labels != 2:
            return None
        return _two_classes_of_data(target) if target.num_points >= target.dim else _few_of_two_classes(target)
    if isinstance(target, CurieWeiss):
        return _two_states(target)
    if isinstance(target, IsotropicMixture | SharedCovarianceMixture) and target.num_labels == 2:
        means = np.asarray(target.means, np.float64)
        covariance: float | np.ndarray
        if isinstance(target, IsotropicMixture):
            variances = np.asarray(target.variances, np.float64)
            if variances[0] != variances[1]:
                return None
            covariance = float(variances[0])
        else:
            covariance = np.asarray(target.eigenvalues, np.float64)
            means = means if target.basis is None else means @ np.asarray(target.basis, np.float64)
        return TwoClasses(float(target.label_weights[0]), 0.5 * (means[0] - means[1]), covariance)
    return None


def _two_classes_of_data(data: AbstractDataSet) -> TwoClasses:
    """Two Gaussian classes with the moments of data, from their scatter."""
    groups = [class_rows(data, k) for k in (0, 1)]
    means = [mean_of(group) for group in groups]
    scatter = sum(scatter_of(group, mean) for group, mean in zip(groups, means, strict=True))
    # Diagonalised here once: each function of the two classes would do it again.
    values, vectors = np.linalg.eigh(scatter / data.num_points)
    values = np.where(values > _NULL * values.max(), values, 0.0)
    return TwoClasses(groups[0].shape[0] / data.num_points, 0.5 * (means[0] - means[1]) @ vectors, values)


def _few_of_two_classes(data: AbstractDataSet) -> TwoClasses:
    """The same from their inner products G, where there are fewer data than dimensions.

    With w the weights that make of the data half the difference of their means m, $|m|^2 = w^T G w$, and centred data
    C have $C m = P G w$ and $C C^T = P G P$, P taking out the mean of each class. What of m lies outside their span is
    one direction more, of no variance.
    """
    rows, n = DataRows.of(data), data.num_points
    gram = products_of(rows, mean_of(rows))
    member = np.asarray(data.labels)[None, :] == np.arange(2)[:, None]
    shares = member / member.sum(1, keepdims=True)
    half = 0.5 * (shares[0] - shares[1])
    centring = np.eye(n) - member.T.astype(float) @ shares
    values, vectors = np.linalg.eigh(centring @ gram @ centring.T / n)
    spanned = values > _NULL * max(values.max(), np.trace(gram) / n)
    within = (centring @ gram @ half) @ vectors[:, spanned] / np.sqrt(n * values[spanned])
    outside = np.sqrt(max(half @ gram @ half - within @ within, 0.0))
    return TwoClasses(float(member[0].mean()), np.append(within, outside), np.append(values[spanned], 0.0))


def origin_times(target: AbstractTarget, process: AbstractProcess) -> dict[str, float]:
    r"""Where the origin between two alike classes $\pm m$ turns unstable: in the score, and in the reverse drift.

    `score_zero_time` is where the slope of the score along m changes sign, $v = |m|^2 - \sigma^2$ in any process.
    `drift_time` is where that of the reverse drift does: of $x + 2T s$ for an Ornstein-Uhlenbeck bath; for a Brownian
    process, whose own drift is 0, of the score again. Other processes have none here: in phase space the drift is not
    a function of the position alone. The origin is the place only for isotropic classes of one variance and weight
    with their centre there: other targets have neither time.
    """
    if not isinstance(target, IsotropicMixture) or target.num_labels != 2:
        return {}
    means, variances = np.asarray(target.means, np.float64), np.asarray(target.variances, np.float64)
    scale = np.abs(means).max()
    alike = abs(float(target.label_weights[0]) - 0.5) < 1e-6 and variances[0] == variances[1]
    if not alike or np.abs(means.sum(0)).max() > 1e-6 * scale:
        return {}
    temperature = temperature_of(process)
    found = critical_times(float(means[0] @ means[0]), variances[0], temperature)
    times = {"score_zero_time": time_of_ou(process, float(found.score_zero))}
    if isinstance(process, OrnsteinUhlenbeck):
        times["drift_time"] = float(found.drift)
    elif isinstance(process, Brownian):
        times["drift_time"] = times["score_zero_time"]
    return times


def _two_states(magnet: CurieWeiss) -> TwoClasses | None:
    """The two pure states of a magnet as Gaussian classes; along the first axis all spins are equal."""
    if magnet.beta <= 1:
        return None
    m = float(spontaneous_magnetisation(magnet.beta))
    half = np.zeros(magnet.dim)
    half[0] = np.sqrt(magnet.dim) * m
    within = np.full(magnet.dim, 1 - m**2)
    within[0] = state_susceptibility(magnet.beta)
    return TwoClasses(float(magnet.label_weights[0]), half, within)


def between_classes(
    target: IsotropicMixture | SharedCovarianceMixture,
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "k d"]]:
    """The mean of a mixture, and S, its class means about it times the roots of their weights: S' S is their spread."""
    weights, means = np.asarray(target.label_weights, np.float64), np.asarray(target.means, np.float64)
    mean = weights @ means
    return mean, np.sqrt(weights)[:, None] * (means - mean)


def _within_variance(target: IsotropicMixture) -> float:
    """The variance within a class in any direction, averaged over the classes."""
    return float(np.asarray(target.label_weights, np.float64) @ np.asarray(target.variances, np.float64))


def within_covariance(target: IsotropicMixture | SharedCovarianceMixture) -> Float[np.ndarray, "d d"]:
    """The covariance within a class, averaged over the classes."""
    if isinstance(target, IsotropicMixture):
        return _within_variance(target) * np.eye(target.dim)
    spectrum = np.asarray(target.eigenvalues, np.float64)
    if target.basis is None:
        return np.diag(spectrum)
    basis = np.asarray(target.basis, np.float64)
    return basis * spectrum @ basis.T


def class_rows(target: AbstractDataSet, label: int) -> DataRows:
    """The data of one class."""
    return DataRows(target, np.flatnonzero(np.asarray(target.labels) == label))


_last: tuple[Callable[[], Any], SpectralTime] | None = None


def _spectral_of_data(data: AbstractDataSet) -> SpectralTime:
    """The spectral time at temperature 1, remembered for the data set last asked about.

    It takes n d^2 and d^3 operations, and is wanted for the times, for either transition and under its name.
    """
    global _last
    if _last is None or _last[0]() is not data:
        _last = weakref.ref(data), spectral_time(DataRows.of(data))
    return _last[1]


def spectrum_of(target: AbstractTarget) -> Float[np.ndarray, " d"]:
    """All d eigenvalues of the covariance, descending; zeros included."""
    if isinstance(target, AbstractDataSet):
        values = _spectral_of_data(target).spectrum
        return np.pad(values, (0, target.dim - len(values)))
    if isinstance(target, Gaussian):
        return np.sort(np.asarray(target.eigenvalues, np.float64))[::-1]
    if isinstance(target, IsotropicMixture):
        spread = between_classes(target)[1]
        between = np.clip(np.linalg.eigvalsh(spread @ spread.T)[::-1], 0, None)[: target.dim]
        return np.pad(between, (0, target.dim - len(between))) + _within_variance(target)
    if isinstance(target, SharedCovarianceMixture):
        spread = between_classes(target)[1]
        return np.linalg.eigvalsh(within_covariance(target) + spread.T @ spread)[::-1]
    if isinstance(target, CurieWeiss):
        found = finite_magnet(target.dim, target.beta, target.field)
        top = found.mean_square - target.dim * found.mean**2
        # All directions but that of equal spins are alike; the trace is that of spins of square 1.
        rest = (target.dim * (1 - found.mean**2) - top) / max(1, target.dim - 1)
        return np.sort(np.append(np.full(target.dim - 1, rest), top))[::-1]
    values = covariance_spectrum(draws_of(target))
    return np.pad(values, (0, target.dim - len(values)))


def draws_of(target: AbstractTarget) -> Float[np.ndarray, "n d"]:
    """Draws of a law whose covariance is not known in closed form, the same ones always."""
    keys = jax.random.split(jax.random.key(0), _DRAWS)
    return np.asarray(jax.jit(jax.vmap(target.sample))(keys), np.float64)


def spectral(target: AbstractTarget, temperature: float) -> SpectralTime:
    """The spectral time: of the data (or of draws of a law) with its interval, or of the population."""
    if isinstance(target, AbstractDataSet):
        return _spectral_of_data(target).at(temperature)
    if not isinstance(target, CurieWeiss | Gaussian | IsotropicMixture | SharedCovarianceMixture):
        return spectral_time(draws_of(target), temperature=temperature)
    spectrum = spectrum_of(target)
    top, undefined = float(spectrum[0]), float("nan")
    return SpectralTime(top, top, top, undefined, undefined, undefined, top, spectrum).at(temperature)


def within_spectrum(law: AbstractTarget) -> Float[np.ndarray, " d"]:
    """The eigenvalues of the covariance within a class of a model, averaged over its classes."""
    if isinstance(law, IsotropicMixture):
        return np.full(law.dim, _within_variance(law))
    if isinstance(law, SharedCovarianceMixture):
        return np.sort(np.asarray(law.eigenvalues, np.float64))[::-1]
    return spectrum_of(law)


def default_times(target: AbstractTarget, process: AbstractProcess, number: int = 40) -> Float[np.ndarray, " number"]:
    """Times that show both transitions: from well below the collapse or the classes to well above speciation.

    They increase, evenly spaced in the root of the Ornstein-Uhlenbeck time, so that they are denser near the data. The
    last is where e^{2t} = 80 Lambda / T, with Lambda the largest eigenvalue of the covariance. The first is, for a data
    set, at a tenth of the noise variance of its collapse, or at 0.3 of the last time if that is less; for a model, at a
    fiftieth of the last time.

    Args:
        target: the target of the experiment.
        process: whose times they are.
        number: how many.

    Returns:
        The times, to be passed to `speciation`, `collapse` or `regimes`.

    Raises:
        ValueError: if `number` is below 1, or for what is no target or no process.
    """
    check_process("default_times", process)
    if not isinstance(target, AbstractTarget):
        raise ValueError(
            f"`default_times` needs a target. Got {kind_of(target)}. Make one of data by `Empirical(points, labels)`."
        )
    if number < 1:
        raise ValueError(f"`number` needs at least one time. Got {number}.")
    spectrum, temperature = spectrum_of(target), temperature_of(process)
    high = 0.5 * np.log(80 * max(spectrum[0], temperature) / temperature)
    low = 0.02 * high
    if isinstance(target, AbstractDataSet) and target.num_points > 1:
        low = min(0.3 * high, 0.5 * np.log1p(0.1 * float(collapse_variance(target.num_points, spectrum)) / temperature))
    return np.array([time_of_ou(process, float(t)) for t in np.linspace(low**0.5, high**0.5, number) ** 2])
