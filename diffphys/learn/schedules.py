"""What a trained network sees: data scaled and noised, and its own name for how much. Schedules of indices."""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .. import _block as block, clocks
from .outputs import Factor

Argument = Float[Array, ""] | Int[Array, ""]

# Samplers in float32 pass the ends of a schedule by a few roundings of the logarithm of v.
_SLACK = 1e-4


class Level(NamedTuple):
    """The question that a network is asked: of the state `signal * y`, at its own argument."""

    argument: Argument
    """What the network takes for a time: an index, a time, a noise level."""
    signal: Factor
    """The factor of the data in the state."""
    noise_std: Factor
    """The factor of the noise in the state: `signal * sqrt(v)`."""


class AbstractNetworkSchedule(eqx.Module):
    r"""The states that a network was trained on, $x = \alpha(u)\,a + \sigma(u)\,\varepsilon$ at its argument u.

    It is the channel at $v = \sigma^2 / \alpha^2$, scaled: $x = \alpha y$. Which v there are is known on the host.
    """

    variances: eqx.AbstractVar[tuple[float, float]]
    """The lowest and the highest noise variance v that the network may be asked for, in its own units."""

    @abc.abstractmethod
    def locate(self, variance: Factor) -> Level:
        """The argument, the signal and the noise at which the network sees noise of `variance`."""

    @abc.abstractmethod
    def level(self, argument: Argument) -> tuple[Factor, Factor]:
        """The signal and the noise of the states at `argument`."""

    @property
    def times(self) -> tuple[float, float]:
        """The Ornstein-Uhlenbeck times, at temperature 1, of `variances`."""
        return times_of(self.variances)

    def checked(self, variance: Factor) -> Factor:
        """The variance, refused unless the network knows it; while JAX traces, the run that asks for it fails.

        Raises:
            ValueError: for a known variance that is not positive and finite, or outside `variances`.
        """
        low, high = self.variances
        inside = (variance > 0) & (variance < math.inf)
        inside &= (variance >= low * (1 - _SLACK)) & (variance <= high * (1 + _SLACK))
        message = (
            f"`{type(self).__name__}` needs a noise variance v > 0 from {low:.6g} to {high:.6g} in the units of the "
            f"network, Ornstein-Uhlenbeck times {self.times[0]:.6g} to {self.times[1]:.6g}. Got {{}}. "
            "Do stay inside, or take a network that was trained beyond."
        )
        if block.fails(inside):
            raise ValueError(message.format(f"{float(variance):.6g}"))
        # Under 2 microseconds a call on a CPU: nothing beside a network.
        return eqx.error_if(variance, ~inside, message.format("one outside"))

    def askable(self, argument: Float[Array, "..."] | Int[Array, "..."]) -> Float[Array, "..."] | Int[Array, "..."]:
        r"""Arguments u, one or a batch of them, refused where there is no state; while JAX traces, the run fails.

        Raises:
            ValueError: for known ones at which $\alpha > 0$ and $\sigma > 0$ do not both hold.
        """
        signal, noise_std = (jax.vmap(self.level) if argument.ndim else self.level)(argument)
        fine = (signal > 0) & (noise_std > 0)
        message = (
            f"`{type(self).__name__}` needs arguments with a signal and a noise above 0. Got {{}}. Do stay inside."
        )
        if block.fails(jnp.all(fine)):
            raise ValueError(message.format(np.asarray(argument)[~np.asarray(fine)]))
        return eqx.error_if(argument, ~fine, message.format("others"))


class DiscreteSchedule(AbstractNetworkSchedule):
    r"""Levels that a network knows by an index i, from 0: $x = \alpha_i a + \sigma_i \varepsilon$.

    A noise variance v is asked at the index nearest in $\log v$. What noise is in the state is said by v itself, so a
    network of the noise is asked for $a = y - \sqrt v\,\varepsilon$, and the state has the size of those at that index,

    $$ \alpha^2 (1 + v) = \alpha_i^2 + \sigma_i^2 , $$

    for data of unit variance. Scaled by $\alpha_i$ its noise would not be that of the index, and the estimate would be
    wrong by $y\,(1 - \sqrt{v / v_i})$: by more than the data are large, where the noise is.

    Attributes:
        signals: $\alpha_i > 0$.
        noise_stds: $\sigma_i > 0$.
        log_variances: $\log v_i = 2 \log (\sigma_i / \alpha_i)$.
        variances: the range of v, half a step of $\log v$ beyond the first level and the last.
    """

    signals: Float[np.ndarray, " n"]
    noise_stds: Float[np.ndarray, " n"]
    log_variances: Float[np.ndarray, " n"]
    variances: tuple[float, float] = eqx.field(static=True)
    _rises: bool = eqx.field(static=True)

    def __init__(self, signals: clocks.Given, noise_stds: clocks.Given):
        """Builds the schedule.

        Args:
            signals: the factor of the data at each index.
            noise_stds: the factor of the noise at each index, in data units.

        Raises:
            ValueError: unless both are two or more positive numbers, as many of one as of the other, and v rises
                with the index, or falls with it, throughout.
        """
        self.signals, self.noise_stds = np.asarray(signals, np.float64), np.asarray(noise_stds, np.float64)
        for name, values in (("signals", self.signals), ("noise_stds", self.noise_stds)):
            if values.ndim != 1 or values.size < 2 or not (np.isfinite(values) & (values > 0)).all():
                raise ValueError(f"`{name}` needs two or more positive numbers. Got {values}. Do check the schedule.")
        if self.signals.shape != self.noise_stds.shape:
            raise ValueError(
                f"`DiscreteSchedule` needs a signal and a noise for each index. Got {self.signals.size} and "
                f"{self.noise_stds.size}. Do repeat a common value."
            )
        self.log_variances = 2.0 * (np.log(self.noise_stds) - np.log(self.signals))
        steps = np.diff(self.log_variances)
        self._rises = bool(steps[0] > 0)
        wrong = np.flatnonzero(steps <= 0 if self._rises else steps >= 0)
        if wrong.size:
            i = wrong[0]
            raise ValueError(
                "`DiscreteSchedule` needs noise over signal that rises with the index, or falls, throughout. "
                f"Got v = {np.exp(self.log_variances[i]):.6g} at index {i} and "
                f"{np.exp(self.log_variances[i + 1]):.6g} at index {i + 1}. Do check the schedule."
            )
        ends = np.exp([self.log_variances[0] - 0.5 * steps[0], self.log_variances[-1] + 0.5 * steps[-1]])
        self.variances = (float(ends.min()), float(ends.max()))

    @classmethod
    def from_betas(cls, betas: clocks.Given) -> "DiscreteSchedule":
        r"""The schedule of DDPM, $\alpha_i^2 = \prod_{j \le i} (1 - \beta_j)$, $\sigma_i^2 = 1 - \alpha_i^2$.

        Index i has seen i + 1 steps of noise.

        Args:
            betas: the variances of the noising steps, each in (0, 1): `clocks.linear_betas` has the usual ones.

        Raises:
            ValueError: unless there are at least two betas, all in (0, 1), and for some that only fall, as products of
                1 - beta do.

        Reference:
            Ho, Jain, Abbeel, "Denoising diffusion probabilistic models" (2020), eq. 4.
        """
        times = clocks.ddpm_times(betas)
        if len(times) > 2 and np.all(np.diff(np.asarray(betas, np.float64)) < 0):
            raise ValueError(
                "`betas` needs the variances of single steps. Got numbers that fall from the first to the last, as "
                "`alphas_cumprod` do. Of these do give `DiscreteSchedule(sqrt(them), sqrt(1 - them))`."
            )
        return cls(np.exp(-times), np.sqrt(-np.expm1(-2.0 * times)))

    def locate(self, variance: Factor) -> Level:
        rising = self.log_variances if self._rises else self.log_variances[::-1]
        middles = jnp.asarray(0.5 * (rising[1:] + rising[:-1]), variance.dtype)
        index = jnp.searchsorted(middles, jnp.log(variance)).astype(jnp.int32)
        index = index if self._rises else len(rising) - 1 - index
        of_data, of_noise = (jnp.asarray(part, variance.dtype)[index] for part in (self.signals, self.noise_stds))
        signal = jnp.hypot(of_data, of_noise) / jnp.sqrt(1.0 + variance)
        return Level(index, signal, signal * jnp.sqrt(variance))

    def level(self, argument: Argument) -> tuple[Factor, Factor]:
        if not jnp.issubdtype(argument.dtype, jnp.integer):
            raise ValueError(f"`DiscreteSchedule` needs indices for arguments. Got {argument.dtype}. Do round them.")
        # Indices from the end, and those beyond it, are no levels: their signal and noise are 0.
        place = jnp.where(argument < 0, len(self.signals), argument)
        signal, noise_std = (jnp.asarray(values).at[place].get(mode="fill", fill_value=0.0)
                             for values in (self.signals, self.noise_stds))  # fmt: skip
        return signal, noise_std


def times_of(variances: tuple[float, float]) -> tuple[float, float]:
    """The Ornstein-Uhlenbeck times, at temperature 1, of the ends of a range of noise; the last may be infinite."""
    low, high = (0.5 * math.log1p(v) for v in variances)
    return low, high
