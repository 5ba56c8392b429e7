"""Chunks: what is not finite is named, memory that is short halves them, and all processes have the same ones."""

import tracemalloc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys._journal import Journal
from diffphys.experiments import _chunks
from diffphys.experiments._chunks import ChunkedProgram, Runner

OU = dp.OrnsteinUhlenbeck()


@eqx.filter_jit
def ratios(bad, first, chunk):
    items = first + jnp.arange(chunk, dtype=jnp.int32)
    return {"label": items, "ratio": jnp.where(items == bad, jnp.nan, jnp.sqrt(items.astype(float)))[:, None]}


def collect(bad, folder):
    program = ChunkedProgram(ratios, (jnp.asarray(bad, jnp.int32),), items=18, elements=1, chunk=4, start=100)
    # The journal would tell another input: what fails here is meant to be mended by the time it goes on.
    program.arguments = ()
    runner = Runner(checkpoint=folder, progress=False)

    def reduce(i, results):
        return {"total": results["ratio"].sum(0)}

    return runner.collect("ratios", program, reduce, {}, unit="trajectory")


def test_a_trajectory_that_is_not_finite_is_named_and_the_run_resumes_before_it(tmp_path):
    with jax.debug_nans(False), pytest.raises(FloatingPointError) as refusal:
        collect(113, tmp_path)
    assert str(refusal.value).startswith("`ratio` of trajectory 113 is not finite (chunk 3 of 5; 1 of its 4)")
    assert "run again to resume" in refusal.value.__notes__[0]
    assert len(list((tmp_path / "ratios").glob("*.npz"))) == 3
    mended = collect(-1, tmp_path)
    assert not (tmp_path / "elsewhere").exists()
    np.testing.assert_array_equal(mended["total"], collect(-1, tmp_path / "elsewhere")["total"])


def test_memory_that_runs_out_halves_the_chunk_down_to_one_and_then_says_so():
    asked = []

    def starved(bad, first, chunk):
        asked.append(chunk)
        if chunk > most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return ratios(bad, first, chunk)

    program = ChunkedProgram(ratios, (jnp.asarray(-1, jnp.int32),), items=18, elements=1, chunk=9)
    most, whole = 9, program(1)
    program._program, most = starved, 2
    halved = program(1)
    assert asked[:4] == [9, 5, 3, 2]
    for name in whole:
        np.testing.assert_array_equal(halved[name], whole[name])
    # What there was no room for is not tried again.
    asked.clear()
    program(0)
    assert max(asked) == 2
    most = 0
    with pytest.raises(MemoryError, match=r"A `chunk` of 1 needs more memory than there is, at item 9\."):
        program(1)


def spoilt(target):
    """A denoiser that fails far on one side: in some trajectories, not in all."""
    return lambda y, v: jnp.where(y[0] > 4.0, jnp.nan, target.posterior_mean(y, v))


def test_a_denoiser_that_is_not_finite_stops_its_clones(tmp_path):
    target = dp.symmetric_mixture(np.full(2, 1.5))
    with jax.debug_nans(False), pytest.raises(FloatingPointError, match=r"`\w+` of trajectory \d+ is not finite"):
        dp.speciation(
            target, OU, [1.0], key=jax.random.key(0), samples=None, clones=64, steps=4, chunk=64, progress=False,
            sampler=dp.ReverseSDE(OU, spoilt(target)), checkpoint=tmp_path,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_denoiser_that_is_not_finite_is_not_taken_for_one_near_a_datum():
    """The nearest datum is a whole number, whatever it is near to."""
    points = np.random.default_rng(0).normal(size=(12, 2)) + np.repeat([[2.0], [-2.0]], 6, 0)
    cloud = dp.Empirical(points.astype(np.float32), np.repeat([0, 1], 6))
    with jax.debug_nans(False), pytest.raises(FloatingPointError, match=r"`end` of trajectory \d+ is not finite"):
        dp.collapse(
            cloud, OU, [0.5, 1.0], key=jax.random.key(0), samples=None, trajectories=64, steps=4, chunk=64,
            datasets=0, progress=False, sampler=dp.ReverseSDE(OU, spoilt(cloud)),
        )  # fmt: skip


@eqx.filter_jit
def numbers(scale, first, chunk):
    return {"value": scale * (first + jnp.arange(chunk, dtype=jnp.int32))}


def program(**options):
    settings: dict[str, Any] = {"items": 20, "elements": 1, "chunk": 8}
    return ChunkedProgram(numbers, (jnp.int32(3),), **settings | options)


def test_all_processes_halve_a_chunk_that_one_of_them_has_no_memory_for(monkeypatch):
    made, answers, asked = program(), iter([[True, False]] + 9 * [[True, True]]), []
    monkeypatch.setattr(_chunks, "of_all_processes", lambda _: np.array(next(answers)))
    made._program = lambda scale, first, chunk: asked.append(chunk) or numbers(scale, first, chunk)
    np.testing.assert_array_equal(made(1)["value"], 3 * np.arange(8, 16))
    assert asked == [8, 4, 4]


def test_not_even_one_item_in_the_memory_of_one_process_is_refused(monkeypatch):
    monkeypatch.setattr(_chunks, "of_all_processes", lambda own: np.array([own, [own[0], 0.0]]))
    for chunk in (8, None):
        with pytest.raises(ValueError, match=r"`chunk` of 1 needs .* MiB, and 0 MiB may be used"):
            program(chunk=chunk)


def clones(**options):
    target = dp.symmetric_mixture(np.ones(8, np.float32))
    return dp.speciation(
        target, OU, [0.8], key=jax.random.key(0), samples=None, clones=512, steps=4, progress=False, **options
    )


def assert_same(parts, whole):
    assert parts.attrs["chunk_clones"] == whole.attrs["chunk_clones"]
    # Also which of them are run on the halved grid.
    assert parts.attrs["clones_halved"] == whole.attrs["clones_halved"]
    for name in ("phi_clones", "phi_clones_stderr", "phi_clones_bias", "phi_clones_bias_stderr"):
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-6, err_msg=name)


def test_clones_of_a_chunk_that_memory_has_halved_are_those_of_the_whole_chunk(monkeypatch):
    whole, original = clones(chunk=64), ChunkedProgram._results

    def starved(self, told, first, part):
        return None if part > 20 else original(self, told, first, part)

    monkeypatch.setattr(ChunkedProgram, "_results", starved)
    assert_same(clones(chunk=64), whole)


def test_a_chunk_asked_for_that_memory_has_no_room_for_is_refused_with_one_that_fits(monkeypatch):
    need = ChunkedProgram._memory
    monkeypatch.setattr(ChunkedProgram, "_memory", lambda self: (need(self)[0], 1.0 if self.part > 40 else np.inf))
    with pytest.raises(ValueError, match=r"`chunk` of 128 needs .* MiB.*Ask for a `chunk` of at most 32, or leave"):
        clones(chunk=128)


def test_a_run_goes_on_where_there_is_no_memory_for_the_chunk_of_its_journal(monkeypatch, tmp_path):
    """As on fewer devices, each of which has more of the chunk."""
    whole, original, asked = clones(chunk=128), ChunkedProgram._results, []

    def recorded(self, told, first, part):
        asked.append(part)
        if first == 256 and part == 128:
            raise KeyboardInterrupt
        return original(self, told, first, part)

    monkeypatch.setattr(ChunkedProgram, "_results", recorded)
    with pytest.raises(KeyboardInterrupt):
        clones(chunk=128, checkpoint=tmp_path)
    need = ChunkedProgram._memory
    monkeypatch.setattr(ChunkedProgram, "_memory", lambda self: (need(self)[0], 1.0 if self.part > 40 else np.inf))
    asked.clear()
    assert_same(clones(checkpoint=tmp_path), whole)
    assert asked == 8 * [32]


def test_a_run_takes_the_chunk_of_the_journal_that_it_goes_on_from(tmp_path):
    runner = Runner(checkpoint=tmp_path)
    assert runner.chunk_of("numbers") is None
    runner.collect(
        "numbers", program(chunk=7), lambda _, found: {"sum": np.asarray(found["value"].sum())}, {}, unit="number"
    )
    assert runner.chunk_of("numbers") == 7
    assert Runner(5, tmp_path).chunk_of("numbers") == 5
    (tmp_path / "numbers" / "run.json").write_text("spoilt")
    assert runner.chunk_of("numbers") is None
    assert Journal.settings(tmp_path / "nothing") == {}


def test_a_fingerprint_tells_every_number_apart_and_copies_none():
    points = np.zeros((4096, 64), np.float32)
    first = _chunks.fingerprint((points, 0.0))
    tracemalloc.start()
    assert _chunks.fingerprint((points, 0.0)) == first
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < points.nbytes / 4
    points[-1, -1] = 1e-30
    assert _chunks.fingerprint((points, 0.0)) != first
