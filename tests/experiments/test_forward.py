"""Forward runs: one program for nearly as many times."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments import _forward
from diffphys.experiments._chunks import Runner
from diffphys.experiments._forward import measure_forward, permuted_labels

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


RNG = np.random.default_rng(5)


def data_set(count):
    return dp.Empirical(RNG.normal(size=(count, 3)) + 2.0 * (np.arange(count) % 2)[:, None], np.arange(count) % 2)


def test_sweeps_over_data_sets_of_nearly_one_size_trace_and_compile_once(caplog, monkeypatch):
    traced, readouts = [], _forward._both_readouts
    monkeypatch.setattr(_forward, "_both_readouts", lambda *args: traced.append(1) or readouts(*args))
    made = []
    for count in (360, 353, 368):
        target = data_set(count)
        traced.clear()
        caplog.clear()
        with jax.log_compiles():
            measured(target, 8)
        made.append((len(traced), sum("Compiling" in line for line in caplog.messages)))
    assert min(made[0]) >= 1
    assert made[1:] == [(0, 0), (0, 0)]


def test_permuted_labels_are_different_orders_of_all_labels_and_nothing_else():
    target = data_set(353)
    placed, again = (np.asarray(permuted_labels(target, jax.random.key(3)).slots)[0] for _ in range(2))
    np.testing.assert_array_equal(placed, again)
    assert placed.shape == (4, 368)
    assert not placed[:, 353:].any()
    for row in placed[:, :353]:
        np.testing.assert_array_equal(np.bincount(row), np.bincount(target.labels))
    assert len({row.tobytes() for row in [*placed[:, :353], np.asarray(target.labels)]}) == 5
