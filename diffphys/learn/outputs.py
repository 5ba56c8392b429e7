"""What a trained network says of the noisy state that it sees, and the estimate of the data that follows."""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Data

Factor = Float[Array, ""]


class AbstractOutput(eqx.Module):
    r"""What a network is trained to say of $x = \alpha a + \sigma \varepsilon$: as good as an estimate of `a`.

    With the exact posterior mean in place of `a` it is the least squares answer. Each is written for any $\alpha$ and
    $\sigma$ above 0, of variance-preserving states or not.
    """

    @abc.abstractmethod
    def estimate(self, prediction: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        r"""The estimate of the data.

        Args:
            prediction: what the network says.
            x: the state that it saw.
            signal: $\alpha$, the factor of the data in it.
            noise_std: $\sigma$, the factor of the noise.
        """

    @abc.abstractmethod
    def prediction(self, a: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        """What the network says, from the estimate `a`: the inverse of `estimate`."""


class NoiseOutput(AbstractOutput):
    r"""The noise $\varepsilon$: $a = (x - \sigma\varepsilon) / \alpha$, and $\varepsilon = (x - \alpha a) / \sigma$.

    Its errors are multiplied by $\sqrt v$ in the estimate: at large v it knows little of the data. The second is a
    difference of close numbers at small v. Neither can be avoided.

    Reference:
        Ho, Jain, Abbeel, "Denoising diffusion probabilistic models" (2020), eq. 15.
    """

    def estimate(self, prediction: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return (x - noise_std * prediction) / signal

    def prediction(self, a: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return (x - signal * a) / noise_std


class DataOutput(AbstractOutput):
    """The data themselves: a network that denoises."""

    def estimate(self, prediction: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return prediction

    def prediction(self, a: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return a


class ScoreOutput(AbstractOutput):
    r"""The score of the law of x: $s = -\varepsilon / \sigma$, so $a = (x + \sigma^2 s) / \alpha$.

    Reference:
        Song, Ermon, "Generative modeling by estimating gradients of the data distribution" (2019), eq. 5.
    """

    def estimate(self, prediction: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return (x + noise_std * (noise_std * prediction)) / signal

    def prediction(self, a: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return (signal * a - x) / noise_std / noise_std


class AngularVelocityOutput(AbstractOutput):
    r"""The v of progressive distillation, $\alpha\varepsilon - \sigma a$: the velocity of x in the angle of the noise.

    $$ a = \frac{\alpha x - \sigma\,\mathrm{v}}{\alpha^2 + \sigma^2} $$

    The divisor is 1 for variance-preserving states. No difference of large numbers at either end.

    Reference:
        Salimans, Ho, "Progressive distillation for fast sampling of diffusion models" (2022), appendix D.
    """

    def estimate(self, prediction: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return (signal * x - noise_std * prediction) / (signal**2 + noise_std**2)

    def prediction(self, a: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        return signal * ((x - signal * a) / noise_std) - noise_std * a


class ResidualOutput(AbstractOutput):
    r"""The raw network F of EDM: what the best guess for Gaussian data leaves, in units of its error.

    With s the standard deviation of the data and $\tau^2 = \sigma^2 + s^2\alpha^2$,

    $$ a = \frac{s}{\tau} \left( \frac{s \alpha}{\tau} x + \sigma F \right), \qquad
       F = \frac{\sigma a - s^2 \alpha\,\varepsilon}{s\,\tau} . $$

    The first is a sum in which nothing is large at either end: $a \to x / \alpha$ at small noise, $a \to s F$ at large.

    Args:
        data_std: s > 0, the standard deviation of the data, in the units of the network.

    Raises:
        ValueError: if it is not positive.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), eq. 7 and table 1;
        there of $x = a + \sigma\varepsilon$.
    """

    data_std: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        if not 0 < self.data_std < math.inf:
            raise ValueError(
                f"`ResidualOutput` needs a finite `data_std` > 0. Got {self.data_std}. Do take that of the training."
            )

    def estimate(self, prediction: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        total = jnp.hypot(noise_std, self.data_std * signal)
        return self.data_std / total * (self.data_std * signal / total * x + noise_std * prediction)

    def prediction(self, a: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        total = jnp.hypot(noise_std, self.data_std * signal)
        noise = (x - signal * a) / noise_std
        return (noise_std / self.data_std * a - self.data_std * signal * noise) / total


class FlowVelocityOutput(AbstractOutput):
    r"""The velocity of the straight path, $\varepsilon - a$, or $a - \varepsilon$ if it is told towards the data.

    $$ a = \frac{x - \sigma\,\dot x}{\alpha + \sigma} $$

    The divisor is 1 on the path itself, $\alpha + \sigma = 1$.

    Args:
        towards_data: whether the velocity is that of a time that runs from noise to data: the sign of
            `StraightSchedule(data_at_one=True)`.

    Reference:
        Lipman et al., "Flow matching for generative modeling" (2023), eq. 23 with sigma_min = 0, towards the data.
    """

    towards_data: bool = eqx.field(static=True, default=False)

    def estimate(self, prediction: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        step = noise_std * prediction
        return (x + step if self.towards_data else x - step) / (signal + noise_std)

    def prediction(self, a: Data, x: Data, signal: Factor, noise_std: Factor) -> Data:
        noise = (x - signal * a) / noise_std
        return a - noise if self.towards_data else noise - a
