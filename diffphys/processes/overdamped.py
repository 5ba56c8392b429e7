"""Overdamped processes, whose state is x alone: Ornstein-Uhlenbeck and Brownian motion."""

from typing import Any

import numpy as np

from .. import _block as block
from .._types import Block, Lift, Scalar
from .base import AbstractProcess, AbstractStationaryProcess, Kernel, check_order


def _positive(value: Any, owner: str, name: str) -> Any:
    value = block.parameter(value)
    if value.ndim != 0 or block.fails((value > 0) & (value < np.inf)):
        raise ValueError(f"`{owner}` needs one positive number `{name}`. Got {value}.")
    return value


class OrnsteinUhlenbeck(AbstractStationaryProcess):
    r"""$dx = -x\,dt + \sqrt{2T}\,dW$, so that $x_t = e^{-t} a + \sqrt{T(1 - e^{-2t})}\,\varepsilon$.

    In units of the data the noise variance is $v = T(e^{2t} - 1)$. Every variance-preserving schedule is a change
    of clock of this process at T = 1: choose the time grid (`diffphys.clocks`), not the schedule.

    Args:
        temperature: T > 0 of the bath; the law relaxes to N(0, T I).

    Raises:
        ValueError: if it is not one positive number.

    Reference:
        Biroli, Bonnaire, de Bortoli, Mezard, "Dynamical regimes of diffusion models" (2024), eq. 1.
    """

    temperature: Scalar

    def __init__(self, temperature: Scalar = 1.0):
        self.temperature = _positive(temperature, "OrnsteinUhlenbeck", "temperature")

    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        xp, (t, temperature) = block.scalars(t, self.temperature)
        return -xp.ones_like(t), xp.sqrt(2 * temperature) * xp.ones_like(t)

    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        check_order(s, t)
        xp, (s, t, temperature) = block.scalars(s, t, self.temperature)
        return xp.exp(s - t), xp.sqrt(-temperature * xp.expm1(2 * (s - t)))

    def start(self) -> tuple[Lift, Block]:
        return block.parameter(1.0), block.parameter(0.0)

    def kernel(self, t: Scalar) -> Kernel:
        return Kernel.from_factor(*self.transition(0.0, t))

    def stationary(self) -> Block:
        xp, (temperature,) = block.scalars(self.temperature)
        return xp.sqrt(temperature)


class Brownian(AbstractProcess):
    r"""$dx = \sigma\,dW$, so that $x_t = a + \sigma\sqrt{t}\,\varepsilon$: the variance-exploding process.

    Its noise variance $v = \sigma^2 t$ is the temperature of the Boltzmann law over clean data. A schedule of
    noise levels $\sigma_v$ (Karras et al.) is the time grid $t = \sigma_v^2 / \sigma^2$.

    Args:
        sigma: $\sigma > 0$, in data units over the root of the unit of time.

    Raises:
        ValueError: if it is not one positive number.

    Reference:
        Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), eq. 1.
    """

    sigma: Scalar

    def __init__(self, sigma: Scalar = 1.0):
        self.sigma = _positive(sigma, "Brownian", "sigma")

    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        xp, (t, sigma) = block.scalars(t, self.sigma)
        return xp.zeros_like(t), sigma * xp.ones_like(t)

    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        check_order(s, t)
        xp, (s, t, sigma) = block.scalars(s, t, self.sigma)
        return xp.ones_like(t), sigma * xp.sqrt(t - s)

    def start(self) -> tuple[Lift, Block]:
        return block.parameter(1.0), block.parameter(0.0)

    def kernel(self, t: Scalar) -> Kernel:
        return Kernel.from_factor(*self.transition(0.0, t))
