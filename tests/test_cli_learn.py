"""The commands of learned scores as a user meets them: models, their samples and regimes, and what they refuse."""

import json
import re
import shutil

import jax
import numpy as np
import pytest
import xarray as xr
from learned_commands import SMALL, VECTORS, run, write_points

import diffphys as dp
from diffphys._commands import _models

DIGITS = [*SMALL, "--per-class", 20, "--conditional", "--steps", 6, "--save-every", 2, "--milestones", 2]
NO_DATA = {"typed": ()}


def opened(folder):
    with jax.numpy_dtype_promotion("standard"), jax.debug_nans(False):
        return _models.open_model(str(folder), NO_DATA)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small conditional network of digits, with a milestone and data held out, and what the command said."""
    out = tmp_path_factory.mktemp("digits")
    return out, run("train", *DIGITS, "--held-out", 5, "--out", out)


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory):
    """Vectors from a file, and a network that has hardly moved from the linear denoiser, exact for them."""
    out = tmp_path_factory.mktemp("gaussian")
    points = write_points(out)
    job = ["train", "--data", out / "points.npz", *VECTORS, "--steps", 1, "--out", out / "model"]
    result = run(*job)
    assert result.exit_code == 0, result.output
    return out, points, job


def test_train_leaves_a_model_its_history_samples_and_a_table_of_errors(digits):
    out, result = digits
    assert result.exit_code == 0, result.output
    names = {"model.json", "mean.npz", "history.nc", "loss.png", "samples.png", "errors.nc", "checkpoints"}
    assert names <= {path.name for path in out.iterdir()}
    assert "digits: 30 data trained on, 10 held out; d = 64" in result.output
    ds = dp.results.load(out / "errors.nc")
    assert ds.part.values.tolist() == ["training", "held out"]
    # With f = 0, where training starts, the model is the linear denoiser.
    np.testing.assert_allclose(ds.ratio.sel(part="training"), 1, atol=0.1)
    np.testing.assert_array_equal(ds.samples, [30, 10])
    for i in range(ds.sizes["t"]):
        row = (
            rf" {re.escape(f'{float(ds.t[i]):.4g}')} .*{float(ds.ratio[0, i]):.4f} +{float(ds.ratio_stderr[0, i]):.4f}"
        )
        assert re.search(row, result.output)


def test_a_model_knows_its_data_and_their_classes(digits):
    model = opened(digits[0])
    assert (model.shape, model.classes, model.value_range) == ((8, 8), ("0", "1"), (-1.0, 1.0))
    again, held = _models.data_of(model)
    whole = dp.load("digits", classes=[0, 1], per_class=20, scale=(-1, 1))
    np.testing.assert_array_equal(held, _models.kept_out(whole.labels, 5, 0))
    np.testing.assert_array_equal(again.points, whole.points)
    np.testing.assert_array_equal(again.labels, whole.labels)
    np.testing.assert_array_equal(model.mean, whole.mean)
    spectrum = dp.thermo.covariance_spectrum(again.points[~held])
    np.testing.assert_allclose(model.variances[1], 400 * spectrum[0] * 29 / 30, rtol=1e-5)
    np.testing.assert_allclose(model.variances[0], 1e-3 * spectrum.sum() * 29 / 30 / 64, rtol=1e-3)


def test_regimes_of_a_model_are_those_of_its_training_data_and_tell_of_new_ones(digits, tmp_path):
    job = ["--estimator", "posterior", "--samples", 32, "--times", 5, "--out", tmp_path]
    result = run("regimes", "--model", digits[0], *job)
    assert result.exit_code == 0, result.output
    found = xr.load_dataset(tmp_path / "regimes.nc")
    assert found.attrs["n"] == 30
    assert found.attrs["model"] == str(digits[0])
    known = xr.load_dataset(tmp_path / "information.nc")
    # It has hardly moved from the linear denoiser of its data, and knows no more of new ones.
    np.testing.assert_allclose(known.information, known.information_linear, rtol=0.05)
    assert known.attrs["collapse_time"] == pytest.approx(known.attrs["collapse_time_linear"], rel=0.02)
    assert {path.name for path in tmp_path.glob("*.png")} == {"regimes.png", "information.png"}
    assert "t_C, population" in result.stdout
    assert re.search(r"f/alpha = 1/2 +\d", result.stdout)


def test_without_new_data_the_excess_entropy_is_that_of_the_training_data(gaussian, tmp_path):
    job = ["--estimator", "posterior", "--samples", 32, "--times", 5, "--out", tmp_path]
    result = run("regimes", "--model", gaussian[0] / "model", *job)
    assert result.exit_code == 0, result.output
    assert "No data were held out" in result.stdout
    assert "The data, by their exact score, since no clones of the model were asked for" in result.stdout
    assert re.search(r"f_e/alpha = 1/2 +\d.* on the training data", result.stdout)
    assert "t_C, population" not in result.stdout
    known = dp.results.load(tmp_path / "information.nc")
    assert {"excess_entropy_training", "excess_entropy_training_stderr", "mse_training_stderr"} <= set(known)
    assert not {"excess_entropy", "information", "collapse_time"} & {*known, *known.attrs}
    spectrum = dp.thermo.covariance_spectrum(gaussian[1]) * 499 / 500
    exact = dp.thermo.log_capacity(known.sigma_v.values**2, spectrum)
    np.testing.assert_allclose(known.information_training, exact, rtol=0.02)


def test_what_the_exact_score_says_is_told_before_a_model_moves(gaussian, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise FloatingPointError("the first clone is not finite")

    monkeypatch.setattr("diffphys.experiments._asked.clone_curves", stopped)
    job = ["--clones", 8, "--steps", 4, "--samples", 32, "--times", 5, "--out", tmp_path]
    result = run("regimes", "--model", gaussian[0] / "model", *job)
    assert result.exit_code != 0
    assert re.search(r"MLP after \d+ steps.*by their exact score, for reference:.*f_e/alpha", result.stdout, re.DOTALL)


@pytest.mark.slow
def test_regimes_of_a_model_are_read_from_its_clones(digits, tmp_path):
    job = ["--clones", 40, "--steps", 4, "--samples", 32, "--times", 8, "--out", tmp_path]
    result = run("regimes", "--model", digits[0], *job)
    assert result.exit_code == 0, result.output
    found = xr.load_dataset(tmp_path / "regimes.nc")
    assert found.attrs["score"] == "given"
    assert found.attrs["labelled_by"] == "classifier"
    assert found.sizes["trajectory"] == 32
    assert result.stdout.index("for reference:") < result.stdout.index("The model, by its clones:")
    assert found.attrs["regimes"] in result.stdout
    late = xr.load_dataset(tmp_path / "late-start.nc")
    assert set(late.sampler.values) == {"DDPM", "DDIM", "PNDM"}
    assert "PNDM, 5 steps" in result.stdout
    assert not list(tmp_path.glob(".model-regimes-checkpoint"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "mixture"], "Give --model or --target, not both"),
        (["--temperature", 2.0], "--temperature needs to be 1 with --model"),
        (["--data", "mnist"], "--data is for a model in a file"),
        (["--times", "0.5,9"], "--times needs times below"),
        (["--trajectories", "1"], "`trajectories` needs a whole number, at least 2"),
    ],
)
def test_regimes_of_a_model_refuse_what_belongs_to_data(options, message, digits, tmp_path):
    result = run("regimes", "--model", digits[0], *options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


def test_data_that_changed_since_are_refused(gaussian, tmp_path):
    out, points, _ = gaussian
    model = opened(out / "model")
    settings = model.data["settings"] | {"source": str(tmp_path / "points.npz")}
    np.savez(tmp_path / "points.npz", points=points + 1)
    with pytest.raises(ValueError, match=r"--model needs the data it was trained on\. Got other values in"):
        _models.data_of(model._replace(data=model.data | {"settings": settings}))


def test_data_kept_out_are_as_many_of_each_class_and_known_by_the_seed():
    labels = np.repeat([0, 1, 2], [10, 20, 4])
    kept = _models.kept_out(labels, 3, seed=5)
    np.testing.assert_array_equal(np.bincount(labels[kept]), [3, 3, 3])
    np.testing.assert_array_equal(kept, _models.kept_out(labels, 3, seed=5))
    assert (kept != _models.kept_out(labels, 3, seed=6)).any()
    assert not _models.kept_out(labels, 0, seed=5).any()
    with pytest.raises(ValueError, match="--held-out needs a number from 0, below that of the smallest class, 4"):
        _models.kept_out(labels, 4, seed=5)


def test_samples_have_the_law_and_the_units_of_the_data(gaussian, tmp_path):
    out, points, _ = gaussian
    result = run("sample", "--model", out / "model", "--number", 2000, "--steps", 12, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "2000 samples by dpm-solver-multistep, 13 evaluations of the denoiser each" in result.output
    made = np.load(tmp_path / "samples.npz")["points"]
    error = 4 * points.std(0) / 2000**0.5
    assert np.all(np.abs(made.mean(0) - points.mean(0)) < error)
    np.testing.assert_allclose(made.std(0), points.std(0), rtol=4 / 4000**0.5 + 0.02)  # 2 % for the length of steps
    assert (tmp_path / "samples.png").stat().st_size > 5000


def test_guidance_goes_from_all_data_to_the_class_and_a_step_is_kept(digits, tmp_path):
    jobs = {
        "all": [], "one": ["--label", 1], "zero": ["--label", 1, "--guidance", 0],
        "same": ["--label", 1, "--guidance", 1], "old": ["--step", 2], "best": ["--step", "best"],
    }  # fmt: skip
    made = {}
    for name, options in jobs.items():
        job = ["--number", 3, "--steps", 3, *options, "--out", tmp_path / name]
        result = run("sample", "--model", digits[0], *job)
        assert result.exit_code == 0, result.output
        made[name] = np.load(tmp_path / name / "samples.npz")
    assert made["all"]["images"].shape == (3, 8, 8)
    np.testing.assert_allclose(made["zero"]["images"], made["all"]["images"], atol=1e-5)
    np.testing.assert_allclose(made["same"]["images"], made["one"]["images"], atol=1e-5)
    np.testing.assert_array_equal(made["one"]["labels"], [1, 1, 1])
    assert np.abs(made["old"]["images"] - made["all"]["images"]).max() > 1e-6


def test_a_folder_of_another_model_is_refused_and_left_as_it_is(gaussian, tmp_path):
    out, _, job = gaussian
    before = (out / "model" / "mean.npz").read_bytes()
    np.savez(tmp_path / "other.npz", points=np.random.default_rng(1).normal(size=(20, 2)))
    result = run("train", "--data", tmp_path / "other.npz", *job[3:], "--resume")
    assert result.exit_code == 2
    assert "data.name: points.npz there, other.npz now" in result.stderr
    assert (out / "model" / "mean.npz").read_bytes() == before


def test_an_interrupt_leaves_the_mean_of_another_model_as_it_is(gaussian, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    out, _, job = gaussian
    before = (out / "model" / "mean.npz").read_bytes()
    np.savez(tmp_path / "other.npz", points=np.random.default_rng(1).normal(size=(20, 2)))
    monkeypatch.setattr(dp.learn.GaussianPreconditioning, "fit", interrupted)
    assert run("train", "--data", tmp_path / "other.npz", *job[3:]).exit_code == 130
    assert (out / "model" / "mean.npz").read_bytes() == before


def test_a_checkpoint_of_another_architecture_is_named(gaussian, tmp_path):
    model = shutil.copytree(gaussian[0] / "model", tmp_path / "model")
    description = json.loads((model / "model.json").read_text())
    description["network"]["width"] = 12
    (model / "model.json").write_text(json.dumps(description))
    result = run("sample", "--model", model, "--out", tmp_path)
    assert result.exit_code == 2
    # The hidden layer has 8 units in the checkpoint and 12 in the description.
    assert re.search(r"another architecture: .* of shapes that only one has, .*\(8,\).*\(12,\)", result.stderr)
    (model / "mean.npz").unlink()
    (model / "model.json").write_text((gaussian[0] / "model" / "model.json").read_text())
    assert "without a sound mean.npz" in run("sample", "--model", model, "--out", tmp_path).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--number", "0"], "--number needs at least 1"),
        (["--guidance", "2"], "--guidance needs --label"),
        (["--label", "7"], "--label needs one of 0, 1. Got 7"),
        (["--step", "3"], "`step` needs last, best or one of the steps kept"),
        (["--step", "first"], "--step needs last, best or a number"),
        (["--data", "digits"], "--data is for a model in a file"),
        (["--pad", "9"], "--pad needs data"),
        (["--step", "\N{SUPERSCRIPT TWO}"], "--step needs last, best or a number"),
        (["--label", "1", "--guidance", "nan"], "`ClassifierFreeGuidance` needs a finite `weight`"),
        (["--steps", "0"], "--steps needs at least 1"),
    ],
)
def test_sample_refuses_what_means_nothing(digits, tmp_path, options, message):
    result = run("sample", "--model", digits[0], *options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


def test_sample_refuses_a_folder_without_a_model_and_a_label_without_classes(gaussian, tmp_path):
    result = run("sample", "--model", tmp_path, "--out", tmp_path)
    assert result.exit_code == 2
    assert "needs a model, as `diffphys train`" in result.stderr
    result = run("sample", "--model", gaussian[0] / "model", "--label", "0", "--out", tmp_path)
    assert "--label needs a model trained with --conditional" in result.stderr
