r"""Linear scores `-W x` estimated from data, and the covariance that they generate.

Data $a \sim \mathcal N(0, C_0)$ in N dimensions, P of them, noised as $x = e^{-t} a + \sqrt{\Delta_t}\,\varepsilon$;
the true score is $-W x$ with $W = (\Delta_t + e^{-2t} C_0)^{-1}$. All on the host, in float64.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._host import on_host
from ._types import ArrayLike, Values

Matrix = Float[np.ndarray, "N N"]


class SecondMoments(NamedTuple):
    """All that a linear score learns from P data `a` and one noise `e` for each: their second moments about 0.

    Attributes:
        data: the mean of `a a'`.
        mixed: the mean of `a e'`.
        noise: the mean of `e e'`.
        count: P.
    """

    data: Matrix
    mixed: Matrix
    noise: Matrix
    count: int

    def at(self, keep: float, spread: float) -> tuple[Matrix, Matrix]:
        """D, the mean of `x x'`, and B, that of `a x'`, of the noised data `x = keep a + sqrt(spread) e`."""
        cross = keep * np.sqrt(spread) * self.mixed
        noisy = keep**2 * self.data + cross + cross.T + spread * self.noise
        return noisy, keep * self.data + np.sqrt(spread) * self.mixed


Estimator = Callable[[SecondMoments, float, float], Matrix]
"""`estimator(moments, t, temperature) -> W`, as those below."""


@on_host
def second_moments(points: Float[np.ndarray, "P N"], noise: Float[np.ndarray, "P N"]) -> SecondMoments:
    """The second moments of data and of one standard normal noise a datum.

    Args:
        points: the data, of mean 0, a row each.
        noise: as many standard normal numbers.

    Raises:
        ValueError: if the shapes differ.
    """
    points, noise = np.asarray(points), np.asarray(noise)
    if points.shape != noise.shape:
        raise ValueError(f"`second_moments` needs one `noise` a datum, of shape {points.shape}. Got {noise.shape}.")
    count = len(points)
    return SecondMoments(points.T @ points / count, points.T @ noise / count, noise.T @ noise / count, count)


def draw_second_moments(rng: np.random.Generator, spectrum: ArrayLike, count: int) -> SecondMoments:
    """Second moments of `count` data of a diagonal covariance, from their Wishart law: in a time not growing with P.

    Args:
        rng: the source of randomness.
        spectrum: the eigenvalues of the covariance, (N,).
        count: the number P of data, below 2N too.
    """
    scale = np.sqrt(np.append(np.asarray(spectrum, float), np.ones(np.size(spectrum))))
    if count < len(scale):
        rows = rng.normal(size=(count, len(scale))) * scale
        joint = rows.T @ rows / count
    else:
        # Bartlett: the triangular factor of a Wishart matrix has independent entries.
        factor = np.tril(rng.normal(size=(len(scale),) * 2), -1)
        factor[np.diag_indices_from(factor)] = np.sqrt(rng.chisquare(count - np.arange(len(scale))))
        factor *= scale[:, None]
        joint = factor @ factor.T / count
    half = len(scale) // 2
    return SecondMoments(joint[:half, :half], joint[:half, half:], joint[half:, half:], count)


@on_host
def exact_precision(covariance: Matrix, t: float, temperature: float = 1.0) -> Matrix:
    r"""W of the true score, $(\Delta_t + e^{-2t} C_0)^{-1}$, of a covariance.

    Args:
        covariance: $C_0$.
        t: diffusion time, > 0.
        temperature: T of the Ornstein-Uhlenbeck bath.

    Raises:
        ValueError: if `t` or `temperature` is not positive.
    """
    keep, spread = _channel(t, temperature)
    return np.linalg.inv(spread * np.eye(len(covariance)) + keep**2 * np.asarray(covariance, float))


@on_host
def averaged(moments: SecondMoments, t: float, temperature: float = 1.0) -> Matrix:
    r"""W of the minimiser over infinitely many noises a datum, $(\Delta_t + e^{-2t} \hat C)^{-1}$; for P < N too.

    This is the score that training for ever finds. The other estimators see one noise a datum.

    Args:
        moments: of the data, whose mean is known to be 0.
        t: diffusion time, > 0.
        temperature: T of the Ornstein-Uhlenbeck bath.

    Raises:
        ValueError: if `t` or `temperature` is not positive.
    """
    return exact_precision(moments.data, t, temperature)


@on_host
def unconstrained(moments: SecondMoments, t: float, temperature: float = 1.0) -> Matrix:
    r"""W of the least squares of denoising score matching with one noise a datum.

    $$ W = \tfrac1\Delta (1 - e^{-t} B D^{-1}), \qquad D = \tfrac1P \sum x x^\top, \quad B = \tfrac1P \sum a x^\top $$

    Unbiased, not symmetric; its error is `unconstrained_error` exactly.

    Args:
        moments: of more than N data and their noises.
        t: diffusion time, > 0.
        temperature: T of the Ornstein-Uhlenbeck bath.

    Raises:
        ValueError: if there are no more data than coordinates, or a number is not positive.
    """
    keep, spread = _channel(t, temperature)
    noisy, mixed = _regular("unconstrained", moments, keep, spread)
    return (np.eye(len(noisy)) - keep * np.linalg.solve(noisy, mixed.T).T) / spread


@on_host
def symmetric(moments: SecondMoments, t: float, temperature: float = 1.0) -> Matrix:
    r"""W of the same least squares among symmetric matrices, those of a score that is a gradient.

    $$ W D + D W = \tfrac2\Delta (D - e^{-t} M), \qquad M = \tfrac12 (B + B^\top) $$

    Args and errors are those of `unconstrained`.
    """
    keep, spread = _channel(t, temperature)
    noisy, mixed = _regular("symmetric", moments, keep, spread)
    values, basis = np.linalg.eigh(noisy)
    # Lyapunov's equation along the eigenvectors of D.
    pull = basis.T @ (2 * noisy - keep * (mixed + mixed.T)) @ basis / spread
    return basis @ (pull / (values[:, None] + values)) @ basis.T


@on_host
def commuting(moments: SecondMoments, t: float, temperature: float = 1.0) -> Matrix:
    r"""W as written in Biroli's talk, $\frac1\Delta (1 - e^{-t} D^{-1} M)$: right only if D and M commute.

    The minimiser of neither least squares, and not symmetric, but with the same limit for many data.

    Args and errors are those of `unconstrained`.
    """
    keep, spread = _channel(t, temperature)
    noisy, mixed = _regular("commuting", moments, keep, spread)
    return (np.eye(len(noisy)) - 0.5 * keep * np.linalg.solve(noisy, mixed + mixed.T)) / spread


@on_host
def unconstrained_error(spectrum: ArrayLike, count: int, t: float, temperature: float = 1.0) -> float:
    r"""$E \|W - W_{true}\|_F^2$ of the unconstrained estimator, exact.

    $$ \frac{e^{-2t}}{\Delta^2}\, \frac{\mathrm{tr}(C_0 \Delta C_t^{-1})\, \mathrm{tr}(C_t^{-1})}{P - N - 1} $$

    Args:
        spectrum: the eigenvalues of $C_0$.
        count: the number P of data; infinite expectation up to N + 1.
        t: diffusion time, > 0.
        temperature: T of the bath.

    Returns:
        The squared error; infinite for P <= N + 1.
    """
    values = np.atleast_1d(np.asarray(spectrum, float))
    keep, spread = _channel(t, temperature)
    if count <= len(values) + 1:
        return np.inf
    noisy = spread + keep**2 * values
    return float(bayes_loss(values, t, temperature) * np.sum(1 / noisy) / (count - len(values) - 1))


@on_host
def bayes_loss(spectrum: ArrayLike, t: float, temperature: float = 1.0) -> float:
    r"""Least value of the score-matching loss $E |S + (x - e^{-t} a) / \Delta|^2$, summed over coordinates.

    $$ \frac{e^{-2t}}{\Delta^2} \mathrm{tr}(C_0 \Delta C_t^{-1}) $$

    The loss of the unconstrained fit on its own data is this times `1 - N / P`, in expectation.

    Args:
        spectrum: the eigenvalues of $C_0$.
        t: diffusion time, > 0.
        temperature: T of the bath.
    """
    values = np.atleast_1d(np.asarray(spectrum, float))
    keep, spread = _channel(t, temperature)
    return float(keep**2 / spread * np.sum(values / (spread + keep**2 * values)))


@on_host
def generated_spectrum(spectrum: ArrayLike, t_max: float, temperature: float = 1.0) -> Values:
    r"""What the reverse diffusion makes of the exact score of each eigenvalue, from $\mathcal N(0, T)$ at `t_max`.

    $$ c_{DM} = c + (T - c_{t_f}) \Big(\frac{c\, e^{-t_f}}{c_{t_f}}\Big)^2, \qquad c_t = \Delta_t + e^{-2t} c $$

    For the eigenvalues of $\hat C$ it is that of the averaged estimator: the model generates $\hat C$ in the end.

    Args:
        spectrum: eigenvalues, of any shape.
        t_max: where the reverse diffusion starts, > 0.
        temperature: T of the bath.
    """
    c = np.asarray(spectrum, float)
    keep, spread = _channel(t_max, temperature)
    noisy = spread + keep**2 * c
    return (c + keep**2 * (temperature - c) * (c * keep / noisy) ** 2)[()]


@on_host
def generated_covariance(
    precision: Callable[[float], Matrix], ts: Float[np.ndarray, " n"], temperature: float = 1.0
) -> Matrix:
    r"""The covariance that a linear score generates, by the equation it obeys: no sample is drawn.

    $$ -\dot C = A C + C A^\top + 2T, \qquad A = 1 - 2 T W(t), \qquad C(t_f) = T $$

    Each step is the exact map of the implicit midpoint rule, which keeps C positive; the error falls as the square of
    the steps. The grid should be fine where W changes, at small times: `clocks.log_snr_grid`.

    Args:
        precision: `W(t)`, (N, N), symmetric or not.
        ts: decreasing times, from t_f down to a time above 0.
        temperature: T of the bath.

    Returns:
        The covariance at the last time.

    Raises:
        ValueError: if the times do not decrease, or reach 0.

    Reference:
        Biroli, Mezard, "Generative diffusion in very large dimensions" (2023), for the linear score; the equation
        of the covariance is ours.
    """
    ts = np.asarray(ts, float)
    if ts.ndim != 1 or len(ts) < 2 or not (np.diff(ts) < 0).all() or not ts[-1] > 0:
        raise ValueError(f"`generated_covariance` needs decreasing times `ts` above 0. Got {ts}. Do reverse the grid.")
    covariance = None
    for t, s in itertools.pairwise(ts):
        found = precision(float(np.sqrt(t * s)))
        identity = np.eye(len(found))
        covariance = temperature * identity if covariance is None else covariance
        half = 0.5 * (t - s) * (identity - 2 * temperature * found)
        inverse = np.linalg.inv(identity - half)
        carried = inverse @ (identity + half)
        covariance = carried @ covariance @ carried.T + 2 * temperature * (t - s) * inverse @ inverse.T
    assert covariance is not None
    return covariance


def _channel(t: float, temperature: float) -> tuple[float, float]:
    """e^{-t} and Delta_t."""
    if not (t > 0 and temperature > 0):
        raise ValueError(f"A linear score needs `t` > 0 and `temperature` > 0. Got {t} and {temperature}.")
    return float(np.exp(-t)), float(-temperature * np.expm1(-2 * t))


def _regular(name: str, moments: SecondMoments, keep: float, spread: float) -> tuple[Matrix, Matrix]:
    """D and B, of enough data for D to have an inverse."""
    if moments.count <= len(moments.data):
        raise ValueError(
            f"`{name}` needs more data than the {len(moments.data)} coordinates, else its least squares has no one "
            f"solution. Got {moments.count}. Use `averaged`."
        )
    return moments.at(keep, spread)
