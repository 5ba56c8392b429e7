"""The command that says what it runs on."""

import os
import pathlib
from typing import Any

import jax

from .._versions import known_bad, versions


def info() -> str:
    """Versions, devices, precision and the verdict on the compiler."""
    lines = [f"{name:10} {version}" for name, version in versions().items()]
    lines += [f"{'devices':10} {', '.join(f'{d.device_kind} ({d.platform}:{d.id})' for d in jax.devices())}"]
    precision = "float64 enabled" if jax.config.read("jax_enable_x64") else "float32 states, float64 tables"
    lines += [f"{'precision':10} {precision}", f"{'cores':10} {os.cpu_count()}"]
    lines += [f"{'compiled':10} {_compiled()}"]
    wrong = known_bad(jax.__version__)
    lines += [f"{'verdict':10} " + (f"do not trust: {wrong}" if wrong else "no known fault in this release of jax")]
    return "\n".join(lines)


def _compiled() -> str:
    """Where compiled programs are kept, and how much room they take."""
    config: Any = jax.config
    folder = config.jax_compilation_cache_dir
    if not (folder and config.jax_enable_compilation_cache):
        return "programs are not kept"
    size = sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return f"{folder} ({size / 2**20:.0f} MiB)"
