r"""What variance reduction gives, for two Gaussian classes by quadrature.

With $s$ the observation along the axis of the classes, in units of its spread, classes at $\pm\delta$ and l the
log-odds of their weights, the agreement given an observation is

$$ f(s) = \sum_k P(k|y)^2 = \tfrac12 \big(1 + \tanh^2(\delta s + l / 2)\big), \qquad s = \pm\delta + n. $$

Every factor is a variance at equal work over that of independent draws.
"""

import numpy as np
from scipy.stats import binom

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(200)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class TwoClassVariances:
    """The moments of f, given a class and over both.

    Args:
        weight: that of the first class.
        separation: delta; 1 at the crossing of phi with its threshold.
        noise_share: the part of the variance of s that is noise; the rest is the width of a class.
    """

    def __init__(self, weight: float, separation: float, noise_share: float):
        self.weights = np.array([weight, 1 - weight])
        within = np.sqrt(1 - noise_share) * _NODES[:, None]
        noise = np.sqrt(noise_share) * _NODES[None]
        self._grid = _WEIGHTS[:, None] * _WEIGHTS[None]
        self._odds = [
            2 * (separation * (sign * separation + within + noise) + 0.5 * np.log(weight / (1 - weight)))
            for sign in (1, -1)
        ]
        values = [_agreement(odds) for odds in self._odds]
        means = np.array([self._mean(value) for value in values])
        # Along the noise the nodes are symmetric: the mirror is the other end.
        mirrored = np.array([self._mean(value * value[:, ::-1]) for value in values])
        squares = np.array([self._mean(value**2) for value in values])
        self.mean = float(self.weights @ means)
        self.variance = float(self.weights @ squares) - self.mean**2
        self.covariance = float(self.weights @ mirrored) - self.mean**2
        self.between = float(self.weights @ means**2) - self.mean**2
        self.equal_shares = 2 * float(self.weights**2 @ (squares - means**2))

    def _mean(self, values: np.ndarray) -> float:
        return float(np.sum(self._grid * values))

    def of_identity(self) -> dict[str, float]:
        """Factors of the mean of f over forward samples."""
        return {
            "mirrored noise": 1 + self.covariance / self.variance,
            "classes in proportion": 1 - self.between / self.variance,
            "classes in equal shares": self.equal_shares / self.variance,
            "classes in proportion, mirrored noise": 1 + (self.covariance - 2 * self.between) / self.variance,
        }

    def of_clones(self) -> dict[str, float]:
        """Factors of clones whose ends are of one class without doubt, so that a pair agrees or does not."""
        single = self.mean * (1 - self.mean)
        four = self._of_four() - self.mean**2
        return {
            "mirrored starts": 1 + self.covariance / single,
            "classes in proportion": 1 - self.between / single,
            "four clones of a start": 2 * four / single,
            "less the posterior of the start": 1 - self.variance / single,
        }

    def _of_four(self) -> float:
        """The mean square of the agreement of four clones, over their six pairs."""
        k = np.arange(5)[:, None, None]
        agreement = (k * (k - 1) + (4 - k) * (3 - k)) / 12
        squares = [np.sum(binom.pmf(k, 4, 1 / (1 + np.exp(-odds))) * agreement**2, axis=0) for odds in self._odds]
        return float(self.weights @ [self._mean(square) for square in squares])


def _agreement(odds: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * odds) ** 2)
