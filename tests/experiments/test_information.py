"""Information by I-MMSE: closed forms of Gaussians and mixtures, the weights of data sets, and what is overlearned."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys import thermo

OU = dp.OrnsteinUhlenbeck()
TIMES = np.linspace(0.15, 1.9, 6)
NOISES = np.expm1(2 * TIMES)


def draws(target, number, seed=1):
    return np.asarray(jax.vmap(target.sample)(jax.random.split(jax.random.key(seed), number)))


def errors(ds, name):
    return np.hypot(ds[f"{name}_stderr"], ds[f"{name}_stderr_data"])


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(400, 3)) * [2.0, 1.0, 0.5] + 0.3


def linear_denoiser(points):
    return dp.Gaussian(points.mean(0), np.cov(points.T, bias=True)).posterior_mean


def test_the_collapse_time_of_a_linear_denoiser_is_the_spectral_one(points):
    process = dp.PhaseSpaceLangevin()
    ds = dp.information(linear_denoiser(points), points, process, [0.02, 1.0, 3.0], key=jax.random.key(0), count=20)
    v = thermo.collapse_variance(20, np.linalg.eigvalsh(np.cov(points.T, bias=True)))
    np.testing.assert_allclose(ds.attrs["collapse_time"], process.time_of_variance(v), rtol=1e-10)
    np.testing.assert_allclose(ds.information, ds.information_linear, rtol=1e-12)
    assert np.all(ds.information_stderr < 1e-12)
    # What is left is the draw of the points, and the interval is that of it.
    assert ds.attrs["collapse_time_low"] < ds.attrs["collapse_time"] < ds.attrs["collapse_time_high"]


def test_the_interval_of_the_collapse_time_is_where_the_information_is_off_by_two_errors(points):
    """Of the information in closed form, at 1.96 standard errors: to the first order in these."""
    ds = dp.information(linear_denoiser(points), points, OU, TIMES, key=jax.random.key(0), count=6)
    low, at, high = (ds.attrs[f"collapse_time{end}"] for end in ("_low", "", "_high"))
    spectrum = np.linalg.eigvalsh(np.cov(points.T, bias=True))
    off = thermo.log_capacity(np.expm1(2 * np.array([low, high])), spectrum) - np.log(6)
    error = np.interp(at, TIMES, errors(ds, "information"))
    np.testing.assert_allclose(off, [1.96 * error, -1.96 * error], rtol=0.05)


def test_the_linear_denoiser_is_that_of_points_seen_before_where_there_are_any():
    # As many new points as dimensions: their own linear denoiser knows them by heart, and bounds nothing.
    law = dp.Gaussian(np.zeros(30), np.linspace(0.2, 2.0, 30))
    seen, fresh = draws(law, 90), draws(law, 30, 2)
    ds = dp.information(
        linear_denoiser(seen), fresh, OU, TIMES, key=jax.random.key(0), count=90, training=seen, nodes=2
    )
    np.testing.assert_allclose(ds.information, ds.information_linear, rtol=1e-9)
    assert np.all(ds.information_stderr < 1e-12)
    np.testing.assert_allclose(ds.attrs["collapse_time"], ds.attrs["collapse_time_linear"], rtol=1e-9)
    # What 90 points miss of a law in 30 dimensions costs information: a bound, as it should be, and the law's is lower.
    exact = 0.5 * np.log1p(thermo.collapse_variance(90, np.linspace(0.2, 2.0, 30)))
    assert ds.attrs["collapse_time"] > exact
    own = dp.information(linear_denoiser(fresh), fresh, OU, TIMES, key=jax.random.key(0), count=90, nodes=2)
    assert own.attrs["collapse_time_linear"] < exact


def test_a_gaussian_has_the_information_of_its_spectrum():
    spectrum = np.array([4.0, 1.0, 0.25])
    target = dp.Gaussian(np.full(3, 0.3), spectrum)
    ds = dp.information(
        target.posterior_mean, draws(target, 1500), OU, TIMES, key=jax.random.key(0), count=20,
        training=draws(target, 1500, 2),
    )  # fmt: skip
    # It learned nothing from them: the gap is the luck of the draw.
    assert np.all(np.abs(ds.generalisation_gap_integral) < 4 * ds.generalisation_gap_integral_stderr)
    exact = thermo.log_capacity(NOISES, spectrum)
    assert np.all(np.abs(ds.information - exact) < 4 * errors(ds, "information"))
    np.testing.assert_allclose(ds.excess_entropy, 1 - ds.information / np.log(20))
    mmse = (spectrum / (1 + spectrum / ds.variance.values[:, None])).sum(1)
    assert np.all(np.abs(ds.mse - mmse) < 4 * ds.mse_stderr)


def test_a_wrong_mean_costs_its_square_over_the_noise(points):
    # The error of an estimate that is off by b has mean |b|^2, in the information |b|^2 / 2 (1 / v - 1 / v_high).
    exact, shift = linear_denoiser(points), 0.3

    def denoise(y, v):
        return exact(y, v) + shift

    ds = dp.information(denoise, points, OU, TIMES, key=jax.random.key(0), count=20, draws=8)
    high = 30 * np.linalg.eigvalsh(np.cov(points.T, bias=True)).max()
    extra = 3 * shift**2 / 2 * (1 / NOISES - 1 / high)
    assert np.all(np.abs(ds.information - ds.information_linear - extra) < 4.5 * ds.information_stderr + 1e-12)
    np.testing.assert_allclose(ds.attrs["tail"], 3 * shift**2 / 2 / high, rtol=0.2)


def test_a_mixture_has_the_information_of_its_class_and_that_within():
    target = dp.symmetric_mixture(np.full(4, 1.0), 0.25)
    ds = dp.information(target.posterior_mean, draws(target, 1500), OU, TIMES, key=jax.random.key(0), count=5)
    classes = thermo.class_information(thermo.separation(np.ones(4), 0.25, NOISES))
    exact = thermo.log_capacity(NOISES, np.full(4, 0.25)) + classes
    assert np.all(np.abs(ds.information - exact) < 4 * errors(ds, "information"))
    # The linear denoiser does not see the classes: its bound on the collapse time is worse.
    assert ds.attrs["collapse_time"] < ds.attrs["collapse_time_linear"]
    found = np.interp(ds.attrs["collapse_time"], TIMES, exact)
    np.testing.assert_allclose(found, np.log(5), atol=0.1)


@jax.jit
def weight_entropies(data, key):
    """Entropies of the posterior weights of forward samples at three noises."""

    def one(key):
        data_key, noise_key = jax.random.split(key)
        clean, noise = data.sample(data_key), jax.random.normal(noise_key, (data.dim,))
        return jax.numpy.stack([data.weights_summary(clean + v**0.5 * noise, v).entropy for v in MEMORY_NOISES])

    return jax.vmap(one)(jax.random.split(key, 1500))


MEMORY_TIMES = [0.2, 0.7, 1.5]
MEMORY_NOISES = np.expm1(2 * np.array(MEMORY_TIMES))


def test_a_memoriser_finds_in_its_own_data_what_their_weights_lack_and_errs_on_others(points):
    own, data = points[:40], dp.Empirical(points[:40])
    ds = dp.information(
        data.posterior_mean, points[40:280], OU, MEMORY_TIMES, key=jax.random.key(0), count=40, training=own
    )
    entropies = np.asarray(weight_entropies(data, jax.random.key(1)))
    # Six noises of each of the data: the identity of their weights, in which no estimate of a mean occurs.
    error = np.hypot(ds.information_training_stderr, entropies.std(0) / 1500**0.5)
    assert np.all(np.abs(ds.information_training - (np.log(40) - entropies.mean(0))) < 4 * error + 1e-3)
    assert np.all(error < 0.1)
    # Below the collapse alone does it know them by heart.
    assert ds.generalisation_gap_integral[0] > 3 * ds.generalisation_gap_integral_stderr[0]
    assert np.abs(ds.generalisation_gap_integral[-1]) < 0.1
    np.testing.assert_allclose(
        ds.generalisation_gap_integral, ds.information - ds.information_training, rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(ds.generalisation_gap, ds.integrand - ds.integrand_training, atol=1e-12)
    np.testing.assert_allclose(ds.node_time, 0.5 * np.log1p(ds.variance), rtol=1e-10)


def test_chunks_change_nothing_but_the_last_digits(points):
    target = dp.symmetric_mixture(np.ones(3), 0.5)
    whole, parts = (
        dp.information(target.posterior_mean, points[:50], OU, [0.5, 1.0], key=jax.random.key(0), count=60, chunk=chunk)
        for chunk in (50, 17)
    )
    np.testing.assert_allclose(whole.information, parts.information, rtol=1e-12)
    np.testing.assert_allclose(whole.information_stderr, parts.information_stderr, rtol=1e-10)


def test_what_means_nothing_is_refused(points, unchecked):
    def run(data=points, **options):
        return dp.information(lambda y, v: y, data, OU, [1.0], key=jax.random.key(0), **({"count": 20} | options))

    with pytest.raises(ValueError, match="`data` needs two finite points or more, floating-point"):
        run(np.ones((4, 3), np.uint8))
    with pytest.raises(ValueError, match="`data` needs points that differ"):
        run(np.ones((4, 3)))
    with pytest.raises(ValueError, match="`training` needs points that differ"):
        run(training=np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"`training` needs points of dimension 3\. Got 2"):
        run(training=points[:, :2])
    with pytest.raises(ValueError, match="`count` needs a whole number, at least 2"):
        run(count=1)
    with pytest.raises(ValueError, match="`draws` needs a whole number, at least 2"):
        run(draws=1)
