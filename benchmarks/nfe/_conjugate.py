"""The conjugate integrator of the package's tables, as a sampler."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import diffphys as dp
from diffphys.samplers._conjugate import ConjugateTable, conjugate_steps, half_log_snr
from diffphys.samplers._parameterisations import AbstractParameterisation, NoisePrediction


class Conjugate(dp.AbstractSampler):
    """Adams-Bashforth for the probability flow in conjugate variables, at one evaluation a step.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.
        parameterisation: what is interpolated between steps.
        order: through how many predictions.
        clock: the variable of the polynomials.
    """

    process: dp.AbstractProcess
    denoise: Any
    parameterisation: AbstractParameterisation = NoisePrediction()
    order: int = eqx.field(static=True, default=1)
    clock: Any = eqx.field(static=True, default=half_log_snr)
    is_time_reversal: bool = eqx.field(static=True, init=False, default=False)
    draws: int = eqx.field(static=True, init=False, default=0)
    evaluations: int = eqx.field(static=True, init=False, default=1)

    def plan(self, ts: np.ndarray) -> ConjugateTable:
        table = conjugate_steps(self.process, ts, self.parameterisation, order=self.order, clock=self.clock)
        # All as blocks, those of scalars of one row.
        steps, k = len(ts) - 1, np.size(table.gain[0])
        return table._replace(
            gain=np.reshape(table.gain, (steps, k)), of_state=np.reshape(table.of_state, (steps, -1, k)),
            of_data=np.reshape(table.of_data, (steps, -1)), carry=np.reshape(table.carry, (steps, k, k)),
            pulls=np.reshape(table.pulls, (steps, self.order, k, -1)),
        )  # fmt: skip

    def init(self, z):
        block = jnp.atleast_2d(z)
        rows = self.parameterisation.whitened(np.ones(len(block)))[1].shape[-1]
        return z, (jnp.zeros((rows, block.shape[1]), z.dtype),) * (self.order - 1)

    def step(self, row, carry, noise):
        z, past = carry
        block = jnp.atleast_2d(z)
        data = self.denoise(row.gain @ block, row.variance)
        found = (row.of_state @ block + row.of_data[:, None] * data[None], *past)
        end = row.carry @ block + sum(pull @ f for pull, f in zip(row.pulls, found, strict=True))
        return end.reshape(z.shape), found[: self.order - 1]

    def state(self, carry):
        return carry[0]
