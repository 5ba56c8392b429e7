"""At which noise a network is trained: laws of the noise variance, told by their quantiles."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from .. import _block as block
from .._types import PRNGKey, Scalar
from ..processes import AbstractProcess
from .configs import is_whole

# Of the table of a process; the more of them, the closer is the interpolated law to that of the process.
_NODES = 1024


class AbstractLevels(eqx.Module):
    r"""A law of the noise variance v of $y = a + \sqrt{v}\,\varepsilon$.

    It is told by its quantiles, so that a batch can have one noise from each of equal parts of the law.
    """

    @abc.abstractmethod
    def variance(self, level: Scalar) -> Scalar:
        """The noise variance that a fraction `level` of the law is below.

        Args:
            level: in (0, 1), ends excluded: there the noise may be 0 or infinite.

        Returns:
            The variance v, in data units squared, of the type of `level`.
        """


class AbstractContinuousLevels(AbstractLevels):
    """A law of the noise variance that has a density."""

    @abc.abstractmethod
    def density(self, variance: Scalar) -> Scalar:
        """The density of the law at a variance that it can give; elsewhere it is not defined.

        Args:
            variance: v, in data units squared.

        Returns:
            The density, in inverse data units squared.
        """


class LogNormalLevels(AbstractContinuousLevels):
    r"""$\ln \sqrt{v} \sim \mathcal{N}(\mathrm{mean}, \mathrm{std}^2)$: most of the training where it is hard.

    Args:
        mean: of the logarithm of the standard deviation of the noise.
        std: of the same, > 0.

    Raises:
        ValueError: if they are not finite, or `std` is not positive.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), table 1, for data
        of standard deviation 1/2; the defaults are its values.
    """

    mean: Scalar
    std: Scalar

    def __init__(self, mean: Scalar = -1.2, std: Scalar = 1.2):
        self.mean, self.std = block.parameter(mean), block.parameter(std)
        if any(map(block.fails, (abs(self.mean) < np.inf, self.std > 0, self.std < np.inf))):
            raise ValueError(
                f"`LogNormalLevels` needs a finite `mean` and a finite `std > 0`. Got {self.mean} and {self.std}."
            )

    def variance(self, level: Scalar) -> Scalar:
        level, mean, std = _alike(level, self.mean, self.std)
        return jnp.exp(2 * (mean + std * ndtri(level)))

    def density(self, variance: Scalar) -> Scalar:
        variance, mean, std = _alike(variance, self.mean, self.std)
        # The logarithm of the variance is twice that of the standard deviation.
        return norm.pdf(0.5 * jnp.log(variance), mean, std) / (2 * variance)


class LogUniformLevels(AbstractContinuousLevels):
    """ln v uniform: every factor of noise alike.

    Args:
        low: least noise variance, > 0, in data units squared.
        high: largest noise variance, above `low`.

    Raises:
        ValueError: unless 0 < `low` < `high`, both finite.
    """

    low: Scalar
    high: Scalar

    def __init__(self, low: Scalar, high: Scalar):
        self.low, self.high = finite_range("LogUniformLevels", low, high, "noise variances")

    def variance(self, level: Scalar) -> Scalar:
        level, low, high = _alike(level, self.low, self.high)
        return low * jnp.exp(level * jnp.log(high / low))

    def density(self, variance: Scalar) -> Scalar:
        variance, low, high = _alike(variance, self.low, self.high)
        return 1 / (variance * jnp.log(high / low))


class FlowTimeLevels(AbstractContinuousLevels):
    r"""u uniform on the straight path $(1 - u)\,a + u\,\varepsilon$ of flow matching: $v = (u / (1 - u))^2$.

    Here u = 0 is data; many papers run it the other way.

    Args:
        low: least u, >= 0.
        high: largest u, above `low` and at most 1.

    Raises:
        ValueError: unless 0 <= `low` < `high` <= 1.
    """

    low: Scalar
    high: Scalar

    def __init__(self, low: Scalar = 0.0, high: Scalar = 1.0):
        self.low, self.high = block.parameter(low), block.parameter(high)
        if any(map(block.fails, (self.low >= 0, self.low < self.high, self.high <= 1))):
            raise ValueError(f"`FlowTimeLevels` needs times 0 <= low < high <= 1. Got {self.low} and {self.high}.")

    def variance(self, level: Scalar) -> Scalar:
        level, low, high = _alike(level, self.low, self.high)
        # 1 - u by its own sum: where u is near 1 a difference would lose it.
        return ((low + (high - low) * level) / ((1 - high) + (high - low) * (1 - level))) ** 2

    def density(self, variance: Scalar) -> Scalar:
        variance, low, high = _alike(variance, self.low, self.high)
        std = jnp.sqrt(variance)
        return 1 / ((high - low) * 2 * std * (1 + std) ** 2)


class ProcessLevels(AbstractContinuousLevels):
    r"""The noise variance of a process at a time that is uniform: what most training codes use.

    The variance is tabulated on the host, in float64, and interpolated linearly in $\log t$ and $\log v$, to 1e-4 of
    itself or better. The density is exactly that of the interpolated law.

    Args:
        process: any linear process. For a schedule of VP it is a `Scheduled` one.
        low: least time, > 0.
        high: largest time, above `low`.

    Raises:
        ValueError: unless 0 < `low` < `high`, both finite, or if the noise does not grow all the way.
    """

    log_times: Float[Array | np.ndarray, " nodes"]
    log_variances: Float[Array | np.ndarray, " nodes"]
    slopes: Float[Array | np.ndarray, " pieces"]
    """Of log t in log v, between nodes; from differences in float64, of which float32 would lose four digits."""

    def __init__(self, process: AbstractProcess, low: float, high: float):
        finite_range("ProcessLevels", low, high, "times")
        self.log_times = np.log(_nodes(low, high))
        self.log_variances = np.log(process.table(np.exp(self.log_times)).variance)
        if not np.all(np.diff(self.log_variances) > 0):
            still = np.exp(self.log_times[:-1][~(np.diff(self.log_variances) > 0)][0])
            raise ValueError(
                f"`ProcessLevels` needs a noise that grows from `low` to `high`. Got one that does not at t = {still}. "
                "Lower `high`."
            )
        self.slopes = np.diff(self.log_times) / np.diff(self.log_variances)

    def variance(self, level: Scalar) -> Scalar:
        level, log_times, log_variances = _alike(level, self.log_times, self.log_variances)
        low, high = jnp.exp(log_times[0]), jnp.exp(log_times[-1])
        return jnp.exp(jnp.interp(jnp.log(low + (high - low) * level), log_times, log_variances))

    def density(self, variance: Scalar) -> Scalar:
        variance, log_times, log_variances, slopes = _alike(variance, self.log_times, self.log_variances, self.slopes)
        log_variance = jnp.log(variance)
        i = jnp.clip(jnp.searchsorted(log_variances, log_variance), 1, _NODES - 1)
        t = jnp.exp(log_times[i] + slopes[i - 1] * (log_variance - log_variances[i]))
        return t * slopes[i - 1] / (variance * (jnp.exp(log_times[-1]) - jnp.exp(log_times[0])))


class GeometricLevels(AbstractLevels):
    r"""A number of noise variances in geometric progression, all alike probable.

    Args:
        first: one end, > 0, in data units squared.
        last: the other end, > 0.
        number: how many, at least 2, ends included.

    Raises:
        ValueError: if an end is not positive and finite, or `number` is below 2.

    Reference:
        Song, Ermon, "Generative modeling by estimating gradients of the data distribution" (2019), section 4.3, where
        standard deviations go from 1 to 0.01 in 10 steps: `GeometricLevels(1.0, 1e-4, 10)`, in variances.
    """

    first: Scalar
    last: Scalar
    number: int = eqx.field(static=True)

    def __init__(self, first: Scalar, last: Scalar, number: int = 10):
        self.first, self.last, self.number = block.parameter(first), block.parameter(last), number
        if any(block.fails((end > 0) & (end < np.inf)) for end in (self.first, self.last)) or not is_whole(number, 2):
            raise ValueError(
                "`GeometricLevels` needs positive finite ends and a whole `number >= 2`. "
                f"Got {self.first}, {self.last} and {number}."
            )

    def variance(self, level: Scalar) -> Scalar:
        level, first, last = _alike(level, self.first, self.last)
        # A level just below 1 may round up to the next whole number.
        i = jnp.minimum(jnp.floor(level * self.number), self.number - 1)
        return first * jnp.exp(i / (self.number - 1) * jnp.log(last / first))


def stratified_levels(key: PRNGKey, number: int, dtype: DTypeLike = float) -> Float[Array, " number"]:
    """Levels of a batch, one drawn uniformly from each of `number` equal parts of (0, 1), in order.

    Each by itself, in a random order, is uniform; together they vary less than independent ones. The ends are never
    reached. In float32 a plain uniform number is 0 once in 8 million draws, and moved to the last of 128 parts it
    rounds to 1 once in 300 thousand: at the ends of an unbounded law that is a noise of 0 or infinity.

    Args:
        key: a typed key.
        number: the size of the batch, at least 1.
        dtype: of the levels.

    Raises:
        ValueError: if `number` is below 1.
    """
    if number < 1:
        raise ValueError(f"`stratified_levels` needs `number >= 1`. Got {number}.")
    inside = jr.uniform(key, (number,), dtype)
    spacing = jnp.finfo(inside.dtype).eps
    # Uniform numbers are multiples of the spacing: half of it more keeps them off 0, and their mean right.
    levels = (jnp.arange(number, dtype=inside.dtype) + (inside + 0.5 * spacing)) / number
    return jnp.minimum(levels, 1 - 0.5 * spacing)


def _alike(value: Scalar, *parameters: Any) -> tuple[Array, ...]:
    """A value as a floating array, and parameters of its type."""
    value = jnp.asarray(value)
    return value, *(jnp.asarray(parameter, value.dtype) for parameter in parameters)


def _nodes(low: float, high: float) -> Float[np.ndarray, " nodes"]:
    """Times even in log t early on, where v is a power of t, and in t later, where it is not."""
    fine = np.geomspace(low, high, 100 * _NODES)
    place = np.log(fine / low) / np.log(high / low) + (fine - low) / (high - low)
    return np.interp(np.linspace(0, place[-1], _NODES), place, fine)


def finite_range(owner: str, low: Scalar, high: Scalar, what: str) -> tuple[Any, Any]:
    """Two ends as parameters; refuses them unless 0 < low < high < infinity."""
    low, high = block.parameter(low), block.parameter(high)
    if any(map(block.fails, (low > 0, low < high, high < np.inf))):
        raise ValueError(f"`{owner}` needs finite {what} 0 < low < high. Got {low} and {high}.")
    return low, high
