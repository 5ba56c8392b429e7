"""The main job on digits, MNIST and CIFAR: the numbers and verdicts that the reference found."""

import re

import jax
import numpy as np
import pytest
import xarray as xr

import diffphys as dp
from diffphys.experiments.regimes import _regimes_in_words

OU = dp.OrnsteinUhlenbeck()


def measure(loaded, times, samples=600):
    data = dp.Empirical(loaded.points, loaded.labels)
    return dp.regimes(data, OU, times, key=jax.random.key(0), samples=samples, datasets=0)


@pytest.fixture(scope="module")
def digits():
    loaded = dp.load("digits", classes=(0, 1), scale=(-1, 1))
    return measure(loaded, np.linspace(0.05, 3, 24), samples=2000)


def test_digits_have_the_three_regimes_of_the_readme(digits):
    assert digits.attrs["spectral_time"] == pytest.approx(1.01, abs=0.005)
    assert digits.attrs["crossing_time"] == pytest.approx(1.06, abs=0.02)
    assert float(digits.collapse_time[3, 0]) == pytest.approx(0.26, abs=0.005)
    assert digits.attrs["regimes"] == "I, II and III"
    assert digits.attrs["verdict"] == "speciation"
    assert digits.attrs["t_C"] < digits.attrs["spectral_time"]


def test_digits_between_zero_and_one_do_not_speciate():
    ds = measure(dp.load("digits"), [0.2, 0.5, 1.0], samples=64)
    assert np.isnan(ds.attrs["spectral_time"])
    assert ds.attrs["eigenvalue"] == pytest.approx(0.699, abs=5e-4)
    assert ds.attrs["regimes"].startswith("none: no speciation by the spectral criterion")


SLOW_TOO = ["speciation", *(pytest.param(name, marks=pytest.mark.slow) for name in ("collapse", "regimes"))]


@pytest.mark.parametrize("name", SLOW_TOO)
def test_what_needs_no_trajectory_is_told_before_clones_run(name, tmp_path):
    loaded = dp.load("digits", classes=(0, 1), scale=(-1, 1))
    data, told = dp.Empirical(loaded.points[:60], loaded.labels[:60]), []

    def tell(first):
        told.append((first, " ".join(path.name for path in tmp_path.iterdir())))

    ds = getattr(dp, name)(
        data, OU, [0.3, 1.0], key=jax.random.key(0), samples=32, clones=8, steps=2, datasets=0, checkpoint=tmp_path,
        tell=tell,
    )  # fmt: skip
    [(first, journals)] = told
    assert f"{name}-forward" in journals
    assert f"{name}-clones" not in journals
    assert "clones_run" not in first
    assert "clones_run" in ds
    # And nothing of it changes afterwards.
    xr.testing.assert_equal(first, ds[list(first.data_vars)])
    del first.attrs["created"]
    np.testing.assert_equal(first.attrs, {key: ds.attrs[key] for key in first.attrs})


def test_posterior_events_keep_their_noise_level_when_pixels_are_rescaled():
    """Crossings at the same sigma_v / scale; the spectral time moves by 1/2 log of another offset."""
    variances = np.geomspace(0.05, 400, 20)
    crossings = []
    for scale in (1.0, 3.0):
        points = dp.load("digits", classes=(0, 1), scale=(-1, 1))
        data = dp.Empirical(points.points * np.float32(scale), points.labels)
        times = 0.5 * np.log1p(scale**2 * variances)
        ds = dp.regimes(data, OU, times, key=jax.random.key(0), samples=500, datasets=0)
        crossings.append(np.sqrt(np.expm1(2 * np.array([ds.attrs["crossing_time"], ds.attrs["t_C"]]))) / scale)
    np.testing.assert_allclose(crossings[0], crossings[1], rtol=0.02)


def test_mnist_ones_and_eights_speciate_and_then_collapse(lab, monkeypatch):
    monkeypatch.setenv("DIFFPHYS_DATA", str(lab))
    loaded = dp.load("mnist", classes=(1, 8), per_class=5000, pad=32)
    ds = measure(loaded, np.linspace(0.12, 2.4, 14), samples=400)
    assert ds.attrs["eigenvalue"] == pytest.approx(7.668, abs=5e-4)
    assert ds.attrs["spectral_time"] == pytest.approx(1.018, abs=1e-3)
    assert ds.attrs["verdict"] == "speciation"
    assert ds.attrs["regimes"] == "I, II and III"
    assert ds.attrs["phi_permuted_at_crossing"] == pytest.approx(0.51, abs=0.01)
    zero, half, entropy, theory = ds.collapse_time.values
    # Four standard errors at 500 samples are about .05.
    np.testing.assert_allclose([zero[0], half[0], entropy[0]], [0.416, 0.35, 0.68], atol=0.05)
    np.testing.assert_allclose(theory, [0.459, 0.265, 0.568], atol=1e-3)
    assert ds.attrs["crossing_time"] == pytest.approx(0.96, abs=0.06)


def test_cifar_labels_are_decided_by_collapse(lab, monkeypatch):
    monkeypatch.setenv("DIFFPHYS_DATA", str(lab))
    loaded = dp.load("cifar10", classes=(1, 7), per_class=3000, channel="red")
    ds = measure(loaded, np.linspace(0.3, 2.0, 12), samples=300)
    assert ds.attrs["eigenvalue"] == pytest.approx(16.718, abs=1e-3)
    assert ds.attrs["verdict"].startswith("collapse")
    assert ds.attrs["has_regime_two"] == 0
    assert ds.attrs["crossing_time"] == pytest.approx(0.70, abs=0.04)
    assert ds.attrs["phi_permuted_at_crossing"] == pytest.approx(0.70, abs=0.03)
    assert ds.attrs["phi_c_at_crossing"] == pytest.approx(0.40, abs=0.06)
    assert float(ds.phi_left_out.max()) < 0.77


def test_regimes_refuses_a_model(unchecked):
    with pytest.raises(ValueError, match="`regimes` needs a data set"):
        dp.regimes(dp.symmetric_mixture(np.ones(4, np.float32)), OU, [1.0], key=jax.random.key(0))


def test_regimes_of_too_few_data_for_half_samples_say_what_is_wanted():
    pair = dp.Empirical(np.eye(2), np.array([0, 0]))
    with pytest.raises(ValueError, match=r"Half-samples of data need two points each. Got 2 data in all.*`datasets=0`"):
        dp.regimes(pair, OU, [0.5, 1.0], key=jax.random.key(0), samples=32)
    assert np.isfinite(dp.regimes(pair, OU, [0.5, 1.0], key=jax.random.key(0), samples=32, datasets=0).phi).all()


CASES = {
    "speciation": (dict(verdict="speciation", spectral_time=1.0), 0.3, "I, II and III", 1),
    "late collapse": (dict(verdict="speciation", spectral_time=1.0), 1.3, "I and III: collapse precedes", 0),
    "collapse": (dict(verdict="collapse: label", spectral_time=1.0), 0.3, "III below t_C; no regime I or II: label", 0),
    "data many times": (
        dict(verdict="collapse: label", spectral_time=1.0),
        np.nan,
        "no t_C within .*no regime I or II",
        0,
    ),
    "one class": (dict(verdict="one class: x", spectral_time=1.0), 0.3, "III below t_C; no regime I or II: one cl", 0),
    "no spectrum": (
        dict(verdict="speciation", spectral_time=np.nan),
        0.3,
        "none: .*labels are decided all the same",
        0,
    ),
    "no crossing": (
        dict(verdict="none: the", spectral_time=1.0),
        np.nan,
        "I above t_S, no collapse .*no regime II: the",
        0,
    ),
    "no collapse": (dict(verdict="speciation", spectral_time=1.0), np.nan, "I and II: no collapse", 1),
}
# All times below collapse: none of them is t_C either.
COLLAPSED = {
    "speciation": (1.0, "I and III: collapse precedes"),
    "collapse: label": (1.0, "III at all of these times; no regime I or II: label"),
    "none: the": (1.0, "I above t_S, III at all of these times; no regime II: the"),
}


@pytest.mark.parametrize("case", CASES)
def test_regimes_in_words_speak_of_speciation_only_where_labels_say_so(case):
    attrs, t_c, words, two = CASES[case]
    found = _regimes_in_words(attrs["spectral_time"], attrs["verdict"], t_c, False)
    assert re.match(words, found["regimes"])
    assert found["has_regime_two"] == two


@pytest.mark.parametrize("verdict", COLLAPSED)
def test_regimes_in_words_tell_times_below_collapse_from_times_above_it(verdict):
    t_s, words = COLLAPSED[verdict]
    found = _regimes_in_words(t_s, verdict, np.nan, True)
    assert found["regimes"].startswith(words)
    assert found["has_regime_two"] == 0


@pytest.mark.parametrize(("times", "collapsed"), [([0.01, 0.02], 1), ([2.0, 3.0], 0)])
def test_data_without_a_collapse_among_the_times_are_collapsed_at_all_or_at_none(times, collapsed):
    ds = dp.regimes(data_set(40), OU, times, key=jax.random.key(0), samples=32, datasets=0)
    assert np.isnan(ds.attrs["t_C"])
    assert ds.attrs["collapsed_throughout"] == collapsed
    assert ("III at all" in ds.attrs["regimes"]) == collapsed
    assert ("no collapse" in ds.attrs["regimes"]) != collapsed


def data_set(count):
    """Two classes in three dimensions."""
    labels = np.arange(count) % 2
    points = np.random.default_rng(count).normal(size=(count, 3)) + 2.0 * labels[:, None]
    return dp.Empirical(points, labels)


def test_clones_of_data_sets_of_nearly_one_size_are_traced_once():
    traced, counts = [], []

    def increments(key, shape, dtype):
        traced.append(shape)
        return dp.box_muller(key, shape, dtype)

    for count in (360, 353):
        dp.speciation(
            data_set(count), OU, [0.5], key=jax.random.key(0), samples=None, clones=8, steps=2, increments=increments,
            progress=False,
        )  # fmt: skip
        counts.append(len(traced))
    assert counts[0] == counts[1] >= 1


@pytest.mark.slow
def test_data_sets_of_nearly_one_size_compile_nothing_again(caplog):
    """Not for the identities, nor for half-samples, clones or the last change of the nearest datum."""
    compiled = []
    for count in (360, 356):
        data, shared = data_set(count), {"samples": 48, "datasets": 2, "clones": 8, "steps": 4, "progress": False}
        caplog.clear()
        with jax.log_compiles():
            dp.regimes(data, OU, [0.4, 0.8], key=jax.random.key(0), **shared)
            dp.collapse(data, OU, [0.4, 0.8], key=jax.random.key(0), trajectories=8, **shared)
        compiled.append([line.split(" with ")[0] for line in caplog.messages if line.startswith("Compiling")])
    assert len(compiled[0]) > 5
    assert compiled[1] == []
