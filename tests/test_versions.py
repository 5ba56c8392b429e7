"""Known-bad releases are told apart and warned of, without importing JAX."""

import importlib.metadata
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest

from diffphys._versions import known_bad, versions, warn_if_known_bad


@pytest.fixture
def installed(monkeypatch):
    """Pretends that packages have these versions."""

    def pretend(**found):
        def version(package):
            if package not in found:
                raise importlib.metadata.PackageNotFoundError(package)
            return found[package]

        monkeypatch.setattr(importlib.metadata, "version", version)

    return pretend


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("0.9.1", "wrong `max`"),
        ("0.9.2", "wrong `max`"),
        ("0.10.0", "wrong `max`"),
        ("0.10.1", "wrong `max`"),
        ("0.10.2", "jax-ml/jax#39103"),
        ("0.10.2.dev20260701", "jax-ml/jax#39103"),
        ("0.11.1", "flax does not import"),
    ],
)
def test_bad_release_is_known(version, fault):
    assert fault in known_bad(version)


@pytest.mark.parametrize(
    "version", ["0.7.2", "0.8.3", "0.9.0.1", "0.10.20", "0.11.2", "0.12.0.1", "1.0", "not installed"]
)
def test_other_releases_are_not_accused(version):
    assert known_bad(version) is None


def test_bad_release_is_warned_of(installed):
    installed(jax="0.10.2", jaxlib="0.10.2")
    with pytest.warns(RuntimeWarning, match=r"jax 0\.10\.2 cannot be trusted .*39103.*Install another") as caught:
        warn_if_known_bad()
    assert len(caught) == 1


def test_bad_compiler_under_a_good_front_is_warned_of(installed):
    installed(jax="0.11.2", jaxlib="0.10.2")
    with pytest.warns(RuntimeWarning, match=r"jaxlib 0\.10\.2 cannot be trusted"):
        warn_if_known_bad()


def test_good_and_missing_releases_are_silent(installed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        installed(jax="0.9.0.1", jaxlib="0.9.0.1")
        warn_if_known_bad()
        installed()
        warn_if_known_bad()


def test_check_does_not_import_jax():
    program = (
        "import sys; from diffphys._versions import known_bad, versions, warn_if_known_bad; "
        "warn_if_known_bad(); versions(); sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=False).returncode == 0


def test_versions_are_those_that_run():
    found = versions()
    assert (found["jax"], found["numpy"]) == (jax.__version__, np.__version__)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
