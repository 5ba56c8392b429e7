"""What the commands say: times with their noise levels, each estimator's own, and no to options that do nothing."""

import re
import signal

import jax
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import diffphys as dp
from diffphys._commands._words import regimes_words, speciation_words, time_words
from diffphys.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A file of few data in two classes."""
    file = tmp_path_factory.mktemp("data") / "points.npz"
    values = np.random.default_rng(0).normal(size=(40, 4)) + 3 * np.repeat([[1], [-1]], 20, 0)
    np.savez(file, points=values, labels=np.repeat([0, 1], 20))
    return ["--data", file, "--scale", "none", "--times", "0.05,0.1,0.2,0.4,0.8,1.6,3"]


def test_a_time_stands_in_a_column_before_its_noise_level():
    assert (
        time_words("t_S", 1.0, 2.5277, "why", 0.9, 1.1)
        == "t_S                1.000 [0.900, 1.100]   sigma_v 2.528   why"
    )
    lines = [
        time_words("a", 1.0, 2.5, "why"),
        time_words("b", np.nan, np.nan, "why"),
        time_words("c", 1, 31.981, "why"),
    ]
    assert {line.index("why") for line in lines} == {lines[0].index("why")}
    assert "none" in lines[1]
    assert "sigma_v" not in lines[1]


def test_every_time_of_the_summary_is_given_as_a_noise_level(points, tmp_path):
    result = run("regimes", *points, "--estimator", "posterior", "--samples", 64, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    told = re.findall(r"^(\S.*?) {2,}(\d+\.\d{3})(?: \[.*\])? +sigma_v (\S+) ", result.output, re.MULTILINE)
    assert {"t_S", "crossing", "half information", "t_C", "phi_C = 1/2", "t_C, theory", "data points"} <= {
        t[0] for t in told
    }
    for name, time, level in told:
        assert float(level) == pytest.approx(np.sqrt(np.expm1(2 * float(time))), rel=0.02), name


def test_theory_alone_tells_both_times_and_the_load(points, tmp_path):
    for command in ("collapse", "regimes"):
        result = run(command, *points, "--estimator", "theory", "--out", tmp_path)
        assert result.exit_code == 0, result.output
        assert re.search(r"t_C, theory +\d\.\d+ +sigma_v", result.output)
        assert f"alpha = log n / d = {np.log(40) / 4:.4g}" in result.output
    assert "theory crossing" in result.output


def test_clones_alone_tell_where_they_cross(points, tmp_path):
    result = run("regimes", *points, "--estimator", "clones", "--clones", 64, "--steps", 4, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    for words in ("phi_clones crosses", "phi_hard_clones crosses", "phi_c_clones crosses 1/2"):
        assert re.search(rf"by clones +\d.* sigma_v .*{words}", result.output)
    # Where the identity has said it there is nothing to add.
    ds = dp.results.load(tmp_path / "regimes.nc")
    both = ds.assign(
        {f"{name}{end}": ds[f"{name}_clones{end}"] for name in ("phi", "phi_c") for end in ("", "_stderr")}
    )
    assert not any(line.startswith("by clones") for line in regimes_words(both))


def test_labels_that_speciate_without_a_spectral_time_are_not_said_to_contradict_it():
    none = dict.fromkeys(("spectral_time", "threshold", "crossing_time"), np.nan)
    attrs = {"data": "digits", "eigenvalue": 0.699, "half_information_time": 0.4, "half_information_time_sigma_v": 1.1}
    lines = speciation_words(xr.Dataset(attrs=attrs | none | {"verdict": "speciation"}))
    assert re.match(r"t_S +none +no speciation by the spectral criterion \(Lambda = 0\.699 <= T\)", lines[1])
    assert lines[-1].endswith("speciation by the labels, decided at the time above; only the spectrum tells none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["regimes", "--dim", "5"], "--dim needs --target. Got 5 with data"),
        (["speciation", "--weight", "0.3"], "--weight needs --target"),
        (["collapse", "--size", "30"], "--size needs --target"),
        (["diagram", "--mean", "2"], "--mean needs --target"),
        (["regimes", "--variance", "1.0"], "--variance needs --target. Got 1.0 with data"),
        (["regimes", "--step", "best"], "--step needs --model"),
        (["regimes", "--target", "mixture", "--step", "last"], "--step needs --model. Got last with --target"),
        (["regimes", "--model", "nowhere", "--dim", "5"], "--dim needs --target. Got 5 with --model"),
        (["regimes", "--array", "x"], "--array needs a file of several arrays. Got x with the named set digits"),
        (["regimes", "--data", "mnist", "--array", "x"], "--array needs a file of several arrays"),
        (["regimes", "--estimator", "posterior", "--clones", "9"], "--clones needs --estimator clones or all"),
        (["regimes", "--estimator", "posterior", "--steps", "32"], "--steps needs --estimator clones or all"),
        (
            ["collapse", "--estimator", "theory", "--sampler", "bridge"],
            "--sampler needs --estimator clones or all. Got b",
        ),
        (["speciation", "--estimator", "clones", "--samples", "99"], "--samples needs --estimator posterior or all"),
        (["speciation", "--estimator", "theory", "--chunk", "9"], "--chunk needs another estimator"),
        (["speciation", "--clones", "9", "--clones-stderr", "0.1"], "--clones needs to be alone"),
        (["collapse", "--samples", "99", "--stderr", "0.1"], "--samples needs to be alone"),
        (["diagram", "--target", "mixture", "--samples", "99"], "--samples needs data"),
        (["gaussian-regimes", "--data", "digits", "--dim", "9"], "--dim needs a model. Got 9 with --data"),
        (["thermo", "--data", "digits", "--beta", "1"], "--beta needs a model"),
        (["thermo", "--model", "sphere", "--beta", "1"], "--beta needs --model curie-weiss or ising-ring"),
        (["thermo", "--model", "four-deltas", "--dim", "3"], "--dim needs a model of any dimension"),
        (["regimes", "--times", "0"], "--times needs at least one time. Got 0"),
        (["regimes", "--seed", "99999999999999999999"], "--seed needs a whole number from 0 to 4294967295"),
        (["thermo", "--seed", "-1"], "--seed needs a whole number from 0"),
        (["train", "--seed", "4294967296"], "--seed needs a whole number from 0"),
    ],
)
def test_options_that_would_do_nothing_are_refused_where_they_are_typed(tmp_path, arguments, message):
    result = run(*arguments, "--out", tmp_path)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert result.output.startswith("diffphys: ")


def test_options_of_trajectories_are_taken_where_only_those_are_run(points, tmp_path):
    options = ["--estimator", "theory", "--trajectories", 8, "--steps", 4, "--sampler", "bridge", "--chunk", 8]
    result = run("collapse", *points, *options, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert re.search(r"last change +\d.* sigma_v", result.output)


@pytest.mark.parametrize(
    ("command", "where", "resumes"),
    [
        ("diagram", "diffphys.experiments.diagram", False),
        ("gaussian-regimes", "diffphys.experiments.gaussian_regimes", False),
        ("thermo", "diffphys.experiments.thermodynamics", False),
        ("speciation", "diffphys.experiments.speciation", True),
    ],
)
def test_an_interrupt_speaks_of_resuming_only_where_there_is_something_to_resume(
    tmp_path, monkeypatch, command, where, resumes
):
    def cut(*arguments, **settings):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(dp.experiments, where.rpartition(".")[2], cut)
    result = run(command, "--out", tmp_path)
    assert result.exit_code == 130
    assert "interrupted" in result.output
    assert ("--resume" in result.output) == resumes


def test_clones_of_data_without_classes_are_not_run(tmp_path):
    """They agree always; by default ten thousand of them took a minute to say so."""
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(40, 4)))
    source = ["speciation", "--data", tmp_path / "points.npy", "--scale", "none", "--times", "0.1,1", "--out", tmp_path]
    result = run(*source, "--samples", 64)
    assert result.exit_code == 0, result.output
    assert "one class" in result.output
    assert "phi_clones" not in dp.results.load(tmp_path / "speciation.nc")
    refused = run(*source, "--clones", 8)
    assert refused.exit_code != 0
    assert "--clones needs data of two classes or more. Got 8 with one class." in " ".join(refused.output.split())


def test_words_on_one_class_say_nothing_of_clones_that_agree_always():
    data = dp.Empirical(np.random.default_rng(0).normal(size=(12, 3)))
    found = dp.regimes(
        data, dp.OrnsteinUhlenbeck(), [0.2, 1.0], key=jax.random.key(0), samples=32, clones=8, steps=4, datasets=None
    )
    names = [line[:18].strip() for line in speciation_words(found.assign_attrs(data="points"))]
    assert "verdict" in names
    assert "phi, clones" not in names
