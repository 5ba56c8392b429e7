"""The command as a user meets it: output, exit status, messages, and what it leaves behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

import diffphys as dp
from diffphys._journal import Journal
from diffphys.cli import app

QUICK = ["--samples", "64", "--times", "4", "--clones", "32", "--steps", "4"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def shell(*arguments, **options):
    """The command in a process of its own, as installed."""
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(dp.__file__).parent.parent), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-m", "diffphys", *map(str, arguments)], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_regimes_leaves_a_figure_a_file_and_a_summary(tmp_path):
    result = run("regimes", "--out", tmp_path, *QUICK)
    assert result.exit_code == 0, result.output
    assert "digits: 178 of 0, 182 of 1; d = 64" in result.output
    assert "t_S                1.008" in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["regimes.nc", "regimes.png"]
    ds = dp.results.load(tmp_path / "regimes.nc")
    assert ds.attrs["data_scale"] == [-1.0, 1.0]
    assert (tmp_path / "regimes.png").stat().st_size > 20_000


def test_same_command_gives_the_same_bits(tmp_path):
    files = [tmp_path / name / "speciation.nc" for name in ("a", "b")]
    for file in files:
        assert run("speciation", "--target", "mixture", "--dim", 16, "--out", file.parent, *QUICK).exit_code == 0
    first, second = map(dp.results.load, files)
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("estimator", ["posterior", "clones", "theory", "all"])
def test_each_estimator_makes_its_curves(tmp_path, estimator):
    identity, clones = ["--samples", 64], ["--clones", 32, "--steps", 4, "--sampler", "reverse-sde"]
    options = {"posterior": identity, "clones": clones, "theory": [], "all": identity + clones}[estimator]
    result = run(
        "speciation", "--target", "mixture", "--dim", 8, "--estimator", estimator, "--times", 4, "--out", tmp_path,
        *options,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ds = dp.results.load(tmp_path / "speciation.nc")
    assert ("phi" in ds) == (estimator in ("posterior", "all"))
    assert ("phi_clones" in ds) == (estimator in ("clones", "all"))
    assert "phi_theory" in ds


def test_collapse_of_a_model_knows_its_law(tmp_path):
    result = run(
        "collapse", "--target", "mixture", "--dim", 16, "--size", 100, "--trajectories", 20, "--out", tmp_path, *QUICK
    )
    assert result.exit_code == 0, result.output
    ds = dp.results.load(tmp_path / "collapse.nc")
    assert ds.attrs["theory"].startswith("IsotropicMixture")
    assert "E[L] = 0" in result.output
    assert "last change" in result.output
    assert ds.sizes["trajectory"] == 20
    # Identity and clones, as in the other commands.
    assert {"phi_c", "phi_c_clones"} <= set(ds.data_vars)


def test_collapse_measures_each_time_as_well_as_it_is_told(tmp_path):
    result = run("collapse", "--estimator", "posterior", "--stderr", 0.02, "--times", 4, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    ds = dp.results.load(tmp_path / "collapse.nc")
    assert np.all(ds.excess_entropy_stderr <= 0.02)
    assert ds.samples.min() == 256


def test_a_reduced_mixture_gives_each_time_the_clones_that_its_error_needs(tmp_path):
    result = run(
        "speciation", "--target", "mixture", "--dim", 4096, "--reduce", "--estimator", "clones",
        "--clones-stderr", 0.02, "--times", "3,4.2,8", "--steps", 8, "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ds = dp.results.load(tmp_path / "speciation.nc")
    assert "reduced to 1 coordinate" in result.output
    assert np.all(ds.phi_clones_stderr <= 0.02)
    assert f"256 to {int(ds.clones_run.max())} pairs" in result.output


@pytest.mark.parametrize("command", ["speciation", "collapse"])
def test_clones_are_part_of_the_default(command):
    parameters = {p.name: p.default for p in typer.main.get_command(app).commands[command].params}
    assert (parameters["estimator"], parameters["clones"]) == ("all", 10_000)


def test_diagram_names_the_size_where_the_transitions_meet(tmp_path):
    result = run("diagram", "--target", "mixture", "--dim", 64, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "n* = " in result.output


def test_double_precision_is_that_of_the_states(tmp_path):
    process = shell(
        "speciation", "--target", "mixture", "--dim", 8, "--precision", "float64", "--out", tmp_path, *QUICK
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert dp.results.load(tmp_path / "speciation.nc").attrs["dtype"] == "float64"


def test_info_tells_versions_devices_and_the_verdict():
    output = run("info").output
    for word in ("diffphys", "jax ", "numpy", "devices", "precision", "verdict", "no known fault"):
        assert word in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["regimes", "--data", "nothing.npy"], "nothing.npy"),
        (["regimes", "--classes", "0,77"], "77"),
        (["regimes", "--scale", "1,0"], "scale"),
        (["regimes", "--scale", "wide"], "--scale needs two numbers"),
        (["regimes", "--times", "1,x"], "--times needs numbers"),
        (["regimes", "--times", "0,1"], "`times` needs finite times above 0"),
        (["regimes", "--steps", "7"], "`steps` needs an even number"),
        (["regimes", "--target", "mixture", "--data", "digits"], "not both"),
        (["regimes", "--target", "mixture", "--pad", "32"], "--pad needs data. Got 32 with --target"),
        (["collapse", "--target", "mixture", "--size", "1"], "--size needs at least 2"),
        (["collapse", "--estimator", "theory", "--stderr", "0.1"], "--stderr needs --estimator posterior or all"),
        (["speciation", "--estimator", "theory", "--clones-stderr", "0.1"], "--clones-stderr needs --estimator clones"),
        (["speciation", "--reduce"], "--reduce needs --target"),
        (["speciation", "--target", "mixture", "--dim", "0"], "--dim needs to be at least 1"),
        (["speciation", "--temperature", "-1"], "temperature"),
    ],
)
def test_bad_use_is_one_line_and_status_two(tmp_path, arguments, message):
    result = run(*arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert result.output.startswith("diffphys: ")


def test_unwritable_folder_is_named_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    result = run("regimes", "--out", tmp_path / "file" / "folder")
    assert result.exit_code == 2
    assert "--out needs a folder that can be written" in result.output


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_resumed_to_the_same_bits(tmp_path, sent):
    job = ["speciation", "--target", "mixture", "--dim", 64, "--estimator", "clones", "--times", "3", "--steps", "64",
           "--clones", "20000", "--chunk", "200"]  # fmt: skip
    process = shell(*job, "--out", tmp_path / "cut", start_new_session=True)
    journal = tmp_path / "cut" / ".speciation-checkpoint" / "speciation-clones"
    deadline = time.monotonic() + 120
    while not any(journal.glob("[0-9]*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert journal.exists()
    assert run(*job, "--out", tmp_path / "cut", "--resume").exit_code == 0
    assert run(*job, "--out", tmp_path / "whole").exit_code == 0
    cut, whole = (dp.results.load(tmp_path / name / "speciation.nc") for name in ("cut", "whole"))
    np.testing.assert_array_equal(cut.phi_clones, whole.phi_clones)
    assert not journal.parent.exists()


def test_resuming_another_run_is_refused_with_the_difference(tmp_path):
    folder = tmp_path / ".speciation-checkpoint"
    folder.mkdir(parents=True)
    ds = dp.speciation(
        dp.symmetric_mixture(np.ones(8, np.float32)), dp.OrnsteinUhlenbeck(), [0.5, 1.0],
        key=jax.random.key(0),
        samples=64, checkpoint=folder, progress=False,
    )  # fmt: skip
    assert ds.sizes["t"] == 2
    result = run("speciation", "--target", "mixture", "--dim", 8, "--resume", "--out", tmp_path, *QUICK)
    assert result.exit_code == 2
    assert "of another" in result.output


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_folder_in_which_another_run_is_at_work_is_left_alone(tmp_path, resume):
    path = tmp_path / ".speciation-checkpoint" / "speciation-forward"
    with Journal(path, {}).alone():
        result = run("speciation", "--target", "mixture", "--dim", 8, *resume, "--out", tmp_path, *QUICK)
        assert result.exit_code == 2
        assert "needs a folder in which no other run is writing" in result.output
        assert path.exists()
