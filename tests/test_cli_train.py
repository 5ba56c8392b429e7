"""The command `train`: interrupted, resumed, refused; and a U-Net that learns."""

import numpy as np
import pytest
import xarray as xr
from learned_commands import VECTORS, run, write_points

import diffphys as dp
from diffphys.learn import _loop


@pytest.fixture
def vectors(tmp_path):
    """A file of vectors, of which a network is soon trained."""
    write_points(tmp_path)
    return tmp_path / "points.npz"


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


def test_an_interrupted_training_says_how_to_go_on(vectors, tmp_path, interrupt):
    job = ["train", "--data", vectors, *VECTORS, "--steps", 6, "--out", tmp_path]
    result = run(*job)
    assert result.exit_code == 130
    assert f"Run the same command with --resume to go on from {tmp_path}." in result.stderr
    again = run(*job)
    assert again.exit_code == 2
    assert "needs an empty folder, or `resume`" in again.stderr
    assert run("sample", "--model", tmp_path, "--steps", 2, "--number", 2, "--out", tmp_path).exit_code == 0


@pytest.mark.slow
def test_an_interrupted_training_is_resumed_to_the_same_bits(vectors, tmp_path, interrupt):
    job = ["train", "--data", vectors, *VECTORS, "--steps", 6]
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
def test_train_refuses_what_means_nothing(vectors, tmp_path, options, message):
    result = run("train", "--data", vectors, "--scale", "none", *options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_images_of_mixed_sizes_are_named_by_train(tmp_path):
    import PIL.Image

    for i, side in enumerate((8, 8, 9)):
        picture = tmp_path / "pictures" / f"{i}.png"
        picture.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(np.full((side, side), 20 * i, np.uint8)).save(picture)
    result = run("train", "--data", tmp_path / "pictures", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "`source` needs images of one size and kind. Got" in result.stderr
