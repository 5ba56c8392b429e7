"""Chunks are one for all processes, and one for a run and what it goes on from."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from diffphys._journal import Journal
from diffphys.experiments import _chunks
from diffphys.experiments._chunks import ChunkedProgram, Runner


@eqx.filter_jit
def numbers(scale, first, chunk):
    return {"value": scale * (first + jnp.arange(chunk, dtype=jnp.int32))}


def program(**options):
    return ChunkedProgram(numbers, (jnp.int32(3),), **{"items": 20, "elements": 1, "chunk": 8} | options)


def test_all_processes_halve_a_chunk_that_one_of_them_has_no_memory_for(monkeypatch):
    made, answers = program(), iter([[True, False]] + 9 * [[True, True]])
    monkeypatch.setattr(_chunks, "of_all_processes", lambda _: np.array(next(answers)))
    np.testing.assert_array_equal(made(1)["value"], 3 * np.arange(8, 16))
    assert made.halvings == 1


def test_a_chunk_fits_the_process_with_the_least_memory(monkeypatch):
    monkeypatch.setattr(_chunks, "of_all_processes", lambda own: np.array([own, [own[0], 0.0]]))
    with pytest.raises(ValueError, match=r"`chunk` of 8 needs .* MiB, and 0 MiB may be used"):
        program()


def test_a_run_takes_the_chunk_of_the_journal_that_it_goes_on_from(tmp_path):
    runner = Runner(checkpoint=tmp_path)
    assert runner.chunk_of("numbers") is None
    runner.collect("numbers", program(chunk=7), lambda _, found: {"sum": found["value"].sum()}, {}, unit="number")
    assert runner.chunk_of("numbers") == 7
    assert Runner(5, tmp_path).chunk_of("numbers") == 5
    # One generation spoilt: the one before it has the same.
    (tmp_path / "numbers.npz").write_bytes(b"spoilt")
    assert runner.chunk_of("numbers") == 7
    assert Journal.settings(tmp_path / "nothing.npz") == {}
