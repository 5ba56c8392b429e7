"""Forward runs: one program for nearly as many times."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments._chunks import Runner
from diffphys.experiments._forward import measure_forward

TIMES = np.geomspace(0.2, 2.0, 8)


@pytest.fixture(scope="module")
def target():
    return dp.symmetric_mixture(np.full(3, 1.25))


def measured(target, number):
    return measure_forward(
        target, np.expm1(2 * TIMES[:number]), TIMES[:number], key=jax.random.key(0), samples=48,
        runner=Runner(chunk=16, progress=False),
    )  # fmt: skip


def test_sweeps_over_different_numbers_of_times_compile_once(target, caplog):
    compiled = []
    for number in (8, 5, 1, 7):
        caplog.clear()
        with jax.log_compiles():
            assert measured(target, number).samples.tolist() == [48] * number
        compiled.append(sum("Compiling" in line and "_measure" in line for line in caplog.messages))
    assert compiled[0] >= 1
    assert compiled[1:] == [0, 0, 0]


def test_a_time_has_the_same_numbers_whatever_the_others_are(target):
    whole, part = measured(target, 8), measured(target, 5)
    for name, moments in part.moments.items():
        for few, all_of_them in zip(moments, whole.moments[name], strict=True):
            np.testing.assert_array_equal(few, all_of_them[..., :5])
