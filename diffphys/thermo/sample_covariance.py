r"""The sample covariance of Gaussian data: its spectrum, its distance to the truth, and how its eigenvectors mix.

`N` coordinates, `P` data of covariance $C_0$ and known mean 0, $\hat C = \frac1P \sum a a^\top$, $q = N / P$.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.special import digamma, erf

from .._root import root
from ._host import on_host
from ._types import ArrayLike, Values


class SpectralLaw(NamedTuple):
    """The law of the eigenvalues of a sample covariance in the limit N, P -> infinity at fixed N / P.

    Attributes:
        density: of the eigenvalues above 0, at each point asked for.
        zeros: the part of the eigenvalues that are 0: `max(0, 1 - P / N)` for a C_0 of full rank.
    """

    density: Float[np.ndarray, " points"]
    zeros: float


@on_host
def marchenko_pastur_edges(q: float, variance: float = 1.0) -> tuple[float, float]:
    r"""Ends of the spectrum of a sample covariance of isotropic data, $\sigma^2 (1 \pm \sqrt q)^2$.

    Args:
        q: coordinates a datum, N / P > 0.
        variance: of each coordinate.

    Raises:
        ValueError: if `q` is not positive.
    """
    _check_ratio("marchenko_pastur_edges", q)
    return variance * (1 - np.sqrt(q)) ** 2, variance * (1 + np.sqrt(q)) ** 2


@on_host
def spectral_law(points: ArrayLike, spectrum: ArrayLike, q: float) -> SpectralLaw:
    r"""The density of the eigenvalues of a sample covariance, for any spectrum of the true one.

    Silverstein's equation for the Stieltjes transform $m$ of the companion (P x P) law,

    $$ z = -\frac1m + q\, \Big\langle \frac{\lambda}{1 + \lambda m} \Big\rangle_\lambda, \qquad
       \rho(x) = \frac{\mathrm{Im}\, m(x + i0)}{\pi q}, $$

    is a polynomial in m; of its roots one at most has a positive imaginary part, and the density is that.

    Args:
        points: the eigenvalues x > 0 to evaluate at.
        spectrum: the eigenvalues of $C_0$, each of the same weight.
        q: coordinates a datum, N / P > 0.

    Returns:
        The density of the nonzero eigenvalues and the part that are zero.

    Raises:
        ValueError: if `q` or a point is not positive, or an eigenvalue is negative.

    Reference:
        Silverstein and Choi, "Analysis of the limiting spectral distribution of large dimensional random matrices"
        (1995), eq. 1.4. Equal eigenvalues: Marchenko and Pastur (1967).
    """
    _check_ratio("spectral_law", q)
    values = _eigenvalues("spectral_law", spectrum)
    x = np.asarray(points, float)
    if not (x > 0).all():
        raise ValueError(f"`spectral_law` needs `points` > 0. Got {x.min()}. The zeros are counted apart.")
    distinct, counts = np.unique(values[values > 0], return_counts=True)
    parts = counts / len(values)
    m = _companion(x.ravel(), distinct, parts, q)
    zeros = max(1 - float(parts.sum()), 1 - 1 / q, 0.0)
    return SpectralLaw(np.maximum(np.imag(m), 0.0).reshape(x.shape) / (np.pi * q), zeros)


def _companion(x: np.ndarray, values: np.ndarray, parts: np.ndarray, q: float) -> np.ndarray:
    """The Stieltjes transform just above the real axis: Newton, led down from far above it."""
    heights = values.max() * 2.0 ** -np.arange(0, 46)
    m = -1 / (x + 1j * 16 * values.max())
    for height in np.append(8 * heights[0], heights):
        z = x + 1j * height
        for _ in range(60):
            bend = 1 + m[:, None] * values
            residual = -1 / m + q * (parts * values / bend).sum(1) - z
            slope = 1 / m**2 - q * (parts * (values / bend) ** 2).sum(1)
            move = residual / slope
            # Newton must stay in the upper half plane, where the transform is the only solution.
            trial = m - move
            lost = trial.imag <= 0
            # The equation solved for its 1/m is a contraction there: slow, but it never leaves.
            fixed = -1 / (z - q * (parts * values / bend).sum(1))
            m = np.where(lost, 0.5 * (m + fixed), trial)
            if np.all(np.abs(move) <= 1e-13 * np.abs(m)):
                break
    return m


@on_host
def mean_root_eigenvalue(spectrum: ArrayLike, q: float) -> float:
    r"""$\lim \frac1N E\, \mathrm{tr}\, \hat C^{1/2}$ for any spectrum of the true covariance.

    With $\sqrt\lambda = \frac1\pi \int_0^\infty \frac{\lambda}{\lambda + u} \frac{du}{\sqrt u}$ and, on the negative
    axis, $\langle \hat\lambda / (\hat\lambda + u) \rangle = \langle \lambda / (\lambda + \kappa) \rangle$ with
    $u = \kappa\,(1 - q \langle \lambda / (\lambda + \kappa) \rangle)$: an integral over $\kappa$.

    Args:
        spectrum: the eigenvalues of $C_0$, each of the same weight.
        q: coordinates a datum, N / P > 0.

    Returns:
        The mean, zero eigenvalues included.

    Raises:
        ValueError: if `q` is not positive, or an eigenvalue is negative.
    """
    _check_ratio("mean_root_eigenvalue", q)
    values = _eigenvalues("mean_root_eigenvalue", spectrum)

    # In units of the largest, so that no power of it overflows.
    top = float(values.max())
    positive = values[values > 0] / top
    part = len(positive) / len(values)

    def filled(kappa: float) -> float:
        return part * float(np.mean(positive / (positive + kappa)))

    least = root(lambda kappa: 1 - q * filled(kappa), 1e-300, q) if q * part > 1 else 0.0

    def integrand(r: float) -> float:
        # kappa = least + e^{2r}, so that the root of u at its least kappa is smooth.
        kappa = least + np.exp(2 * r)
        # u / (kappa - least) and du / dkappa: differences of numbers near 1, taken apart before they are summed.
        if least > 0:
            over = kappa * q * part * float(np.mean(positive / ((positive + kappa) * (positive + least))))
        else:
            over = 1 - q * part + q * part * float(np.mean(kappa / (positive + kappa)))
        growth = 1 - q * part + q * part * float(np.mean(kappa * (2 * positive + kappa) / (positive + kappa) ** 2))
        return 2 * np.exp(r) * filled(kappa) * growth / np.sqrt(over)

    area = sum(
        quad(integrand, low, high, epsabs=1e-13, epsrel=1e-12, limit=500)[0]
        for low, high in ((-40, -8), (-8, 0), (0, 8), (8, 40))
    )
    return float(np.sqrt(top)) * area / np.pi


@on_host
def expected_wasserstein(spectrum: ArrayLike, q: float) -> float:
    r"""$W_2^2 / N$ between $\mathcal N(0, \hat C)$ and $\mathcal N(0, C_0)$ as N, P -> infinity at fixed q = N / P.

    $$ \frac{W_2^2}N \to 2 \langle\lambda\rangle - \frac2N E\,\mathrm{tr}\,(C_0^{1/2} \hat C C_0^{1/2})^{1/2}, $$

    and $C_0^{1/2} \hat C C_0^{1/2}$ is a sample covariance of data of covariance $C_0^2$. For small q this is
    $\frac q2 \langle \lambda \lambda' / (\lambda + \lambda') \rangle$: q / 4 for the identity.

    Args:
        spectrum: the eigenvalues of $C_0$.
        q: coordinates a datum, N / P > 0.

    Raises:
        ValueError: if `q` is not positive, or an eigenvalue is negative.
    """
    values = _eigenvalues("expected_wasserstein", spectrum)
    return 2 * float(values.mean()) - 2 * mean_root_eigenvalue(values**2, q)


@on_host
def expected_kullback_leibler(dim: int, count: int) -> float:
    r"""$E\,\mathrm{KL}(\mathcal N(0, \hat C) \| \mathcal N(0, C_0))$, exact at any N <= P and for any $C_0$.

    $$ -\tfrac12 \Big[\sum_{i<N} \psi\big(\tfrac{P - i}2\big) + N \log \tfrac2P\Big] \simeq \frac{N (N + 1)}{4 P} $$

    Args:
        dim: N.
        count: the number P of data.

    Returns:
        The relative entropy in nats; infinite for P < N, where the estimate is singular.

    Raises:
        ValueError: if a number is below 1.
    """
    if dim < 1 or count < 1:
        raise ValueError(f"`expected_kullback_leibler` needs `dim` >= 1 and `count` >= 1. Got {dim} and {count}.")
    if count < dim:
        return np.inf
    # Each term is small for large P: digamma(x) - log(x) summed, with the logarithms taken together.
    halves = 0.5 * (count - np.arange(dim))
    return float(-0.5 * np.sum((digamma(halves) - np.log(halves)) + np.log1p(-np.arange(dim) / count)))


@on_host
def expected_total_variation(dim: int, count: int) -> float:
    r"""$\mathrm{TV}(\mathcal N(0, \hat C), \mathcal N(0, C_0))$ for large N and P, to `erf(N / 4 sqrt(P))`.

    For many eigenvalue ratios near 1 the log-ratio of the two laws is Gaussian, of mean KL and variance 2 KL, so that

    $$ \mathrm{TV} \simeq \mathrm{erf}\big(\tfrac12 \sqrt{E\,\mathrm{KL}}\big) . $$

    Args:
        dim: N.
        count: the number P of data; 1 for P < N.

    Raises:
        ValueError: if a number is below 1.
    """
    return float(erf(0.5 * np.sqrt(expected_kullback_leibler(dim, count))))


@on_host
def golden_rule_participation(eigenvalue: ArrayLike, density: ArrayLike, count: ArrayLike) -> Values:
    r"""Over how many true eigenvectors an eigenvector of $\hat C$ is spread, in the second regime.

    In the eigenbasis of $C_0$, $\hat C$ has noise of variance $\lambda_i \lambda_j / P$ off its diagonal:
    levels of half-width $\pi \rho \lambda^2 / P$, amplitudes on a Lorentzian with Porter-Thomas fluctuations,

    $$ \frac1{\mathrm{IPR}} \simeq \frac{2 \pi^2}3 \frac{(\rho \lambda)^2}P, \qquad 1 \ll \frac1{\mathrm{IPR}} \ll N. $$

    Args:
        eigenvalue: $\lambda$, where in the spectrum.
        density: $\rho$, eigenvalues of $C_0$ a unit of $\lambda$ there.
        count: the number P of data.

    Returns:
        The participation number; below about 1 the eigenvectors are localised, which this does not know.

    Reference:
        Facoetti, Vivo and Biroli (2016), on the generalised Rosenzweig-Porter model; the golden rule is ours.
    """
    strength = np.asarray(density, float) * np.asarray(eigenvalue, float)
    return (2 * np.pi**2 / 3 * strength**2 / np.asarray(count, float))[()]


@on_host
def participation(vectors: Float[np.ndarray, "N k"]) -> Float[np.ndarray, " k"]:
    """Participation number `1 / sum_i v_i^4` of each unit vector, in columns: from 1, one coordinate, to N."""
    return 1 / np.sum(np.asarray(vectors, float) ** 4, axis=0)


def _check_ratio(function: str, q: float) -> None:
    if not (q > 0 and np.isfinite(q)):
        raise ValueError(f"`{function}` needs `q` = N / P > 0. Got {q}. Pass coordinates over data.")


def _eigenvalues(function: str, spectrum: ArrayLike) -> Float[np.ndarray, " d"]:
    values = np.atleast_1d(np.asarray(spectrum, float))
    if values.ndim != 1 or not (values >= 0).all() or not values.max() > 0:
        raise ValueError(
            f"`{function}` needs the eigenvalues of a covariance: (d,), >= 0, not all 0. Got {values.min()} as the "
            f"least of shape {values.shape}. Diagonalise the covariance first."
        )
    return values
