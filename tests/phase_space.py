"""Phase-space processes that are not of the package: what splitting integrators must also be right for."""

import numpy as np

from diffphys._types import Block, Lift, Scalar
from diffphys.processes import AbstractStationaryProcess, Kernel, LinearProcess, PhaseSpaceLangevin, complete_recipe
from diffphys.processes.schedule import LinearSchedule, ScheduledStationary


class Stationary(AbstractStationaryProcess):
    """A linear process of which the factor of its stationary covariance is known."""

    process: LinearProcess
    factor: Block

    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        return self.process.coefficients(t)

    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        return self.process.transition(s, t)

    def start(self) -> tuple[Lift, Block]:
        return self.process.start()

    def kernel(self, t: Scalar) -> Kernel:
        return self.process.kernel(t)

    def stationary(self) -> Block:
        return self.factor


def rotation(frequency: float = 2.0) -> Stationary:
    """Hamilton's equations alone: no friction, no noise but that of the start."""
    drift = np.array([[0.0, frequency**2], [-1.0, 0.0]])
    spread = np.diag([1.0, 1 / frequency])
    return Stationary(LinearProcess(drift, np.zeros((2, 2)), spread=spread), spread)


def uncoupled() -> Stationary:
    """Two Ornstein-Uhlenbeck processes: data enter the first, the second is in equilibrium."""
    drift, noise = np.diag([-0.7, -1.9]), np.diag([1.4, 0.95]) ** 0.5
    return Stationary(LinearProcess(drift, noise, spread=np.diag([0.0, 0.5])), np.diag([1.0, 0.5]))


def correlated(seed: int = 3) -> Stationary:
    """A stationary process of no symmetry, whose noise and equilibrium correlate the variables."""
    a, b, c = 0.7 * np.random.default_rng(seed).normal(size=(3, 2, 2))
    curvature = c @ c.T + np.eye(2)
    process = complete_recipe(a @ a.T + 0.3 * np.eye(2), b - b.T, curvature, spread=np.array([[0.3, 0.0], [0.1, 0.2]]))
    return Stationary(process, np.linalg.cholesky(np.linalg.inv(curvature)))


def at_equilibrium() -> PhaseSpaceLangevin:
    """With data of variance 1 every marginal is the stationary law."""
    return PhaseSpaceLangevin(kappa=1.0)


def quickening(process: AbstractStationaryProcess) -> ScheduledStationary:
    """A process of which the rate grows sixfold over a unit of time."""
    return ScheduledStationary(process, LinearSchedule(0.3, 1.8))


STATIONARY = {
    "psld": PhaseSpaceLangevin(),
    "cld": PhaseSpaceLangevin(0.0, 4.0),
    "quickening": quickening(PhaseSpaceLangevin()),
    "uncoupled": uncoupled(),
    "correlated": correlated(),
}
