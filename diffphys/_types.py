"""Array types shared by every module.

One sample at a time: nothing here has a batch axis. Batches are made by `jax.vmap`.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Float, Key

Scalar: TypeAlias = Float[Array, ""] | Float[np.ndarray, ""] | np.floating | float
"""A zero-dimensional real number: a time, a variance, a log-density."""

Data: TypeAlias = Float[Array, " d"]
"""A clean configuration `a`, or an observation `y` of one."""

State: TypeAlias = Float[Array, " d"] | Float[Array, "k d"]
"""A noisy state `z`: `x` alone, or position and momenta stacked on axis 0."""

Noise: TypeAlias = Float[Array, " d"] | Float[Array, "k d"]
"""Independent standard normal numbers, of the shape of a state."""

Draws: TypeAlias = Float[Array, "draws ..."]
"""The noises of one step of a sampler, stacked on a leading axis, which may be empty."""

Path: TypeAlias = Float[Array, "n d"] | Float[Array, "n k d"]
"""States at successive times, on a leading axis."""

Block: TypeAlias = Float[Array | np.ndarray, ""] | Float[Array | np.ndarray, "k k"] | np.floating | float
"""A linear map on the phase-space axis, the same for each of the `d` coordinates."""

Lift: TypeAlias = Float[Array | np.ndarray, ""] | Float[Array | np.ndarray, " k"] | np.floating | float
"""A linear map from data to states: `a -> lift * a`, the same for each coordinate."""

Denoiser: TypeAlias = Callable[[Data, Scalar], Data]
"""`denoise(y, v)`: an estimate of `a` from `y = a + sqrt(v) * noise`. Exact, learned or guided.

It knows nothing of time or of the process, so it cannot disagree with the sampler about them.
"""

PRNGKey: TypeAlias = Key[Array, ""]
"""A typed key, as made by `jax.random.key`. Raw uint32 keys are refused."""

Times: TypeAlias = Sequence[float] | Float[Array | np.ndarray, " _"]
"""Diffusion times, as a caller has them."""
