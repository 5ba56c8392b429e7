"""Late starts from a Gaussian: their relative entropy, exact laws, what they save, and where curves bend."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys import thermo
from diffphys.experiments._bifurcation import bifurcation

OU = dp.OrnsteinUhlenbeck()
SPREAD = np.array([2.0, 1.0, 0.1])
BRIDGE = {"DDPM": dp.Bridge}


def draws(target, number):
    return np.asarray(jax.vmap(target.sample)(jax.random.split(jax.random.key(7), number)))


@pytest.mark.parametrize("time", ["0.2000", "0.3466", "1.0000", "2.0000"])
def test_two_points_start_from_their_gaussian_at_the_tabulated_relative_entropy(oracles, time):
    entry = oracles[f"late_start_kl_t{time}"]
    target = dp.symmetric_mixture(np.ones(1), 0.0)
    ds = dp.gaussian_start(target, OU, [entry["inputs"]["t"]], key=jax.random.key(0), quality={})
    found = ds.start_divergence.sel(start="gaussian")[0]
    np.testing.assert_allclose(found, entry["value"], rtol=0, atol=entry["tol"])


@pytest.mark.parametrize("process", [OU, dp.PhaseSpaceLangevin()], ids=["ou", "psld"])
def test_the_prior_of_a_gaussian_is_off_by_the_relative_entropy_of_the_channel(process):
    target, t = dp.Gaussian(np.full(3, 0.4), SPREAD), 0.7
    ds = dp.gaussian_start(target, process, [t], key=jax.random.key(0), quality={}, samplers=BRIDGE)
    # Whatever a state holds beyond its channel knows nothing of the data.
    v = float(process.kernel(t).variance)
    exact = thermo.kullback_leibler(SPREAD + v, np.full(3, v), 0.4)
    np.testing.assert_allclose(ds.start_divergence[:, 0], [0, exact], rtol=1e-12)


def test_samples_of_a_gaussian_have_the_law_that_the_linear_steps_give():
    target, stop = dp.Gaussian(np.full(3, 0.4), SPREAD), 0.05
    goal = SPREAD + float(OU.kernel(stop).variance)

    def distance(samples):
        own = np.cov(samples.T)
        return thermo.wasserstein(own, np.diag(goal), samples.mean(0) - 0.4)

    ds = dp.gaussian_start(
        target, OU, [0.3, 1.0], key=jax.random.key(0), quality={"distance": distance}, samples=4000, repeats=2,
        stop=stop, samplers=dict(list(dp.experiments.SAMPLERS.items())[:2]), steps=(5,),
    )  # fmt: skip
    exact, found = ds.generated_wasserstein, ds.quality.isel(measure=0)
    # An estimate from m samples lies about tr C / 2m too high, and scatters by as much.
    assert np.all(np.abs(found - exact) < 5e-3 + 0.1 * exact)
    # Five steps from the Gaussian beat five from no data, the more the later they start.
    assert np.all(exact.sel(start="prior") > exact.sel(start="gaussian"))
    assert (
        exact.sel(start="prior", sampler="DDIM", t=0.3)[0] > 20 * exact.sel(start="gaussian", sampler="DDIM", t=0.3)[0]
    )


def test_many_steps_from_its_own_gaussian_generate_a_gaussian():
    target = dp.Gaussian(np.full(3, 0.4), SPREAD)
    ds = dp.gaussian_start(
        target,
        OU,
        [0.3, 1.0, 3.0],
        key=jax.random.key(0),
        quality={},
        steps=(100, 200),
        samplers=dict(BRIDGE, PNDM=dp.PNDM),
    )
    loss = ds.generated_kullback_leibler.sel(start="gaussian", sampler="DDPM")
    assert np.all(loss < 2e-3)
    # Of weak order 1: the relative entropy is quadratic in the step.
    np.testing.assert_allclose(loss.sel(steps=100) / loss.sel(steps=200), 4, rtol=0.1)
    # The calls of a start by Runge and Kutta are counted; a law with a memory is not followed.
    np.testing.assert_array_equal(ds.evaluations, [[100, 200], [109, 209]])
    assert np.all(np.isnan(ds.generated_wasserstein.sel(sampler="PNDM")))


def test_a_start_has_the_moments_of_the_noised_data():
    process = dp.PhaseSpaceLangevin()
    # A step so small that nothing moves; data of rank 2 in three dimensions.
    points = np.random.default_rng(0).normal(size=(30, 2)) @ np.array([[2.0, 1.0, 0.0], [0.0, 0.3, 0.5]]) + 1.0
    t = 0.4
    v = float(process.kernel(t).variance)
    goal = np.cov(points.T, bias=True) + v * np.eye(3)
    quality = {
        "mean": lambda samples: float(np.max(np.abs(samples.mean(0) - points.mean(0)))),
        "covariance": lambda samples: float(np.max(np.abs(np.cov(samples.T) - goal))),
    }
    ds = dp.gaussian_start(
        points, process, [t], key=jax.random.key(0), quality=quality, denoise=lambda y, v: y, samplers=BRIDGE,
        steps=(1,), stop=t - 1e-7, samples=6000, repeats=2,
    )  # fmt: skip
    own = ds.quality.sel(start="gaussian")[0, 0, :, 0]
    # The largest of 3 and of 9 numbers with these standard errors.
    assert own.sel(measure="mean") < 5 * np.sqrt(goal.max() / 6000)
    assert own.sel(measure="covariance") < 6 * goal.max() * np.sqrt(2 / 6000)
    assert ds.quality.sel(start="prior", measure="mean")[0, 0, 0] > 0.9


def test_a_start_above_the_symmetry_breaking_loses_nothing_and_one_below_it_the_classes():
    target, stop = dp.symmetric_mixture(np.ones(1), 0.01), 0.02

    def between(samples):
        return float(np.mean(np.abs(samples) < 0.5))

    ds = dp.gaussian_start(
        target, OU, [0.05, 0.6], key=jax.random.key(0), quality={"between": between}, samplers=BRIDGE, steps=(20,),
        samples=2000, repeats=2, stop=stop,
    )  # fmt: skip
    lost = ds.quality.sel(start="gaussian")[0, 0, 0]
    assert lost[0] > 3 * lost[1]
    np.testing.assert_allclose(ds.attrs["critical_time_score_zero"], 0.5 * np.log(1.99))
    assert np.all(np.diff(ds.start_divergence.sel(start="gaussian")) < 0)


def test_the_denoised_end_is_the_estimate():
    target = dp.Gaussian(np.full(3, 0.4), SPREAD)
    options = {
        "quality": {"spread": lambda a: float(a[:, 2].var())}, "steps": (5,), "samples": 1000,
        "repeats": 2, "stop": 0.2, "samplers": BRIDGE,
    }  # fmt: skip
    found = [
        dp.gaussian_start(target, OU, [1.0], key=jax.random.key(0), denoised=on, **options) for on in (False, True)
    ]
    noisy, clean = (ds.quality[0, 0, 0] for ds in found)
    # At one evaluation more.
    assert [int(ds.evaluations[0, 0]) for ds in found] == [5, 6]
    # The slope of the estimate, once squared.
    v = np.expm1(0.4)
    np.testing.assert_allclose(clean / noisy, (0.1 / (0.1 + v)) ** 2, rtol=1e-9)


def test_a_curve_bends_most_where_its_second_derivative_says():
    # log cosh turns from one slope to another at its centre: sech^2 is largest there.
    times = np.linspace(0.2, 2.2, 21)
    noise = 1e-3 * np.random.default_rng(0).normal(size=(1, 8, 21))
    curves = 0.3 * np.logaddexp((times - 1.23) / 0.3, -(times - 1.23) / 0.3) + noise
    bends, found = bifurcation(times, curves, 0.1)
    time, low, high = found[0]
    assert low <= time <= high
    assert abs(time - 1.23) < 0.03
    assert high - low < 0.2
    exact = 1 / np.cosh((times - 1.23) / 0.3) ** 2 / 0.3
    np.testing.assert_allclose(bends[0, 3:-3], exact[3:-3], atol=0.25)
    # Downhill in the order of the times or uphill: the same.
    np.testing.assert_allclose(bifurcation(times[::-1], curves[..., ::-1], 0.1)[1], found)


def test_the_interval_of_four_repeats_holds_the_bend_as_often_as_it_says():
    times = np.linspace(0.2, 2.2, 8)
    curve = 0.3 * np.logaddexp((times - 1.23) / 0.3, -(times - 1.23) / 0.3)
    noise = 0.03 * np.random.default_rng(0).normal(size=(150, 4, 8))
    bend = bifurcation(times, np.stack([curve, curve])[None], 0.3)[1][0, 0]
    _, found = bifurcation(times, curve + noise, 0.3)
    _, low, high = found[np.isfinite(found[:, 1])].T
    assert len(low) > 130
    # Four standard errors below 95 %; plain percentiles hold it in 78 % of the draws.
    assert np.mean((low <= bend) & (bend <= high)) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / len(low))


def test_the_start_of_two_distant_classes_bends_most_below_their_critical_time():
    # At the separation 1.985, whatever the dimension: log 1.985 below the zero of the score.
    times, far = np.linspace(2.0, 6.0, 81), 1e4
    delta = thermo.separation(np.full(1, far**0.5), 1.0, np.expm1(2 * times))
    curve = np.asarray(thermo.gaussian_divergence(delta))
    _, found = bifurcation(times, np.stack([curve, curve])[None], 0.02)
    critical = thermo.critical_times(far, 1.0).score_zero
    np.testing.assert_allclose(critical - found[0, 0], 0.6855, atol=5e-3)


def test_a_curve_that_bends_most_at_an_end_has_no_bifurcation():
    times = np.linspace(0.1, 2.0, 12)
    curves = np.exp(-4 * times)[None, None] * np.ones((1, 3, 1))
    assert np.all(np.isnan(bifurcation(times, curves, 0.0)[1]))
    assert np.all(np.isnan(bifurcation(times[:4], curves[..., :4], 0.0)[0]))


def test_a_journal_gives_the_same_numbers_and_of_other_settings_is_refused(tmp_path):
    target = dp.Gaussian(np.full(3, 0.4), SPREAD)
    options = {
        "quality": {"spread": lambda a: float(a.var())}, "steps": (5,), "samples": 1000, "repeats": 2,
        "samplers": BRIDGE, "checkpoint": tmp_path,
    }  # fmt: skip
    first, again = (dp.gaussian_start(target, OU, [0.5, 1.0], key=jax.random.key(0), **options) for _ in range(2))
    assert (tmp_path / "gaussian-start").exists()
    np.testing.assert_array_equal(first.quality, again.quality)
    for process, change in ((dp.OrnsteinUhlenbeck(temperature=2.0), {}), (OU, {"repeats": 4})):
        with pytest.raises(ValueError, match="gaussian-start"):
            dp.gaussian_start(target, process, [0.5, 1.0], key=jax.random.key(0), **options | change)


def test_a_journal_tells_functions_of_one_name_apart(tmp_path):
    """By their own names and their arguments: the quality of another reference is another one."""
    points = np.random.default_rng(0).normal(size=(30, 3))

    def run(distance):
        dp.gaussian_start(
            dp.Gaussian(np.full(3, 0.4), SPREAD), OU, [0.5], key=jax.random.key(0), quality={"distance": distance},
            steps=(3,), samples=20, repeats=2, samplers=BRIDGE, checkpoint=tmp_path,
        )  # fmt: skip

    run(dp.frechet_distance(None, points))
    run(dp.frechet_distance(None, points.copy()))
    with pytest.raises(ValueError, match=r"quality\.distance\.arguments: \[.* there, \[.* now"):
        run(dp.frechet_distance(None, points + 0.1))
    with pytest.raises(ValueError, match=r"quality\.distance: \(absent\) there, .*spread now"):
        run(spread)


def spread(samples):
    return float(samples.var())


def test_what_means_nothing_is_refused():
    points, key = np.eye(3), jax.random.key(0)
    with pytest.raises(ValueError, match="needs a `denoise` for points"):
        dp.gaussian_start(points, OU, [1.0], key=key, quality={})
    with pytest.raises(ValueError, match="`stop` needs a time above 0 and below all `times`"):
        dp.gaussian_start(dp.Gaussian(np.zeros(3)), OU, [1.0], key=key, quality={}, stop=2.0)
    with pytest.raises(ValueError, match="`smoothing` needs a width in time"):
        dp.gaussian_start(dp.Gaussian(np.zeros(3)), OU, [1.0], key=key, quality={}, smoothing=-1.0)
    with pytest.raises(ValueError, match="`repeats` needs a whole number, at least 2"):
        dp.gaussian_start(dp.Gaussian(np.zeros(3)), OU, [1.0], key=key, quality={}, repeats=1)
