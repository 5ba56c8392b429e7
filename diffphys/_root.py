"""Bracketed roots to the last digits."""

from collections.abc import Callable
from typing import cast

import numpy as np
from scipy.optimize import brentq

_PRECISION = np.float64(1e-14)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a function of opposite signs at two ends, to a relative precision however small it is."""
    return cast(float, brentq(function, low, high, xtol=1e-300, rtol=_PRECISION, maxiter=500))
