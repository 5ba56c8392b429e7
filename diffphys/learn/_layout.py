"""How a network holds the data: its axes, its type and its units."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Data
from ..targets._arrays import require_finite


class Layout(eqx.Module):
    r"""How the network holds the data: its axes, its type, and its units, $a_{network} = scale\; a + offset$."""

    shape: tuple[int, ...] = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    channels_first: bool = eqx.field(static=True)
    dtype: np.dtype = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    offset: Float[Array | np.ndarray, ""] | Float[Array | np.ndarray, " d"]

    def __check_init__(self):
        if not self.shape or not all(isinstance(side, int | np.integer) and side >= 1 for side in self.shape):
            raise ValueError(f"`shape` needs the axes of one sample, whole numbers of 1 or more. Got {self.shape}.")
        if not jnp.issubdtype(self.dtype, jnp.floating):
            raise ValueError(f"`dtype` needs a floating-point type. Got {self.dtype}. Do say that of the network.")
        if self.channels_first and len(self.shape) < 2:
            raise ValueError(
                f"`channels_first` needs a `shape` with channels last, such as (height, width, channels). "
                f"Got {self.shape}. The network's own axes follow from it."
            )
        if not 0 < self.scale < math.inf:
            raise ValueError(f"`scale` needs a finite number > 0. Got {self.scale}. Do say the units of the network.")
        if self.offset.shape not in ((), (self.dim,)):
            raise ValueError(
                f"`offset` needs to be one number or of shape ({self.dim},), flat as the data are. "
                f"Got {self.offset.shape}. Do flatten it, channels last."
            )
        require_finite("offset", self.offset)

    @property
    def dim(self) -> int:
        return math.prod(self.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of one sample as the network has them."""
        return (self.shape[-1], *self.shape[:-1]) if self.channels_first else self.shape

    def fold(self, flat: Data) -> Array:
        """A flat sample, channels last, as the network has it."""
        image = flat.reshape(self.shape)
        return jnp.moveaxis(image, -1, 0) if self.channels_first else image

    def flatten(self, image: Array) -> Data:
        """The other way.

        Raises:
            ValueError: for an image of other axes, which may have as many numbers.
        """
        if image.shape != self.axes:
            raise ValueError(f"`x` needs shape {self.axes}, that of the network. Got {image.shape}. Do reshape it.")
        return (jnp.moveaxis(image, 0, -1) if self.channels_first else image).reshape(self.dim)

    def to_network(self, a: Data, name: str) -> Data:
        """Data in the units of the network.

        Raises:
            ValueError: if they have another number of coordinates.
        """
        if a.shape != (self.dim,):
            raise ValueError(
                f"`{name}` needs shape ({self.dim},), one flat sample of {self.shape}. Got {a.shape}. "
                "Do flatten images, channels last; batches are made by `jax.vmap`."
            )
        return self.scale * a + jnp.asarray(self.offset, a.dtype)

    def from_network(self, a: Data) -> Data:
        """The other way."""
        return (a - jnp.asarray(self.offset, a.dtype)) / self.scale
