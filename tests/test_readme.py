"""What README.md prints is true: its example runs, its options exist, its commands are those of the checks."""

import pathlib
import re
from collections.abc import Callable

import equinox
import jax
import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from typer.testing import CliRunner

import diffphys as dp
from diffphys.cli import app

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_examples_run_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        # Optax is not clean under strict promotion.
        with jax.numpy_dtype_promotion("standard"):
            exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "speciation.png").exists()
    assert np.isfinite(names["end"]).all()
    assert 0.5 < names["learned"].phi_hard_clones.values[0] <= 1
    exact, both = names["exact"], names["both"]
    error = np.hypot(both.phi_clones_stderr, 0.01)
    np.testing.assert_array_less(np.abs(both.phi_clones - exact.phi.values[::3]), 4 * error)


@pytest.mark.parametrize(
    "command",
    [
        "regimes",
        "speciation",
        "collapse",
        "diagram",
        "thermo",
        "curie-weiss",
        "gaussian-regimes",
        "info",
        "train",
        "sample",
    ],
)
def test_commands_of_the_table_exist(command):
    assert f"`diffphys {command}`" in README
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_options_of_the_table_exist():
    shown = CliRunner().invoke(app, ["regimes", "--help"], terminal_width=200).output
    rows = re.search(r"\| options \|.*?\n\n", README, re.DOTALL).group(0)
    for option in set(re.findall(r"--[a-z][a-z-]*", rows)):
        assert option in shown, option


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_two_commands_are_short_and_the_second_is_that_of_the_checks():
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert "diffphys regimes" in lines[0]
    assert "-m pytest" in lines[1]
    assert "-m pytest" in (ROOT / ".ci" / "run").read_text()


def test_every_name_of_the_library_in_the_readme_is_public():
    """By the list of names, since a submodule that something else has imported answers too."""
    for name in set(re.findall(r"\bdp\.([a-zA-Z_]+)", README)):
        assert name in dp.__all__, name


def test_the_sampler_that_contributing_shows_is_the_one_that_it_names():
    code = re.search(r"```python\n(class DDIM.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL).group(1)
    names = {"eqx": equinox, "Denoiser": Callable} | {
        name: getattr(dp, name) for name in ("AbstractChannelSampler", "AbstractProcess", "ChannelStep", "Combination")
    }
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    ts = np.geomspace(1.0, 0.01, 5)
    shown, ours = (kind(dp.OrnsteinUhlenbeck(), lambda y, v: y).plan(ts) for kind in (names["DDIM"], dp.DDIM))
    for term, values in ours.state.items():
        np.testing.assert_allclose(shown.state[term], values, rtol=1e-13)
