"""Clones of a given score: an exact one in disguise, a wrong one, and a classifier in place of the posterior."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys import thermo
from diffphys._commands._words import _clone_words, model_words
from diffphys.experiments._crossings import agreement_level
from diffphys.experiments._last_change import last_change_attributes
from diffphys.experiments._readouts import DatumAgreement, LabelAgreement, label_reading
from diffphys.experiments._verdicts import model_verdict

OU = dp.OrnsteinUhlenbeck()


def within(mean, stderr, exact, bias=0.0):
    np.testing.assert_array_less(np.abs(np.asarray(mean) - np.asarray(exact)), 4 * np.asarray(stderr) + bias)


def biased(ds, name):
    return np.abs(ds[f"{name}_bias"]) + 2 * ds[f"{name}_bias_stderr"]


def side(a, variance):
    """A classifier that knows the direction of the classes and nothing else: certain of every side."""
    return 1e4 * jnp.stack([jnp.sum(a), -jnp.sum(a)])


@pytest.fixture(scope="module")
def model():
    """Four widths from the centre to each class: the sides are the classes."""
    target = dp.symmetric_mixture(np.ones(16, np.float32), weight=0.8)
    return dp.speciation(
        target, OU, np.linspace(0.8, 2.6, 7), key=jax.random.key(4), samples=64, clones=2000, steps=32, trunk_from=5.0,
        sampler=dp.Bridge(OU, lambda y, v: target.posterior_mean(y, v)), classify=side,
    )  # fmt: skip


def test_an_exact_score_in_disguise_has_the_curve_of_the_identity(model):
    assert (model.attrs["score"], model.attrs["labelled_by"]) == ("given", "classifier")
    within(model.phi_hard_clones, model.phi_hard_clones_stderr, model.phi_theory, biased(model, "phi_hard_clones"))
    np.testing.assert_allclose(model.phi_clones, model.phi_hard_clones, rtol=1e-6)


def test_a_model_is_measured_against_the_threshold_of_the_classes_that_it_generates(model):
    weights, stderr = (np.array(model.attrs[f"clone_label_weights_hard{part}"]) for part in ("", "_stderr"))
    within(weights, stderr, [0.8, 0.2])
    # Less than of 2000 ends alone, more than of all that are: those of one trajectory depend on each other.
    assert np.sqrt(0.16 / (2000 * 14)) < stderr[0] < np.sqrt(0.16 / 2000)
    assert model.attrs["phi_floor_hard_clones"] == pytest.approx(0.68, abs=0.03)
    assert model.attrs["threshold_hard_clones"] == pytest.approx(thermo.threshold(weights[0]))
    low, high = (model.attrs[f"crossing_{end}_hard_clones"] for end in ("low", "high"))
    assert low < model.attrs["crossing_time_hard_clones"] < high
    assert low < model.attrs["theory_crossing_time"] < high


def test_a_classifier_of_sides_meets_the_exact_agreement_of_signs(oracles):
    times = (0.5, 1.0)
    target = dp.symmetric_mixture(np.ones(1, np.float32))
    ds = dp.speciation(
        target, OU, times, key=jax.random.key(2), samples=None, clones=8000, steps=96, stop=1e-4, classify=side
    )
    exact = [oracles[f"phi_latent_vs_sign_1d_t{t}"]["value"][1] for t in times]
    within(ds.phi_hard_clones, ds.phi_hard_clones_stderr, exact, 0.01)
    assert ds.attrs["score"] == "exact"


@pytest.mark.slow
def test_a_score_of_other_data_has_their_curve_and_not_the_identity():
    """Shrunk to 0.7: the exact score of another law, whose agreement of sides is known in closed form."""
    target, c = dp.symmetric_mixture(np.ones(16, np.float32)), 0.7
    ds = dp.speciation(
        target, OU, [1.0, 1.5], key=jax.random.key(2), samples=4000, clones=4000, steps=48, trunk_from=5.0,
        sampler=dp.Bridge(OU, lambda y, v: c * target.posterior_mean(y / c, v / c**2)), classify=side,
    )  # fmt: skip
    exact = thermo.sign_agreement(4 * c, c**2, np.expm1(2 * ds.t.values))
    within(ds.phi_hard_clones, ds.phi_hard_clones_stderr, exact, biased(ds, "phi_hard_clones"))
    assert np.all(ds.phi_hard_clones < ds.phi - 8 * np.hypot(ds.phi_hard_clones_stderr, ds.phi_stderr))
    words = _clone_words(ds, "phi")[0]
    assert "standard errors" not in words
    gap = (ds.phi_clones - ds.phi).values
    assert f"a given score: {gap[np.abs(gap).argmax()]:+.3f} from the exact one's identity" in words


def test_a_classifier_that_reads_as_the_posterior_does_gives_the_same_curves():
    """Of two points the estimate is m tanh(y.m / v), so that it tells the posterior."""
    points = dp.IsotropicMixture(np.log([0.5, 0.5]), np.array([[1.0, 0.5], [-1.0, -0.5]]), np.zeros(2))

    def classify(a, variance):
        field = jnp.arctanh(jnp.sum(a * points.means[0]) / jnp.sum(points.means[0] ** 2))
        return jnp.stack([field, -field])

    ys = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)))
    readings = [label_reading(points, points.posterior_mean, reading) for reading in (None, classify)]
    clones = [eqx.filter_jit(LabelAgreement(reading))(ys, jnp.asarray(1.2)) for reading in readings]
    for name, values in clones[0].items():
        np.testing.assert_allclose(clones[1][name], values, rtol=1e-9)


def test_levels_of_agreement_are_those_of_their_weights():
    assert agreement_level(np.array([0.5, 0.5])) == pytest.approx(0.77520024539666, abs=1e-12)
    assert agreement_level(np.array([0.25, 0.25, 0.5])) == pytest.approx(0.375 + 0.5 * 0.625)
    assert np.isnan(agreement_level(np.array([1.0, 0.0])))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return dp.Empirical(rng.normal(size=(40, 16)).astype(np.float32), np.arange(40) % 2)


@pytest.mark.slow
def test_a_memoriser_in_disguise_meets_at_data_as_the_identity_says(data):
    ds = dp.regimes(
        data, OU, [0.3, 0.5, 0.7, 0.9, 1.2], key=jax.random.key(11), samples=2000, clones=1000, steps=40, stop=0.05,
        trunk_from=3.0, datasets=0, sampler=dp.Bridge(OU, lambda y, v: data.posterior_mean(y, v)), classify=side,
    )  # fmt: skip
    assert (ds.attrs["score"], ds.attrs["labelled_by"]) == ("given", "classifier")
    for name in ("phi_c_clones", "phi_c_hard_clones"):
        within(ds[name], np.hypot(ds[f"{name}_stderr"], ds.phi_c_stderr), ds.phi_c, biased(ds, name))
    for suffix in ("", "_hard"):
        time, low, high = (ds.attrs[f"phi_c_half_{part}{suffix}_clones"] for part in ("time", "low", "high"))
        assert low < time < high
        assert time == pytest.approx(float(ds.collapse_time[1, 0]), abs=0.06)


@pytest.mark.slow
def test_a_model_has_the_regimes_of_its_own_clones_and_not_those_of_its_data():
    """Few points of two distant Gaussians, by the exact score of the law: it speciates as they do, but copies none."""
    law = dp.symmetric_mixture(np.full(8, 2.0, np.float32))
    points, labels = jax.vmap(law.sample_labelled)(jax.random.split(jax.random.key(5), 60))
    crowd = dp.Empirical(points, np.asarray(labels))
    ds = dp.regimes(
        crowd, OU, [0.05, 0.3, 0.8, 1.3, 1.8, 2.4], key=jax.random.key(6), samples=200, clones=300, steps=12,
        trunk_from=5.0, datasets=0, sampler=dp.Bridge(OU, law.posterior_mean), classify=side, trajectories=50,
    )  # fmt: skip
    a = ds.attrs
    assert (a["verdict"], a["verdict_model"], a["score"]) == ("speciation", "speciation", "given")
    assert a["regimes"] == "I and II: no collapse within these times"
    assert a["has_regime_two"] == 1
    # The exact score of the points does collapse.
    assert float(ds.collapse_time[0, 0]) > 0.3
    assert np.isnan(a["t_C"])
    assert np.isnan(a["t_C_sigma_v"])
    own = model_words(ds)
    assert own[0] == "The model, by its clones:"
    # Late clones end near each other, and so near one datum: that alone is no collapse.
    assert float(ds.phi_c_hard_clones[0]) > 0.5
    assert any(re.match("of the model +0.* phi_c_hard_clones crosses 1/2", line) for line in own)
    assert a["copied_share_clones"] < 0.1
    assert own[-1].endswith("I and II: no collapse within these times")
    assert sum(line.startswith("phi") and ", clones" in line for line in own) == 2
    # The nearest datum changes to the end.
    assert ds.sizes["trajectory"] == 50
    assert a["last_change_mean"] < 0.3
    assert a["last_change_mean_sigma_v"] == pytest.approx(np.sqrt(np.expm1(2 * a["last_change_mean"])))


def verdict(crossing, meeting, weights=(0.5, 0.5), copied=1.0):
    times = np.array([0.2, 1.0, 2.0])
    variables = {"phi_clones": ("t", times), "phi_c_hard_clones": ("t", np.array([1.0, meeting, np.nan]))}
    attrs = {
        "labelled_by": "classifier", "crossing_time_hard_clones": crossing, "clone_label_weights_hard": list(weights),
        "phi_floor_hard_clones": float(np.sum(np.square(weights))), "phi_c_half_time_hard_clones": 0.6,
        "copied_share_clones": copied,
    }  # fmt: skip
    return model_verdict(variables, attrs, times)


def test_labels_of_a_model_whose_clones_meet_at_data_are_set_by_collapse():
    assert verdict(1.0, 0.11)["verdict_model"].startswith("collapse: label agreement is set by collapse")
    assert verdict(1.0, 0.09)["verdict_model"] == "speciation"
    # Weights of 0.9 and 0.1 agree at 0.82 anyhow: what permuted labels could add is less.
    assert verdict(1.0, 0.25, (0.9, 0.1))["verdict_model"] == "speciation"
    assert verdict(np.nan, 0.0)["verdict_model"].startswith("none: the agreement does not cross")
    assert verdict(np.nan, 0.0, (1.0, 0.0))["verdict_model"].startswith("one class")
    assert verdict(0.6, 0.5)["phi_c_hard_clones_at_crossing"] == pytest.approx(0.75)
    assert verdict(1.0, 0.0)["t_C"] == 0.6
    assert verdict(1.0, 0.5, copied=0.05)["verdict_model"] == "speciation"
    assert np.isnan(verdict(1.0, 0.5, copied=0.4)["t_C"])
    assert np.isnan(verdict(1.0, 0.5, copied=0.5)["t_C"])


def test_a_model_whose_clones_end_at_copies_from_every_time_is_collapsed_throughout():
    assert verdict(1.0, 0.6)["collapsed_throughout"] == 1
    assert verdict(1.0, 0.4)["collapsed_throughout"] == 0
    # Near one datum, but of none a copy.
    assert verdict(1.0, 0.6, copied=0.4)["collapsed_throughout"] == 0


def test_copies_are_those_that_memorisation_counts(data):
    noise = np.random.default_rng(1).normal(size=(20, 16))
    ends = np.asarray(data.points)[:20] + np.linspace(0, 1.5, 20)[:, None] * noise
    reading = DatumAgreement(data, lambda y, v: y)
    found = jax.jit(jax.vmap(lambda a: reading(jnp.stack([a, a]), jnp.asarray(0.1, jnp.float32))["copied"]))(
        jnp.asarray(ends, jnp.float32)
    )
    counted = dp.memorisation(ends, np.asarray(data.points))
    np.testing.assert_array_equal(found, counted.nearest_distance < counted.second_distance / 3)
    assert 3 < found.sum() < 17


@pytest.mark.slow
def test_last_changes_of_whole_trajectories_are_those_that_start_halfway(data):
    """From the prior above, or from forward samples: the law of the time is the same once both grids are fine."""
    whole, halfway = (
        dp.collapse(
            data, OU, times, key=jax.random.key(seed), samples=None, trajectories=1500, steps=48, trunk_from=start,
            sampler=dp.Bridge(OU, lambda y, v: data.posterior_mean(y, v)),
        )
        for seed, times, start in ((11, [0.1, 1.2], 3.0), (12, [0.1, 3.0], None))
    )  # fmt: skip
    error = np.hypot(whole.attrs["last_change_stderr"], halfway.attrs["last_change_stderr"])
    within(whole.attrs["last_change_mean"], error, halfway.attrs["last_change_mean"])
    assert whole.attrs["last_change_std"] == pytest.approx(halfway.attrs["last_change_std"], rel=0.15)
    assert float(whole.last_change_time.max()) > 1.2


def test_last_changes_are_averaged_in_ou_time():
    """The mean of transformed times, not the transform of the mean; s.e. and s.d. by their definitions."""
    times = np.array([1.0, 3.0, 3.0, 9.0])
    found = last_change_attributes(dp.Brownian(), times)
    ou = 0.5 * np.log1p([float(dp.Brownian().kernel(t).variance) for t in times])
    assert found["last_change_mean"] == pytest.approx(ou.mean(), rel=1e-12)
    assert found["last_change_std"] == pytest.approx(ou.std(ddof=1), rel=1e-12)
    assert last_change_attributes(OU, times)["last_change_mean"] == 4.0


@pytest.mark.parametrize(
    ("experiment", "change", "message"),
    [
        ("speciation", {"classify": side}, "`classify` labels the ends of clones. Got no `clones`"),
        ("regimes", {"classify": side}, "`classify` labels the ends of clones. Got no `clones`"),
        ("speciation", {"classify": lambda a, v: a, "clones": 8},
         r"`classify` needs log-probabilities of the 2 labels of the target, of shape \(2,\). Got \(16,\)"),
        ("collapse", {"trajectories": 8, "trunk_from": 0.7}, "`trunk_from` needs a time above all `times`, 1.0"),
        ("regimes", {"trajectories": 8, "trunk_from": 0.7}, "`trunk_from` needs a time above all `times`, 1.0"),
        ("regimes", {"trajectories": 1}, "`trajectories` needs a whole number, at least 2"),
    ],
)  # fmt: skip
def test_experiments_on_models_refuse_what_means_nothing(data, experiment, change, message):
    with pytest.raises(ValueError, match=message):
        getattr(dp, experiment)(data, OU, [0.5, 1.0], key=jax.random.key(0), samples=None, **change)
