"""The commands of learned scores as a user meets them: models, samples, and what they refuse."""

import json
import re
import shutil
import sys

import jax
import matplotlib
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import diffphys as dp
from diffphys import _options
from diffphys._commands import _models, _sampling
from diffphys.cli import app
from diffphys.learn import _loop

matplotlib.use("Agg")

SMALL = ["--network", "mlp", "--channels", 8, "--blocks", 1, "--batch", 8]
DIGITS = [*SMALL, "--per-class", 20, "--conditional", "--steps", 6, "--save-every", 2, "--milestones", 2]
VECTORS = [*SMALL, "--scale", "none"]
NO_DATA = {"typed": ()}


def run(*arguments):
    """As users run: optax is not clean under strict promotion, and losses to come are nan."""
    with jax.numpy_dtype_promotion("standard"), jax.debug_nans(False):
        return CliRunner().invoke(app, [str(a) for a in arguments])


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
    points = np.random.default_rng(0).normal(size=(500, 2)) * [3.0, 0.5] + [1.0, 2.0]
    np.savez(out / "points.npz", points=points)
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


def test_regimes_of_a_denoiser_in_a_file_want_data(tmp_path):
    result = run("regimes", "--model", tmp_path / "mine.py:shrink", "--out", tmp_path)
    assert result.exit_code == 2
    assert "mine.py:shrink needs --data, whose regimes it is to have" in result.stderr


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


def test_samples_of_data_that_are_not_centred_have_their_mean_when_the_library_trained(tmp_path):
    points = np.random.default_rng(0).normal(size=(500, 2)) * [3.0, 0.5] + [100.0, 200.0]
    size, labels = dp.learn.MLPConfig(8, 1, num_labels=2), np.arange(500) % 2
    with jax.numpy_dtype_promotion("standard"), jax.debug_nans(False):
        dp.learn.train(points, size, dp.learn.TrainingConfig(1, 8), labels=labels, checkpoint=tmp_path / "model")
    result = run("sample", "--model", tmp_path / "model", "--number", 1000, "--steps", 12, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    made = np.load(tmp_path / "samples.npz")["points"]
    assert np.all(np.abs(made.mean(0) - points.mean(0)) < 4 * points.std(0) / 1000**0.5)
    job = ["--number", 2, "--steps", 2, "--out", tmp_path]
    assert run("sample", "--model", tmp_path / "model", "--label", 1, *job).exit_code == 0
    result = run("sample", "--model", tmp_path / "model", "--label", 2, *job)
    assert "--label needs one of 0, 1. Got 2" in result.stderr
    result = run("regimes", "--model", tmp_path / "model", "--out", tmp_path)
    assert "Train by `diffphys train`, or give a denoiser FILE.py:NAME with --data" in result.stderr


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


LAW = dp.Gaussian(np.zeros(20, np.float32), np.tile(np.array([4.0, 0.25], np.float32), 10))
SAMPLERS = [*_sampling.OVERDAMPED, *_sampling.PHASE_SPACE]
QUICK = ("dpm-solver-multistep", "bridge", "oba")


def test_every_sampler_that_can_be_named_is_there():
    assert [entry.value for entry in _options.Generator] == SAMPLERS


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in SAMPLERS])
def test_every_sampler_draws_the_law_of_its_denoiser(name):
    made = _sampling.generate(
        LAW.posterior_mean, name, (1e-3, 1600.0), key=jax.random.key(0), number=300, dim=20, steps=150, progress=False
    )
    pairs = made.values.reshape(-1, 2)
    # Errors of first order in the steps, of a few per cent, beside those of 3000 draws. Corrections by Langevin steps
    # of a length that is not small widen the law.
    np.testing.assert_allclose(pairs.std(0), [2.0, 0.5], rtol=0.2 if name == "predictor-corrector" else 0.1)
    assert np.all(np.abs(pairs.mean(0)) < 4 * np.array([2.0, 0.5]) / 3000**0.5)


def test_a_sample_that_is_not_finite_is_refused_by_its_number():
    def far(y, v):
        return jax.numpy.where(y[0] > 0, jax.numpy.nan, 0 * y)

    with (
        jax.debug_nans(False),
        pytest.raises(FloatingPointError, match=r"`samples` of sample \d+ is not finite \(chunk"),
    ):
        _sampling.generate(
            far, "ddim", (1e-3, 4.0), key=jax.random.key(0), number=16, dim=2, steps=2, progress=False
        )  # fmt: skip


def test_a_denoiser_in_a_file_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside.py").write_text("def shrink(y, v):\n    return y / (1 + v)\n")
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom beside import shrink\n\nshort = lambda y, v: y[1:]\nhost = lambda y, v: np.sin(y)\n"
    )
    result = run("sample", "--model", f"{tmp_path / 'mine.py'}:shrink", "--dim", 3, "--number", 500, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert np.load(tmp_path / "samples.npz")["points"].std() == pytest.approx(1, abs=0.05)
    for options, message in (
        (["mine.py:shrink"], "needs --data or --dim, which tell the shape"),
        (["mine.py:shrink", "--dim", "3", "--data", "digits"], "Give --data or --dim, not both"),
        (["mine.py:other", "--dim", "3"], "called 'other'"),
        (
            ["mine.py:short", "--dim", "3"],
            "needs a denoiser that returns shape (3,). Got (2,) from ",
        ),
        (["mine.py:host", "--dim", "3"], "needs a denoiser that computes in jax"),
        (["mine.py:shrink", "--dim", "0"], "--dim needs at least 1"),
        (["mine.py", "--dim", "3"], "needs the name of a denoiser in the file"),
        (["none.py:shrink", "--dim", "3"], "needs an existing file"),
        (["mine.py:shrink", "--dim", "3", "--step", "best"], "--step needs a model in a folder"),
        (["mine.py:shrink", "--dim", "3", "--pad", "9"], "--pad needs data"),
    ):
        result = run("sample", "--model", tmp_path / options[0], *options[1:], "--out", tmp_path)
        assert result.exit_code == 2, message
        assert message in result.stderr


ADAPTED = """
import equinox as eqx
from diffphys.learn import ExplodingSchedule, NoiseOutput, from_network

def network(x, u):
    return x * (u / (1 + u**2))[:, None]

def of(low, high):
    return eqx.filter_jit(from_network(network, NoiseOutput(), ExplodingSchedule(ends=(low, high)), (3,)))

known, beyond = of(0.2, 10.0), of(30.0, 100.0)
"""


def test_an_adapted_network_is_asked_at_the_noise_that_it_knows(tmp_path):
    (tmp_path / "adapted.py").write_text(ADAPTED)
    job = ["--dim", 3, "--number", 300, "--steps", 12, "--out", tmp_path]
    result = run("sample", "--model", f"{tmp_path / 'adapted.py'}:known", *job)
    assert result.exit_code == 0, result.output
    assert np.load(tmp_path / "samples.npz")["points"].std() == pytest.approx(1, abs=4 / 1800**0.5 + 0.02)
    result = run("sample", "--model", f"{tmp_path / 'adapted.py'}:beyond", *job)
    assert result.exit_code == 2
    assert "--model needs a network that knows noise variances in 0.001 to 400. Got one of 900" in result.stderr


def test_the_data_of_a_denoiser_in_a_file_tell_its_shape(tmp_path):
    (tmp_path / "mine.py").write_text("def zero(y, v):\n    return 0 * y\n")
    job = ["--data", "digits", "--classes", "0", "--number", 2, "--steps", 2, "--out", tmp_path]
    result = run("sample", "--model", f"{tmp_path / 'mine.py'}:zero", *job)
    assert result.exit_code == 0, result.output
    mean = dp.load("digits", classes=[0]).mean.reshape(8, 8)
    np.testing.assert_allclose(np.load(tmp_path / "samples.npz")["images"], np.stack([mean, mean]), atol=1e-6)


@pytest.fixture
def interrupt(monkeypatch):
    """Makes a run stop, once, where its fourth batch is asked for."""
    batch, cut = _loop._Order.batch, {3}

    def interrupted(self, step):
        if step in cut:
            cut.remove(step)
            raise KeyboardInterrupt
        return batch(self, step)

    monkeypatch.setattr(_loop._Order, "batch", interrupted)


def test_an_interrupted_training_says_how_to_go_on(gaussian, tmp_path, interrupt):
    job = ["train", "--data", gaussian[0] / "points.npz", *VECTORS, "--steps", 6, "--out", tmp_path]
    result = run(*job)
    assert result.exit_code == 130
    assert f"Run the same command with --resume to go on from {tmp_path}." in result.stderr
    again = run(*job)
    assert again.exit_code == 2
    assert "needs an empty folder, or `resume`" in again.stderr
    assert run("sample", "--model", tmp_path, "--steps", 2, "--number", 2, "--out", tmp_path).exit_code == 0


@pytest.mark.slow
def test_an_interrupted_training_is_resumed_to_the_same_bits(gaussian, tmp_path, interrupt):
    job = ["train", "--data", gaussian[0] / "points.npz", *VECTORS, "--steps", 6]
    assert run(*job, "--out", tmp_path / "cut").exit_code == 130
    for options in (["--out", tmp_path / "cut", "--resume"], ["--out", tmp_path / "whole"]):
        assert run(*job, *options).exit_code == 0
    for name in ("history.nc", "errors.nc"):
        cut, whole = (dp.results.load(tmp_path / folder / name) for folder in ("cut", "whole"))
        xr.testing.assert_equal(cut, whole)


@pytest.mark.slow
def test_a_unet_learns_digits_better_than_a_linear_denoiser(tmp_path):
    job = ["--channels", 8, "--multipliers", "1,2", "--attention", 4, "--patch", 2, "--steps", 400]
    result = run("train", *job, "--batch", 64, "--held-out", 40, "--compute", "bfloat16", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    ds = dp.results.load(tmp_path / "errors.nc").sel(part="held out")
    assert float((ds.ratio + 4 * ds.ratio_stderr).min()) < 1
    assert (tmp_path / "samples.png").stat().st_size > 5000


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
        (["--held-out", "500"], "--held-out needs a number from 0, below"),
        (["--conditional"], "--conditional needs labelled data"),
        (["--attention", "7"], "--attention needs a U-Net"),
        (["--network", "unet"], "`UNet` needs images"),
        (["--milestones", "a"], "--milestones needs numbers"),
        (["--milestones", "7000"], "`milestones` needs steps from 1 to 2000. Got [7000]"),
        (["--channels", "0"], "`MLPConfig` needs `width` of at least 1"),
        (["--dropout", "1"], "`MLPConfig` needs `dropout` in [0, 1)"),
        (["--steps", "0"], "`TrainingConfig` needs `steps` of at least 1"),
        (["--scale", "0,1"], "`scale` needs a known raw range"),
    ],
)
def test_train_refuses_what_means_nothing(gaussian, tmp_path, options, message):
    result = run("train", "--data", gaussian[0] / "points.npz", "--scale", "none", *options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


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


def test_images_of_mixed_sizes_are_named_by_train(tmp_path):
    import PIL.Image

    for i, side in enumerate((8, 8, 9)):
        picture = tmp_path / "pictures" / f"{i}.png"
        picture.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(np.full((side, side), 20 * i, np.uint8)).save(picture)
    result = run("train", "--data", tmp_path / "pictures", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "`source` needs images of one size and kind. Got" in result.stderr
