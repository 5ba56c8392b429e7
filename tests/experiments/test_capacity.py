"""How many patterns a memory holds: the classical threshold, and the modern network far beyond it."""

import jax.random as jr
import numpy as np
import pytest

from diffphys.experiments import retrieval_curve


def test_modern_memory_holds_what_the_classical_one_has_forgotten(getkey):
    curve = retrieval_curve([0.03, 0.5, 4.0], key=getkey(), dim=64, trials=8)
    np.testing.assert_allclose(curve.overlap_modern, 1, rtol=0, atol=1e-6)
    assert curve.overlap_classical[0] == 1
    assert curve.overlap_classical[1] < 0.9 - 4 * curve.overlap_classical_stderr[1]
    assert curve.overlap_classical[2] < curve.overlap_classical[1]
    assert curve.patterns.values.tolist() == [2, 32, 256]
    assert curve.overlap_cue == pytest.approx(1 - 2 * 6 / 64)


def test_warm_modern_memory_forgets_as_its_weights_spread(getkey):
    """At v of the order of d the softmax is flat, and what is retrieved is the mean of all patterns."""
    curve = retrieval_curve([4.0], key=getkey(), dim=64, trials=8, variance=64.0)
    assert abs(curve.overlap_modern[0]) < 0.2


@pytest.mark.slow
def test_classical_capacity_lies_near_its_thermodynamic_limit(getkey):
    curve = retrieval_curve([0.1, 0.12, 0.16, 0.2], key=getkey(), dim=400, trials=24)
    overlap, error = curve.overlap_classical.values, curve.overlap_classical_stderr.values
    assert overlap[0] > 0.97 - 4 * error[0]
    assert overlap[1] > 0.9 - 4 * error[1]
    assert overlap[2] < 0.9
    assert overlap[3] < 0.6
    np.testing.assert_allclose(curve.overlap_modern, 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loads": [1e-4]}, "at least one pattern"),
        ({"loads": [0.1], "variance": 0.0}, "`variance` > 0"),
        ({"loads": [0.1], "corruption": 0.5}, "`corruption` in"),
        ({"loads": [0.1], "trials": 1}, "`trials` needs"),
        ({"loads": [1.0], "dim": 1}, "`dim` needs"),
    ],
)
def test_retrieval_curves_refuse_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        retrieval_curve(key=jr.key(0), **settings)


def test_the_least_retrieval_curve_is_of_two_trials_of_two_neurons():
    assert retrieval_curve([1.0], key=jr.key(0), dim=2, trials=2).patterns.item() == 2
