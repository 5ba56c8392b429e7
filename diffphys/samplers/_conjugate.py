r"""Coefficients of conjugate integrators, for any linear process: host mathematics, in NumPy float64.

With the score written $C_{skip} z + C_{out} f$, the probability flow in $\hat z = A z$ is

$$ d\hat z = A B z\,dt + d\Phi\,f, \qquad \dot A = A (B - F + \tfrac12 G G^\top C_{skip}), \quad
   \dot\Phi = -\tfrac12 A G G^\top C_{out}. $$

Only ratios $\Psi(s, t) = A_s^{-1} A_t$ are ever formed. They are found in whitened states $\zeta = L^{-1} z$ and in log
time, where all that is integrated is smooth and of order one down to the data.

Reference:
    Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024).
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..clocks import check_grid
from ..processes import AbstractProcess, Kernel
from ._checks import check_whole
from ._collocation import WEIGHTS, Field, Integrands, collocate, panels
from ._parameterisations import AbstractParameterisation, DataPrediction, NoisePrediction, prediction, whitening

Matrix = Float[np.ndarray, "k k"]
Clock = Callable[[np.ndarray, np.ndarray], np.ndarray]


class ConjugateTable(NamedTuple):
    r"""The steps of a grid, on a leading axis, as `conjugate_steps` makes them.

    $$ z_s = P z_t + \sum_{i \ge 1} N_i z_i + \sum_i Q_i f_i, \qquad f = M z + w \otimes D(y, v). $$

    Node i is the knot i steps back, 0 that of the step itself. Before there are so many the order is lower, and what
    is missing has coefficient 0. f has j rows: one, or k. For a scalar process all are scalars.
    """

    gain: Any
    """Weights of the channel y at t."""
    variance: Any
    """Its noise variance v."""
    of_state: Any
    """M, j x k."""
    of_data: Any
    """w, j numbers."""
    carry: Any
    """P, k x k."""
    pulls: Any
    """Q_0, Q_1, ..., each k x j."""
    damps: Any
    """N_1, N_2, ..., each k x k. None at order 1 or without damping."""


def half_log_snr(t: np.ndarray, variance: np.ndarray) -> np.ndarray:
    r"""The clock $\lambda = -\tfrac12 \log v$, in which multistep rules for diffusions are usually written."""
    return -0.5 * np.log(variance)


def conjugate_steps(
    process: AbstractProcess,
    ts: Float[np.ndarray, " n"],
    parameterisation: AbstractParameterisation,
    *,
    damping: float | Matrix = 0.0,
    order: int = 1,
    clock: Clock = half_log_snr,
) -> ConjugateTable:
    r"""The steps of the conjugate integrator: Euler's, or Adams and Bashforth's, for $d\hat z = A B z\,dt + d\Phi\,f$.

    $$ z_s = \Psi(s, t) (I + (s - t) B)\,z_t - \tfrac12 \int_t^s \Psi(s, u)\,(G G^\top C_{out})(u)\,du\; f_t $$

    is the step at order 1, $\Psi(s, t) = A_s^{-1} A_t$. At higher orders both f and $A B z$ become polynomials through
    their values at this knot and the ones before. The first steps have few such knots, so that the start is of order 2
    at most: make it short.

    It is what `Conjugate` runs, for any linear process and any parameterisation, as numbers. A and $\Phi$ themselves
    follow from $A = I$, $\Phi = 0$ at `ts[0]` and, at order 1 without damping (`carry` is $\Psi$ then), from
    $A_s = A_t\,$`inv(carry[i])`, $\Phi_s = \Phi_t + A_s\,$`pulls[i, 0]`: for noise of an overdamped process, $A = \mu_t
    / \mu$ of `ts[0]` and now, and $\Phi / \mu_t$ the change of $\rho$.

    Args:
        process: the forward process.
        ts: decreasing times, the last above 0.
        parameterisation: what f is; the axes of a rotating one are those of L at `ts[0]`.
        damping: B, per unit of time: a k x k matrix, or a number for a multiple of the identity. Talks on it write
            $B = -\lambda I$ or $-\lambda 1 1^\top$: their $\lambda > 0$ is a negative number here.
        order: how many knots a step uses, 1 or more.
        clock: `(t, v) -> c`, of arrays: the smooth monotone variable of the polynomials, at orders above 1.

    Raises:
        ValueError: for an order that is no whole number >= 1, a damping of another shape, times that do not decrease to
            a positive one, a clock that does not run one way, traced parameters, or coefficients that jump in a step.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024), section 3.
    """
    check_whole("conjugate_steps", "order", order, 1)
    grid, host = check_grid(ts), process.on_host()
    knots = [host.kernel(float(t)) for t in grid]
    rates = damping_matrix(damping, np.size(knots[0].mean))
    shown = _shown(clock, knots, grid, order)
    field = _field(host, parameterisation, rates, clock)
    steps = [panels(field, t, s) for t, s in itertools.pairwise(grid)]
    turns = [np.eye(len(rates))] * len(grid)
    if parameterisation.rotates:
        steps, turns = turned(steps)
    flows = [flow(step, shown[i::-1][:order], order) for i, step in enumerate(steps)]
    table = _table(knots, flows, turns, parameterisation, rates)
    return table if np.ndim(knots[0].mean) else _scalars(table)


def damped_propagators(
    process: AbstractProcess, ts: Float[np.ndarray, " n"], damping: float | Matrix
) -> Float[np.ndarray, "steps k k"]:
    r"""$A_s^{-1} A_t$ of each step t -> s, with $\dot A = A (B - F)$: the coordinates in which noise is predicted."""
    host, grid = process.on_host(), check_grid(ts)
    factors = [np.atleast_2d(host.kernel(float(t)).factor) for t in grid]
    rates = damping_matrix(damping, len(factors[0]))
    field = _field(host, NoisePrediction(rotates=False), rates, half_log_snr)
    carries = [flow(panels(field, t, s), np.zeros(1), 1).carry for t, s in itertools.pairwise(grid)]
    steps = zip(factors, factors[1:], carries, strict=False)
    return np.stack([after @ carry @ np.linalg.inv(before) for before, after, carry in steps])


def root_propagator(process: AbstractProcess, s: float, t: float) -> Any:
    r"""$R_s R_t^{-1}$, s < t, of the root R of the covariance with $\dot R = (F + \tfrac12 G G^\top \Sigma^{-1}) R$."""
    return conjugate_steps(process, np.array([t, s]), DataPrediction()).carry[0]


def damping_matrix(damping: float | np.ndarray, k: int) -> Matrix:
    """B as a k x k matrix; a number is a multiple of the identity."""
    try:
        rates = np.asarray(damping, np.float64)
    except (TypeError, ValueError):
        rates = np.array(np.nan)
    if rates.ndim == 0:
        rates = rates * np.eye(k)
    if rates.shape != (k, k) or not np.isfinite(rates).all():
        raise ValueError(
            f"`damping` needs a finite number or {k} x {k} matrix, the size of a block of the process. Got {damping}."
        )
    return rates


def _shown(clock: Clock, knots: list[Kernel], grid: Float[np.ndarray, " n"], order: int) -> Float[np.ndarray, " n"]:
    """What the clock shows at the knots; polynomials need it to run one way."""
    shown = np.asarray(clock(grid, np.array([float(knot.variance) for knot in knots])), np.float64)
    # A clock that stands still at a knot, or runs back, or is not a number there.
    moves = np.diff(shown) if shown.shape == grid.shape else np.zeros(1)
    if order > 1 and not ((moves > 0).all() or (moves < 0).all()):
        raise ValueError(
            f"`clock` needs to run one way along the grid, a value for each of its {len(grid)} times. Got {shown}. "
            "Do take `(t, v) -> -0.5 * log(v)`, the default, or t."
        )
    return shown


def _field(
    process: AbstractProcess, parameterisation: AbstractParameterisation, rates: np.ndarray, clock: Clock
) -> Field:
    r"""What is integrated, in whitened states, where $L^{-1} \dot L$ drops out but for a spin: it is triangular."""

    def at(t: float) -> tuple[np.ndarray, ...]:
        kernel, (drift, noise) = process.kernel(t), map(np.atleast_2d, process.coefficients(t))
        whiten, lift = whitening(kernel)
        factor, force = np.atleast_2d(kernel.factor), whiten @ noise
        force = 0.5 * force @ force.T
        return lift, force, spin_of(whiten @ drift @ factor + force), whiten @ rates @ factor

    def field(times: np.ndarray) -> Integrands:
        lift, force, spin, damp = (np.stack(column) for column in zip(*map(at, times.tolist()), strict=True))
        skip, out = parameterisation.whitened(lift)
        u = times[:, None, None]
        generator = u * (spin - force @ (np.eye(len(rates)) + skip) - damp)
        return Integrands(times, clock(times, 1 / np.sum(lift**2, axis=-1)), generator, -u * (force @ out), u * spin)

    return field


def spin_of(velocity: Matrix) -> Matrix:
    r"""W of $\dot O = W O$ in R = L O, from $L^{-1} F L + \tfrac12 L^{-1} G G^\top L^{-\top}$."""
    upper = np.triu(velocity, 1)
    return upper - upper.T


def turned(steps: list[Integrands]) -> tuple[list[Integrands], list[np.ndarray]]:
    """The pulls in the axes of R = L O, and O at the knots: it is the identity at the first."""
    k = steps[0].spin.shape[-1]
    turn, turns, turned = np.eye(k), [np.eye(k)], []
    for values in steps:
        stages, ends = collocate(values.spin, np.zeros_like(values.spin), np.eye(k))
        befores = []
        for end in ends:
            befores.append(turn)
            turn = end @ turn
        turned.append(values._replace(pull=values.pull @ stages @ np.stack(befores)[:, None]))
        turns.append(turn)
    return turned, turns


class Flow(NamedTuple):
    """A step in the states of its integrands, in whitened ones for `conjugate_steps`."""

    carry: np.ndarray
    """Of the state."""
    pulls: np.ndarray
    """Of the predictions at the nodes."""
    spans: np.ndarray
    """The integrals over time of the polynomials of the nodes."""


def flow(values: Integrands, nodes: np.ndarray, order: int) -> Flow:
    """Where a step leads, from its integrands, with the prediction a polynomial through its values at the nodes."""
    count, points, k, j = values.pull.shape
    shares = np.zeros((count, points, order))
    for i, node in enumerate(nodes):
        others = np.delete(nodes, i)
        shares[..., i] = np.prod((values.clock[..., None] - others) / (node - others), axis=-1)
    forced = (shares[:, :, None, :, None] * values.pull[:, :, :, None]).reshape(count, points, k, order * j)
    force = np.concatenate([np.zeros_like(values.generator), forced], axis=-1)
    _, ends = collocate(values.generator, force, np.eye(k, k + order * j))
    total = ends[0]
    for end in ends[1:]:
        total = end[:, :k] @ total
        total[:, k:] += end[:, k:]
    pulls = total[:, k:].reshape(k, order, j).transpose(1, 0, 2)
    spans = np.einsum("n,pn,pni->i", WEIGHTS, values.elapsed, shares)
    return Flow(total[:, :k], pulls, spans)


def _table(
    knots: list[Kernel],
    flows: list[Flow],
    turns: list[np.ndarray],
    parameterisation: AbstractParameterisation,
    rates: np.ndarray,
) -> ConjugateTable:
    """The table, of blocks."""
    rows, order = [], len(flows[0].spans)
    propagators = [np.eye(len(rates))] * order
    for now, then, flow, turn in zip(knots, knots[1:], flows, turns, strict=False):
        factor = np.atleast_2d(then.factor)
        propagator = factor @ flow.carry @ whitening(now)[0]
        # From each node, the newest first, to the end of this step.
        propagators = [propagator, *(propagator @ older for older in propagators[:-1])]
        damps = np.stack([span * older @ rates for span, older in zip(flow.spans, propagators, strict=True)])
        of_state, of_data = prediction(now, parameterisation)
        if parameterisation.rotates:
            of_state, of_data = turn.T @ of_state, turn.T @ of_data
        row = (now.gain, now.variance, of_state, of_data, propagator + damps[0], factor @ flow.pulls, damps[1:])
        rows.append(row)
    table = ConjugateTable(*(np.stack(column) for column in zip(*rows, strict=True)))
    return table if order > 1 and np.any(rates) else table._replace(damps=None)


def _scalars(table: ConjugateTable) -> ConjugateTable:
    """A table of blocks of one as one of scalars."""
    gain, variance, of_state, of_data, carry, pulls, damps = table
    damps = None if damps is None else damps[..., 0, 0]
    return ConjugateTable(gain, variance, of_state[:, 0, 0], of_data[:, 0], carry[:, 0, 0], pulls[..., 0, 0], damps)
