"""The order of a mean-field Potts model, and so of all models of two values."""

import math

from .._root import root

# Beyond the inverse temperature at which the order is this, it is one to the last bit.
_FULL = 1 - 2.0**-53


def critical_inverse_temperature(colours: int) -> float:
    r"""Where the ordered and the disordered states weigh the same, $\beta_c = 2 \frac{q - 1}{q - 2} \log(q - 1)$.

    2 for two colours, which are Ising spins at half this inverse temperature.
    """
    return 2.0 if colours == 2 else 2 * (colours - 1) / (colours - 2) * math.log(colours - 1)


def order(beta: float, colours: int) -> float:
    r"""The order parameter, $m = (e^{\beta m} - 1) / (e^{\beta m} + q - 1)$, on its ordered branch.

    Solved for $\beta(m)$, which grows along that branch, and loses no digits at small `m`. Needs `beta` above the
    critical one.
    """

    def excess(m: float) -> float:
        return (math.log1p((colours - 1) * m) - math.log1p(-m)) / m - beta

    # The jump at the transition; for two colours there is none.
    least = max((colours - 2) / (colours - 1), 1e-150)
    return 1.0 if excess(_FULL) <= 0 else root(excess, least, _FULL)
