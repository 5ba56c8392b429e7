"""Samples of any denoiser: every sampler, denoisers in files, adapted networks, models of the library."""

import sys

import jax
import numpy as np
import pytest
from learned_commands import run, write_points

import diffphys as dp
from diffphys import _choices
from diffphys._commands import _sampling

LAW = dp.Gaussian(np.zeros(20, np.float32), np.tile(np.array([4.0, 0.25], np.float32), 10))
SAMPLERS = [*_sampling.OVERDAMPED, *_sampling.PHASE_SPACE]
QUICK = ("dpm-solver-multistep", "bridge", "oba")


def test_every_sampler_that_can_be_named_is_there():
    assert [entry.value for entry in _choices.Generator] == SAMPLERS


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in SAMPLERS])
def test_every_sampler_draws_the_law_of_its_denoiser(name):
    made, _ = _sampling.generate_named(
        LAW.posterior_mean, name, (1e-3, 1600.0), key=jax.random.key(0), number=300, dim=20, steps=150, progress=False
    )
    pairs = made.reshape(-1, 2)
    # Errors of first order in the steps, of a few per cent, beside those of 3000 draws. Corrections by Langevin steps
    # of a length that is not small widen the law.
    np.testing.assert_allclose(pairs.std(0), [2.0, 0.5], rtol=0.2 if name == "predictor-corrector" else 0.1)
    assert np.all(np.abs(pairs.mean(0)) < 4 * np.array([2.0, 0.5]) / 3000**0.5)


def test_a_denoiser_in_a_file_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside.py").write_text("def shrink(y, v):\n    return y / (1 + v)\n")
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom beside import shrink\n\nshort = lambda y, v: y[1:]\nhost = lambda y, v: np.sin(y)\n"
        "swapped = lambda v, y: y[0] * v\n"
    )
    result = run("sample", "--model", f"{tmp_path / 'mine.py'}:shrink", "--dim", 3, "--number", 500, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert np.load(tmp_path / "samples.npz")["points"].std() == pytest.approx(1, abs=0.05)
    for options, message in (
        (["mine.py:shrink"], "needs --data or --dim, which tell the shape"),
        (["mine.py:shrink", "--dim", "3", "--data", "digits"], "Give --data or --dim, not both"),
        (["mine.py:other", "--dim", "3"], "called 'other'"),
        (["mine.py:short", "--dim", "3"], "needs a denoiser that returns shape (3,). Got (2,) from "),
        (["mine.py:host", "--dim", "3"], "needs a denoiser that computes in jax"),
        (["mine.py:swapped", "--dim", "3"], "called as (y, v): one flat sample of 3 numbers"),
        (["mine.py:shrink", "--dim", "0"], "--dim needs at least 1"),
        (["mine.py", "--dim", "3"], "needs the name of a denoiser in the file"),
        (["none.py:shrink", "--dim", "3"], "needs an existing file"),
        (["mine.py:shrink", "--dim", "3", "--step", "best"], "--step needs a model in a folder"),
        (["mine.py:shrink", "--dim", "3", "--pad", "9"], "--pad needs data"),
    ):
        result = run("sample", "--model", tmp_path / options[0], *options[1:], "--out", tmp_path)
        assert result.exit_code == 2, message
        assert message in result.stderr
        assert "JAX_TRACEBACK" not in result.stderr


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


def test_a_denoiser_of_data_that_are_not_centred_is_refused(tmp_path):
    """It would run, and its samples would be off by the mean of the data."""
    write_points(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import jax.numpy as jnp\n\nfrom diffphys import Gaussian\n\nmean = jnp.array([1.0, 2.0])\n"
        "law = Gaussian(mean, jnp.array([9.0, 0.25])).posterior_mean\n\n"
        "def centred(y, v):\n    return law(y + mean, v) - mean\n"
    )
    options = ["--data", tmp_path / "points.npz", "--scale", "none", "--number", 500, "--out", tmp_path]
    result = run("sample", "--model", f"{tmp_path / 'mine.py'}:law", *options)
    assert result.exit_code == 2
    assert "needs a denoiser of centred samples, the data less their mean. Got one whose" in result.stderr
    result = run("sample", "--model", f"{tmp_path / 'mine.py'}:centred", *options)
    assert result.exit_code == 0, result.output
    made = np.load(tmp_path / "samples.npz")["points"]
    np.testing.assert_allclose(made.mean(0), [1.0, 2.0], atol=4 * 3 / 500**0.5)


def test_regimes_of_a_denoiser_in_a_file_want_data(tmp_path):
    result = run("regimes", "--model", tmp_path / "mine.py:shrink", "--out", tmp_path)
    assert result.exit_code == 2
    assert "mine.py:shrink needs --data, whose regimes it is to have" in result.stderr
