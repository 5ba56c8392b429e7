"""The commands of learned scores in this process, and vectors for them."""

import jax
import matplotlib
import numpy as np
from typer.testing import CliRunner

from diffphys.cli import app

matplotlib.use("Agg")

SMALL = ["--network", "mlp", "--channels", 8, "--blocks", 1, "--batch", 8]
VECTORS = [*SMALL, "--scale", "none"]


def run(*arguments):
    """As users run: optax is not clean under strict promotion, and losses to come are nan."""
    with jax.numpy_dtype_promotion("standard"), jax.debug_nans(False):
        return CliRunner().invoke(app, [str(a) for a in arguments])


def write_points(folder):
    """Vectors of two coordinates in `points.npz`."""
    points = np.random.default_rng(0).normal(size=(500, 2)) * [3.0, 0.5] + [1.0, 2.0]
    np.savez(folder / "points.npz", points=points)
    return points
