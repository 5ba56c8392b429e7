r"""Linear differential equations along a step, by collocation at Gauss nodes in log time: NumPy float64 on the host."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Evaluating the process is what takes time, so a step of a usual grid should be one panel of few nodes. A panel is
# short enough once its generator is at most _LONGEST, and its last two Legendre coefficients are at most _TAIL: with 6
# nodes the error is about their third power.
_COUNT, _LONGEST, _TAIL, _SHORTEST = 6, 0.7, 1e-5, 1e-6


def _gauss(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gauss nodes and weights on [0, 1], integrals from 0 to each node, and the map to Legendre coefficients."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    values = np.polynomial.legendre.legvander(nodes, count)
    to_legendre = np.linalg.inv(values[:, :count])
    # The integral of P_j from -1 is (P_{j+1} - P_{j-1}) / (2j + 1); that of P_0 is P_1 + 1.
    before = np.concatenate([-np.ones((count, 1)), values[:, : count - 1]], axis=1)
    integrals = (values[:, 1:] - before) / (2 * np.arange(count) + 1)
    return 0.5 * (1 + nodes), 0.5 * weights, 0.5 * integrals @ to_legendre, to_legendre


_NODES, WEIGHTS, _STAGES, _TO_LEGENDRE = _gauss(_COUNT)


class Integrands(NamedTuple):
    r"""What is integrated at n times u, per unit of log u: $d\zeta = (J \zeta + g f)\,d\log u$, $dO = W O\,d\log u$."""

    elapsed: np.ndarray
    """u, as du = u dlog u."""
    clock: np.ndarray
    """The variable of the polynomials through past steps."""
    generator: np.ndarray
    """J, k x k."""
    pull: np.ndarray
    """g, k x j."""
    spin: np.ndarray
    """W, k x k and antisymmetric."""


Field = Callable[[np.ndarray], Integrands]


def panels(field: Field, t: float, s: float) -> Integrands:
    """The integrands on panels that divide the step from `t` down to `s`, each short enough for its nodes.

    Returns:
        Leading axes panel, in the order of the step, and node; all but the clock times the length of the panel in
        log time, which is negative.

    Raises:
        ValueError: if the integrands are not smooth.
    """
    todo, done = [(np.log(t), np.log(s))], []
    while todo:
        start, end = todo.pop()
        length, middle = end - start, 0.5 * (start + end)
        values = field(np.exp(start + length * _NODES))
        values = Integrands(*(length * value for value in values))._replace(clock=values.clock)
        if _is_resolved(values):
            done.append(values)
        elif -length < _SHORTEST:
            raise ValueError(
                f"`process` and `clock` need to be smooth between the knots. Got a jump at t = {np.exp(start):.6g}. "
                "Put a knot there."
            )
        else:
            todo += [(middle, end), (start, middle)]
    return Integrands(*(np.stack(column) for column in zip(*done, strict=True)))


def _is_resolved(values: Integrands) -> bool:
    if np.abs(values.generator).sum(axis=-1).max() > _LONGEST:
        return False
    for curve in (values.generator, values.pull, values.spin):
        flat = curve.reshape(_COUNT, -1)
        if not np.abs(_TO_LEGENDRE[-2:] @ flat).max() <= _TAIL * max(1.0, np.abs(flat).max()):
            return False
    # The clock counts by its changes alone, and so its tail is one power less.
    tail = np.abs(_TO_LEGENDRE[-2:] @ (values.clock - values.clock[0])).max()
    return bool(tail <= _TAIL**0.75 * np.ptp(values.clock))


def collocate(generator: np.ndarray, force: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solves Y' = J Y + g on many panels at once, by the Gauss-Legendre rule of Runge and Kutta.

    Rotations stay rotations, and integrals along the solution are as exact as the solution at the end.

    Args:
        generator: J, panel x node x k x k.
        force: g, panel x node x k x c.
        start: Y at the start of each panel, k x c.

    Returns:
        Y at the nodes, and at the end of each panel.
    """
    count, nodes, k, columns = force.shape
    coupling = _STAGES[None, :, None, :, None] * generator.transpose(0, 2, 1, 3)[:, None]
    system = np.eye(nodes * k) - coupling.reshape(count, nodes * k, nodes * k)
    right = start[None, None] + np.einsum("ij,pjac->piac", _STAGES, force)
    stages = np.linalg.solve(system, right.reshape(count, nodes * k, columns)).reshape(force.shape)
    return stages, start[None] + np.einsum("j,pjac->pac", WEIGHTS, generator @ stages + force)
