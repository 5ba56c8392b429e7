"""What is known of a target without a sample: unstable origins, spectra, classes, and the times to look at."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spins import all_states, curie_weiss_log_probs

import diffphys as dp
from diffphys._root import root
from diffphys.experiments._normal_law import normal_law
from diffphys.experiments._start_theory import critical_attributes
from diffphys.experiments._theory import origin_times, spectral, spectrum_of, two_classes, within_spectrum
from diffphys.thermo import separation

PAIR = dp.symmetric_mixture(np.full(4, 2.0))  # |m|^2 = 16, sigma^2 = 1


def slope(target, process, time, *, drift):
    """Of the score of P_t, or of the drift of the reverse process, along m at the origin."""
    law = dp.Diffused(target, process)
    along = jnp.asarray(target.means[0] / np.linalg.norm(target.means[0]))
    forward, noise = (float(np.asarray(c).squeeze()) for c in process.coefficients(time))
    score = jax.jvp(lambda x: law.score(time, x), (jnp.zeros(4),), (along,))[1] @ along
    return float(-forward + noise**2 * score) if drift else float(score)


PROCESSES = {
    "bath": (dp.OrnsteinUhlenbeck(0.5), (0.5, 4.0)),
    "unit": (dp.OrnsteinUhlenbeck(), (0.5, 4.0)),
    "brownian": (dp.Brownian(), (1.0, 60.0)),
    "fast-brownian": (dp.Brownian(2.0), (0.3, 20.0)),
}


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("quantity", ["score_zero_time", "drift_time"])
def test_each_time_is_where_its_slope_changes_sign(name, quantity):
    process, ends = PROCESSES[name]
    found = root(lambda t: slope(PAIR, process, t, drift=quantity == "drift_time"), *ends)
    assert origin_times(PAIR, process)[quantity] == pytest.approx(found, rel=1e-9)


def test_score_and_drift_of_a_brownian_process_turn_at_the_same_noise():
    times = origin_times(PAIR, dp.Brownian())
    assert times == pytest.approx({"score_zero_time": 15.0, "drift_time": 15.0})


def test_in_phase_space_the_score_alone_has_a_time():
    process = dp.PhaseSpaceLangevin()
    times = origin_times(PAIR, process)
    assert times.keys() == {"score_zero_time"}
    assert float(process.kernel(times["score_zero_time"]).variance) == pytest.approx(15.0)


@pytest.mark.parametrize(
    "target",
    [
        dp.symmetric_mixture(np.full(4, 2.0), weight=0.9),
        dp.mixture(np.array([[4.0, 0.0], [0.0, 0.0]])),
        dp.mixture(np.eye(3)),
        dp.Gaussian(np.zeros(2), np.ones(2)),
    ],
    ids=["weights", "centre", "three", "one"],
)
def test_classes_that_are_not_alike_about_the_origin_have_neither(target):
    assert origin_times(target, dp.OrnsteinUhlenbeck()) == {}
    assert critical_attributes(target, dp.OrnsteinUhlenbeck()) == {}
    assert critical_attributes(PAIR, dp.OrnsteinUhlenbeck())["critical_time_score_zero"] == pytest.approx(
        origin_times(PAIR, dp.OrnsteinUhlenbeck())["score_zero_time"]
    )


def test_default_times_refuse_to_be_none(unchecked):
    with pytest.raises(ValueError, match=r"`number` needs at least one time. Got 0"):
        dp.experiments.default_times(PAIR, dp.OrnsteinUhlenbeck(), 0)


def test_default_times_refuse_an_array_and_what_is_no_process(unchecked):
    with pytest.raises(ValueError, match=r"`default_times` needs a target. Got `ndarray`. Make one of data"):
        dp.default_times(np.eye(3), dp.OrnsteinUhlenbeck())
    with pytest.raises(ValueError, match=r"`default_times` needs a `process` .* Got `float`"):
        dp.default_times(PAIR, 1.0)


def test_default_times_of_a_model_end_well_above_speciation_and_begin_at_a_fiftieth():
    """Evenly spaced in the root of the time; e^{2t} = 80 Lambda / T at the end, with Lambda = 16 + 1."""
    times = dp.experiments.default_times(PAIR, dp.OrnsteinUhlenbeck(0.5), 7)
    assert times[-1] == pytest.approx(0.5 * np.log(80 * 17 / 0.5), rel=1e-12)
    assert times[0] == pytest.approx(0.02 * times[-1], rel=1e-12)
    np.testing.assert_allclose(np.diff(times**0.5), np.diff(times**0.5)[0], rtol=1e-10)


@pytest.mark.parametrize(("size", "by_collapse"), [(1.0, True), (100.0, False)])
def test_default_times_of_a_data_set_begin_below_its_collapse_and_leave_room(size, by_collapse):
    """Two data at -s and s have the unbiased variance 2 s^2; log 2 = 1/2 log(1 + 2 s^2 / v) at the collapse."""
    times = dp.experiments.default_times(dp.Empirical(np.array([[-size], [size]])), dp.OrnsteinUhlenbeck(0.5), 5)
    assert times[-1] == pytest.approx(0.5 * np.log(160 * size**2 / 0.5), rel=1e-9)
    first = 0.5 * np.log1p(0.1 * 2 * size**2 / 3 / 0.5) if by_collapse else 0.3 * times[-1]
    assert times[0] == pytest.approx(first, rel=1e-9)


MEANS, WEIGHTS = np.array([[2.0, 0.0, 1.0], [0.0, -1.0, 0.5], [1.0, 1.0, -3.0]]), np.log([0.5, 0.2, 0.3])
LAWS = {
    "gaussian": dp.Gaussian(np.array([1.0, 2.0, 3.0]), np.array([0.2, 3.0, 1.0])),
    "isotropic": dp.IsotropicMixture(WEIGHTS, MEANS, np.array([0.1, 0.5, 2.0])),
    "isotropic, more classes": dp.IsotropicMixture(np.zeros(3), MEANS[:, :2], np.array([0.1, 0.5, 2.0])),
    "shared": dp.SharedCovarianceMixture(WEIGHTS, MEANS, np.array([0.2, 3.0, 1.0])),
}


@pytest.mark.parametrize("name", LAWS)
def test_spectrum_of_a_law_is_that_of_its_covariance(name):
    """In infinite noise the posterior is the law itself."""
    law = LAWS[name]
    covariance = np.asarray(eqx.filter_jit(law.posterior_covariance)(jnp.zeros(law.dim), jnp.asarray(1e12)))
    expected = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(spectrum_of(law), expected, rtol=1e-9)
    assert float(spectral(law, 0.5).time) == pytest.approx(0.5 * np.log(expected[0] / 0.5), rel=1e-9)
    found = normal_law(law)
    np.testing.assert_allclose(found.basis * found.eigenvalues @ found.basis.T, covariance, rtol=0, atol=1e-9)


def test_spectrum_of_a_magnet_is_that_of_the_covariance_of_its_states():
    states = all_states(5)
    expected = np.cov(states.T, bias=True, aweights=np.exp(curie_weiss_log_probs(states, 1.3, 0.7)))
    np.testing.assert_allclose(spectrum_of(dp.CurieWeiss(5, 1.3, 0.7)), np.linalg.eigvalsh(expected)[::-1], rtol=1e-10)


def test_spectrum_within_classes_is_averaged_by_their_weights():
    np.testing.assert_allclose(within_spectrum(LAWS["isotropic"]), np.full(3, 0.05 + 0.1 + 0.6), rtol=1e-12)
    np.testing.assert_allclose(within_spectrum(LAWS["shared"]), [3.0, 1.0, 0.2], rtol=1e-12)


@pytest.mark.parametrize("count", [3, 40], ids=["few", "many"])
def test_normal_law_of_points_is_their_mean_and_covariance(count):
    points = 5.0 + np.random.default_rng(0).normal(size=(count, 6))
    found = normal_law(points)
    np.testing.assert_allclose(found.mean, points.mean(0), rtol=1e-12)
    covariance = np.cov(points.T, bias=True)
    np.testing.assert_allclose(found.basis * found.eigenvalues @ found.basis.T, covariance, rtol=0, atol=1e-12)


def test_two_classes_of_data_have_their_moments():
    rng = np.random.default_rng(0)
    groups = np.array([1.0, 0.0, 2.0]) + rng.normal(size=(30, 3)), 2 * rng.normal(size=(10, 3))
    found = two_classes(dp.Empirical(np.concatenate(groups), np.repeat([0, 1], [30, 10])))
    half = 0.5 * (groups[0].mean(0) - groups[1].mean(0))
    within = sum(len(rows) / 40 * np.cov(rows.T, bias=True) for rows in groups)
    assert found.weight == 0.75
    expected = np.sqrt(half @ np.linalg.solve(within + 0.3 * np.eye(3), half))
    np.testing.assert_allclose(separation(found.half_difference, found.covariance, 0.3), expected, rtol=1e-12)


def test_two_classes_of_a_magnet_are_its_states_below_the_critical_temperature():
    assert two_classes(dp.CurieWeiss(7, 1.0)) is None
    found, m = two_classes(dp.CurieWeiss(7, 1.5)), root(lambda m: np.tanh(1.5 * m) - m, 0.5, 1.0)
    np.testing.assert_allclose(found.half_difference, [7**0.5 * m, *np.zeros(6)], rtol=1e-10)
    free = 1 - m**2
    np.testing.assert_allclose(found.covariance, [free / (1 - 1.5 * free), *np.full(6, free)], rtol=1e-8)
