"""How many clones each time needs for the error asked for, and what they say over the points they left."""

from typing import Any

import jax.random as jr
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments._accuracy import Accuracy, in_chunks
from diffphys.experiments._chunks import ChunkedProgram
from diffphys.experiments._statistics import Moments

TARGET, OU = dp.symmetric_mixture(np.ones(16)), dp.OrnsteinUhlenbeck()
TIMES = [0.4, 1.4, 3.0]
OPTIONS: Any = {"samples": None, "steps": 32, "progress": False, "chunk": 64}


@pytest.fixture(scope="module")
def adaptive():
    return dp.speciation(TARGET, OU, TIMES, key=jr.key(0), clones_stderr=0.01, **OPTIONS)


def test_every_time_reaches_the_error_with_the_clones_it_needs(adaptive):
    assert np.all(adaptive.phi_clones_stderr <= 0.01)
    assert adaptive.clones_run[0] == 256  # decided: the pilot is enough
    assert adaptive.clones_run[1] > 600  # most undecided about the crossing
    # A tenth more than needed, in whole chunks, and what the pilot misjudged.
    needed = 256 + (adaptive.phi_clones_stderr / 0.01) ** 2 * adaptive.clones_run
    assert np.all(adaptive.clones_run <= 1.5 * needed)


def test_the_pilot_is_that_of_a_run_without_an_error(adaptive):
    plain = dp.speciation(TARGET, OU, TIMES, key=jr.key(0), clones=256, **OPTIONS)
    np.testing.assert_array_equal(plain.phi_clones[0], adaptive.phi_clones[0])
    np.testing.assert_array_equal(plain.clones_run, 256)


def test_an_adaptive_run_agrees_with_theory(adaptive):
    # Three times at 4.5 standard errors: a false alarm in 5e4 seeds. 0.003 is the bias of the grid.
    error = np.maximum(adaptive.phi_clones_stderr, 1 / adaptive.clones_run)
    assert np.all(np.abs(adaptive.phi_clones - adaptive.phi_theory) < 4.5 * error + 0.003)


def test_excess_over_the_branch_point_is_zero_with_a_smaller_error(adaptive):
    error = adaptive.phi_clones_excess_stderr
    assert np.all(np.abs(adaptive.phi_clones_excess) < 4.5 * error + 0.003)
    # About the crossing the points differ; far above it they are all alike, and the scatter is that of the clones.
    assert error[1] < 0.95 * adaptive.phi_clones_stderr[1]


def test_excess_tells_a_grid_that_is_too_coarse():
    ds = dp.speciation(TARGET, OU, [1.4], key=jr.key(0), clones=2000, stop=0.1, **OPTIONS | {"steps": 4})
    assert ds.phi_clones_excess[0] > 4.5 * ds.phi_clones_excess_stderr[0]


def test_a_run_killed_between_its_rounds_resumes_to_the_same_bits(tmp_path, monkeypatch, adaptive):
    call, calls = ChunkedProgram.__call__, []

    def counted(program, index):
        calls.append(index)
        if len(calls) == fatal:
            raise KeyboardInterrupt
        return call(program, index)

    def run():
        return dp.speciation(TARGET, OU, TIMES, key=jr.key(0), clones_stderr=0.01, checkpoint=tmp_path, **OPTIONS)

    monkeypatch.setattr(ChunkedProgram, "__call__", counted)
    fatal = 7  # Four chunks are the pilot: two of the second round are done.
    with pytest.raises(KeyboardInterrupt):
        run()
    fatal = 0
    again = run()
    for name in adaptive.data_vars:
        np.testing.assert_array_equal(again[name], adaptive[name])
    # None of the six is run again.
    assert len(calls) == 7 + -(-int(adaptive.clones_run.max()) // 64) - 6


def test_what_may_not_have_been_met_asks_for_no_more_than_its_share():
    settled = {"phi": Moments(*(np.full((1, 1, 1), value) for value in (256.0, 256.0, 0.0)))}
    done, times = np.array([256], np.int32), np.array([1.0])
    wanted = [Accuracy("phi", stderr, 1.0).wanted(settled, done, times)[0] for stderr in (1e-2, 1e-3, 1e-4)]
    np.testing.assert_allclose(wanted, [256, 1000, 10_000])
    with pytest.raises(ValueError, match=r"needs about 2e\+06 samples at t = 1, .* Do ask for 2 times as much"):
        Accuracy("phi", 5e-7, 1.0).wanted(settled, done, times)


def test_numbers_are_rounded_up_to_whole_chunks():
    np.testing.assert_array_equal(in_chunks(np.array([10, 10, 10]), np.array([10.0, 11.0, 31.0]), 10), [10, 20, 40])


def test_excess_is_not_told_of_a_score_that_is_given():
    other = dp.symmetric_mixture(np.ones(16), 2.0)
    ds = dp.speciation(
        TARGET, OU, TIMES, key=jr.key(0), clones=32, sampler=dp.Bridge(OU, other.posterior_mean), **OPTIONS
    )
    assert "phi_clones_excess" not in ds
    assert "phi_clones" in ds


def test_collapse_takes_the_error_too():
    points = jr.normal(jr.key(1), (24, 6))
    ds = dp.collapse(dp.Empirical(points), OU, [0.3, 1.0], key=jr.key(2), clones_stderr=0.02, **OPTIONS)
    assert np.all(ds.phi_c_clones_stderr <= 0.02)
    assert np.all(np.abs(ds.phi_c_clones_excess) < 4.5 * ds.phi_c_clones_excess_stderr + 0.01)


@pytest.mark.parametrize(
    ("stderr", "words"), [(0.0, "`clones_stderr` needs a positive error"), (1e-6, r"`clones_stderr` needs about .*")]
)
def test_an_error_that_cannot_be_reached_is_refused(stderr, words):
    with pytest.raises(ValueError, match=words):
        dp.speciation(TARGET, OU, TIMES, key=jr.key(0), clones_stderr=stderr, **OPTIONS)
