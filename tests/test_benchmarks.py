"""The benchmarks compare like with like, and say what was measured and what was not."""

import itertools
import json
import math
import pathlib
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from typer.testing import CliRunner

import diffphys as dp
from benchmarks.__main__ import app
from benchmarks._figure import figure
from benchmarks._harness import Entrant, Goal, Race, Report, Timing, calls, peer, race, ratio
from benchmarks._report import read, record, table
from benchmarks.cases import CASES
from benchmarks.cases._clone_peers import Problem, diffrax_solver, plain_scan, step
from benchmarks.cases._variance_programs import (
    at_random,
    identity_estimates,
    in_equal_shares,
    in_proportion,
    of_gaussian,
)
from benchmarks.cases._variance_theory import TwoClassVariances
from benchmarks.cases.clone_steps import _entrants
from benchmarks.cases.curie_weiss import decoupling_nodes, plain_trapezoid
from benchmarks.cases.empirical_score import textbook
from benchmarks.cases.excess_entropy import raw_log_density, weights_entropy
from benchmarks.cases.variance import variance_factor

ROOT = pathlib.Path(__file__).parent.parent


def _timing(seconds, role="peer", name="it"):
    return Timing(name, role, 1.0, tuple(seconds), 1.0, "")


def test_each_repeat_begins_with_another_program_after_all_have_compiled():
    calls = []
    entrants = [Entrant(name, "ours", lambda i, name=name: calls.append((name, i))) for name in "ab"]
    found = race("here", entrants, 2)
    assert calls == [("a", -1), ("b", -1), ("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert [len(timing.seconds) for timing in found.timings] == [2, 2]


def test_a_race_waits_for_asynchronous_results():
    waited = []

    class Late:
        def block_until_ready(self):
            waited.append(True)
            return self

    race("here", [Entrant("late", "ours", lambda _: Late())], 2)
    assert len(waited) == 3


def test_a_ratio_is_the_median_over_repeats_so_that_drift_cancels():
    ours, theirs = _timing([1.0, 2.0, 40.0]), _timing([2.0, 4.0, 80.0])
    assert ratio(ours, theirs) == 0.5
    assert math.isnan(ratio(ours, _timing([])))


def test_a_spread_is_half_the_quartile_distance_over_the_median():
    assert _timing([1.0, 2.0, 3.0, 4.0, 5.0]).spread == pytest.approx(1 / 3)


def test_extrapolated_times_are_scaled_by_the_last_result_and_labelled():
    clock = itertools.count()
    found = race("here", [Entrant("part", "ours", lambda _: next(clock), scale=lambda last: 1e6 + last)], 1)
    assert found["part"].scale == 1e6 + 1
    assert found["part"].median > 1e6 * 1e-9
    assert "extrapolated x 1e+06" in table(Report([found], []), goals=True)


def test_a_peer_that_is_not_installed_is_a_row_that_says_so():
    absent = peer("no_such_package_here", "their loop", lambda package: package.loop)
    shown = table(Report([race("here", [Entrant("own", "ours", lambda _: None), absent], 1)], []), goals=True)
    (row,) = [line for line in shown.splitlines() if "their loop" in line]
    assert "no_such_package_here is not installed" in row


def test_a_goal_can_be_missed_and_nan_misses_it():
    goals = [Goal("small", 1.0, 2.0), Goal("large", 3.0, 2.0), Goal("unknown", float("nan"), 2.0)]
    assert [goal.met for goal in goals] == [True, False, False]
    shown = table(Report([Race("here", (_timing([1.0]),))], goals), goals=True)
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("- ")] == ["met", "MISSED", "MISSED"]


def test_compilation_is_what_the_first_call_took_beyond_the_others():
    scaled = Timing("it", "peer", 5.0, (20.0, 20.0), 10.0, "")
    assert scaled.compilation == pytest.approx(3.0)
    assert _timing([3.0]).compilation == 0.0
    assert _timing([]).compilation is None


def test_the_limit_is_the_slowest_of_those_that_bind():
    own, words, bytes_ = (
        _timing([4.0], "ours", "own"),
        _timing([1.0], "limit", "words"),
        _timing([3.0], "limit", "bytes"),
    )
    assert Race("here", (own, words, bytes_)).reached(own) == pytest.approx(0.75)
    assert math.isnan(Race("here", (own,)).reached(own))


def test_memory_is_asked_after_the_first_call():
    calls = []
    entrant = Entrant("it", "ours", lambda i: calls.append(i), memory=lambda: 2.0**20 * len(calls))
    found = race("here", [entrant], 1)
    assert found["it"].memory == 2 * 2**20
    assert "2 MiB" in table(Report([found], []), goals=True)


def test_a_call_of_a_jitted_function_tells_the_bytes_between_its_arguments_and_its_results():
    def through_a_square(x):
        square = jnp.exp(x[:, None] + x[None])
        return square @ (square @ x)

    for function in (jax.jit(through_a_square), eqx.filter_jit(through_a_square)):
        entrant = calls("it", "ours", function, lambda i: (jnp.full(256, i, np.float32),))
        found = race("here", [entrant], 1)
        assert 256**2 * 4 <= found["it"].memory < 3 * 256**2 * 4


def test_every_program_of_ours_that_steps_clones_tells_its_memory():
    assert [
        entrant.name for entrant in _entrants(Problem(8, 32, 2)) if entrant.role != "peer" and not entrant.memory
    ] == []


def test_a_record_is_drawn_with_every_peer_and_every_sweep():
    races = [
        Race(
            f"steps, d = {dim}",
            (_timing([dim / 1.0], "ours", "own"), _timing([1.0], "limit", "words")),
            8.0,
            "elements",
        )
        for dim in (2, 4)
    ]
    other = Race("here", (_timing([1.0], "ours", "own"), _timing([3.0], "peer", "theirs")))
    read = json.loads(
        json.dumps(record({"case": Report([other], []), "curves": Report(races, [])}, quick=True, repeats=1))
    )
    drawn = figure(read)
    lines = [line for ax in _axes(drawn) for line in ax.get_lines()]
    assert any(np.array_equal(line.get_xdata(), [3.0]) for line in lines)
    assert any(np.array_equal(line.get_ydata(), [4.0, 2.0]) for line in lines)


def _axes(drawn):
    return [ax for part in (drawn, *drawn.subfigs) for ax in part.axes]


def test_the_record_is_json_with_every_repeat_and_the_machine():
    found = Race("here", (_timing([1.0, 3.0], "ours", "own"), _timing([], name="absent")), 6.0, "steps")
    written = json.dumps(record({"case": Report([found], [])}, quick=True, repeats=2), allow_nan=False)
    read = json.loads(written)
    own, absent = read["cases"]["case"]["races"][0]["programs"]
    assert own["seconds"] == [1.0, 3.0]
    assert own["median"] == 2.0
    assert absent["median"] is None
    assert {"cpu", "cores", "memory_gib", "device"} <= read["machine"].keys()
    assert read["versions"]["jax"] == jax.__version__


def test_a_record_is_shown_as_it_was():
    own = Timing("own", "ours", 9.0, (1.0, 3.0), 2.0, "a note", 2.0**20)
    report = Report([Race("here", (own, _timing([1.0, 1.0], "limit", "bound")), 6.0, "steps")], [Goal("g", 1.0, 2.0)])
    written = json.loads(json.dumps(record({"case": report}, quick=False, repeats=2)))
    assert table(read(written)["case"], goals=True) == table(report, goals=True)


def test_the_hand_written_step_is_that_of_the_reverse_sde(getkey):
    dim, h, t = 5, 0.03, 0.7
    sampler = dp.ReverseSDE(dp.OrnsteinUhlenbeck(), dp.symmetric_mixture(jnp.ones(dim)).posterior_mean)
    x, noise = jr.normal(getkey(), (dim,)), jr.normal(getkey(), (dim,))
    row = jax.tree.map(lambda leaf: leaf[0], sampler.plan(np.array([t, t - h])))
    end = sampler.state(sampler.step(row, sampler.init(x), noise[None]))
    np.testing.assert_allclose(step(x, t, h, noise), end, rtol=1e-12)


def test_diffrax_and_the_plain_scan_sample_the_same_law():
    problem = Problem(dim=8, batch=4000, steps=16)
    starts = jr.normal(jr.key(0), (problem.batch, problem.dim))
    magnetisation = [
        np.mean(np.asarray(jax.jit(walk)(jr.key(i + 1), starts)), axis=1) ** 2
        for i, walk in enumerate([plain_scan(problem), _diffrax(problem)])
    ]
    stderr = math.hypot(*(values.std() / math.sqrt(len(values)) for values in magnetisation))
    assert abs(magnetisation[0].mean() - magnetisation[1].mean()) < 4 * stderr
    assert magnetisation[0].mean() > 0.5


def _diffrax(problem):
    import diffrax

    return diffrax_solver(problem, "UnsafeBrownianPath")(diffrax)


@pytest.fixture(scope="module")
def cloud():
    points = jr.normal(jr.key(0), (60, 4))
    return dp.Empirical(points), points


def test_the_textbook_score_is_the_posterior_mean(cloud):
    data, points = cloud
    ys = points[:3] + 0.3 * jr.normal(jr.key(1), (3, 4))
    ours = jax.vmap(data.posterior_mean, (0, None))(ys, jnp.asarray(0.1))
    np.testing.assert_allclose(textbook(points, ys, jnp.asarray(0.1)), ours, rtol=1e-10)


def test_both_estimators_of_the_excess_entropy_have_the_same_mean(cloud):
    data, points = cloud
    variances = np.array([0.05, 0.5, 5.0])
    clean, noise = jnp.tile(points, (40, 1)), jr.normal(jr.key(2), (2400, 4))
    ours = np.asarray(weights_entropy(data, clean, noise, variances))
    raw = np.asarray(raw_log_density(points, clean, noise, variances))
    difference = ours - raw
    assert np.all(np.abs(difference.mean(0)) < 4 * difference.std(0) / math.sqrt(len(difference)))
    assert np.all(ours.var(0) < raw.var(0))


def test_the_plain_trapezoid_is_the_posterior_mean_of_the_magnet():
    y, variance = jnp.linspace(-1.0, 1.5, 30), jnp.asarray(0.8)
    ours = dp.CurieWeiss(30, 1.5).posterior_mean(y, variance)
    np.testing.assert_allclose(plain_trapezoid(y, variance, decoupling_nodes(30)), ours, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [at_random, in_proportion, in_equal_shares])
@pytest.mark.parametrize("signs", [[1], [1, -1]], ids=["plain", "mirrored"])
def test_every_way_to_draw_forward_samples_has_the_mean_of_theory(order, signs):
    """And the variances that theory says, of the mean of 20 posteriors."""
    weights, t = np.array([0.8, 0.2]), 0.9
    target = dp.symmetric_mixture(np.full(3, 1.5), weight=0.8)
    noise = float(np.expm1(2 * t))
    theory = TwoClassVariances(0.8, (6.75 / (1 + noise)) ** 0.5, noise / (1 + noise))
    classes = order(np.random.default_rng(0), weights, (2000, 20 // len(signs)))
    signs, kernel = np.array(signs, float), dp.OrnsteinUhlenbeck().kernel(t)
    found = np.asarray(identity_estimates(target, of_gaussian, kernel, classes, signs, jr.key(1)), float)
    assert abs(found.mean() - theory.mean) < 4 * found.std() / math.sqrt(2000)
    factors = theory.of_identity() | {"independent draws": 1.0}
    words = {at_random: [], in_proportion: ["classes in proportion"], in_equal_shares: ["classes in equal shares"]}
    name = ", ".join(words[order] + ["mirrored noise"] * (len(signs) - 1)) or "independent draws"
    if name in factors:
        # The variance of a variance, of estimates that are nearly normal.
        assert 20 * found.var() / theory.variance == pytest.approx(factors[name], rel=4 * math.sqrt(2.5 / 2000))


def test_classes_in_proportion_have_their_shares_to_within_one():
    weights = np.array([0.55, 0.3, 0.15])
    labels = in_proportion(np.random.default_rng(0), weights, (500, 20)).labels
    counts = np.stack([np.sum(labels == k, axis=1) for k in range(3)])
    assert np.all(np.abs(counts - 20 * weights[:, None]) < 1.001)


def test_a_variance_factor_has_the_error_that_it_says():
    rng = np.random.default_rng(0)
    found = [variance_factor(2 * rng.normal(size=400), rng.exponential(size=400)) for _ in range(200)]
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(4, rel=0.06)
    assert values.std() == pytest.approx(errors.mean(), rel=0.25)


def test_an_unknown_case_is_refused_with_the_list():
    result = CliRunner().invoke(app, ["run", "nonsense"])
    assert result.exit_code == 2
    # The box around it may break a line anywhere.
    assert "Got nonsense" in " ".join(result.output.replace("│", " ").split())


def test_without_a_command_the_cases_are_listed():
    listed = CliRunner().invoke(app, []).output
    modules = {path.stem.replace("_", "-") for path in (ROOT / "benchmarks/cases").glob("[a-z]*.py")}
    assert modules == set(CASES)
    assert all(f"{name} " in listed for name in CASES)


QUICK = ["empirical-score"]


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]
)
def test_every_case_runs_in_small(case, tmp_path):
    written = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks", "run", case, "--quick", "--repeats", "1", "--json", str(written)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    races = json.loads(written.read_text())["cases"][case]["races"]
    for found in races:
        assert any(program["role"] == "ours" for program in found["programs"])
        for program in found["programs"]:
            # What has no time has a bias, or says what is missing.
            assert program["seconds"] or any(word in program["note"] for word in ("not installed", "MNIST", "bias"))
