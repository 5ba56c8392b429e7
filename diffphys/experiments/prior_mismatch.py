"""What starting from the prior costs: the distance of the noised data from the law that samplers start from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._types import Times
from ..processes import OrnsteinUhlenbeck
from ..results import dataset
from ..targets import AbstractTarget, shape_of
from ._assemble import check_times, time_coordinates

# Standard deviations of the prior on either side; points of the trapezoid rule, the fewest and the most, and how many
# to the width of the noise.
_REACH, _FEWEST, _MOST, _FINE = 9.0, 2**12, 2**20, 8
# In units of rounding: what is less far apart is not measured to 1 %.
_ROUNDINGS = 100


def prior_mismatch(target: AbstractTarget, times: Times, *, temperature: float = 1.0) -> xr.Dataset:
    r"""Total variation between $P_t$ and the prior $\mathcal N(0, T)$ of a target of one dimension, by quadrature.

    It falls as $e^{-k t}$, with k the order of the first cumulant in which the data differ from the prior: a mean gives
    1, a variance 2, two symmetric points of variance T 4. That holds for data of compact support too: what is a power
    law for these in the bounds of the literature is the price of a score that diverges at small times, not of the
    prior.

    Args:
        target: a law of one dimension, in units in which it is not much wider than the prior.
        times: diffusion times of the Ornstein-Uhlenbeck process, in order: above 1e-8, where P_t is too narrow for
            the rule, and before the distance falls to 1e-14, or to 1e-5 in float32.
        temperature: T of the bath.

    Returns:
        A dataset on `t`: `total_variation`, and `rate`, minus its logarithmic derivative.

    Raises:
        ValueError: if the target has more than one dimension, or the times mean nothing, or are so small or so large
            that the distance is not resolved.
    """
    times = check_times(times)
    if target.dim != 1:
        raise ValueError(f"`prior_mismatch` needs a target of one dimension. Got {target.dim}. Do project it.")
    process = OrnsteinUhlenbeck(temperature)
    # P_t is at least as wide as its noise, in standard deviations of the prior.
    narrowest = float(np.sqrt(-np.expm1(-2 * times.min())))
    points = max(_FEWEST, int(np.ceil(2 * _REACH * _FINE / narrowest)))
    if points > _MOST:
        raise ValueError(f"`prior_mismatch` needs `times` above 1e-8. Got {times.min()}. Do begin later.")
    measured = _distances(target, process, process.table(times), points + 1)
    found, least = np.asarray(measured, np.float64), _ROUNDINGS * float(jnp.finfo(measured.dtype).eps)
    if not (found > least).all():
        raise ValueError(
            f"`prior_mismatch` needs distances above the rounding of {measured.dtype}, {least:.1e}. "
            f"Got {found.min():.1e} at t = {times[found.argmin()]}. Do take smaller times, or more precision."
        )
    rate = -np.gradient(np.log(found), times) if len(times) > 1 else np.full(1, np.nan)
    variables = {"total_variation": ("t", found), "rate": ("t", rate)}
    parameters = {"temperature": temperature, "target": type(target).__name__}
    return dataset(
        variables, time_coordinates(process, times), experiment="prior-mismatch", seed=None, parameters=parameters
    )


@eqx.filter_jit
def _distances(target: AbstractTarget, process: OrnsteinUhlenbeck, kernels, points: int) -> Float[Array, " times"]:
    dtype = shape_of(target).dtype
    spread = jnp.sqrt(jnp.asarray(process.temperature, dtype))
    # Wide enough for the prior; the part of P_t beyond it counts as distance by its missing mass.
    x = spread * jnp.linspace(-_REACH, _REACH, points, dtype=dtype)
    prior = jnp.exp(-0.5 * (x / spread) ** 2) / (spread * (2 * jnp.pi) ** 0.5)

    def at(kernel):
        def density(z):
            return jnp.exp(target.log_evidence(*kernel.observe(z[None])) + kernel.log_base_measure(z[None]))

        excess = jax.vmap(density)(x) - prior
        return 0.5 * jnp.sum(jnp.abs(excess)) * (x[1] - x[0]) + 0.5 * jnp.abs(jnp.sum(excess)) * (x[1] - x[0])

    return jax.lax.map(at, jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), kernels))
