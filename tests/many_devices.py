"""Small runs whose items are shared out over devices: `python tests/many_devices.py FOLDER` leaves what it found.

Run with `XLA_FLAGS=--xla_force_host_platform_device_count=N` it has N devices: JAX reads that when it starts.
"""

import json
import pathlib
import re
import sys

import jax
import numpy as np

import diffphys as dp
from diffphys.clocks import log_snr_grid
from diffphys.experiments import _chunks
from diffphys.experiments._clones import Source, _measure, clone_tables
from diffphys.experiments._readouts import LabelAgreement

OU = dp.OrnsteinUhlenbeck()
MIXTURE = dp.symmetric_mixture(np.ones(8, np.float32))
COLLECTIVES = r"\b(?:all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter)\b"


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


def clone_program(target, chunk):
    """The text of the compiled program of the clones of a target."""
    sampler = dp.Bridge(OU, target.posterior_mean)
    tables = clone_tables(sampler, np.array([0.8]), stop=0.1, steps=4, grid=log_snr_grid, trunk_from=None)
    source = Source(target, target.dim, 2, np.dtype(np.float32))
    program = _chunks.ChunkedProgram(
        _measure, (source, sampler, LabelAgreement(target.label_log_posterior), tables, jax.random.key(0)),
        items=2 * chunk, elements=1, chunk=chunk,
    )  # fmt: skip
    lowered = program._program.lower(*program._placed, np.int32(0), chunk)
    return lowered.compile().compiled.as_text()


def main(folder):
    found = {
        "devices": jax.device_count(),
        "collectives": {
            "mixture": re.findall(COLLECTIVES, clone_program(MIXTURE, 16)),
            "data": re.findall(COLLECTIVES, clone_program(data(), 16)),
        },
        "default_chunks": [_chunks.default_chunk(items, 2**12) for items in (10, 100, 10**6)],
    }
    dp.results.save(clones(None), folder / "clones.nc")
    dp.results.save(resumable(folder), folder / "resumed.nc")
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
