"""The comparison at equal evaluations measures what it says, and counts every call of the denoiser."""

import dataclasses
import itertools
import json
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from typer.testing import CliRunner

import diffphys as dp
from benchmarks.__main__ import app
from benchmarks.nfe import _diffrax_peers, _flows, _measure, _ours, _problems, _runner, _table
from benchmarks.nfe._batch import random_batch, unit_batch
from benchmarks.nfe._entries import Entry
from benchmarks.nfe._grids import SIGMA_MAX, SIGMA_MIN, Clock, levels
from benchmarks.nfe._measure import Score
from benchmarks.nfe._metrics import moment_error, sketch, sliced_wasserstein
from diffphys.samplers.analytic import AnalyticDDPM


@pytest.fixture(scope="module")
def problem():
    return _problems.gaussian(True)


def test_the_sliced_distance_of_gaussians_is_that_of_their_deviations():
    # Between N(0, a^2 I) and N(0, b^2 I) it is |a - b| in every direction, here over b.
    rng = np.random.default_rng(0)
    exact, ends = 0.7 * rng.normal(size=(80_000, 3)), 0.9 * rng.normal(size=(20_000, 3))
    assert sliced_wasserstein(ends, sketch(exact, len(ends), 16)) == pytest.approx(0.2 / 0.7, rel=0.03)


def test_the_sliced_distance_of_a_sample_to_itself_is_zero():
    points = np.random.default_rng(0).normal(size=(50, 3))
    assert sliced_wasserstein(points[::-1], sketch(points, 50, 8)) == 0
    shifted = sliced_wasserstein(points + np.array([[0.3, 0.0, 0.0]]), against := sketch(points, 50, 8))
    assert shifted == pytest.approx(0.3 * math.sqrt(np.mean(against.directions[0] ** 2)) / against.scale)


def test_the_sliced_distance_to_a_finer_sample_is_that_of_the_optimal_plan():
    exact, ends = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[2.0], [1.0]])
    # {0, 1} goes to 1 and {2, 3} to 2: costs 1, 0, 0, 1.
    against = sketch(exact, 2, 1)
    assert sliced_wasserstein(ends, against) * against.scale == pytest.approx(math.sqrt(0.5))
    with pytest.raises(ValueError, match="multiple of the 3"):
        sketch(exact, 3, 1)


def test_what_diverges_is_infinitely_far():
    points = np.zeros((4, 1)) + np.arange(4.0)[:, None]
    assert sliced_wasserstein(points * np.nan, sketch(points, 4, 1)) == math.inf
    assert moment_error(points * 1e200, np.ones(1)) == math.inf


def test_the_start_has_the_same_channel_on_every_process():
    batch = random_batch(dp.Gaussian(np.zeros(3), 0.5), 4000, np.dtype(np.float64), 0)
    for process in (dp.OrnsteinUhlenbeck(), dp.PhaseSpaceLangevin()):
        kernel = process.kernel(Clock(process).ends[0])
        states = batch.start(kernel)
        seen = kernel.gain * states if states.ndim == 2 else np.einsum("i,bid->bd", kernel.gain, states)
        np.testing.assert_allclose(seen, batch.clean + SIGMA_MAX * batch.noise, rtol=1e-9)
    # In phase space the rest is noise too: the law is that of the kernel.
    rest = states - np.asarray(kernel.mean)[:, None] * batch.clean[:, None]
    found = np.einsum("bid,bjd->ij", rest, rest) / batch.clean.size
    scale = np.sqrt(np.diag(kernel.cov))
    np.testing.assert_allclose(found / np.outer(scale, scale), kernel.cov / np.outer(scale, scale), atol=0.06)


def test_a_clock_shows_the_noise_levels_of_the_grid():
    process = dp.PhaseSpaceLangevin()
    times = Clock(process).times("karras", 12)
    shown = np.sqrt([float(process.kernel(t).variance) for t in times])
    np.testing.assert_allclose(shown, levels("karras", 12), rtol=1e-6)
    assert shown[0] == pytest.approx(SIGMA_MAX)
    assert shown[-1] == pytest.approx(SIGMA_MIN)


def test_unit_inputs_are_all_different():
    batch = unit_batch(np.ones(2), 20)
    rows = [batch.clean, batch.noise, batch.other, *(batch.draw(j, 2)[:, i] for j in range(3) for i in range(2))]
    marks = np.stack([row.any(axis=1) for row in rows])
    assert (marks.sum(1) == 1).all()
    assert (marks.sum(0) <= 1).all()
    with pytest.raises(ValueError, match="unit_batch"):
        batch.draw(9, 2)


def test_a_sampler_that_is_exact_in_one_step_has_no_moment_error(problem):
    # A Gaussian of one variance: Analytic-DPM has the exact variance after any step.
    variances = np.full(2, 0.3)
    target, batch = dp.Gaussian(np.zeros(2), 0.3), unit_batch(np.sqrt(variances), 8)

    def build(process, problem):
        def mean_square(t):
            kernel = process.kernel(t)
            return float(1 / (0.3 * kernel.mean**2 + kernel.cov))

        return AnalyticDDPM(process, problem.target.posterior_mean, mean_square)

    alike = dataclasses.replace(problem, target=target, batch=batch)
    outcome = _ours.walk(_ours.overdamped, build, "", alike)("log", 2)
    assert outcome.evaluations == 2
    assert moment_error(outcome.ends, variances**2 / (variances + SIGMA_MIN**2)) < 1e-10


def test_the_flow_velocity_steps_straight_from_noise_to_data(problem):
    # x = y / (1 + sigma) moves along eps - D in u = sigma / (1 + sigma): one step of Euler, in closed form.
    outcome = _ours.walk(_ours.overdamped, _ours._of(dp.FlowAdams, order=1), "", problem)("log", 2)
    start = problem.batch.clean + SIGMA_MAX * problem.batch.noise
    data = problem.denoise(start, SIGMA_MAX**2)
    clocks = [sigma / (1 + sigma) for sigma in (SIGMA_MAX, SIGMA_MIN)]
    x = start / (1 + SIGMA_MAX) + (clocks[1] - clocks[0]) * ((start - data) / SIGMA_MAX - data)
    ends = problem.denoise(x * (1 + SIGMA_MIN), SIGMA_MIN**2)
    np.testing.assert_allclose(outcome.ends, ends, rtol=1e-9, atol=1e-12)


def test_the_exact_flow_has_the_exact_moments_on_both_processes(problem):
    (measured,) = problem.metrics.values()
    overdamped, phase_space = _flows.overdamped_flow(problem), _flows.phase_space_flow(problem, *_ours.phase_space())
    assert measured(overdamped) < 1e-8
    assert measured(phase_space) < 1e-8


def test_the_moment_error_is_that_of_the_multiplier_of_ddim(problem):
    (ddim,) = [entry for entry in _ours.entries() if entry.name == "DDIM"]
    outcome = ddim.walk(problem)("log", 6)
    variances = problem.batch.clean[0] ** 2
    knots, found = levels("log", 5), np.ones(len(variances))
    for rho, rho_s in itertools.pairwise(knots):
        found *= (variances + rho * rho_s) / (variances + rho**2)
    exact, start = variances + SIGMA_MIN**2, variances + SIGMA_MAX**2
    expected = math.sqrt(np.mean((found**2 * start / exact - 1) ** 2))
    (measured,) = problem.metrics.values()
    assert measured(outcome.ends) == pytest.approx(expected, rel=1e-9)


def test_exact_moments_of_noise_are_those_of_many_samples(problem):
    (bridge,) = [entry for entry in _ours.entries() if entry.name == "Bridge (DDPM)"]
    ends = bridge.walk(problem)("log", 5).ends
    target = problem.target
    batch = random_batch(target, 20_000, np.dtype(np.float64), 3)
    sampled = bridge.walk(dataclasses.replace(problem, batch=batch))("log", 5).ends
    np.testing.assert_allclose(np.mean(sampled**2, 0), np.sum(ends**2, 0), rtol=4 * math.sqrt(2 / 20_000))


@pytest.mark.parametrize("entry", _ours.entries(), ids=lambda entry: entry.name)
def test_evaluations_are_the_calls_of_the_denoiser(entry):
    calls, setting = [], _ours.phase_space if entry.family != "overdamped" else _ours.overdamped

    class Counted:
        mean = jnp.zeros(1)

        def posterior_mean(self, y, variance):
            calls.append(variance)
            return 0.5 * y

        def sample(self, key):
            return jr.normal(key, (1,))

    process, clock = setting()
    build = {**_ours.OVERDAMPED, **_ours.PHASE_SPACE, **_ours.CONJUGATE}[entry.name]
    sampler = build(process, dataclasses.replace(_ours._specimen(), target=Counted()))
    rows = sampler.plan(np.array(clock.times("log", 6)))
    state = jnp.zeros((*np.shape(process.start()[0]), 1))
    carry = jax.eval_shape(sampler.init, state)
    noise = jax.ShapeDtypeStruct((sampler.draws, *state.shape), state.dtype)
    calls.clear()
    jax.eval_shape(sampler.step, jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), rows), carry, noise)
    # Tracing meets both branches of a step, which `tests/samplers/test_pndm.py` counts, and the body of a loop once.
    once = entry.name.startswith("AnnealedLangevin")
    assert len(calls) == (1 if once else sampler.evaluations + 4 * (entry.name == "PNDM"))
    assert entry.noisy == (sampler.draws > 0)


def test_a_start_of_more_evaluations_is_charged_for(problem):
    walk = _ours.walk(_ours.overdamped, _ours._of(dp.PNDM), "", problem)
    assert walk("log", 20).evaluations == 20
    assert walk("log", 13) is None  # Three steps of four evaluations, and no step after them.


@pytest.mark.parametrize("name", ["UniPC-3", "SASolver 4-4, tau 0", "EDM, churn", "PSLD SSCS"])
def test_the_program_of_many_samplers_takes_the_steps_of_each(name, problem):
    setting = _ours.phase_space if name.startswith("PSLD") else _ours.overdamped
    (process, clock), build = setting(), {**_ours.OVERDAMPED, **_ours.PHASE_SPACE}[name]
    sampler = build(process, problem)
    plan, start = (
        sampler.plan(ts := np.array(clock.times("log", 6))),
        problem.batch.start(process.kernel(clock.ends[0])),
    )
    noise, found = np.random.default_rng(0).normal(size=(len(start), sampler.draws, *start.shape[1:])), []
    for runner in (_runner.own(sampler), _runner.runner_of(sampler, setting, problem)):
        rows, carry = runner.rows(plan), runner.init(start)
        for i in range(len(ts) - 1):
            carry = runner.step(jax.tree.map(lambda leaf, i=i: leaf[i], rows), carry, noise)
        found.append(np.asarray(runner.state(carry)))
    np.testing.assert_allclose(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", list(_diffrax_peers.SOLVERS))
def test_a_solver_of_diffrax_makes_the_evaluations_it_is_charged_for(name, problem):
    solver, cost = _diffrax_peers.SOLVERS[name]
    calls = []

    def velocity(t, y, _):
        jax.debug.callback(calls.append, t)
        return -y

    import diffrax

    term, y, solver = diffrax.ODETerm(velocity), jnp.ones(1), solver()
    state = solver.init(term, 0.0, 0.1, y, None)
    for i in range(3):
        y, _, _, state, _ = solver.step(term, 0.1 * i, 0.1 * (i + 1), y, None, state, made_jump=False)
    jax.effects_barrier()
    first = isinstance(solver, diffrax.Bosh3 | diffrax.Tsit5)
    assert len(calls) == 3 * cost + first


def test_the_solver_in_the_noise_level_is_that_of_karras(problem):
    found = {entry.name: entry.walk(problem)("karras", 9) for entry in _some("diffrax Heun, sigma", "EDM")}
    np.testing.assert_allclose(found["diffrax Heun, sigma"].ends, found["EDM"].ends, rtol=1e-7, atol=1e-9)
    assert {outcome.evaluations for outcome in found.values()} == {9}


def _some(*names):
    entries = _ours.entries() + _diffrax_peers.diffrax_entries()
    return [entry for entry in entries if entry.name in names]


def _score(entry, owner, family, budget, error):
    return Score("moment error", entry, owner, family, budget, budget, "log", error)


def test_goals_compare_our_best_with_the_best_peer(problem):
    scores = [
        _score("a", "diffphys", "overdamped", 5, 0.2), _score("b", "diffphys", "phase-space conjugate", 5, 0.1),
        _score("c", "azula", "overdamped", 5, 0.15), _score("a", "diffphys", "overdamped", 10, 0.02),
        _score("b", "diffphys", "phase-space conjugate", 10, math.inf), _score("c", "azula", "overdamped", 10, 0.01),
    ]  # fmt: skip
    found = _table.goals(problem, scores, (5, 10))
    assert [goal["met"] for goal in found] == [True, False]
    assert [goal["ratio"] for goal in found] == pytest.approx([0.1 / 0.15, 2.0])
    assert "MISSED moment error at 10: a (0.02) against c (0.01)" in _table.verdicts(found)
    assert _table.phase_space_verdict(problem, scores, (5, 10)).endswith("beats it at 5; loses at 10.")


def test_an_end_without_any_error_meets_its_goal(problem):
    both = [_score(name, name, "overdamped", 5, 0.0) for name in ("diffphys", "azula")]
    (goal,) = _table.goals(problem, both, (5,))
    assert goal["met"]
    assert goal["ratio"] == 1
    (goal,) = _table.goals(problem, [both[0]._replace(error=0.1), both[1]], (5,))
    assert not goal["met"]
    assert goal["ratio"] == math.inf


def test_what_exact_samples_cannot_tell_apart_is_no_miss(problem):
    noisy = dataclasses.replace(problem, floors={"moment error": np.array([0.15, 0.17])})
    scores = [_score("a", "diffphys", "overdamped", 5, 0.16), _score("b", "azula", "overdamped", 5, 0.1)]
    assert _table.goals(problem, scores, (5,))[0]["met"] is False
    (goal,) = _table.goals(noisy, scores, (5,))
    assert goal["met"]
    assert "no telling apart" in _table.verdicts([goal])


def test_a_peer_that_is_missing_is_a_row_that_says_so(problem):
    absent = Entry("azula", "azula", None, note="azula not installed")
    ours = Entry("a", "diffphys", lambda problem: None)
    scores = [_score("a", "diffphys", "overdamped", 5, 0.2)]
    assert list(_measure.measure(problem, [absent], (5,))) == [(absent, [])]
    shown = _table.table(problem, "moment error", [ours, absent], scores, (5,))
    assert [line for line in shown.splitlines() if "azula not installed" in line]


def test_the_command_runs_in_small(tmp_path):
    written = tmp_path / "nfe.json"
    chosen = [part for name in ("DDIM", "PSLD Bridge", "Heun, sigma") for part in ("--sampler", name)]
    arguments = ["nfe", "--quick", "--target", "gaussian", *chosen, "--json", str(written), "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads(written.read_text())
    scores = record["targets"]["gaussian"]["scores"]
    assert {score["entry"] for score in scores} >= {"DDIM", "PSLD Bridge", "diffrax Heun, sigma"}
    assert all(score["evaluations"] <= score["budget"] for score in scores)
    assert "exact moments" not in result.output
    assert (tmp_path / "nfe.png").stat().st_size > 10_000


def test_an_unknown_target_is_refused_with_the_list():
    result = CliRunner().invoke(app, ["nfe", "--target", "nonsense"])
    assert result.exit_code == 2
    assert "Got nonsense" in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.parametrize("target", list(_problems.PROBLEMS))
def test_every_sampler_runs_on_every_target(target):
    result = CliRunner().invoke(app, ["nfe", "--quick", "--target", target])
    assert result.exit_code == 0, result.output
