"""Array types of the thermodynamics, which lives on the host in NumPy float64."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Array, Float, Real

ArrayLike: TypeAlias = Real[Array | np.ndarray, "..."] | np.number | float | int | Sequence
"""What a broadcasting function takes: an array of any real dtype and shape, numbers in lists, or one number."""

Values: TypeAlias = Float[np.ndarray, "..."] | float
"""What it returns: an array of float64, or one number for scalar arguments."""
