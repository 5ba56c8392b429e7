"""The main command, cold and warm, and the identities on real images."""

import contextlib
import io
import signal
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import typer.main

import diffphys as dp
from diffphys.cli import app
from diffphys.experiments import default_times

from .._harness import Entrant, Goal, Race, Report, race
from .._real_data import mnist

_SMALL = ("--estimator", "posterior", "--samples", "64", "--times", "6")

_WHOLE, _FIRST = "a new process", "a new process, until its first results"


def measure(quick: bool, repeats: int) -> Report:
    options = _SMALL if quick else ()
    with tempfile.TemporaryDirectory() as out:
        arguments = ["regimes", *options, "--out", out]
        entrants = [
            Entrant(_WHOLE, "ours", lambda _: _command(arguments), note="imports included; programs from the cache"),
            Entrant(_FIRST, "ours", lambda _: _until_told(arguments), note="t_S, crossing, verdict, t_C"),
            Entrant("again in one process", "ours", lambda _: _call(arguments)),
        ]
        digits = race("digits 0 and 1, defaults", entrants, min(repeats, 3))
    goals = [Goal(f"{name}: seconds", digits[name].median, 8.0) for name in (_FIRST, _WHOLE)]
    return Report([digits, _mnist(quick, min(repeats, 3))], goals)


def _command(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "diffphys", *arguments], check=True, capture_output=True)


def _until_told(arguments: list[str]) -> None:
    """The command until it tells its first results; what it would go on to measure is not waited for."""
    with subprocess.Popen([sys.executable, "-m", "diffphys", *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()


def _call(arguments: list[str]) -> None:
    """The command in this process, silent; the signal handler it sets is taken back."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            typer.main.get_command(app).main(arguments, standalone_mode=False)
    finally:
        signal.signal(signal.SIGTERM, handler)


def _mnist(quick: bool, repeats: int) -> Race:
    """Both identities on 10 000 images of 1 and 8, padded to 32 x 32."""
    per_class, samples, number = (50, 64, 4) if quick else (5000, 1000, 20)
    setting = f"MNIST 1 and 8, n = {2 * per_class}, d = 1024, {samples} samples, {number} times"
    files = mnist()
    if files is None:
        return race(setting, [Entrant("dp.regimes, identities", "ours", None, note="no MNIST: set DIFFPHYS_DATA")], 0)
    loaded = dp.load(files[0], labels=files[1], classes=(1, 8), per_class=per_class, pad=32)
    data, process = dp.Empirical(loaded.points, loaded.labels), dp.OrnsteinUhlenbeck()
    times = default_times(data, process, number)
    ys = jr.normal(jr.key(0), (samples, data.dim), np.float32)

    def regimes(i: int):
        return dp.regimes(data, process, times, key=jr.key(i + 1), samples=samples, datasets=0, progress=False)

    entrants = [
        Entrant("dp.regimes, identities", "ours", regimes),
        Entrant("product of samples and data", "limit", lambda _: _products(loaded.points, ys, times)),
    ]
    return race(setting, entrants, repeats, work=float(samples * number), unit="posteriors")


@jax.jit
def _products(points, ys, times):
    """The product of all samples with all data, once a time."""
    scales = jnp.asarray(times, ys.dtype)
    return jax.lax.map(lambda scale: jnp.sum(jnp.matmul(scale * ys, points.T, precision="highest"), axis=1), scales)
