"""Conjugate integrators: what is predicted, of which processes."""

import numpy as np
import pytest

from diffphys.processes import LinearSchedule, OrnsteinUhlenbeck, PhaseSpaceLangevin, Scheduled
from diffphys.samplers._parameterisations import DataPrediction, NoisePrediction, ResidualPrediction

PARAMETERISATIONS = {
    "root-noise": NoisePrediction(),
    "noise": NoisePrediction(rotates=False),
    "data": DataPrediction(),
    "residual": ResidualPrediction(0.3),
}
every_parameterisation = pytest.mark.parametrize("parameterisation", PARAMETERISATIONS.values(), ids=PARAMETERISATIONS)
PSLD, VP = PhaseSpaceLangevin(), Scheduled(OrnsteinUhlenbeck(), LinearSchedule(0.05, 10.0))
ONES = np.ones((2, 2))


def time_itself(t, variance):
    return t


def vp_signal_and_noise(t):
    b = 0.1 * t + 0.5 * 19.9 * t**2
    return np.exp(-0.5 * b), np.sqrt(-np.expm1(-b))


def close(got, wanted, atol=1e-12):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=atol)
