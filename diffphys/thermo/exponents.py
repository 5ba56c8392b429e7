"""Critical exponents of a continuous transition, by fits of power laws next to it."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import Data, Denoiser
from ._host import on_host
from ._points import placed, unit_vector
from .fixed_points import fixed_point
from .landau import Landau, expand
from .stability import jacobian

# Relative distances from the critical variance, and fields in units of its square root. Larger ones bias the
# exponents by the next terms; smaller ones by rounding.
_DISTANCES = np.geomspace(1e-5, 1e-3, 15)
_FIELDS = np.geomspace(1e-9, 1e-5, 15)
# By how much the eigenvalue may miss one: the smallest field makes it do so by 1e-6.
_AT_CRITICAL = 1e-8


class PowerLaw(NamedTuple):
    """The exponent of a fit in logarithms, with an interval that knows of the curvature.

    Attributes:
        exponent: the slope.
        low: lower end of the interval.
        high: its upper end. The half-width is the drift of the slope between the two halves of the window, which
            exceeds the bias that corrections to scaling leave, and twice the standard error of the fit.
        amplitude: the factor of the law, with the slope fitted.
    """

    exponent: float
    low: float
    high: float
    amplitude: float


class CriticalExponents(NamedTuple):
    r"""The exponents of a transition along one direction, and the ratio of its amplitudes.

    Attributes:
        beta: of the magnetisation below, $m \sim (v_c - v)^\beta$; 1/2 in mean-field theory.
        gamma: of the susceptibility above, $\chi \sim (v - v_c)^{-\gamma}$; 1.
        gamma_below: the same on the broken branch.
        delta: of the response at the critical variance, $h \sim m^\delta$; 3.
        amplitude_ratio: the susceptibility above over that below, at equal distances; 2.
    """

    beta: PowerLaw
    gamma: PowerLaw
    gamma_below: PowerLaw
    delta: PowerLaw
    amplitude_ratio: float


@on_host
def critical_exponents(denoise: Denoiser, origin: Data, variance: float, direction: Data) -> CriticalExponents:
    r"""The critical exponents of a continuous transition along an eigenvector, fitted next to it.

    The broken branch is started from the Landau amplitude and solved by Newton's method, at relative distances
    $\epsilon \in [10^{-5}, 10^{-3}]$ from the critical variance and fields $h / \sqrt{v_c} \in [10^{-9}, 10^{-5}]$.
    Wider windows bias the exponents: distances from $10^{-3}$ to $10^{-1}$ give a beta of .4928 for two points.

    Args:
        denoise: any denoiser that JAX can differentiate, in float64.
        origin: the symmetric fixed point.
        variance: the critical variance, to 1e-8; see `critical_variance`.
        direction: the critical eigenvector along which the branch leaves; where there are several, one along which a
            branch does leave.

    Returns:
        The exponents with their intervals.

    Raises:
        ValueError: if `origin` is not float64, `variance` is not critical along `direction`, or the transition is
            of first order.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), eqs. 26 to 28.
    """
    along, expansion = _checked(denoise, origin, variance, direction)
    unit = np.asarray(along)

    def response(m: np.ndarray, at: float) -> float:
        matrix = np.asarray(jacobian(denoise, jnp.asarray(m, along.dtype), jnp.asarray(at, along.dtype)))
        # What is nearer to critical than the least distance is the orbit of a continuous symmetry.
        return float(unit @ np.linalg.lstsq(np.eye(unit.size) - matrix, matrix @ unit, rcond=1e-8)[0])

    centre, spread = np.asarray(origin), variance**0.5
    ordered, above, below = (np.empty(_DISTANCES.size) for _ in range(3))
    for i, distance in enumerate(_DISTANCES):
        low = variance * (1 - distance)
        branch = fixed_point(denoise, centre + float(expansion.amplitude(low)) * unit, low).magnetisation
        ordered[i] = unit @ (branch - centre)
        above[i], below[i] = response(centre, variance * (1 + distance)), response(branch, low)
    # h = |kappa_4| m^3 / 6 v^3 at the critical variance.
    pushed = np.empty(_FIELDS.size)
    for i, field in enumerate(_FIELDS * spread):
        guess = (6 * variance**3 * field / abs(float(expansion.quartic))) ** (1 / 3)
        branch = fixed_point(denoise, centre + guess * unit, variance, field * unit).magnetisation
        pushed[i] = unit @ (branch - centre)
    return CriticalExponents(
        power_law(_DISTANCES, ordered),
        _negated(power_law(_DISTANCES, above)),
        _negated(power_law(_DISTANCES, below)),
        power_law(pushed, _FIELDS * spread),
        float(np.exp(np.mean(np.log(above) - np.log(below)))),
    )


@on_host
def power_law(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> PowerLaw:
    r"""The exponent and amplitude of $y = A x^p$ by least squares in the logarithms.

    Args:
        x: positive abscissae, at least six, in order.
        y: positive ordinates.

    Returns:
        The fit, with an interval that contains the limit of the local slope at one end of the window wherever the
        slope drifts towards it.

    Raises:
        ValueError: if there are fewer than six points, or some are not positive.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if not (x.size == y.size >= 6 and (x > 0).all() and (y > 0).all()):
        raise ValueError(f"`power_law` needs six positive points or more. Got {x.size}. Do drop those that vanish.")
    across, up = np.log(x), np.log(y)
    (slope, intercept), covariance = np.polyfit(across, up, 1, cov=True)
    half = x.size // 2
    first, last = (np.polyfit(across[part], up[part], 1)[0] for part in (slice(half), slice(-half, None)))
    width = max(abs(first - last), 2 * np.sqrt(covariance[0, 0]))
    return PowerLaw(*(float(value) for value in (slope, slope - width, slope + width, np.exp(intercept))))


def _negated(fit: PowerLaw) -> PowerLaw:
    return PowerLaw(-fit.exponent, -fit.high, -fit.low, fit.amplitude)


def _checked(denoise: Denoiser, origin: Data, variance: float, direction: Data) -> tuple[Data, Landau]:
    """The unit vector and the expansion at the critical point, if it is one of second order."""
    origin, at = placed(denoise, origin, variance, "origin")
    if origin.dtype != jnp.float64:
        raise ValueError(f"`critical_exponents` needs float64. Got {origin.dtype}. Do switch on `jax_enable_x64`.")
    along = unit_vector(direction, origin)
    slope = jnp.asarray(jacobian(denoise, origin, at)) @ along
    miss = float(jnp.linalg.norm(slope - along))
    if not miss <= _AT_CRITICAL:
        raise ValueError(
            f"`critical_exponents` needs `variance` critical along `direction`, to {_AT_CRITICAL}. Got J u that misses "
            f"u by {miss:.2e} at {variance!r}. Do take it from `critical_variance`, and u from `leading_modes`."
        )
    expansion = expand(denoise, origin, at, along)
    if not expansion.is_continuous:
        raise ValueError(
            "`critical_exponents` needs a continuous transition: no third cumulant and a negative fourth. "
            f"Got {float(expansion.third):.3g} and {float(expansion.quartic):.3g}. "
            "Do look at its folds by `continue_branch`."
        )
    return along, expansion
