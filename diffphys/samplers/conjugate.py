"""Conjugate integrators: the probability flow with its linear part taken out, for any linear process."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._types import Denoiser
from ..processes import AbstractProcess
from ._checks import check_process, check_whole
from ._conjugate import Clock, ConjugateTable, conjugate_steps, damped_propagators, damping_matrix, half_log_snr
from ._parameterisations import AbstractParameterisation, NoisePrediction
from .combination import Combination
from .table import AbstractTableSampler, Step


class Conjugate(AbstractTableSampler):
    r"""The probability flow in $\hat z = A z$, where what is known of it exactly drops out.

    With the score written $C_{skip} z + C_{out} f$, f the prediction of the parameterisation,

    $$ \frac{d\hat z}{dt} = A B z - \tfrac12 A G G^\top C_{out}\,f, \qquad
       \dot A = A (B - F + \tfrac12 G G^\top C_{skip}), $$

    and a step holds f (and B z) constant, or at higher `order` takes them for polynomials in `clock` through their
    values at the knots before: one evaluation a step. B = 0 with the noise predicted is DDIM for Ornstein-Uhlenbeck
    and gDDIM in phase space: exact, at any step, for a single datum. Order 1 whatever B is; a B other than 0
    trades stability against accuracy and is tuned for a number of steps.

    Papers write $B = -\lambda I$ ("lambda-DDIM-I") and $-\lambda 1 1^\top$ ("II"): `damping=-lam` and
    `damping=-lam * np.ones((2, 2))` here.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.
        parameterisation: what is predicted: `NoisePrediction()` (of the root R of the covariance that the flow carries;
            `rotates=False` for the Cholesky factor), `DataPrediction()`, `ResidualPrediction(variance)` (EDM's network,
            the velocity).
        damping: B per unit of time: a number for a multiple of the identity, or a k x k matrix.
        order: knots a step uses, 1 or more; the first steps have fewer.
        clock: `(t, v) -> c`, the variable of the polynomials; half the log-SNR by default.

    Raises:
        ValueError: for a parameterisation that is none, an order that is no whole number >= 1, a damping of another
            size or not finite; when planned, for a clock that does not run one way along the grid.

    Reference:
        Pandey, Rudolph, Mandt, "Efficient integrators for diffusion generative models" (2024), section 3;
        Zhang, Chen, "Fast sampling of diffusion models with exponential integrator" (2023), for the polynomials.
    """

    process: AbstractProcess
    denoise: Denoiser
    parameterisation: AbstractParameterisation
    damping: float | np.ndarray
    order: int = eqx.field(static=True)
    clock: Clock = eqx.field(static=True)
    leaves: int = eqx.field(static=True, default=0)
    is_time_reversal = False
    draws = 0
    evaluations = 1

    def __init__(
        self,
        process: AbstractProcess,
        denoise: Denoiser,
        parameterisation: AbstractParameterisation | None = None,
        *,
        damping: float | np.ndarray = 0.0,
        order: int = 1,
        clock: Clock = half_log_snr,
    ):
        parameterisation = NoisePrediction() if parameterisation is None else parameterisation
        if not isinstance(parameterisation, AbstractParameterisation):
            raise ValueError(
                "`parameterisation` needs `NoisePrediction()`, `DataPrediction()`, `ResidualPrediction(variance)` or "
                f"another `AbstractParameterisation`. Got {parameterisation!r}."
            )
        check_whole("Conjugate", "order", order, 1)
        check_process("Conjugate", process)
        damping_matrix(damping, np.size(process.start()[0]))
        self.process, self.denoise, self.parameterisation = process, denoise, parameterisation
        self.damping, self.order, self.clock = damping, order, clock
        # With damping the states are remembered too.
        self.leaves = 0 if order == 1 else 2 if np.any(damping) else 1

    @property
    def history(self) -> int:
        return (self.order - 1) * self.leaves

    def prepare(self, process: AbstractProcess, ts: Float[np.ndarray, " n"]) -> ConjugateTable:
        return conjugate_steps(
            process, ts, self.parameterisation, damping=self.damping, order=self.order, clock=self.clock
        )

    def coordinates(self, ts: Float[np.ndarray, " n"]) -> Float[np.ndarray, "steps k k"]:
        if not np.any(self.damping):
            return super().coordinates(ts)
        return np.linalg.inv(damped_propagators(self.process, ts, self.damping))

    def compose(self, step: Step) -> Combination:
        table, i = step.shared, step.i
        estimate = step.denoise(step.z, step.t)
        if np.ndim(table.carry) == 1:
            prediction = table.of_state[i] * step.z + table.of_data[i] * estimate
        else:
            # A prediction of the shape of the data is kept in the first row of a state.
            square = _padded(table.of_state[i], table.carry.shape[-1], 0)
            prediction = square @ step.z + _padded(table.of_data[i], table.carry.shape[-1], 0) * estimate
        damped = table.damps is not None
        if self.order > 1:
            step.remember(*((prediction, step.z) if damped else (prediction,)))
        end = table.carry[i] @ step.z + self._pull(table, i, 0) @ prediction
        for back in range(1, min(i, self.order - 1) + 1):
            slot = (back - 1) * (2 if damped else 1) + 1
            end = end + self._pull(table, i, back) @ step.past(slot)
            if damped:
                end = end + table.damps[i, back - 1] @ step.past(slot + 1)
        return end

    def _pull(self, table: ConjugateTable, i: int, back: int) -> Any:
        pull = table.pulls[i, back]
        return pull if np.ndim(pull) == 0 else _padded(pull, pull.shape[0], 1)


def _padded(a: np.ndarray, k: int, axis: int) -> np.ndarray:
    """With zeros after it along an axis, to the size of a state."""
    widths = [(0, 0)] * a.ndim
    widths[axis] = (0, k - a.shape[axis])
    return np.pad(a, widths)
