"""Branches of self-consistent magnetisations, followed in the variance through pitchforks and folds."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from scipy.interpolate import CubicHermiteSpline

from .._root import root
from .._types import Denoiser, Scalar
from ._arclength import Curve, Place
from ._host import on_host
from ._points import HostData, placed
from .fixed_points import fixed_point
from .landau import expand

_LEAST_STEP = 1e-7
# Eigenvalues of J nearer to each other than this are one, at a place that is located.
_DEGENERATE = 1e-6

FreeEnergy = Callable[[Array, Scalar], Scalar]
"""The regularised free energy of an observation at a variance."""


class Special(NamedTuple):
    """A point of a branch where it turns or where others leave it, with one of its critical directions."""

    kind: str
    magnetisation: Float[np.ndarray, " d"]
    variance: float
    direction: Float[np.ndarray, " d"]


@on_host
def continue_branch(
    denoise: Denoiser,
    start: HostData,
    variance: float,
    bounds: tuple[float, float],
    *,
    heading: int = 1,
    field: HostData | None = None,
    free_energy: FreeEnergy | None = None,
    step: float = 0.02,
    longest: float = 0.1,
    most: int = 1000,
) -> xr.Dataset:
    r"""The branch of fixed points $m = \langle a \rangle_{m + h}$ through a guess, by pseudo-arclength continuation.

    The curve is followed in $(m / \sqrt{v_0}, \log v)$, so that it may turn back in the variance; it goes straight
    through points where other branches leave it. On the way it finds where an eigenvalue of `J` passes 1: a `fold`
    where the variance turns, else a `pitchfork` or, where the third cumulant is not zero, a `transcritical` crossing.
    A pitchfork is also met along its own arm, as a turn without a change of stability, and located to 1e-6 there.

    Args:
        denoise: an exact denoiser, or one of symmetric Jacobian.
        start: a guess of the magnetisation at `variance`, refined first; its precision is that of the calculation, or
            that of the denoiser where it is higher.
        variance: where to start, > 0.
        bounds: the least and the largest variance to go to.
        heading: 1 to start towards larger variances, -1 towards smaller ones.
        field: the external field h, in the units of the data; none by default.
        free_energy: `regularised_free_energy` of the target as a function of `(y, variance)`, to be recorded.
        step: the length of the first step.
        longest: the largest length of a step.
        most: the largest number of points.

    Returns:
        A dataset on `point`: `variance`, `magnetisation`, `lambda_max` (the largest eigenvalue of `J`),
        `susceptibility` along its eigenvector, `unstable` (the number of eigenvalues above 1), `stable`, and
        `free_energy` if asked for; on `special`, a row for each critical direction: `kind`, `special_variance`,
        `special_magnetisation` and `special_direction`. The attribute `ended` says why it stops where it does.

    Raises:
        ValueError: if the guess leads nowhere, the Jacobian is not symmetric, or the branch is lost on the way: then
            with the variance, magnetisation and residual.

    Reference:
        Keller, "Numerical solution of bifurcation and nonlinear eigenvalue problems" (1977), for the method.
    """
    low, high = bounds
    if not (0 < low <= variance <= high and heading in (1, -1) and 0 < step <= longest):
        raise ValueError(
            "`continue_branch` needs 0 < low <= variance <= high, `heading` 1 or -1 and 0 < `step` <= `longest`. "
            f"Got {bounds}, {variance}, {heading}, {step} and {longest}. Do start within the bounds."
        )
    first = fixed_point(denoise, start, variance, field).magnetisation
    shift = jnp.zeros(first.shape, first.dtype) if field is None else jnp.asarray(field, first.dtype)
    curve = Curve(denoise, shift, float(variance) ** 0.5)
    upwards = np.append(np.zeros(first.size), float(heading))
    places, specials = [curve.place(curve.join(first, variance), upwards)], []
    ended = "most points"
    while len(places) < most:
        here = places[-1]
        there, step = _next(curve, here, step)
        specials += _specials(curve, here, there, step)
        places.append(there)
        step = _adapted(step, there.corrections, longest)
        if not low <= curve.split(there.x)[1] <= high:
            places[-1] = _at_bound(curve, here, there, low, high)
            specials = [special for special in specials if low <= special.variance <= high]
            ended = "bounds"
            break
    return _dataset(curve, places, specials, free_energy).assign_attrs(ended=ended)


@on_host
def switch_branch(
    denoise: Denoiser,
    magnetisation: HostData,
    variance: float,
    direction: HostData,
    *,
    sign: int = 1,
    distance: float = 1e-2,
    field: HostData | None = None,
) -> tuple[Float[np.ndarray, " d"], float]:
    r"""A point on another branch through a bifurcation, to continue from.

    It is sought at a given amplitude along the critical eigenvector, and not at a given variance: so it is found on
    whichever side it lies. The amplitude is that of Landau at a relative distance $\epsilon$ in the variance,
    $\sqrt{6 \kappa_2^3\, \epsilon / |\kappa_4|}$; at a transcritical point, $2 \epsilon\, \kappa_2^2 / |\kappa_3|$.

    Args:
        denoise: as in `continue_branch`.
        magnetisation: that of the bifurcation.
        variance: that of the bifurcation.
        direction: the critical eigenvector.
        sign: to which side along it, 1 or -1.
        distance: the relative distance from the critical variance.
        field: the external field h.

    Returns:
        The magnetisation and the variance of the point: to be continued away from the bifurcation.

    Raises:
        ValueError: if there is no branch of that amplitude.
    """
    centre, at = placed(denoise, magnetisation, variance, "magnetisation")
    shift = jnp.zeros_like(centre) if field is None else jnp.asarray(field, centre.dtype)
    curve = Curve(denoise, shift, float(variance) ** 0.5)
    along = np.append(np.asarray(direction, np.float64) / np.linalg.norm(direction), 0.0)
    expansion = expand(denoise, centre + shift, at, jnp.asarray(direction))
    if _is_symmetric(expansion):
        amplitude = float(expansion.amplitude(float(expansion.second) * (1 - distance)))
    else:
        amplitude = 2 * distance * float(expansion.second**2 / abs(expansion.third))
    # Without a fourth cumulant nothing says how far the branch is: a trial in units of the curve must do.
    amplitude = amplitude if np.isfinite(amplitude) else distance**0.5 * curve.length
    guess = curve.join(np.asarray(centre), variance) + sign * amplitude / curve.length * along
    corrected = curve.correct(guess, along)
    if corrected is None:
        raise ValueError(
            f"`switch_branch` needs a branch {amplitude:.3g} away along `direction`. Got none at variance "
            f"{variance:.6g}. Do check that the point is a bifurcation, or change `distance`."
        )
    return curve.split(corrected[0])


def _next(curve: Curve, here: Place, step: float) -> tuple[Place, float]:
    """The next place, and the step to it, halved until the corrector follows."""
    while step > _LEAST_STEP:
        there = curve.advance(here, step)
        if there is not None:
            return there, step
        step *= 0.5
    m, variance = curve.split(here.x)
    size = float(np.linalg.norm(curve.equation(here.x + step * here.tangent)[0])) * curve.length
    raise ValueError(
        f"`continue_branch` needs a smooth branch. Got lost after variance {variance:.9g}, magnetisation {m[:8]}: "
        f"a residual of {size:.2e} after the least step. Do start elsewhere or work in float64."
    )


def _adapted(step: float, corrections: int, longest: float) -> float:
    """Longer where the corrector found the curve at once, shorter where it worked."""
    factor = 1.5 if corrections <= 4 else 0.5 if corrections >= 7 else 1.0
    return min(step * factor, longest)


def _at_bound(curve: Curve, here: Place, there: Place, low: float, high: float) -> Place:
    """The place at which the curve leaves the bounds."""
    bound = np.log(low if there.x[-1] < here.x[-1] else high)
    share = (bound - here.x[-1]) / (there.x[-1] - here.x[-1])
    across = np.append(np.zeros(here.x.size - 1), 1.0)
    guess = here.x + share * (there.x - here.x)
    guess[-1] = bound
    corrected = curve.correct(guess, across)
    return there if corrected is None else curve.place(corrected[0], there.tangent)


def _specials(curve: Curve, here: Place, there: Place, step: float) -> list[Special]:
    """What happens on one step: a turn of the variance, or eigenvalues of J that pass one."""
    crossings = curve.crossings(here, there)
    if here.tangent[-1] * there.tangent[-1] < 0:
        place = _locate(curve, here, there, step, lambda place: float(place.tangent[-1]))
        nearest = int(np.argmin(np.abs(place.eigenvalues - 1)))
        return [_special(curve, place, place.vectors[nearest], "fold" if crossings.size else "pitchfork")]
    found = []
    for vector in here.vectors[crossings]:
        followed = partial(_followed, vector)
        place = _locate(curve, here, there, step, lambda place, at=followed: float(place.eigenvalues[at(place)] - 1))
        found.append(_special(curve, place, place.vectors[followed(place)], None))
    return found


def _followed(vector: np.ndarray, place: Place) -> int:
    """Which eigenvector continues a vector."""
    return int(np.argmax(np.abs(place.vectors @ vector)))


def _locate(curve: Curve, here: Place, there: Place, step: float, test: Callable[[Place], float]) -> Place:
    """The place on a step where a test changes sign."""
    seen = {0.0: here, step: there}

    def at(length: float) -> float:
        if length not in seen:
            place = curve.advance(here, length)
            # Where curves cross the corrector may fail: then between the places on both sides, smoothly.
            seen[length] = _between(curve, here, seen, length) if place is None else place
        return test(seen[length])

    if at(0.0) * at(step) > 0:
        return there
    length = root(at, 0.0, step)
    at(length)
    return seen[length]


def _between(curve: Curve, here: Place, seen: dict[float, Place], length: float) -> Place:
    """A place by cubic interpolation of those before and behind it."""
    ends = [max(known for known in seen if known < length), min(known for known in seen if known > length)]
    speeds = [seen[end].tangent / (seen[end].tangent @ here.tangent) for end in ends]
    spline = CubicHermiteSpline(ends, [seen[end].x for end in ends], speeds)
    return curve.place(spline(length), here.tangent)


def _special(curve: Curve, place: Place, direction: np.ndarray, kind: str | None) -> Special:
    m, variance = curve.split(place.x)
    if kind is None:
        y = jnp.asarray(m, curve.field.dtype) + curve.field
        generic = jnp.asarray(_generic(place, direction), y.dtype)
        expansion = expand(curve.denoise, y, jnp.asarray(variance, y.dtype), generic)
        kind = "pitchfork" if _is_symmetric(expansion) else "transcritical"
    return Special(kind, m, variance, direction)


def _generic(place: Place, direction: np.ndarray) -> np.ndarray:
    """A direction like any other in the eigenspace of one: of several, single vectors may hide a cubic term."""
    own = place.eigenvalues[_followed(direction, place)]
    space = place.vectors[np.abs(place.eigenvalues - own) < _DEGENERATE]
    return np.cos(np.arange(1.0, len(space) + 1)) @ space


def _is_symmetric(expansion) -> bool:
    """Whether the third cumulant is zero to the precision with which a bifurcation is located."""
    eps = float(jnp.finfo(expansion.third.dtype).eps)
    return bool(abs(expansion.third) <= 100 * eps**0.5 * expansion.second**1.5)


def _dataset(curve: Curve, places: list[Place], specials: list[Special], free_energy: FreeEnergy | None) -> xr.Dataset:
    magnetisations, variances = map(np.array, zip(*(curve.split(place.x) for place in places), strict=True))
    leading = np.array([place.eigenvalues[0] for place in places])
    unstable = np.array([curve.unstable(place) for place in places])
    with np.errstate(divide="ignore"):
        response = leading / (1 - leading)
    variables = {
        "variance": ("point", variances),
        "magnetisation": (("point", "coordinate"), magnetisations),
        "lambda_max": ("point", leading),
        "susceptibility": ("point", response),
        "unstable": ("point", unstable),
        "stable": ("point", unstable == 0),
        "kind": ("special", np.array([special.kind for special in specials], dtype=str)),
        "special_variance": ("special", np.array([special.variance for special in specials], float)),
    }
    shape = (len(specials), magnetisations.shape[1])
    for name in ("magnetisation", "direction"):
        rows = np.array([getattr(special, name) for special in specials], float)
        variables[f"special_{name}"] = (("special", "coordinate"), rows.reshape(shape))
    if free_energy is not None:
        dtype = curve.field.dtype
        ys = jnp.asarray(magnetisations, dtype) + curve.field[None]
        values = eqx.filter_jit(jax.vmap(free_energy))(ys, jnp.asarray(variances, dtype))
        variables["free_energy"] = ("point", np.asarray(values, np.float64))
    return xr.Dataset(variables)
