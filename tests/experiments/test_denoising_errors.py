"""Errors of denoisers: the closed form of Gaussian data, and what a common noise makes of a ratio."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp

OU = dp.OrnsteinUhlenbeck()
SPECTRUM = np.array([4.0, 1.0, 0.1])
LAW = dp.Gaussian(np.array([1.0, -2.0, 0.0]), SPECTRUM)
TIMES = np.array([0.05, 0.4, 1.0, 3.0])
POINTS = jax.vmap(LAW.sample)(jax.random.split(jax.random.key(7), 3000))


def measured(**options):
    return dp.denoising_errors(LAW.posterior_mean, POINTS, TIMES, key=jax.random.key(1), progress=False, **options)


@pytest.mark.parametrize(
    "process", [OU, dp.OrnsteinUhlenbeck(0.5), dp.PhaseSpaceLangevin()], ids=["ou", "cold", "psld"]
)
def test_the_exact_denoiser_of_a_gaussian_errs_as_its_posterior_varies(process):
    ds = measured(process=process)
    variance = np.array([float(process.kernel(t).variance) for t in TIMES])
    posterior = 1 / (1 / SPECTRUM + 1 / variance[:, None])
    assert np.all(np.abs(ds.mse - posterior.mean(1)) < 4 * ds.mse_stderr)
    # The square error along a direction is its posterior variance times a chi square, of variance 2.
    np.testing.assert_allclose(ds.mse_stderr, np.sqrt(2 * np.sum(posterior**2, axis=1) / 3000) / 3, rtol=0.1)


def test_a_denoiser_is_as_good_as_itself_without_any_doubt():
    ds = measured(against=LAW.posterior_mean)
    np.testing.assert_array_equal(ds.ratio, 1)
    np.testing.assert_array_equal(ds.ratio_stderr, 0)


def test_the_ratio_to_the_mean_of_the_data_is_the_part_that_is_not_explained():
    """Against the denoiser that ignores its observation: the ratio of posterior and prior variance."""
    ds = measured(against=lambda y, v: LAW.mean)
    posterior = 1 / (1 / SPECTRUM + 1 / np.expm1(2 * TIMES)[:, None])
    assert np.all(np.abs(ds.ratio - posterior.sum(1) / SPECTRUM.sum()) < 4 * ds.ratio_stderr)
    # At large noise both err alike, so that common noise leaves less doubt than errors of their own would.
    apart = ds.ratio * np.sqrt(2) * ds.mse_stderr / ds.mse
    assert float(ds.ratio_stderr[-1]) < 0.5 * float(apart[-1])


def test_chunks_do_not_change_what_is_measured():
    whole, parts = (measured(against=lambda y, v: jnp.zeros_like(y), chunk=chunk) for chunk in (3000, 700))
    for name in ("mse", "ratio", "ratio_stderr"):
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-12)


def test_what_means_nothing_is_refused(unchecked):
    with pytest.raises(ValueError, match="`points` needs two finite points or more, floating"):
        dp.denoising_errors(LAW.posterior_mean, np.zeros((2, 2, 2)), TIMES, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`points` needs two finite points or more, floating"):
        dp.denoising_errors(LAW.posterior_mean, np.zeros((5, 3), int), TIMES, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`times` needs finite times above 0"):
        dp.denoising_errors(LAW.posterior_mean, POINTS, [0.0], key=jax.random.key(0))
