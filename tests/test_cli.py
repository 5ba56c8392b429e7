"""The command as a user meets it: output, exit status, messages, and what it leaves behind."""

import json
import os
import pathlib
import re
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
from diffphys import experiments
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
    assert json.loads(ds.attrs["data_scale"]) == [-1.0, 1.0]
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


def test_gaussian_regimes_names_the_regime_of_every_number_of_data(tmp_path):
    options = ["--dim", 8, "--counts", "4,20,500", "--draws", 2, "--steps", 20, "--out", tmp_path]
    result = run("gaussian-regimes", *options)
    assert result.exit_code == 0, result.output
    for words in ("4 .*rank P, wrong spectrum", "20 .*spectrum right, eigenvectors mixed", "500 .*learned"):
        assert re.search(words, result.output)
    ds = dp.results.load(tmp_path / "gaussian-regimes.nc")
    np.testing.assert_allclose(ds.true_eigenvalue, np.linspace(0.5, 2, 8))
    assert (tmp_path / "gaussian-regimes.png").stat().st_size > 20_000


def test_gaussian_regimes_takes_the_covariance_of_data(tmp_path):
    points = np.random.default_rng(0).normal(size=(50, 5)) * [1, 2, 3, 4, 0]
    np.savez(tmp_path / "points.npz", points=points)
    options = ["--data", tmp_path / "points.npz", "--scale", "none", "--counts", "100", "--draws", 2, "--steps", 10]
    result = run("gaussian-regimes", *options, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    ds = dp.results.load(tmp_path / "gaussian-regimes.nc")
    np.testing.assert_allclose(ds.true_eigenvalue, np.linalg.eigvalsh(np.cov(points[:, :4], rowvar=False)), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--spectrum", "1"], "--spectrum needs LOW,HIGH"),
        (["--counts", "a,b"], "--counts needs numbers"),
        (["--counts", "4,10.5"], "--counts needs whole numbers"),
        (["--classes", "0,1"], "--classes needs data. Got 0,1 with a model"),
        (["--spectrum", "0,2"], "`spectrum` needs two eigenvalues or more, all > 0"),
    ],
)
def test_gaussian_regimes_refuses_what_means_nothing(tmp_path, options, message):
    result = run("gaussian-regimes", *options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


def test_thermo_names_the_critical_points_and_exponents_of_a_model(tmp_path):
    result = run("thermo", "--model", "two-deltas", "--dim", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert re.search(r"score zero +1 +0\.3466 +0\.2590 +258\.09", result.output)
    assert re.search(r"drift +1\.41421 +0\.4407 +0\.2926 +291\.70", result.output)
    assert re.search(r"beta +0\.49993 \[.*mean field: 1/2", result.output)
    assert "ordered    " in result.output
    ds = dp.results.load(tmp_path / "thermo.nc")
    np.testing.assert_allclose(ds.value, [0.5, 1, 1, 3], atol=0.002)
    assert (tmp_path / "thermo.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "digits", "--model", "sphere"], "Give --data or --model"),
        (["--variances", "1"], "--variances needs two numbers"),
        (["--model", "sphere", "--per-class", "3"], "--per-class needs data. Got 3 with a model"),
        (["--model", "ising-ring", "--dim", "2"], "`ring_couplings` needs `dim` >= 3"),
        (["--model", "curie-weiss", "--beta", "-1"], "`CurieWeiss` needs `beta` > 0"),
    ],
)
def test_thermo_refuses_what_means_nothing(tmp_path, options, message):
    result = run("thermo", *options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


MAGNET = ["--dim", 64, "--samples", 400, "--clones", 32, "--steps", 16, "--trajectories", 64, "--draws", 2]


def magnet_results(temperature):
    """Results as `curie_weiss` gives them, all their numbers known."""
    shapes = {
        ("t",): ("phi", "phi_theory", "phi_clones"), ("t", "label"): ("label_weight", "label_weight_sampler"),
        ("kappa", "mu"): ("potential",), ("learner", "dim", "ratio"): ("error",),
        ("dim", "ratio"): ("error_counting", "error_local_theory"),
        ("inside",): ("critical_deficit", "critical_diversity"),
    }  # fmt: skip
    coords = {
        "t": [1.0, 2.0, 4.0], "label": [0, 1], "kappa": [1.0], "mu": [0.0, 1.0], "dim": [10, 20], "ratio": [1.0, 4.0],
        "inside": [1, 2], "learner": ["memorised", "local"],
    }  # fmt: skip
    variables = {}
    for dims, names in shapes.items():
        shape = [len(coords[dim]) for dim in dims]
        for name in names:
            variables[name] = dims, 0.1 + 0.01 * np.arange(np.prod(shape)).reshape(shape)
            variables[f"{name}_stderr"] = dims, np.full(shape, 0.002)
    names = (
        "magnetisation", "up_weight", "up_weight_limit", "threshold", "crossing_time", "crossing_low", "crossing_high",
        "critical_deficit_uniform", "critical_deficit_uniform_stderr",
    )  # fmt: skip
    attrs = {name: 0.2 + 0.01 * i for i, name in enumerate(names)} | {
        "N": 64, "beta": 2.0, "field": 1.0, "temperature": temperature, "clones": 100, "speciation_time": 2.0,
        "critical_steps": 4, "critical_inside_uniform": 1, "critical_diversity_uniform": 0.5,
        "critical_diversity_true": 0.6,
    }  # fmt: skip
    ds = dp.results.dataset(variables, coords, experiment="curie-weiss", seed=0, parameters={})
    return ds.assign_attrs(attrs)


def test_curie_weiss_leaves_a_figure_a_file_and_a_summary(tmp_path, monkeypatch):
    asked = []

    def given(*sizes, temperature, **settings):
        asked.append((*sizes, settings["draws"], settings["checkpoint"].name))
        return magnet_results(temperature)

    monkeypatch.setattr(experiments, "curie_weiss", given)
    result = run("curie-weiss", *MAGNET, "--beta", 2, "--field", 1, "--temperature", 0.5, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert asked == [(64, 2.0, 1.0, 2, ".curie-weiss-checkpoint")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curie-weiss.nc", "curie-weiss.png"]
    for words in (
        "N = 64 spins, beta = 2, h = 1, a bath at T = 0.5\n",
        "m*                 0.2000 ",
        "W+                 0.2100   exact at this N; for many spins 0.2200\n",
        "t_S                2.000 ",
        "crossing           0.240 [0.250, 0.260]   sigma_v 0.555   phi crosses 0.2300\n",
        "at most 0.0 standard errors",
        "start at t_S / 2   W+ = 0.1000 +- 0.0020 by the identity, 0.1000 +- 0.0020 by trajectories\n",
        "start at 2 t_S     W+ = 0.1400 +- 0.0020 ",
        "P / N = 4: root mean square error of W+, N = 20 (counting states 0.1300, local theory 0.1300)\n",
        "  local              0.1700 +- 0.0020\n",
        "4 steps, |W+ - true|: 0.2700 +- 0.2800 evenly in log-SNR (1 near t_S), 0.1000 +- 0.0020 with 1 near t_S",
    ):
        assert words in result.output


@pytest.mark.slow
def test_curie_weiss_tells_the_weights_the_crossing_and_what_spoils_them(tmp_path):
    result = run("curie-weiss", *MAGNET, "--seed", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curie-weiss.nc", "curie-weiss.png"]
    text = result.output
    assert "m*                 0.8586 " in text
    up = float(dp.CurieWeiss(64, 1.5, 0.5).label_weights[0])
    assert f"W+                 {up:.4f}   exact at this N; for many spins 0.7024" in text
    t_s = 0.5 * np.log(64 * 0.8585596366401104**2)
    low, high = map(float, re.search(r"crossing +[\d.]+ \[([\d.]+), ([\d.]+)\]", text).groups())
    assert f"t_S                {t_s:.3f} " in text
    assert low < t_s + 0.1
    assert high > t_s - 0.1
    weights = [float(w) for w in re.findall(r"start at .*W\+ = ([\d.]+)", text)]
    assert len(weights) == 3
    # A start far from the data rebuilds the weights, one near it has forgotten half of the bias.
    assert weights[0] < 0.5 * (0.5 + up) < weights[2]
    assert abs(weights[2] - up) < 0.02
    errors = {name: float(e) for name, e in re.findall(r"^  (\w[\w ]+?) +([\d.]+) \+-", text, re.MULTILINE)}
    assert set(errors) == {"memorised", "local", "maximum likelihood"}
    assert "16 steps, |W+ - true|" in text


@pytest.mark.slow
def test_curie_weiss_goes_on_with_the_clones_of_an_interrupted_run(tmp_path, monkeypatch):
    def cut(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["diffphys.experiments.curie_weiss"], "late_start", cut)
        result = run("curie-weiss", *MAGNET, "--out", tmp_path)
    assert result.exit_code == 130
    journals = tmp_path / ".curie-weiss-checkpoint"
    (journal,) = journals.glob("*clones")
    before = journal.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["diffphys.experiments.curie_weiss"], "late_start", cut)
        assert run("curie-weiss", *MAGNET, "--out", tmp_path, "--resume").exit_code == 130
        assert journal.stat().st_mtime_ns == before
        assert run("curie-weiss", *MAGNET, "--seed", 1, "--out", tmp_path, "--resume").exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beta", "1"], "needs two states, `beta` > 1. Got 1.0"),
        (["--beta", "nan"], "needs two states"),
        (["--dim", "0"], "needs finite `dim` > 0"),
        (["--dim", "1"], "spins that speciate at t > 0. Got 1"),
        (["--temperature", "0"], "needs finite `temperature` > 0"),
        (["--field", "inf"], "a finite `field`"),
        (["--clones", "1"], "`clones` needs a whole number, at least 2"),
        (["--samples", "0"], "`samples` needs a whole number, at least 32"),
        (["--steps", "7"], "`steps` needs an even number"),
        (["--trajectories", "1"], "`trajectories` needs a whole number, at least 2"),
        (["--draws", "1"], "`draws` needs a whole number, at least 2"),
    ],
)
def test_curie_weiss_refuses_what_means_nothing(tmp_path, options, message):
    result = run("curie-weiss", *options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
