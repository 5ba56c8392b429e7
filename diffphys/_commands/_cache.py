"""Programs that earlier runs compiled, kept on disk by the command: the next run loads them."""

import hashlib
import os
import pathlib
import platform
import warnings
from typing import Any

import platformdirs

from .._versions import versions

_CPU_FILE = pathlib.Path("/proc/cpuinfo")
# What tells one CPU from another: a program compiled for one may use instructions that another lacks.
_CPU = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
_SETTINGS = {
    # Small programs too: there are many of them, and each is loaded faster than compiled.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    # Beyond this, in bytes, the programs that were not used for longest are dropped.
    "jax_compilation_cache_max_size": 256 * 2**20,
}


def keep_compiled() -> None:
    """Has jax keep what it compiles and load what it kept; a user's own cache and settings are left as they are.

    Called before jax is imported. Never an error: without a folder that can be written every run compiles.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        # XLA takes its own tuning flags for instructions that this CPU lacks, and says so of every program that it
        # loads (openxla/xla#44565). What fails is raised all the same. Level 1 is what jax leaves to its children.
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import jax

    config: Any = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            config.update(name, value)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if config.jax_compilation_cache_max_size >= 0:
            _drop_torn(folder)
    except OSError:
        return
    config.update("jax_compilation_cache_dir", str(folder))
    # A program that cannot be read or written, on a full disk say, is compiled as it would be without a cache.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")


def cache_folder() -> pathlib.Path:
    """The folder of this release of jax on this CPU; the backend is part of the name that jax gives a program."""
    try:
        first = _CPU_FILE.read_text().split("\n\n")[0]
    except OSError:
        first = ""
    cpu = [line for line in first.splitlines() if line.partition(":")[0].strip() in _CPU]
    known = versions()
    identity = [known["jax"], known["jaxlib"], platform.machine(), platform.processor(), *cpu]
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    return pathlib.Path(platformdirs.user_cache_dir("diffphys")) / "compiled" / f"jax-{known['jax']}-{digest}"


def _drop_torn(folder: pathlib.Path) -> None:
    """Removes programs whose writing was cut off: with a bound, jax writes the time of use after each that is whole."""
    for program in folder.glob("*-cache"):
        if not program.with_name(f"{program.name.removesuffix('-cache')}-atime").exists():
            program.unlink(missing_ok=True)
