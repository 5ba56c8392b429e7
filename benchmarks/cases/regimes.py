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

from .._harness import Entrant, Race, Report, race
from .._real_data import mnist

_SMALL = ("--estimator", "posterior", "--samples", "64", "--times", "6")


def measure(quick: bool, repeats: int) -> Report:
    options = _SMALL if quick else ()
    with tempfile.TemporaryDirectory() as out:
        arguments = ["regimes", *options, "--out", out]
        entrants = [
            Entrant("a new process", "ours", lambda _: _command(arguments), note="imports and compiling included"),
            Entrant("again in one process", "ours", lambda _: _call(arguments)),
        ]
        races = [race("digits 0 and 1, defaults", entrants, min(repeats, 3))]
    return Report([*races, _mnist(quick, min(repeats, 3))], [])


def _command(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "diffphys", *arguments], check=True, capture_output=True)


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
