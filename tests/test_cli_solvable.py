"""The commands of solvable models as a user meets them: learned Gaussians, thermodynamics, the magnet."""

import re
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import diffphys as dp
from diffphys import experiments
from diffphys.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


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

    def chunks():
        # One that is written anew is another file.
        return {file.name: file.stat().st_ino for file in journal.glob("*.npz")}

    before = chunks()
    assert before
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["diffphys.experiments.curie_weiss"], "late_start", cut)
        assert run("curie-weiss", *MAGNET, "--out", tmp_path, "--resume").exit_code == 130
        assert chunks() == before
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
