"""Networks of any kind of output and schedule as denoisers, and denoisers as such networks."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Int

from .. import _block as block
from .._describe import kind_of, said_by
from .._types import Data, Denoiser, Scalar
from ..targets._arrays import floating, observation
from ._layout import Layout
from .outputs import AbstractOutput
from .schedules import AbstractNetworkSchedule, Argument, times_of

Network = Callable[..., Any]
"""`network(x, u)`: what it says of the state `x` at its own argument `u`. Best a pytree, its weights the leaves."""


class AdaptedDenoiser(eqx.Module):
    """A network as a denoiser: made by `from_network`, which says what it does.

    Attributes:
        network: the network; its arrays are leaves.
        output: what it says.
        schedule: the states that it knows.
    """

    network: Network
    output: AbstractOutput
    schedule: AbstractNetworkSchedule
    _layout: Layout

    def __check_init__(self):
        _check_words(self.output, self.schedule)
        axes, batch = self._layout.axes, (1,) if self._layout.batched else ()
        x = jax.ShapeDtypeStruct((*batch, *axes), self._layout.dtype)
        argument = jax.eval_shape(lambda: self.schedule.locate(jnp.ones((), self._layout.dtype)).argument)
        try:
            # Closed over, as a call has it: a module of flax that would change itself says so here, and not in a run.
            asked = jax.ShapeDtypeStruct(batch, argument.dtype)
            found = eqx.filter_eval_shape(lambda x, u: self.network(x, u), x, asked)
        except jax.errors.TracerArrayConversionError as error:
            raise ValueError(
                "`network` needs to compute in jax. Got one that asks for the numbers of its state while jax traces. "
                "Do wrap networks of NumPy or torch in `jax.pure_callback`, as in the example of `from_network`."
            ) from error
        except Exception as error:
            raise ValueError(
                f"`network` needs to be called as `network(x, u)`, with x of shape {x.shape} and u of {batch}. "
                f"Got {said_by(error)} Do make those of flax callable by `linen_network` or `nnx_network`, and those "
                "of torch by `jax.pure_callback`; say `channels_first` or `batched` if the axes are others."
            ) from error
        if getattr(found, "shape", None) != x.shape:
            got = getattr(found, "shape", type(found).__name__)
            raise ValueError(
                f"`network` needs to return an array of the shape of its state, {x.shape}. Got {got}. "
                "Do wrap it, so that it returns one output; say `channels_first` or `batched` if its axes are others."
            )

    @property
    def variances(self) -> tuple[float, float]:
        """The lowest and the highest noise variance v that it may be asked for, in the units of the data."""
        low, high = self.schedule.variances
        return low / self._layout.scale**2, high / self._layout.scale**2

    @property
    def times(self) -> tuple[float, float]:
        """The Ornstein-Uhlenbeck times, at temperature 1, of `variances`."""
        return times_of(self.variances)

    def __call__(self, y: Data, variance: Scalar) -> Data:
        layout = self._layout
        y = floating(y)
        scaled = layout.to_network(y, "y")
        _, variance = observation(layout.dim, y, variance)
        variance = self.schedule.checked(layout.scale**2 * variance)
        argument, signal, noise_std = self.schedule.locate(variance)
        x = signal * scaled
        given = layout.fold(x).astype(layout.dtype)
        if jnp.issubdtype(argument.dtype, jnp.floating):
            argument = argument.astype(layout.dtype)
        if layout.batched:
            said = self.network(given[None], argument[None])[0]
        else:
            said = self.network(given, argument)
        return layout.from_network(self.output.estimate(layout.flatten(said).astype(y.dtype), x, signal, noise_std))


class AdaptedNetwork(eqx.Module):
    """A denoiser as a network: made by `to_network`, which says what it does.

    Attributes:
        denoise: the denoiser.
        output: what the network says.
        schedule: the states that it is shown.
    """

    denoise: Denoiser
    output: AbstractOutput
    schedule: AbstractNetworkSchedule
    _layout: Layout

    def __call__(
        self, x: Float[Array, "..."], argument: Float[Array, "..."] | Int[Array, "..."]
    ) -> Float[Array, "..."]:
        x, argument, batch = floating(x), jnp.asarray(argument), 1 if self._layout.batched else 0
        if x.ndim < batch or argument.shape != x.shape[:batch]:
            raise ValueError(
                f"`argument` needs one number a state, of shape {x.shape[:batch]} for `x` of {x.shape}. "
                f"Got {argument.shape}. Do repeat a common one; `batched` says whether there is a batch axis."
            )
        argument = self.schedule.askable(argument)
        return jax.vmap(self._one)(x, argument) if batch else self._one(x, argument)

    def _one(self, image: Float[Array, "..."], argument: Argument) -> Float[Array, "..."]:
        layout, x = self._layout, self._layout.flatten(image)
        if jnp.issubdtype(argument.dtype, jnp.floating):
            argument = argument.astype(x.dtype)
        signal, noise_std = (part.astype(x.dtype) for part in self.schedule.level(argument))
        y, noise_level = layout.from_network(x / signal), noise_std / signal / layout.scale
        a = layout.to_network(self.denoise(y, noise_level * noise_level), "denoise(y, v)")
        return layout.fold(self.output.prediction(a, x, signal, noise_std))


def _check_words(output: Any, schedule: Any) -> None:
    """Refuses what does not say what a network was trained for: a class, a name, an array of betas."""
    for name, found, kind, example in (
        ("output", output, AbstractOutput, "NoiseOutput()"),
        ("schedule", schedule, AbstractNetworkSchedule, "DiscreteSchedule.from_betas(betas)"),
    ):
        if not isinstance(found, kind):
            raise ValueError(f"`{name}` needs an `{kind.__name__}`, such as `{example}`. Got {kind_of(found)}.")


def from_network(
    network: Network,
    output: AbstractOutput,
    schedule: AbstractNetworkSchedule,
    shape: tuple[int, ...],
    *,
    batched: bool = True,
    channels_first: bool = False,
    scale: float = 1.0,
    offset: ArrayLike = 0.0,
    dtype: DTypeLike = jnp.float32,
) -> AdaptedDenoiser:
    r"""A trained network, of whatever output and schedule, as a denoiser `(y, v) -> estimate of a`.

    The state $x = \alpha\,y$ is shown to the network at the u where $\sigma^2 / \alpha^2 = v$, and what it says of x is
    turned into the estimate of `a`. It is one sample a call; under `jax.vmap` many samples become one batched call.

    Compile it with `eqx.filter_jit`, or inside a function: it is a pytree, and its weights are not constants then.
    Networks of `flax` are made callable by `linen_network` and `nnx_network`; those of `equinox` are so already,
    `batched=False` as they are written for one sample. Grids of a sampler are Ornstein-Uhlenbeck times, not u:

    ```python
    denoiser = from_network(network, NoiseOutput(), VariancePreservingSchedule(ends=(1e-3, 1.0)), (d,), batched=False)
    last, first = denoiser.times
    samples = dp.generate(
        dp.UniPC(process, denoiser), dp.clocks.log_snr_grid(first, last, 20), key=jax.random.key(0), number=64, dim=d
    )
    ```

    One of torch or NumPy is called back from the program, with the axes of every `jax.vmap` before that of its batch:

    ```python
    def on_host(x, u):
        with torch.no_grad():
            said = module(torch.tensor(np.array(x)).reshape(-1, d), torch.tensor(np.array(u)).reshape(-1))
        return said.numpy().reshape(x.shape)

    def network(x, u):
        return jax.pure_callback(on_host, jax.ShapeDtypeStruct(x.shape, x.dtype), x, u, vmap_method="broadcast_all")
    ```

    Args:
        network: called as `network(x, u)`, with a batch axis on both if it is `batched`. It returns the shape of x.
        output: what it says.
        schedule: what it was trained on: of noise over signal, and of u.
        shape: one sample, channels last: (height, width, channels), or (d,). `y` is that flat.
        batched: whether the network takes a batch axis, and an argument u for each of it.
        channels_first: whether the network has the last axis of `shape` first.
        scale: of the data in the network's units, $a_{network} = scale\; a + offset$, > 0; v goes by its square.
        offset: the same number for each coordinate, or flat, one for each. Where data in [0, 1] were centred by a mean,
            and the network takes [-1, 1]: scale 2, and offset 2 mean - 1.
        dtype: of x, and of a u that is no index. Outside the network all is in the dtype of `y`.

    Returns:
        The denoiser. Its `variances` and `times` say where it may be asked: it refuses v outside.

    Raises:
        ValueError: if the network does not return the shape of its state, or an argument does not fit.
    """
    if not np.shape(shape):
        raise ValueError(
            f"`shape` needs the axes of one sample, such as (height, width, 1). Got {shape}. Do say ({shape},)."
        )
    layout = Layout(tuple(shape), batched, channels_first, np.dtype(dtype), float(scale), block.parameter(offset))
    return AdaptedDenoiser(network, output, schedule, layout)


def to_network(
    denoise: Denoiser,
    output: AbstractOutput,
    schedule: AbstractNetworkSchedule,
    shape: tuple[int, ...],
    *,
    batched: bool = True,
    channels_first: bool = False,
    scale: float = 1.0,
    offset: ArrayLike = 0.0,
) -> AdaptedNetwork:
    r"""A denoiser as the network `(x, u) -> output` of a schedule: what a perfectly trained one would say.

    The inverse of `from_network`, with the same arguments; computed in the dtype of x. It gives other libraries an
    exact network to sample from, and tests one to adapt. u must be where $\alpha > 0$ and $\sigma > 0$.

    Args:
        denoise: `(y, v) -> estimate of a`.
        output: what the network says.
        schedule: of noise over signal, and of u.
        shape: one sample, channels last; x has it.
        batched: whether the network takes a batch axis, and an argument u for each of it.
        channels_first: whether the network has the last axis of `shape` first.
        scale: of the data in the network's units.
        offset: of the data in the network's units.

    Returns:
        The network, `network(x, u)`.

    Raises:
        ValueError: if an argument does not fit. The network refuses a u at which there is no state.
    """
    layout = Layout(tuple(shape), batched, channels_first, np.dtype(float), float(scale), block.parameter(offset))
    return AdaptedNetwork(denoise, output, schedule, layout)
