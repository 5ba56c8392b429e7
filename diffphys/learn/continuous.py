"""Schedules of networks whose argument is a real number: a time, or a noise level."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .. import _block as block
from .outputs import Factor
from .schedules import AbstractNetworkSchedule, Argument, Level


class VariancePreservingSchedule(AbstractNetworkSchedule):
    r"""The continuous linear schedule, $\alpha^2 = e^{-b}$, $\sigma^2 = 1 - e^{-b}$, $b = \int_0^u \beta$, u in (0, 1].

    $\beta = \beta_0 + (\beta_1 - \beta_0) u$. A network that takes 999 u for its time, as that of the reference
    does, is wrapped to take u.

    Args:
        beta_min: $\beta_0$.
        beta_max: $\beta_1$.
        ends: the first and the last u at which the network was trained.

    Raises:
        ValueError: unless `0 < beta_min <= beta_max` and `0 <= first < last`.

    Reference:
        Song et al., "Score-based generative modeling through SDEs" (2021), eq. 32.
    """

    beta_min: float = eqx.field(static=True, default=0.1)
    beta_max: float = eqx.field(static=True, default=20.0)
    ends: tuple[float, float] = eqx.field(static=True, default=(0.0, 1.0))

    def __check_init__(self):
        if not 0 < self.beta_min <= self.beta_max < math.inf:
            raise ValueError(
                "`VariancePreservingSchedule` needs finite 0 < `beta_min` <= `beta_max`. "
                f"Got {self.beta_min} and {self.beta_max}. The papers take 0.1 and 20."
            )
        _check_ends(self, self.ends, 1.0)

    @property
    def variances(self) -> tuple[float, float]:
        low, high = (math.expm1(self._lived(u)) for u in self.ends)
        return low, high

    def locate(self, variance: Factor) -> Level:
        lived = jnp.log1p(variance)
        # This form of the root cancels nothing, and holds for a constant rate.
        root = jnp.sqrt(self.beta_min**2 + 2.0 * (self.beta_max - self.beta_min) * lived)
        noise = jnp.sqrt(variance / (1.0 + variance))
        return Level(2.0 * lived / (self.beta_min + root), 1.0 / jnp.sqrt(1.0 + variance), noise)

    def level(self, argument: Argument) -> tuple[Factor, Factor]:
        lived = self._lived(argument)
        return jnp.exp(-0.5 * lived), jnp.sqrt(-jnp.expm1(-lived))

    def _lived(self, argument: Any) -> Any:
        r"""$b = \int_0^u \beta$."""
        return argument * (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * argument)


class CosineSchedule(AbstractNetworkSchedule):
    r"""The cosine schedule, $\alpha = \cos\theta / \cos\theta_0$, $\theta = \frac\pi2 \frac{u + s}{1 + s}$.

    $\sigma^2 = 1 - \alpha^2 = \sin(\theta - \theta_0) \sin(\theta + \theta_0) / \cos^2\theta_0$, without cancellation.

    Args:
        offset: s >= 0; 0 is a turn at constant speed, $\alpha = \cos \frac{\pi u}{2}$.
        ends: the first and the last u at which the network was trained.

    Raises:
        ValueError: if `offset` is negative, or the ends are not in order in [0, 1].

    Reference:
        Nichol, Dhariwal, "Improved denoising diffusion probabilistic models" (2021), eq. 17; in continuous time.
    """

    offset: float = eqx.field(static=True, default=0.008)
    ends: tuple[float, float] = eqx.field(static=True, default=(0.0, 0.9999))

    def __check_init__(self):
        if not 0 <= self.offset < math.inf:
            raise ValueError(f"`CosineSchedule` needs a finite `offset` >= 0. Got {self.offset}. The paper has 0.008.")
        _check_ends(self, self.ends, 1.0)

    @property
    def _start(self) -> float:
        return 0.5 * math.pi * self.offset / (1.0 + self.offset)

    def _angle(self, argument: Any) -> Any:
        return (0.5 * math.pi / (1.0 + self.offset)) * (argument + self.offset)

    @property
    def variances(self) -> tuple[float, float]:
        # Their difference is not that of the angles, which rounds: to less than 0 at the data.
        turns = [(self._angle(u), self._angle(u - self.offset)) for u in self.ends]
        low, high = (math.sin(turn) * math.sin(t + self._start) / math.cos(t) ** 2 for t, turn in turns)
        return low, high

    def locate(self, variance: Factor) -> Level:
        angle = jnp.arctan2(jnp.sqrt(variance + math.sin(self._start) ** 2), math.cos(self._start))
        argument = angle * (2.0 * (1.0 + self.offset) / math.pi) - self.offset
        return Level(argument, 1.0 / jnp.sqrt(1.0 + variance), jnp.sqrt(variance / (1.0 + variance)))

    def level(self, argument: Argument) -> tuple[Factor, Factor]:
        start, angle = self._start, self._angle(argument)
        gained = jnp.sin((0.5 * math.pi / (1.0 + self.offset)) * argument) * jnp.sin(angle + start)
        return jnp.cos(angle) / math.cos(start), jnp.sqrt(gained) / math.cos(start)


def _same(noise_level: Factor) -> Factor:
    return noise_level


class ExplodingSchedule(AbstractNetworkSchedule):
    r"""Noise added to the data as they are, $x = a + \sigma \varepsilon$, u being $\sigma$ or a function of it.

    With `DataOutput()` and the default argument it is the preconditioned denoiser D of EDM.

    Args:
        to_argument: u of $\sigma$: what the network takes, for instance $\log\sigma$.
        from_argument: its inverse.
        ends: the lowest and the highest $\sigma$ at which the network was trained, in data units.

    Raises:
        ValueError: if the ends are not in order, or the second function does not undo the first.

    Reference:
        Song et al., "Score-based generative modeling through SDEs" (2021), eq. 31; Karras et al., "Elucidating the
        design space of diffusion-based generative models" (2022), table 1.
    """

    to_argument: Callable[[Factor], Factor] = eqx.field(static=True, default=_same)
    from_argument: Callable[[Factor], Factor] = eqx.field(static=True, default=_same)
    ends: tuple[float, float] = eqx.field(static=True, default=(0.0, math.inf))

    def __check_init__(self):
        _check_ends(self, self.ends, math.inf)
        for sigma in (min(max(sigma, self.ends[0]), self.ends[1]) for sigma in (0.1, 10.0)):
            back = self.from_argument(self.to_argument(jnp.asarray(sigma, float)))
            if block.fails(abs(back - sigma) <= 1e-3 * sigma):
                raise ValueError(
                    "`ExplodingSchedule` needs a `from_argument` that undoes `to_argument`. "
                    f"Got {float(back):.4g} back for sigma = {sigma:.4g}. Do give both."
                )

    @property
    def variances(self) -> tuple[float, float]:
        return self.ends[0] ** 2, self.ends[1] ** 2

    def locate(self, variance: Factor) -> Level:
        noise_std = jnp.sqrt(variance)
        return Level(self.to_argument(noise_std), jnp.ones_like(noise_std), noise_std)

    def level(self, argument: Argument) -> tuple[Factor, Factor]:
        noise_std = self.from_argument(argument)
        return jnp.ones_like(noise_std), noise_std


class EDMSchedule(AbstractNetworkSchedule):
    r"""The states of the raw network F of EDM, of unit variance: $x = (a + \sigma\varepsilon) / \sqrt{\sigma^2 + s^2}$.

    Its argument is $u = \frac14 \log \sigma$. With `ResidualOutput(data_std)` of the same s.

    Args:
        data_std: s > 0, the standard deviation of the data, in data units.
        ends: the lowest and the highest $\sigma$ at which the network was trained, in data units.

    Raises:
        ValueError: if `data_std` is not positive or the ends are not in order.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), table 1.
    """

    data_std: float = eqx.field(static=True, default=0.5)
    ends: tuple[float, float] = eqx.field(static=True, default=(0.0, math.inf))

    def __check_init__(self):
        if not 0 < self.data_std < math.inf:
            raise ValueError(f"`EDMSchedule` needs a finite `data_std` > 0. Got {self.data_std}. The paper takes 0.5.")
        _check_ends(self, self.ends, math.inf)

    @property
    def variances(self) -> tuple[float, float]:
        return self.ends[0] ** 2, self.ends[1] ** 2

    def locate(self, variance: Factor) -> Level:
        signal = 1.0 / jnp.sqrt(variance + self.data_std**2)
        return Level(0.125 * jnp.log(variance), signal, signal * jnp.sqrt(variance))

    def level(self, argument: Argument) -> tuple[Factor, Factor]:
        noise_level = jnp.exp(4.0 * argument)
        signal = 1.0 / jnp.hypot(noise_level, jnp.full_like(noise_level, self.data_std))
        return signal, signal * noise_level


class StraightSchedule(AbstractNetworkSchedule):
    r"""The straight path of flow matching, $x = (1 - w)\,a + w\,\varepsilon$, w in (0, 1).

    Args:
        data_at_one: whether the network's u runs the other way, u = 1 - w: noise at 0 and data at 1. If not, u = w.
        ends: the lowest and the highest w at which the network was trained.

    Raises:
        ValueError: if the ends are not in order in [0, 1].

    Reference:
        Lipman et al., "Flow matching for generative modeling" (2023), eq. 20 with sigma_min = 0, data at 1;
        Liu, Gong, Liu, "Flow straight and fast" (2023).
    """

    data_at_one: bool = eqx.field(static=True, default=False)
    ends: tuple[float, float] = eqx.field(static=True, default=(0.0, 1.0))

    def __check_init__(self):
        _check_ends(self, self.ends, 1.0)

    @property
    def variances(self) -> tuple[float, float]:
        low, high = ((w / (1.0 - w)) ** 2 if w < 1 else math.inf for w in self.ends)
        return low, high

    def locate(self, variance: Factor) -> Level:
        noise_level = jnp.sqrt(variance)
        signal, noise = 1.0 / (1.0 + noise_level), noise_level / (1.0 + noise_level)
        return Level(signal if self.data_at_one else noise, signal, noise)

    def level(self, argument: Argument) -> tuple[Factor, Factor]:
        return (argument, 1.0 - argument) if self.data_at_one else (1.0 - argument, argument)


def _check_ends(schedule: AbstractNetworkSchedule, ends: tuple[float, float], top: float) -> None:
    if not 0 <= ends[0] < ends[1] <= top:
        raise ValueError(
            f"`{type(schedule).__name__}` needs `ends` with 0 <= first < last <= {top:g}. Got {ends}. Do give the "
            "lowest noise first."
        )
