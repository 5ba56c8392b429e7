r"""Where the symmetry of a target breaks, by three criteria that share the name, in every clock.

The numbers of two Gaussian classes are in `critical_times`; here they are found for any denoiser that is symmetric
about the origin.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import xarray as xr

from .._root import root
from .._types import Data, Denoiser, Scalar
from ..clocks import clocks, time_of_variance
from ._host import on_host
from ._points import placed
from .stability import image, leading_modes

# Per unit of the spectral eigenvalue: where a crossing is looked for, from large variances to small ones, ten a decade.
_SCAN = np.geomspace(1e2, 1e-4, 61)


class DriftMap(eqx.Module):
    r"""The map whose fixed points are the zeros of the reverse drift of an Ornstein-Uhlenbeck process.

    The drift $x + 2 T s$ vanishes where $y = e^t x$ is mapped to itself by

    $$ y \mapsto 2\, \frac{v + T}{v + 2T}\, \langle a \rangle_y . $$

    To be passed where a denoiser is expected: to `fixed_point`, `continue_branch` or `leading_modes`.

    Attributes:
        denoise: the denoiser.
        temperature: T of the process.

    Reference:
        Raya and Ambrogioni, "Spontaneous symmetry breaking in generative diffusion models" (2023), for two point
        masses; here for any denoiser.
    """

    denoise: Denoiser
    temperature: float = 1.0

    def __call__(self, y: Data, variance: Scalar) -> Data:
        variance = jnp.asarray(variance, y.dtype)
        bath = jnp.asarray(self.temperature, y.dtype)
        return 2 * (variance + bath) / (variance + 2 * bath) * self.denoise(y, variance)


@on_host
def critical_points(denoise: Denoiser, origin: Data, temperature: float = 1.0) -> xr.Dataset:
    r"""Where the symmetric point becomes unstable, by each of three criteria, in every clock.

    - `spectral`: $\Lambda e^{-2t} = T$, that is $v = \Lambda - T$, with $\Lambda$ the largest eigenvalue of the
      covariance of the data, $\lim v\, \lambda_{max}(J)$ at large v;
    - `score_zero`: $\lambda_{max}(J) = 1$ at the origin, where the density turns from a maximum into a saddle;
    - `drift`: the same of `DriftMap`: the origin loses stability under the drift $x + 2 T s$ of the reverse process,

    $$ \lambda_{max}(J) = 1 - \frac{v}{2 (v + T)} . $$

    Posteriors do not depend on the process, but `spectral` and `drift` do: their variances must not be compared
    with the critical temperature of the free energy, which is that of `score_zero`.

    Args:
        denoise: an exact denoiser, symmetric about the origin.
        origin: zeros: they say the dimension and the precision.
        temperature: T of the Ornstein-Uhlenbeck process, > 0.

    Returns:
        A dataset on `criterion`: `variance` (the time `sigma^2 t` of the variance-exploding process), `time` of the
        Ornstein-Uhlenbeck process, and the moment in each of `clocks`, among them `vp_linear` (beta = .1 + 19.9 u) and
        `ddpm_index` (the linear schedule of 1000 steps). The largest variance where there are several. NaN where a
        criterion is met at no t >= 0. The attribute `eigenvalue` is Lambda.

    Raises:
        ValueError: if the origin is no fixed point at some variance, or the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"`critical_points` needs `temperature` > 0. Got {temperature}. Pass that of the bath.")
    eigenvalue = spectral_eigenvalue(denoise, origin)
    found = {
        "spectral": eigenvalue - temperature,
        "score_zero": critical_variance(denoise, origin, eigenvalue),
        "drift": critical_variance(DriftMap(denoise, temperature), origin, eigenvalue),
    }
    # Equal to rounding to the temperature: met at t = 0.
    if abs(found["spectral"]) < 1e-9 * temperature:
        found["spectral"] = 0.0
    variances = np.array([value if value >= 0 else np.nan for value in found.values()])
    met = np.isfinite(variances)
    times = np.full(len(found), np.nan)
    times[met] = time_of_variance(variances[met], temperature)
    variables = {"variance": ("criterion", variances), "time": ("criterion", times)}
    for name, shown in clocks(times[met], temperature).items():
        values = np.full(len(found), np.nan)
        values[met] = shown
        variables[name] = ("criterion", values)
    attrs = {"eigenvalue": eigenvalue, "temperature": temperature}
    return xr.Dataset(variables, {"criterion": list(found)}, attrs)


@on_host
def critical_variance(denoise: Denoiser, origin: Data, scale: float | None = None) -> float:
    r"""The largest variance at which the symmetric point is critical, $\lambda_{max}(J) = 1$; NaN if there is none.

    Args:
        denoise: a denoiser with the origin for a fixed point at every variance.
        origin: zeros: they say the dimension and the precision.
        scale: the largest eigenvalue of the covariance of the data, about which to look: from 100 times it down to
            1/10000, ten times a decade; measured by default.

    Raises:
        ValueError: if the origin is no fixed point.
    """
    scale = spectral_eigenvalue(denoise, origin) if scale is None else scale

    def excess(variance: float) -> float:
        _check_fixed(denoise, origin, variance)
        return _largest(denoise, origin, variance) - 1

    previous = None
    for variance in scale * _SCAN:
        here = excess(variance)
        if here >= 0:
            if previous is None:
                raise ValueError(
                    "`critical_variance` needs an origin that is stable at large variances. Got an eigenvalue of "
                    f"{here + 1:.3g} at variance {variance:.3g}. Do pass a larger `scale`."
                )
            return float(variance) if here == 0 else root(excess, float(variance), previous)
        previous = float(variance)
    return float("nan")


@on_host
def spectral_eigenvalue(denoise: Denoiser, origin: Data) -> float:
    r"""The largest eigenvalue of the covariance of the data, from a denoiser: the limit of $v\, \lambda_{max}(J)$.

    By Richardson extrapolation from two large variances: to ten digits in float64, to four in float32.

    Args:
        denoise: an exact denoiser.
        origin: any point; the limit does not depend on it.

    Raises:
        ValueError: if no variance up to 10^40 is large enough, or the data do not vary.
    """
    origin, _ = placed(denoise, origin, 1.0, "origin")
    variance, previous = 1.0, 0.0
    for _ in range(40):
        found = variance * _largest(denoise, origin, variance)
        if found > 0 and variance > 10 * found and abs(found - previous) < 0.05 * found:
            break
        variance, previous = 10 * variance, found
    else:
        raise ValueError(
            "`spectral_eigenvalue` needs data of finite variance above 0. Got none up to 1e40. Do check them."
        )
    # Beyond, the error of the limit falls as 1 / v^2 and rounding grows as v.
    variance = found * float(jnp.finfo(origin.dtype).eps) ** (-1 / 3)
    near, far = (v * _largest(denoise, origin, v) for v in (variance, 2 * variance))
    return 2 * far - near


def _largest(denoise: Denoiser, origin: Data, variance: float) -> float:
    """The largest eigenvalue of J at a point."""
    return float(leading_modes(denoise, origin, variance).eigenvalues[0])


def _check_fixed(denoise: Denoiser, origin: Data, variance: float) -> None:
    """Refuses an origin that is no fixed point."""
    origin, at = placed(denoise, origin, variance, "origin")
    moved = np.asarray(image(denoise, origin, at) - origin)
    spread = float(variance) ** 0.5
    if not np.linalg.norm(moved) <= 1e3 * float(jnp.finfo(origin.dtype).eps) * max(spread, 1.0):
        raise ValueError(
            f"A symmetric target needs the origin for a fixed point. Got it moved by {np.linalg.norm(moved):.3g} at "
            f"variance {variance:.3g}. Do centre the data, or use `continue_branch`."
        )
