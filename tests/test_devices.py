"""Eight devices compute what one does, and none of them waits for another."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import many_devices
import numpy as np
import pytest

import diffphys as dp
from diffphys import _devices
from diffphys.experiments import _chunks

SOFT = ("phi", "phi_stderr", "phi_clones", "phi_clones_stderr", "phi_clones_bias", "phi_clones_bias_stderr")


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """The folder of what eight devices found; they go on with a run that one device has begun."""
    folder = tmp_path_factory.mktemp("eight")
    original = _chunks.ChunkedProgram.__call__

    def twice(self, i):
        if self.items == 60 and i == 2:
            raise KeyboardInterrupt
        return original(self, i)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_chunks.ChunkedProgram, "__call__", twice)
        with pytest.raises(KeyboardInterrupt):
            many_devices.clones(folder)
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1",
        "PYTHONPATH": str(pathlib.Path(dp.__file__).parent.parent),
    }  # fmt: skip
    subprocess.run([sys.executable, many_devices.__file__, str(folder)], env=environment, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def one():
    return many_devices.clones()


@pytest.fixture(scope="module")
def others():
    return many_devices.others()


def test_devices_do_not_wait_for_each_other_within_a_step_of_clones(eight):
    found = json.loads((eight / "found.json").read_text())
    assert found["devices"] == 8
    # Forward samples and clones, in a fresh run and in one that goes on.
    assert found["collectives"] == {"mixture": 4 * [[]], "data": []}


def test_clones_on_eight_devices_are_those_on_one_to_rounding(eight, one):
    theirs = dp.results.load(eight / "clones.nc")
    assert theirs.attrs["device_count"] == 8
    assert one.attrs["chunk_clones"] == theirs.attrs["chunk_clones"] == 15
    for name in SOFT:
        np.testing.assert_allclose(theirs[name], one[name], atol=2e-6, err_msg=name)
    # Labels that rounding flips are counted.
    assert abs(float(theirs.phi_hard_clones[0] - one.phi_hard_clones[0])) * 60 < 1.5
    assert theirs.attrs["clones_halved"] == one.attrs["clones_halved"]


def test_a_run_begun_on_one_device_goes_on_on_eight(eight, one):
    resumed = dp.results.load(eight / "resumed.nc")
    # The chunk is that of the journal: by itself it would be a multiple of the devices.
    assert (resumed.attrs["device_count"], resumed.attrs["chunk_clones"]) == (8, 15)
    for name in SOFT:
        np.testing.assert_allclose(resumed[name], one[name], atol=2e-6, err_msg=name)


@pytest.mark.parametrize("experiment", ["late_start", "path_divergence", "gaussian_start"])
def test_other_experiments_on_eight_devices_are_those_on_one_to_rounding(eight, others, experiment):
    theirs = json.loads((eight / "found.json").read_text())["others"][experiment]
    np.testing.assert_allclose(theirs, others[experiment], rtol=2e-5, atol=2e-6)


def test_a_default_chunk_keeps_all_devices_busy(eight):
    found = json.loads((eight / "found.json").read_text())
    assert [_chunks.default_chunk(items, 2**12) for items in (10, 100, 10**6)] == [3, 25, 256]
    assert found["default_chunks"] == [8, 32, 2048]


def test_on_one_device_items_are_a_plain_batch():
    def one(i):
        return jnp.sin(i) * 2

    program = jax.make_jaxpr(lambda first: _devices.over_items(jax.vmap(one), first, 5))
    plain = jax.make_jaxpr(lambda first: jax.vmap(one)(first + jnp.arange(5, dtype=jnp.int32)))
    assert str(program(jnp.int32(3))) == str(plain(jnp.int32(3)))


def test_an_array_in_shares_is_read_row_by_row():
    values, asked = np.arange(12.0).reshape(6, 2), []

    def read(rows):
        asked.append(rows)
        return values[rows]

    np.testing.assert_array_equal(_devices.in_shares(read, values.shape), values)
    assert len(asked) == jax.device_count()


def test_a_tree_on_all_devices_keeps_its_keys_and_what_is_no_array():
    tree = {"key": jax.random.key(3), "points": np.arange(3.0), "name": "it"}
    placed = _devices.on_all_devices(tree)
    assert placed["name"] == "it"
    np.testing.assert_array_equal(jax.random.key_data(placed["key"]), jax.random.key_data(tree["key"]))
    np.testing.assert_array_equal(placed["points"], tree["points"])


@pytest.mark.parametrize(("index", "progress", "hidden"), [(0, None, None), (0, True, False), (1, True, True)])
def test_the_first_process_alone_shows_a_bar(monkeypatch, index, progress, hidden):
    monkeypatch.setattr(jax, "process_index", lambda: index)
    assert _devices.hides_bar(progress) is hidden


def test_an_exchange_that_fails_is_told_as_a_lost_process(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)

    def fails(*_, **__):
        raise ValueError("UNKNOWN: Gloo AllGather failed\nat length")

    monkeypatch.setattr(_devices.multihost_utils, "process_allgather", fails)
    with pytest.raises(ConnectionError, match=r"(?s)needs the others.*Gloo AllGather failed\).*--resume"):
        _devices.wait_for_all()
    with pytest.raises(ConnectionError, match="process 0 of 2"):
        _devices.to_host(jnp.ones(2))


@pytest.mark.parametrize("kind", [ValueError, jax.errors.JaxRuntimeError])
def test_a_program_that_fails_for_want_of_another_process_says_so(monkeypatch, kind):
    def fails(words):
        with _devices.exchanging():
            raise kind(words)

    for own in ("`mesh` needs all 8 devices.", "RESOURCE_EXHAUSTED: Out of memory", "UNKNOWN: Gloo all-reduce failed"):
        with pytest.raises(kind, match=own):
            fails(own)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConnectionError, match=r"process 0 of 2 needs the others.*Gloo all-reduce failed"):
        fails("UNKNOWN: Gloo all-reduce failed")
    for own in ("`mesh` needs all 8 devices.", "RESOURCE_EXHAUSTED: Out of memory"):
        with pytest.raises(kind, match=own):
            fails(own)


@pytest.mark.parametrize("error", [ValueError("no"), OSError(13, "`path` needs a folder"), ValueError("é" * 5000)])
def test_what_refuses_the_first_process_refuses_all_in_the_same_words(monkeypatch, error):
    sent = []

    def refuses():
        raise error

    monkeypatch.setattr(_devices, "of_all_processes", lambda own: sent.append(np.asarray(own)) or sent[-1][None])
    with pytest.raises(type(error)) as first:
        _devices.first_for_all(refuses)
    told = iter(sent)
    monkeypatch.setattr(_devices, "is_first_process", lambda: False)
    monkeypatch.setattr(_devices, "of_all_processes", lambda own: np.stack([next(told), np.asarray(own)]))
    with pytest.raises(type(error)) as other:
        _devices.first_for_all(lambda: pytest.fail("it is not the first"))
    assert str(other.value) == str(first.value) == str(error)
    assert not list(told)
