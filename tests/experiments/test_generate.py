"""Many samples: the law, the same ones however they are run, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments import _chunks

OU, PSLD = dp.OrnsteinUhlenbeck(), dp.PhaseSpaceLangevin()
LAW = dp.Gaussian(np.full(3, 0.5), np.array([4.0, 1.0, 0.25]))
TS = dp.clocks.log_snr_grid(4.0, 0.01, 24)
KEY = jr.key(5)


def some(number=10, process=OU, **options):
    options = {"dim": 3, "dtype": np.float64, "key": KEY, "progress": False} | options
    return dp.generate(dp.ReverseSDE(process, LAW.posterior_mean), TS, number=number, **options)


@pytest.fixture(scope="module")
def all_at_once():
    return some()


def test_samples_are_the_same_however_many_are_run_at_once_and_in_all(all_at_once):
    assert all_at_once.shape == (10, 3)
    np.testing.assert_allclose(some(chunk=4), all_at_once, atol=1e-12)
    np.testing.assert_allclose(some(17, chunk=4)[:10], all_at_once, atol=1e-12)
    assert np.abs(some(key=jr.key(6)) - all_at_once).max() > 0.1


@pytest.mark.parametrize("process", [OU, PSLD], ids=["ou", "psld"])
def test_a_sample_is_what_simulate_makes_of_its_own_key(process):
    sampler = dp.ReverseSDE(process, LAW.posterior_mean)
    starts = jax.vmap(lambda key: dp.Diffused(LAW, process).sample(key, TS[0]))(jr.split(jr.key(1), 6))
    found = dp.generate(sampler, TS, key=KEY, start=starts, clean=False, chunk=4, progress=False)

    def alone(i, z):
        return dp.simulate(sampler, jr.split(jr.fold_in(KEY, i))[1], TS, z)

    expected = jax.vmap(alone)(jnp.arange(6), starts)
    assert found.shape == starts.shape
    np.testing.assert_allclose(found, expected, atol=1e-12)
    clean = dp.generate(sampler, TS, key=KEY, start=starts, chunk=4, progress=False)
    last = process.kernel(float(TS[-1]))
    np.testing.assert_allclose(clean, jax.vmap(lambda z: LAW.posterior_mean(*last.observe(z)))(expected), atol=1e-12)


@pytest.mark.parametrize("process", [OU, PSLD, dp.Brownian()], ids=["ou", "psld", "brownian"])
def test_samples_have_the_law_that_the_denoiser_knows(process):
    ts = dp.clocks.log_snr_grid(4.0, 1e-3, 100) if process is not PSLD else dp.clocks.quadratic_grid(2.0, 1e-3, 100)
    if isinstance(process, dp.Brownian):
        ts = np.array([process.time_of_variance(v) for v in np.expm1(2 * ts)])
    spread = np.array([2.0, 1.0, 0.5])
    law = dp.Gaussian(np.full(3, 0.5, np.float32), spread.astype(np.float32) ** 2)
    sampler = dp.Conjugate(process, law.posterior_mean, order=2)
    found = dp.generate(sampler, ts, key=KEY, number=4000, dim=3, progress=False)
    assert found.dtype == np.float32
    # 4 standard errors of six numbers, a false alarm in 2500 seeds; and the errors of a prior and of steps, 1 or 2 %.
    np.testing.assert_allclose(found.mean(0), 0.5, atol=4 * spread.max() / 4000**0.5 + 0.02)
    np.testing.assert_allclose(found.std(0) / spread, 1, atol=4 / 8000**0.5 + 0.02)


def test_a_run_that_was_stopped_goes_on_and_is_the_same(tmp_path, all_at_once):
    original, seen = _chunks.ChunkedProgram.__call__, []

    def stopping(self, i):
        seen.append(i)
        if seen == [0, 1, 2]:
            raise KeyboardInterrupt
        return original(self, i)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_chunks.ChunkedProgram, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            some(chunk=3, checkpoint=tmp_path)
        resumed = some(chunk=3, checkpoint=tmp_path)
    # Chunks 0 and 1 were kept.
    assert seen == [0, 1, 2, 2, 3]
    np.testing.assert_allclose(resumed, all_at_once, atol=1e-12)
    with pytest.raises(ValueError, match="seed"):
        some(chunk=3, checkpoint=tmp_path, key=jr.key(6))


def test_a_chunk_that_was_not_asked_for_is_made_to_fit_the_memory(monkeypatch):
    """And is smaller from the start for a denoiser that holds more numbers."""
    sizes, original = [], _chunks.ChunkedProgram.__call__
    monkeypatch.setattr(_chunks, "_ELEMENTS", {"cpu": 2**10})
    monkeypatch.setattr(
        _chunks.ChunkedProgram, "__call__", lambda self, i: sizes.append(self.chunk) or original(self, i)
    )
    whole = some(200)
    wide = some(200, features=32)
    assert sizes[0] == 50
    assert sizes[-1] == 2**10 // (32 * 3)
    monkeypatch.setattr(_chunks, "free_bytes", lambda: 6000)
    small = some(200)
    assert sizes[-1] < 50
    for found in (wide, small):
        np.testing.assert_allclose(found, whole, atol=1e-12)
    with pytest.raises(ValueError, match="Ask for a `chunk` of at most"):
        some(200, chunk=50)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32", "float64"])
def test_samples_are_of_the_estimate_where_float32_would_not_hold_it(kind):
    """A target of float64 parameters answers in float64 whatever it is asked in, and a network may be of less."""
    draw = partial(dp.generate, dp.DDIM(OU, lambda y, v: (y / (1 + v)).astype(kind)), TS, key=KEY, number=4, dim=3)
    with jax.numpy_dtype_promotion("standard"):
        assert draw().dtype == np.promote_types(kind, np.float32)
        assert draw(dtype=np.float64).dtype == np.float64
    if kind == "float64":
        with pytest.raises(ValueError, match=r"an estimate that states of float32 hold\. Got float64"):
            draw(dtype=np.float32)


def test_a_sample_that_is_not_finite_is_named():
    def bad(y, v):
        return jnp.where(y[0] > 1.0, jnp.nan, LAW.posterior_mean(y, v))

    with (
        jax.debug_nans(False),
        pytest.raises(FloatingPointError, match=r"`samples` of sample \d+ is not finite \(chunk"),
    ):
        dp.generate(dp.DDIM(OU, bad), TS, key=KEY, number=16, dim=3, dtype=np.float64, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number": None}, "`generate` needs `number` and `dim`, or `start`. Got number=None, dim=3 and no start"),
        ({"start": np.zeros((4, 3))}, "Got number=10, dim=3 and a start"),
        ({"number": 0}, "`number` needs a whole number, at least 1"),
        ({"dim": 4}, "`denoise` needs to take an observation of shape"),
        ({"dtype": jnp.bfloat16}, "`dtype` needs one of NumPy's floating types.* Got bfloat16"),
        ({"dtype": int}, "`dtype` needs one of NumPy's floating types.* Got int64"),
        ({"key": jr.key(0, impl="rbg")}, "`key` needs a kind whose numbers are the same in every batch"),
        ({"number": None, "dim": None, "start": np.zeros((4, 2, 3))}, r"`z` needs shape \(d,\)"),
    ],
)
def test_what_means_nothing_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        some(**options)
