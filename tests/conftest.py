"""Strict modes for every test, fresh keys, and the exact values to compare with."""

import itertools
import json
import os
import pathlib
import signal
import sys
import tempfile

import jax
import jax.random as jr
import pytest
from type_checks import types_unchecked

OURS = "diffphys-compiled-"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Commands in processes of their own share what they compile, and leave the user's cache alone.
    FOLDER = tempfile.TemporaryDirectory(prefix=OURS)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = FOLDER.name
# A job that a shell runs in the background ignores interrupts, and so would the commands it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# XLA says more of every program that it loads than a pipe holds which nobody reads.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# A bound has jax lock the folder, which the workers share.
for name, value in {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_compilation_cache_max_size": 2**30}.items():
    if os.environ.setdefault(name.upper(), str(value)) == str(value):
        jax.config.update(name, value)
# In this process a cache that is new would gain nothing: a session compiles a program once.
jax.config.update("jax_enable_compilation_cache", OURS not in os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_debug_nans", True)

HERE = pathlib.Path(__file__).parent
ORACLES = {entry["id"]: entry for entry in json.loads((HERE / "data/oracles.json").read_text())["oracles"]}


@pytest.fixture
def getkey():
    """Fresh typed keys, the same ones on every run."""
    root, count = jr.key(0), itertools.count()
    return lambda: jr.fold_in(jr.clone(root), next(count))


@pytest.fixture(scope="session")
def oracles():
    """The exact values, by id: each entry has `inputs`, `value`, `tol` and `tol_kind`."""
    return ORACLES


@pytest.fixture(scope="session")
def lab():
    """The folder of real data, or a skip that says what is missing."""
    folder = pathlib.Path(os.environ.get("DIFFPHYS_DATA", HERE.parent.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"needs real data: no `mnist` folder in {folder}; set DIFFPHYS_DATA")
    return folder


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Each test leaves no figure open: matplotlib warns at the twenty-first."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


# Linux lets a process have 65530 pieces of memory mapped; every compiled program takes some, and LLVM crashes beyond.
_MANY_MAPS = 25_000


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_are_let_go():
    """A worker that has compiled much forgets it between files."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()


@pytest.fixture
def unchecked():
    """As users run: without the type checks of the tests, so that our own refusals are reached."""
    with types_unchecked():
        yield


def pytest_collection_modifyitems(config, items):
    """Slow tests run only when they are asked for by a marker expression."""
    if not config.option.markexpr:
        skip = pytest.mark.skip(reason="slow: run with `-m slow`")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)
