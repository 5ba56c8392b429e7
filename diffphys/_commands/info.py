"""The command that says what it runs on."""

import os

import jax

from .._versions import known_bad, versions


def info() -> str:
    """Versions, devices, precision and the verdict on the compiler."""
    lines = [f"{name:10} {version}" for name, version in versions().items()]
    lines += [f"{'devices':10} {', '.join(f'{d.device_kind} ({d.platform}:{d.id})' for d in jax.devices())}"]
    precision = "float64 enabled" if jax.config.read("jax_enable_x64") else "float32 states, float64 tables"
    lines += [f"{'precision':10} {precision}", f"{'cores':10} {os.cpu_count()}"]
    wrong = known_bad(jax.__version__)
    lines += [f"{'verdict':10} " + (f"do not trust: {wrong}" if wrong else "no known fault in this release of jax")]
    return "\n".join(lines)
