r"""The random energy model of a data set: the free energy of all data but the one that a sample came from."""

from typing import NamedTuple

import numpy as np

from .._root import root
from ._host import on_host
from ._types import ArrayLike, Values


class RandomEnergy(NamedTuple):
    """The random energy model of all data points but the generating one.

    Attributes:
        psi: free energy per coordinate, the limit of `log(sum of the other weights) / d`; -1/2 at collapse, where it
            equals that of the generating point.
        lambda_c: the condensation exponent: 1 in the liquid phase; below 1 once a few other points dominate.
    """

    psi: Values
    lambda_c: Values


@on_host
def random_energy(log_n: float, spectrum: ArrayLike, variance: ArrayLike) -> RandomEnergy:
    r"""Free energy and condensation exponent of Gaussian data of any covariance.

    The other points have the weights `exp(-|y - a|^2 / 2v)`, whose moments grow as `e^{d zeta(lambda)}`,

    $$ \zeta(\lambda) = \frac1d \sum_i \Big[ -\tfrac12 \log(1 + \lambda s_i)
       - \frac\lambda2 \frac{1 + s_i}{1 + \lambda s_i} \Big], \qquad s_i = \lambda_i / v. $$

    Liquid, while the excess entropy is positive: `psi = alpha + zeta(1)` with `alpha = log_n / d`. Frozen below:
    `psi = zeta'(lambda_c)` with `alpha + zeta(lambda_c) = lambda_c zeta'(lambda_c)`. The transition is the collapse.

    Args:
        log_n: logarithm of the number of data points, > 0.
        spectrum: all d eigenvalues of their covariance; one of them, with `log_n = alpha`, for isotropic data.
        variance: the noise variances v, > 0, of any shape.

    Returns:
        `psi` and `lambda_c`, of the shape of `variance`.

    Raises:
        ValueError: if `log_n` or a variance is not positive, or an eigenvalue is negative.
    """
    eigenvalues, noise = np.atleast_1d(np.asarray(spectrum, float)), np.asarray(variance, float)
    if not (log_n > 0 and (noise > 0).all() and (eigenvalues >= 0).all()):
        raise ValueError(
            "`random_energy` needs `log_n` > 0, `variance` > 0 and `spectrum` >= 0. "
            f"Got {log_n}, least {noise.min()} and {eigenvalues.min()}."
        )
    alpha = log_n / eigenvalues.size
    pairs = [_condensed(alpha, eigenvalues / value) for value in noise.ravel()]
    psi, exponent = (np.reshape(part, noise.shape)[()] for part in zip(*pairs, strict=True))
    return RandomEnergy(psi, exponent)


def _condensed(alpha: float, s: np.ndarray) -> tuple[float, float]:
    """The free energy and the exponent at one noise."""
    if alpha >= 0.5 * np.log1p(s).mean():
        return float(alpha - 0.5 * np.log1p(s).mean() - 0.5), 1.0

    def slope(exponent: float) -> float:
        scale = 1 + exponent * s
        return float(-0.5 * np.mean(s / scale + (1 + s) / scale**2))

    def entropy(exponent: float) -> float:
        """Alpha + zeta - lambda zeta': what is left of the entropy of the points."""
        scale = 1 + exponent * s
        return float(alpha + np.mean(0.5 * exponent * s * ((1 - exponent) / scale**2) - 0.5 * np.log1p(exponent * s)))

    found = root(entropy, 0.0, 1.0)
    return slope(found), found
