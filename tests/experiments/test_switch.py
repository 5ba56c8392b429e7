"""One trajectory, conditioned above a time and free below: what it keeps of its class against the identity."""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from scipy.stats import norm

import diffphys as dp
from diffphys.experiments._conditional import ClassMean, Guided, exact_conditional

matplotlib.use("Agg")

OU = dp.OrnsteinUhlenbeck()
TIMES = [0.6, 1.0, 1.4, 1.8]
WEIGHTS = (0.0, 0.5, 1.0, 2.0)
# Two isotropic classes move along their means alone: two coordinates are as good as a thousand.
TARGET = dp.symmetric_mixture(np.full(2, 2.5, np.float32), weight=0.7)


def within(mean, stderr, exact, bias=0.0):
    np.testing.assert_array_less(np.abs(np.asarray(mean) - np.asarray(exact)), 4 * np.asarray(stderr) + bias)


@pytest.fixture(scope="module")
def run():
    return dp.switch(
        TARGET, OU, TIMES, key=jax.random.key(3), trajectories=6000, guidance=WEIGHTS, steps=32, chunk=1500
    )


def test_a_trajectory_keeps_its_class_as_often_as_two_clones_agree(run):
    kept = run.sel(guidance=1.0)
    bias = np.abs(kept.kept_bias) + 2 * kept.kept_bias_stderr
    within(kept.kept, kept.kept_stderr, run.phi_theory, bias)
    within(run.phi, run.phi_stderr, run.phi_theory)
    assert float(kept.kept[0] - kept.kept[-1]) > 0.25


def test_an_unguided_trajectory_ends_in_a_class_by_chance(run):
    kept = run.sel(guidance=0.0)
    assert run.attrs["floor"] == pytest.approx(0.58, abs=1e-6)
    within(kept.kept, kept.kept_stderr, 0.58)
    within(kept.kept_hard, kept.kept_hard_stderr, 0.58)


def test_more_guidance_keeps_more_at_every_time(run):
    """On common noise: far beyond the errors, and decided at a later time of release."""
    assert np.all(np.diff(run.kept.values, axis=1) > 0)
    assert np.all(np.diff(run.kept.values, axis=1)[1:] > 4 * run.kept_stderr.values[1:, 1:])
    crossings = run.crossing_time.values
    assert np.isnan(crossings[0])
    assert np.all(np.diff(crossings[1:][np.isfinite(crossings[1:])]) > 0.2)
    exact = dp.thermo.crossing_time(np.full(2, 2.5), 1.0, p=0.7)
    assert run.attrs["threshold"] == pytest.approx(dp.thermo.threshold(0.7))
    assert run.crossing_low[2] < exact < run.crossing_high[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "times"), [(dp.PhaseSpaceLangevin(), [0.25, 0.4]), (dp.Brownian(2.0), [4.0, 16.0])], ids=["pslD", "ve"]
)
def test_the_switch_is_the_identity_in_other_processes(process, times):
    ds = dp.switch(TARGET, process, times, key=jax.random.key(1), trajectories=2000, steps=48, samples=None)
    kept = ds.sel(guidance=1.0)
    within(kept.kept, kept.kept_stderr, ds.phi_theory, np.abs(kept.kept_bias) + 2 * kept.kept_bias_stderr)
    assert "phi" not in ds


@pytest.mark.slow
def test_the_flow_keeps_the_class_on_whose_side_it_is_released():
    """Half the classes' distance over the width is 1 at this time: a normal exceeds -1, and clones always agree."""
    ds = dp.switch(
        dp.symmetric_mixture(np.full(2, 2.5, np.float32)), OU, [0.5 * np.log(12.5)], key=jax.random.key(1),
        trajectories=4000, steps=64, stop=0.02, trunk_from=7.0, samples=None, sampler=dp.Conjugate,
    )  # fmt: skip
    within(ds.kept_hard[0], ds.kept_hard_stderr[0], norm.cdf(1), 0.005)
    assert float(ds.phi_theory[0]) == pytest.approx(0.7752, abs=1e-4)
    assert ds.attrs["is_time_reversal"] == 0


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [20, 10, 30])
    return dp.Empirical(1.5 * np.eye(3, 4)[labels] + rng.normal(size=(60, 4)), labels)


@pytest.mark.slow
def test_the_classes_of_a_data_set_are_kept_as_its_posterior_says(data):
    ds = dp.switch(data, OU, [0.3, 0.7], key=jax.random.key(2), trajectories=2000, steps=48, samples=4000)
    kept = ds.sel(guidance=1.0)
    error = np.hypot(kept.kept_stderr, ds.phi_stderr)
    within(kept.kept, error, ds.phi, np.abs(kept.kept_bias) + 2 * kept.kept_bias_stderr)
    assert ds.attrs["threshold"] == pytest.approx(0.5 * (1 + ds.attrs["floor"]))


@pytest.mark.parametrize("law", ["mixture", "data"])
def test_means_of_the_classes_average_to_the_mean_of_all(law, data):
    target = data if law == "data" else dp.hierarchical_mixture(jax.random.key(3), 4, (2, 2), (2.0, 1.0))
    conditional = exact_conditional(target)
    y = jnp.asarray([0.3, -0.8, 1.1, 0.2], jnp.asarray(target.sample(jax.random.key(0))).dtype)
    means = jax.jit(jax.vmap(lambda k: conditional(y, 0.8, k)))(jnp.arange(target.num_labels))
    posterior = jnp.exp(target.label_log_posterior(y, 0.8))
    np.testing.assert_allclose(posterior @ means, target.posterior_mean(y, 0.8), rtol=2e-5)
    assert float(jnp.ptp(means, axis=0).max()) > 0.3


def test_the_mean_of_a_component_is_its_closed_form():
    y, v = jnp.asarray([0.4, -1.0]), 0.7
    target = dp.symmetric_mixture(np.full(2, 2.5), 1.3, weight=0.7)
    found = jax.jit(jax.vmap(lambda k: ClassMean(target)(y, v, k)))(jnp.arange(2))
    np.testing.assert_allclose(found, (v * target.means + 1.3 * y[None]) / (1.3 + v), rtol=1e-10)


def test_guidance_goes_through_both_denoisers_on_a_line():
    target = dp.symmetric_mixture(np.full(2, 2.5))
    y, mean = jnp.asarray([0.4, -1.0]), ClassMean(target)
    at = jax.jit(jax.vmap(lambda w: Guided(mean, target.posterior_mean, jnp.int32(1), w)(y, 0.7)))(jnp.arange(4.0))
    np.testing.assert_allclose(at[0], target.posterior_mean(y, 0.7), rtol=1e-12)
    np.testing.assert_allclose(at[1], mean(y, 0.7, jnp.int32(1)), rtol=1e-12)
    np.testing.assert_allclose(at[3] - at[0], 3 * (at[1] - at[0]), rtol=1e-10)


def gaussian_of_the_class(y, variance, label):
    """Written by hand: what a class-conditional network would have learned."""
    mean = jnp.where(label == 0, 2.5, -2.5).astype(y.dtype)
    return (variance * mean + y) / (1 + variance)


def test_given_denoisers_and_a_classifier_take_the_place_of_the_exact_ones():
    ds = dp.switch(
        TARGET, OU, [0.8, 1.6], gaussian_of_the_class, denoise=lambda y, v: TARGET.posterior_mean(y, v), stop=0.02,
        classify=lambda a, v: 1e4 * jnp.stack([jnp.sum(a), -jnp.sum(a)]), key=jax.random.key(5), trajectories=3000,
        steps=48, samples=None,
    )  # fmt: skip
    assert (ds.attrs["score"], ds.attrs["labelled_by"]) == ("given", "classifier")
    kept = ds.sel(guidance=1.0)
    bias = np.abs(kept.kept_bias) + 2 * kept.kept_bias_stderr
    within(kept.kept_hard, kept.kept_hard_stderr, ds.phi_theory, bias)


def small(times, guidance=(1.0, 2.0), checkpoint=None):
    return dp.switch(
        TARGET, OU, times, key=jax.random.key(5), trajectories=40, steps=8, samples=None, chunk=8, guidance=guidance,
        checkpoint=checkpoint,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    return small([0.6, 2.4])


def test_an_interrupted_switch_resumes_to_the_same_bits(whole, tmp_path, monkeypatch):
    from diffphys.experiments import _chunks

    called, original = [], _chunks.ChunkedProgram.__call__

    def failing(self, index):
        if len(called) == 3:
            raise KeyboardInterrupt
        called.append(index)
        return original(self, index)

    monkeypatch.setattr(_chunks.ChunkedProgram, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        small([0.6, 2.4], checkpoint=tmp_path)
    monkeypatch.setattr(_chunks.ChunkedProgram, "__call__", lambda self, i: (called.append(i), original(self, i))[1])
    called.clear()
    resumed = small([0.6, 2.4], checkpoint=tmp_path)
    assert len(called) == 5 - 3
    for name in whole.data_vars:
        np.testing.assert_array_equal(whole[name], resumed[name])
    with pytest.raises(ValueError, match=r"`Journal` needs the folder of the same run.*inputs"):
        small([0.6, 2.4], (1.0, 3.0), tmp_path)


def test_the_order_of_the_times_is_that_of_the_caller(whole):
    np.testing.assert_allclose(small([2.4, 0.6]).kept.values[::-1], whole.kept.values, rtol=1e-6)
    assert np.all(whole.kept[0] > whole.kept[1])
    # 2 releases and 2 guidances: 2 calls for each of 4 led steps, 1 for each of 8 free ones; half as many once more.
    assert whole.attrs["denoiser_evaluations"] == 40 * 2 * 2 * (2 * 4 + 8) * 3 // 2


def test_the_figure_has_a_curve_for_each_guidance(run):
    import matplotlib.pyplot as plt

    axes = dp.plots.switch(run).axes[0]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {f"$w = {w:g}$" for w in WEIGHTS} <= set(texts)
    assert r"$\phi$, posterior identity" in texts
    curve = next(line for line in axes.lines if line.get_label() == r"$\phi$, posterior identity")
    np.testing.assert_array_equal(curve.get_ydata(), run.phi)
    plt.close("all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guidance": (1.0, np.nan)}, "`guidance` needs finite weights"),
        ({"guidance": ()}, "`guidance` needs finite weights"),
        ({"trajectories": 1}, "`trajectories` needs a whole number, at least 2"),
        ({"steps": 7}, "`steps` needs an even number"),
        ({"stop": 3.0}, "`stop` needs a time above 0 and below"),
        ({"trunk_from": 1.0}, "`trunk_from` needs a time above"),
        ({"samples": 5}, "`samples` needs a whole number"),
        ({"classify": lambda a, v: a[:1]}, r"`classify` needs log-probabilities of the 2 labels.*Got \(1,\)"),
    ],
)
def test_switch_refuses_what_means_nothing(change, message):
    arguments = {"key": jax.random.key(0), "trajectories": 16, "samples": None} | change
    with pytest.raises(ValueError, match=message):
        dp.switch(TARGET, OU, [0.5, 1.0], **arguments)


def test_switch_says_what_it_gives_the_denoiser_of_a_class():
    with pytest.raises(ValueError, match=r"It is called as `conditional\(y, v, label\)`; give one"):
        dp.switch(TARGET, OU, [0.6, 2.4], lambda y, v: y, key=jax.random.key(0), trajectories=16)
