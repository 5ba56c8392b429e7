r"""Speciation in closed form: what a noisy observation still says of the class of the clean point.

Two classes of weights `p`, `1 - p`, means `centre + m` and `centre - m` and a common covariance `Sigma` are
seen through the channel `y = a + sqrt(v) eps`. Everything depends on one number, the separation `delta(v)`:
the half distance of the two class means in units of the standard deviation along the discriminant.
"""

import numpy as np
from scipy.special import entr, erf, expit

from ._host import on_host
from ._types import ArrayLike, Values

# In units of the standard deviation. Outside nine of them lies 2e-19 of a Gaussian. The trapezoid rule in the
# field `delta^2 + delta z` misses a pole of tanh at height pi / (2 delta), of weight exp(-delta^2 / 2): below
# 1e-15 for this step at every delta.
_REACH = 9.0
_STEP = 1.0 / 12.0
_NODES = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
_WEIGHTS = np.exp(-(_NODES**2) / 2)
_WEIGHTS /= _WEIGHTS.sum()

# From here on agreement and information equal their limits to the last bit.
_SEPARATED = 40.0


@on_host
def separation(half_difference: ArrayLike, covariance: ArrayLike, variance: ArrayLike) -> Values:
    r"""Half distance between the classes in units of the noisy standard deviation, `delta(v)`.

    $$ \delta^2(v) = m^\top (\Sigma + v I)^{-1} m $$

    Args:
        half_difference: `m`, half the difference of the two class means.
        covariance: the covariance within each class: a number (isotropic), `(d,)` (diagonal) or `(d, d)`.
        variance: the noise variances v >= 0, of any shape.

    Returns:
        `delta` at each variance: infinite at v = 0 where the classes do not overlap (point masses).

    Raises:
        ValueError: if the shapes do not match, a variance is negative or the covariance is indefinite.
    """
    weights, spectrum = _modes(half_difference, covariance)
    noise = _nonnegative("separation", "variance", variance)
    with np.errstate(divide="ignore"):
        return np.sqrt((weights / (spectrum + noise[..., None])).sum(-1))


@on_host
def agreement(delta: ArrayLike, p: float = 0.5) -> Values:
    r"""Probability that two clones released at separation `delta` end in the same class, phi.

    $$ \phi = E \sum_k P(k|y)^2 = \tfrac12 + \tfrac12 \sum_\pm w_\pm\,
       E \tanh^2(\pm\ell_0 + \delta^2 + \delta z), \qquad \ell_0 = \tfrac12 \log\frac{p}{1-p} $$

    It grows from `p^2 + (1-p)^2` (pure noise) to 1; absolute error below 1e-14.

    Args:
        delta: the separation, >= 0, of any shape; infinity is allowed.
        p: the weight of one of the classes, in (0, 1).

    Returns:
        phi at each separation.

    Raises:
        ValueError: if a separation is negative or NaN, or `p` lies outside (0, 1).

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), eq. 6; there for
        equal weights and as an integral over the two Gaussian densities, here by log-odds.
    """
    likely, unlikely = _fields(_nonnegative("agreement", "delta", delta), p)
    return 0.5 + 0.5 * (p * np.tanh(likely) ** 2 + (1 - p) * np.tanh(unlikely) ** 2) @ _WEIGHTS


@on_host
def class_information(delta: ArrayLike, p: float = 0.5) -> Values:
    r"""Mutual information of the class and the noisy observation, in nats.

    $$ I(C; Y) = H(C) - E\log\left(1 + e^{-2(\pm\ell_0 + \delta^2 + \delta z)}\right) $$

    the average being over the class as well.

    Args:
        delta: the separation, >= 0, of any shape; infinity is allowed.
        p: the weight of one of the classes, in (0, 1).

    Returns:
        The information at each separation, between 0 and the entropy of the class.

    Raises:
        ValueError: if a separation is negative or NaN, or `p` lies outside (0, 1).
    """
    likely, unlikely = _fields(_nonnegative("class_information", "delta", delta), p)
    doubt = p * np.logaddexp(0.0, -2 * likely) + (1 - p) * np.logaddexp(0.0, -2 * unlikely)
    return entr(p) + entr(1 - p) - doubt @ _WEIGHTS


@on_host
def gaussian_divergence(delta: ArrayLike, p: float = 0.5) -> Values:
    r"""Relative entropy of two noised classes with respect to the Gaussian of their mean and covariance, in nats.

    $$ \mathrm{KL} = \tfrac12 \log\big(1 + 4 p (1 - p)\, \delta^2\big) - I(C; Y) $$

    It is what a reverse diffusion loses that starts from this Gaussian: with two points at distance 1 from 0 under
    Ornstein-Uhlenbeck, $\simeq e^{-8t} / 12$.

    Args:
        delta: the separation, >= 0, of any shape; infinity is allowed.
        p: the weight of one of the classes, in (0, 1).

    Returns:
        The relative entropy at each separation, to an absolute error of 1e-14.

    Raises:
        ValueError: if a separation is negative or NaN, or `p` lies outside (0, 1).

    Reference:
        Raya and Ambrogioni, "Spontaneous symmetry breaking in generative diffusion models" (2023), for the start; the
        closed form is ours.
    """
    information = class_information(delta, p)
    return 0.5 * np.log1p(4 * p * (1 - p) * np.square(np.asarray(delta, float))) - information


@on_host
def threshold(p: float = 0.5) -> float:
    """Agreement at separation one, the level that defines the speciation time of two classes.

    0.77520 for equal weights. Of other weights it is another number.

    Args:
        p: the weight of one of the classes, in (0, 1).

    Raises:
        ValueError: if `p` lies outside (0, 1).
    """
    return float(agreement(1.0, p))


@on_host
def sign_agreement(mean: float, within: float, variance: ArrayLike) -> Values:
    r"""Probability that two clones end on the same side of the plane between the classes.

    The clones are judged by a classifier, the sign of `x0 . m`, not by the latent class; the two differ
    wherever the classes overlap. With `q` the posterior probability of the positive side, $\phi = E[q^2 + (1-q)^2]$.

    Args:
        mean: the norm of `m`, >= 0; the classes have equal weights.
        within: the variance within each class along `m`, > 0.
        variance: the noise variances v, > 0, of any shape.

    Returns:
        The agreement of the signs at each variance: 1 without noise, 1/2 in pure noise.

    Raises:
        ValueError: if `mean` is negative, or `within` or a variance is not positive.
    """
    if not (mean >= 0 and within > 0):
        raise ValueError(
            f"`sign_agreement` needs `mean` >= 0 and `within` > 0. Got {mean} and {within}. "
            "For point masses the sign is the class: use `agreement`."
        )
    noise = np.asarray(variance, float)[..., None]
    if not (noise > 0).all():
        raise ValueError(f"`sign_agreement` needs `variance` > 0. Got {np.min(noise)}. Leave out v = 0, where it is 1.")
    scale = np.sqrt(within + noise)
    delta = mean / scale
    # The posterior of the side turns over within `width` of the plane, in units of `scale`: nodes that are
    # equidistant there and logarithmic beyond resolve it at any noise.
    width = np.minimum(1.0, np.sqrt(noise / within))
    step = min(0.1, 0.25 / max(1.0, float(delta.max())))
    grid = np.arange(0.0, np.arcsinh((float(delta.max()) + _REACH) / float(width.min())) + step, step)
    y = width * np.sinh(grid)
    density = (np.exp(-((y - delta) ** 2) / 2) + np.exp(-((y + delta) ** 2) / 2)) / np.sqrt(2 * np.pi)
    weights = step * width * np.cosh(grid) * np.where(grid > 0, 1.0, 0.5) * density
    spread = np.sqrt(2 * within * noise)
    plus, minus = ((within * scale * y + sign * mean * noise) / (spread * scale) for sign in (1.0, -1.0))
    odds = expit(2 * delta * y)
    return 0.5 + 0.5 * (weights * (odds * erf(plus) + (1 - odds) * erf(minus)) ** 2).sum(-1)


@on_host
def agreement_orthogonal(classes: int, a: ArrayLike) -> Values:
    r"""Clone agreement of K equally likely classes whose means are orthogonal and of equal norm.

    With $X_1 = e^{a^2 + a z_1}$ and $X_j = e^{a z_j}$, and $1/x = \int_0^\infty e^{-sx} ds$,

    $$ \phi = E\frac{X_1}{\sum_j X_j}
       = \int_0^\infty E[X_1 e^{-s X_1}]\, \left(E e^{-s X_2}\right)^{K-1} ds, $$

    a double integral for any K. Two classes: `agreement(a / sqrt(2))`.

    Args:
        classes: K >= 2.
        a: norm of a class mean in units of the noisy standard deviation, `|m| / sqrt(sigma^2 + v)`, finite
            and >= 0.

    Returns:
        phi at each `a`: from 1/K at 0 to 1.

    Raises:
        ValueError: if there are fewer than two classes, or `a` is negative or not finite.
    """
    strengths = _nonnegative("agreement_orthogonal", "a", a)
    if classes < 2 or not np.isfinite(strengths).all():
        raise ValueError(
            f"`agreement_orthogonal` needs `classes` >= 2 and a finite `a`. Got {classes} and {strengths}. "
            "The agreement of one class, or without noise, is 1."
        )
    return np.vectorize(lambda one: _orthogonal(classes, one), otypes=[float])(strengths)[()]


def _orthogonal(classes: int, a: float) -> float:
    # In r = log s the integrand is smooth on the scale max(1, a / sqrt(2 log K)); in z, exp(-e^{r + a z})
    # turns over within 1 / a.
    wide = max(1.0, a / np.sqrt(2 * np.log(classes)))
    nodes = np.arange(-_REACH, _REACH, min(_STEP, 0.2 / max(a, 1.0)))
    density = np.exp(-(nodes**2) / 2)
    density /= density.sum()
    step = 0.15 * wide
    rows = np.arange(-a * a - _REACH * a - 40.0, -a * a + _REACH * a + 5.0, step)
    # Beyond e^50 both exp(-x) and x exp(-x) are zero: cut where they would overflow on the way.
    other = np.exp(np.minimum(rows[:, None] + a * nodes, 50.0))
    own = np.exp(np.minimum(rows[:, None] + a * a + a * nodes, 50.0))
    return float(step * np.sum((own * np.exp(-own)) @ density * (np.exp(-other) @ density) ** (classes - 1)))


def _fields(delta: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Half the log-odds of the true class at the quadrature nodes, for a member of either class."""
    near = np.minimum(delta, _SEPARATED)[..., None]
    field = near * near + near * _NODES
    bias = _half_log_odds(p)
    return field + bias, field - bias


def _half_log_odds(p: float) -> float:
    if not 0 < p < 1:
        raise ValueError(f"A two-class law needs `p` in (0, 1). Got {p}. Give the weight of one of the classes.")
    return 0.5 * float(np.log(p) - np.log1p(-p))


def _modes(half_difference: ArrayLike, covariance: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The squared components of the half difference along the eigenvectors, and the eigenvalues."""
    half = np.atleast_1d(np.asarray(half_difference, float))
    within = np.asarray(covariance, float)
    if half.ndim != 1 or within.shape not in ((), half.shape, half.shape * 2):
        raise ValueError(
            "`covariance` needs the shape (), (d,) or (d, d) of a `half_difference` of shape (d,). "
            f"Got {within.shape} and {half.shape}. Flatten the means, or pass the diagonal."
        )
    if within.ndim == 0:
        weights, spectrum = np.array([half @ half]), within[None]
    elif within.ndim == 1:
        weights, spectrum = half**2, within
    else:
        spectrum, vectors = np.linalg.eigh(within)
        weights = (half @ vectors) ** 2
        # Zero eigenvalues come out as rounding errors of either sign.
        spectrum = np.where(np.abs(spectrum) <= 1e-13 * np.abs(spectrum).max(), 0.0, spectrum)
    if not (spectrum >= 0).all():
        raise ValueError(f"`covariance` needs eigenvalues >= 0. Got {spectrum.min()}. Pass variances, not deviations.")
    # A direction in which the means agree says nothing, whatever its variance: keep it from giving 0 / 0.
    return weights, np.where(weights > 0, spectrum, 1.0)


def _nonnegative(function: str, name: str, value: ArrayLike) -> np.ndarray:
    array = np.asarray(value, float)
    if not (array >= 0).all():
        raise ValueError(f"`{function}` needs `{name}` >= 0. Got {np.min(array)}. Check its sign, and for NaN.")
    return array
