"""One of several processes that divide a data set: `parted_processes.py FOLDER ADDRESS COUNT INDEX TASK`."""

import json
import os
import pathlib
import pickle
import signal
import sys
import traceback

import jax
import numpy as np
import parted_data

import diffphys as dp
from diffphys import _devices
from diffphys.experiments import _chunks


def compare(folder, index):
    """Leaves what the data set in parts says, and how a process that was given another one is refused."""
    points = np.load(folder / "points.npy", mmap_mode="r")
    refused = []
    for other in (
        {"points": points + 1e-9 * index},
        {"labels": (parted_data.LABELS + index) % 4},
        {"parts": 8 + 8 * index},
    ):
        given = {"points": points, "labels": parted_data.LABELS, "parts": 8} | other
        try:
            dp.ShardedEmpirical(**given)
        except ValueError as error:
            refused.append(str(error))
    parted = dp.ShardedEmpirical(points, parted_data.LABELS, parts=8, block=8)
    # Rows in several exchanges, and parts that devices hold twice, of one process or of both.
    _devices._ROWS = 16
    for names in (("data", "again"), ("again", "data")):
        mesh = jax.make_mesh((2, 2), names, axis_types=(jax.sharding.AxisType.Auto,) * 2)
        twice = dp.ShardedEmpirical(points, parted_data.LABELS, mesh=mesh, parts=4, block=8)
        np.testing.assert_allclose(twice.points, points, rtol=1e-14)
        np.testing.assert_array_equal(twice.labels, parted_data.LABELS)
    found = parted_data.measured(parted, *json.loads((folder / "asked.json").read_text()))
    marks = [_chunks.fingerprint(each) for each in (parted, dp.ShardedEmpirical(points[::-1], parts=8, block=8))]
    shares = {shard.data.shape for shard in parted.blocks.addressable_shards}
    (folder / f"found{index}.pickle").write_bytes(pickle.dumps((found, refused, marks, shares)))


def lose(folder, index):
    """Loses the last process in the third chunk of a study that is journalled; leaves what another one then says."""
    points = np.load(folder / "points.npy", mmap_mode="r")
    data = dp.ShardedEmpirical(points, parted_data.LABELS)
    original, calls = _chunks.ChunkedProgram._results, []

    def results(self, *rest):
        calls.append(rest)
        if len(calls) == 3 and index == jax.process_count() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *rest)

    _chunks.ChunkedProgram._results = results
    try:
        dp.collapse(
            data, dp.OrnsteinUhlenbeck(), [0.1, 0.5], key=jax.random.key(1), samples=64, chunk=16, datasets=0,
            checkpoint=folder / "journal", progress=False,
        )  # fmt: skip
    except ConnectionError as error:
        (folder / f"lost{index}.txt").write_text(str(error))


if __name__ == "__main__":
    folder, address, count, index, task = sys.argv[1:]
    jax.distributed.initialize(address, int(count), int(index))
    jax.config.update("jax_enable_x64", True)
    try:
        {"compare": compare, "lose": lose}[task](pathlib.Path(folder), int(index))
    except Exception:
        traceback.print_exc()
    finally:
        # JAX would wait for the lost one.
        os._exit(0)
