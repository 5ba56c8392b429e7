"""The free energy of the clean configurations in the field of a noisy observation, and its gradient."""

import jax.numpy as jnp

from .._types import Data, Scalar
from ..targets import AbstractTarget
from ._points import observed


def regularised_free_energy(target: AbstractTarget, y: Data, variance: Scalar) -> Scalar:
    r"""The free energy whose gradient flow is the reverse process, $\tilde F$.

    $$ \tilde F(y) = -v \log\big[(2 \pi v)^{d/2}\, p_v(y)\big]
       = -v \log \int p_0(a)\, e^{-|y - a|^2 / 2v}\, da, \qquad \nabla \tilde F = y - \langle a \rangle_y $$

    Its minima, saddles and maxima are the fixed points $\langle a \rangle_y = y$; for a data set it is the energy
    of a modern Hopfield network.

    Args:
        target: the law of the clean configurations.
        y: the noisy observation, in the units of the data.
        variance: the noise variance, v > 0: Ambrogioni's temperature tau = sigma^2 t.

    Returns:
        The free energy, in the units of the data squared.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), eq. 8, with the
        prefactor `(2 pi tau)^{-d/2}` that its eq. 2 lacks.
    """
    y, variance = observed("regularised_free_energy", target, y, variance)
    return -variance * (target.log_evidence(y, variance) + 0.5 * target.dim * jnp.log(2 * jnp.pi * variance))


def free_energy(target: AbstractTarget, y: Data, variance: Scalar) -> Scalar:
    r"""The free energy of the Boltzmann law in the linear field `y`, $F = -v \log Z(y)$.

    $$ Z(y) = \int p_0(a)\, e^{(y \cdot a - |a|^2 / 2) / v}\, da, \qquad F = \tilde F - \tfrac12 |y|^2,
       \qquad -\nabla F = \langle a \rangle_y $$

    Args:
        target: the law of the clean configurations.
        y: the field, in the units of the data.
        variance: the noise variance, v > 0.

    Returns:
        The free energy, in the units of the data squared. Far from the data it is the small difference of two
        large numbers: there, compare `regularised_free_energy`.

    Reference:
        Ambrogioni (2023), eqs. 6 to 8, with the `log phi` that its eq. 6 lacks.
    """
    y, variance = observed("free_energy", target, y, variance)
    return regularised_free_energy(target, y, variance) - 0.5 * jnp.sum(y**2)


def magnetisation(target: AbstractTarget, y: Data, variance: Scalar) -> Data:
    r"""The mean of the clean configurations in the field `y`, $\langle a \rangle_y = -\nabla F$: the denoiser.

    Args:
        target: the law of the clean configurations.
        y: the field, in the units of the data.
        variance: the noise variance, v > 0.

    Returns:
        The magnetisation, in the units of the data; by the closed form of the target where it has one.
    """
    y, variance = observed("magnetisation", target, y, variance)
    return target.posterior_mean(y, variance)
