"""Programs that the command keeps for its next run."""

import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

import diffphys as dp
from diffphys._commands import _cache
from diffphys.cli import app

SETTINGS = (
    "jax_compilation_cache_dir", "jax_compilation_cache_max_size", "jax_persistent_cache_min_compile_time_secs",
    "jax_enable_compilation_cache",
)  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache that is empty, and jax as it was before and after: nothing is compiled in between."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    for name in (*SETTINGS, "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(name.upper(), raising=False)
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


def own(home):
    """The environment of a process with that cache and none of ours."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "TF_CPP"))}
    root = pathlib.Path(dp.__file__).parent.parent
    # A parent that has imported jax leaves its level of messages.
    return environment | {
        "XDG_CACHE_HOME": str(home), "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "1",
    }  # fmt: skip


def programs(home):
    return sorted(path.name for path in home.rglob("*-cache"))


def test_a_second_process_loads_what_the_first_compiled_and_says_nothing(tmp_path):
    code = "; ".join([
        "from diffphys._commands._cache import keep_compiled", "keep_compiled()", "import jax, jax.numpy as jnp",
        "counted = []",
        "jax.monitoring.register_event_listener(lambda name, **rest: counted.append(name))",
        "x = jnp.arange(300.0)",
        "program = jax.jit(lambda x: jnp.sum(jnp.sin(x[:, None] * x) @ jnp.cos(x[:, None] + x))).lower(x).compile()",
        "print(float(program(x)), program.memory_analysis().temp_size_in_bytes)",
        "print(sum('cache_hits' in name for name in counted), sum('cache_misses' in name for name in counted))",
    ])  # fmt: skip
    command = [sys.executable, "-W", "error", "-c", code]
    runs = [subprocess.run(command, env=own(tmp_path), capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stderr for run in runs] == ["", ""]
    (first, compiled), (second, loaded) = (run.stdout.splitlines() for run in runs)
    number = len(programs(tmp_path))
    assert number > 0
    assert (compiled, loaded) == (f"0 {number}", f"{number} 0")
    # The number, and the memory by which chunks are chosen.
    assert first == second


@pytest.mark.slow
def test_a_second_command_has_the_same_bits_and_an_empty_stderr(tmp_path):
    job = ["regimes", "--samples", "64", "--times", "4", "--clones", "32", "--steps", "4", "--out"]
    kept = []
    for name in ("first", "second"):
        command = [sys.executable, "-m", "diffphys", *job, str(tmp_path / name)]
        run = subprocess.run(command, env=own(tmp_path), capture_output=True, text=True, check=True)
        assert run.stderr == ""
        kept.append(programs(tmp_path))
    assert kept[0] == kept[1] != []
    first, second = (dp.results.load(tmp_path / name / "regimes.nc") for name in ("first", "second"))
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name], second[name])


def test_every_program_is_kept_in_a_folder_of_bounded_size(home):
    _cache.keep_compiled()
    assert pathlib.Path(jax.config.jax_compilation_cache_dir).parent == home / "diffphys" / "compiled"
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
    assert 0 < jax.config.jax_compilation_cache_max_size < 2**30


def test_a_cache_and_settings_of_the_user_are_respected(home, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "-1")
    jax.config.update("jax_compilation_cache_max_size", -1)
    folder = _cache.cache_folder()
    folder.mkdir(parents=True)
    (folder / "program-cache").touch()  # Without a bound no times of use are written.
    _cache.keep_compiled()
    assert jax.config.jax_compilation_cache_max_size == -1
    assert os.listdir(folder) == ["program-cache"]
    jax.config.update("jax_compilation_cache_dir", "/mine")
    _cache.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == "/mine"


def test_a_folder_that_cannot_be_written_is_done_without(home):
    home.write_text("not a folder")
    _cache.keep_compiled()
    assert jax.config.jax_compilation_cache_dir is None


def test_a_program_whose_writing_was_cut_off_is_dropped(home):
    folder = _cache.cache_folder()
    folder.mkdir(parents=True)
    for name in ("whole-cache", "whole-atime", "torn-cache"):
        (folder / name).write_bytes(b"x")
    _cache.keep_compiled()
    assert sorted(os.listdir(folder)) == ["whole-atime", "whole-cache"]


@pytest.mark.parametrize("other", ["cpu", "jax"])
def test_a_program_is_not_kept_for_another_cpu_or_release(home, tmp_path, monkeypatch, other):
    here = _cache.cache_folder()
    if other == "cpu":
        text = "processor : 0\nmodel name : another\nflags : fpu\ncpu MHz : {}\n\nprocessor : 1\n"
        folders = set()
        for megahertz in (2000, 3000):
            (tmp_path / "cpuinfo").write_text(text.format(megahertz))
            monkeypatch.setattr(_cache, "_CPU_FILE", tmp_path / "cpuinfo")
            folders.add(_cache.cache_folder())
        (there,) = folders  # How fast it runs just now is no part of what it is.
    else:
        monkeypatch.setattr(_cache, "versions", lambda: {"jax": "1.0.0", "jaxlib": "1.0.0"})
        there = _cache.cache_folder()
    assert there != here
    assert there.parent == here.parent


def test_info_tells_where_programs_are_kept(home):
    output = CliRunner().invoke(app, ["info"]).output
    assert re.search(rf"^compiled +{re.escape(str(home))}/\S+ \(0 MiB\)$", output, re.MULTILINE)
