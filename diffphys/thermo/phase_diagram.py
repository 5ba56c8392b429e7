"""The critical variance of a family of targets: of diffused spins, against their coupling."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from ..targets import AbstractTarget
from .critical import critical_variance, spectral_eigenvalue
from .landau import expand
from .stability import leading_modes


def phase_diagram(
    make_target: Callable[[float], AbstractTarget], betas: Sequence[float] | Float[np.ndarray, " betas"]
) -> xr.Dataset:
    r"""The critical variance at the symmetric point, against the inverse temperature of the data.

    Where all configurations have one norm, as spins do, the posterior covariance at the origin is the covariance of
    the data at every variance: $\tau_c = \lambda_{max}(\mathrm{Cov})$. For the Curie-Weiss law of d spins it is
    $E M^2 / d$, which tends to $1 / (1 - \beta)$ below its own critical point and grows as $d\, m^{*2}$ above: the
    data that are ordered themselves are decided at any noise.

    Args:
        make_target: the target at an inverse temperature, symmetric about the origin.
        betas: the inverse temperatures.

    Returns:
        A dataset on `beta`: `critical_variance`, NaN where the origin is never critical; `eigenvalue`, that of the
        covariance; `quartic`, the fourth Landau cumulant there, and `continuous`, whether the transition is of second
        order.

    Raises:
        ValueError: if the origin is no fixed point of a target.
    """
    rows = []
    for beta in betas:
        target = make_target(float(beta))
        origin = jnp.zeros(target.dim, jnp.result_type(float))
        eigenvalue = spectral_eigenvalue(target.posterior_mean, origin)
        variance = critical_variance(target.posterior_mean, origin, eigenvalue)
        if np.isfinite(variance):
            at = jnp.asarray(variance, origin.dtype)
            direction = leading_modes(target.posterior_mean, origin, at).vectors[0]
            expansion = expand(target.posterior_mean, origin, at, jnp.asarray(direction, origin.dtype))
            rows.append((variance, eigenvalue, float(expansion.quartic), expansion.is_continuous))
        else:
            rows.append((variance, eigenvalue, np.nan, False))
    columns = zip(*rows, strict=True)
    names = ("critical_variance", "eigenvalue", "quartic", "continuous")
    variables = {name: ("beta", np.array(column)) for name, column in zip(names, columns, strict=True)}
    return xr.Dataset(variables, {"beta": np.asarray(betas, np.float64)})
