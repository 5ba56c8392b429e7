"""Small runs whose items are shared out over devices: `python tests/many_devices.py FOLDER` leaves what it found.

Run with `XLA_FLAGS=--xla_force_host_platform_device_count=N` it has N devices: JAX reads that when it starts.
"""

import json
import pathlib
import sys

import jax
import numpy as np

import diffphys as dp
from benchmarks.cases.scaling import clone_program, collectives
from diffphys.experiments import _chunks

OU = dp.OrnsteinUhlenbeck()
MIXTURE = dp.symmetric_mixture(np.ones(8, np.float32))


def data():
    rng = np.random.default_rng(0)
    return dp.Empirical(rng.normal(size=(24, 4)).astype(np.float32), np.arange(24) % 2)


def clones(folder):
    """Clones of the mixture, in a chunk of 10 whatever the devices: no multiple of 8."""
    return dp.speciation(
        MIXTURE, OU, [0.8], key=jax.random.key(0), samples=100, clones=30, steps=4, chunk=10, checkpoint=folder
    )


def resumable(folder):
    """In a chunk that depends on the devices, unless the journal in the folder has another."""
    return dp.speciation(MIXTURE, OU, [0.8], key=jax.random.key(1), clones=60, steps=4, samples=None, checkpoint=folder)


def main(folder):
    found = {
        "devices": jax.device_count(),
        "collectives": {
            "mixture": collectives(clone_program(MIXTURE, 16, 4)),
            "data": collectives(clone_program(data(), 16, 4)),
        },
        "default_chunks": [_chunks.default_chunk(items, 2**12) for items in (10, 100, 10**6)],
    }
    dp.results.save(clones(None), folder / "clones.nc")
    dp.results.save(resumable(folder), folder / "resumed.nc")
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
