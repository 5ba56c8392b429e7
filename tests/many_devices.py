"""Small runs whose items are shared out over devices: `python tests/many_devices.py FOLDER` leaves what it found.

Run with `XLA_FLAGS=--xla_force_host_platform_device_count=N` it has N devices: JAX reads that when it starts.
"""

import contextlib
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


def clones(folder=None, **options):
    """Clones of the mixture; in a chunk that depends on the devices, unless one is asked for or a journal has it."""
    return dp.speciation(
        MIXTURE, OU, [0.8], key=jax.random.key(0), samples=100, clones=60, steps=4, checkpoint=folder, **options
    )


def others():
    """What else shares its items out, by samples whose number is no multiple of the devices: some numbers of each."""
    target = MIXTURE
    other = dp.Gaussian(target.sample(jax.random.key(0)), np.ones(8, np.float32)).posterior_mean
    walks = dp.late_start(target, OU, [0.5, 1.0], key=jax.random.key(1), samples=33, trajectories=9, steps=3)
    gaps = dp.path_divergence(target, other, low=0.1, high=2.0, key=jax.random.key(2), samples=9, nodes=3)
    starts = dp.gaussian_start(
        target, OU, [0.5, 1.0], key=jax.random.key(3), quality={"first": lambda found: float(found[:, 0].sum())},
        samples=6, repeats=3, steps=(4,), chunk=4,
    )  # fmt: skip
    made = dp.generate(dp.Bridge(OU, target.posterior_mean), np.geomspace(3.0, 0.1, 4), key=jax.random.key(4), number=9,
                       dim=8, chunk=4)  # fmt: skip
    return {
        "generate": made.ravel().tolist(),
        "late_start": [*walks.label_weight.values.ravel(), *walks.label_weight_sampler.values.ravel()],
        "path_divergence": [*gaps.gap.values, gaps.attrs["path_kl"]],
        "gaussian_start": starts.quality.values.ravel().tolist(),
    }


@contextlib.contextmanager
def programs_looked_at():
    """The collectives of every program that is compiled meanwhile."""
    original, found = _chunks.ChunkedProgram._memory, []

    def looked_at(program):
        found.append(collectives(program))
        return original(program)

    _chunks.ChunkedProgram._memory = looked_at
    yield found
    _chunks.ChunkedProgram._memory = original


def main(folder):
    with programs_looked_at() as mixture:
        # Of the size of the journal: no multiple of 8.
        dp.results.save(clones(chunk=15), folder / "clones.nc")
        dp.results.save(clones(folder), folder / "resumed.nc")
    found = {
        "devices": jax.device_count(),
        "collectives": {"mixture": mixture, "data": collectives(clone_program(data(), 15, 4))},
        "others": others(),
        "default_chunks": [_chunks.default_chunk(items, 2**12) for items in (10, 100, 10**6)],
    }
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
