"""Collapse against theory, simulation against identity, and the facts of real data."""

import json

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys import thermo
from diffphys.experiments import CRITERIA
from diffphys.experiments.collapse import collapse_theory

OU = dp.OrnsteinUhlenbeck()


def key():
    return jax.random.key(11)


def draw(target, n, seed=0):
    points, labels = jax.vmap(target.sample_labelled)(jax.random.split(jax.random.key(seed), n))
    return dp.Empirical(points, np.asarray(labels))


@pytest.fixture(scope="module")
def through_collapse(small):
    """Times about the collapse of the small data set, and trajectories down to the data."""
    times = np.geomspace(0.05, 3, 24)
    return dp.collapse(small, OU, times, key=key(), samples=1000, trajectories=300, steps=64, datasets=0)


@pytest.fixture(scope="module")
def off_a_trunk(small):
    """Clones and trajectories that come from noise."""
    return dp.collapse(
        small, OU, [0.5, 0.8], key=key(), samples=4000, clones=1500, trajectories=6, steps=64, trunk_from=5.0,
        datasets=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    return dp.Empirical(rng.normal(size=(100, 16)).astype(np.float32), np.arange(100) % 2)


def test_sampled_weights_of_two_classes_match_the_reference_simulation(oracles):
    """n = 20000, d = 256: f_e / alpha, phi_C and E[L], within five standard errors and 2 % for the data."""
    entry = oracles["collapse_sim_d256"]
    data = draw(dp.symmetric_mixture(np.ones(256, np.float32)), 20_000)
    ds = dp.collapse(data, OU, entry["inputs"]["t"], key=key(), samples=1500, datasets=0)
    rows = np.array(entry["value"])
    for column, name in ((0, "excess_entropy"), (2, "phi_c"), (4, "log_ratio")):
        error = np.hypot(rows[:, column + 1], ds[f"{name}_stderr"])
        scale = np.abs(rows[:, column]) if name != "log_ratio" else 2.0
        np.testing.assert_array_less(np.abs(ds[name] - rows[:, column]), 5 * error + 0.02 * scale)


def test_both_forms_of_each_identity_agree(small):
    """E sum w^2 = E w_J, E H(w) = E log(1 + e^L) (as E -log w_J): paired, four standard errors."""
    ds = dp.collapse(small, OU, [0.3, 0.6, 1.0], key=key(), samples=4000, datasets=0)
    error = np.hypot(ds.phi_c_stderr, ds.own_weight_stderr)
    np.testing.assert_array_less(np.abs(ds.phi_c - ds.own_weight), 4 * error)


def test_clones_meet_at_a_datum_as_often_as_the_identity_says(small, oracles):
    """The data, times and numbers are those of the reference too."""
    entry = oracles["clone_check_empirical"]
    ds = dp.collapse(small, OU, entry["inputs"]["tb"], key=key(), samples=4000, clones=2000, steps=64, datasets=0)
    for found, reference in zip((ds.phi_c_clones, ds.phi_c), np.transpose(entry["value"]), strict=True):
        np.testing.assert_array_less(np.abs(found - reference), 4 * ds.phi_c_clones_stderr + entry["tol"])
    error = np.hypot(ds.phi_c_clones_stderr, ds.phi_c_stderr)
    bias = np.abs(ds.phi_c_clones_bias) + 2 * ds.phi_c_clones_bias_stderr
    np.testing.assert_array_less(np.abs(ds.phi_c_clones - ds.phi_c), 4 * error + bias)
    np.testing.assert_array_less(np.abs(ds.phi_c_hard_clones - ds.phi_c), 4 * error + bias + 0.02)


def test_excess_entropy_lies_between_zero_and_the_load(small):
    ds = dp.collapse(small, OU, [0.02, 0.1, 1.0, 4.0, 8.0], key=key(), samples=4000, datasets=0)
    assert np.all(ds.excess_entropy >= 0)
    assert np.all(np.diff(ds.excess_entropy) > 0)
    assert float(ds.excess_entropy[-1]) == pytest.approx(1, abs=1e-4)
    assert float(ds.phi_c[0]) == pytest.approx(1, abs=1e-4)
    assert float(ds.phi_c[-1]) == pytest.approx(1 / 100, rel=1e-3)


def test_theory_of_the_law_is_the_class_corrected_curve(oracles):
    entry = oracles["fe_gm_repo_d1024"]
    law = dp.symmetric_mixture(np.ones(1024, np.float32))
    data = draw(law, 200)
    variables, attrs = collapse_theory(data, OU, np.array(entry["inputs"]["t"]), law)
    # The theory of 200 data, moved to 20000: only log n differs.
    corrected = (variables["excess_entropy_theory"][1] * np.log(200) + np.log(100)) / np.log(20_000)
    exact = np.array(entry["value"]["class_corrected"])
    wet = variables["excess_entropy_theory"][1] > 0
    assert wet.sum() >= 8
    np.testing.assert_allclose(corrected[wet], exact[wet], atol=1e-6)
    assert attrs["theory"].startswith("IsotropicMixture")


def test_every_collapse_time_has_its_name_and_group(small, through_collapse):
    ds = through_collapse
    assert ds.collapse_time.shape == (len(CRITERIA), 3)
    zero, half, entropy, theory = ds.collapse_time[:, 0].values
    assert zero == pytest.approx(half, rel=0.15)
    assert half < entropy
    spectrum = thermo.covariance_spectrum(np.asarray(small.points))
    assert theory == pytest.approx(thermo.collapse_time(100, spectrum), rel=1e-6)
    assert float(ds.collapse_time_low[0, 0]) < zero < float(ds.collapse_time_high[0, 0])
    low, median, high = ds.own_collapse_time[:, 0].values
    assert low < median < high


def test_free_energy_of_the_rest_meets_that_of_the_own_datum_at_collapse(through_collapse):
    """psi = E[L] / d - 1/2 passes -1/2 where E[L] passes 0."""
    ds = through_collapse
    at = np.interp(float(ds.collapse_time[0, 0]), ds.t, ds.psi)
    assert at == pytest.approx(-0.5, abs=1e-2)


def test_errors_over_data_sets_are_those_of_fresh_data():
    """The half-sample estimate against the spread over 12 fresh data sets, less Monte Carlo: within a factor 2."""
    law, times = dp.symmetric_mixture(np.ones(8, np.float32)), [0.5]
    runs = [dp.collapse(draw(law, 200, s), OU, times, key=key(), samples=4000, datasets=0) for s in range(12)]
    fresh = np.sqrt(
        np.var([float(r.excess_entropy[0]) for r in runs], ddof=1)
        - np.mean([float(r.excess_entropy_stderr[0]) ** 2 for r in runs])
    )
    ds = dp.collapse(draw(law, 200), OU, times, key=key(), samples=4000, datasets=12)
    assert 0.5 < float(ds.excess_entropy_stderr_data[0]) / fresh < 2


def test_last_change_of_the_nearest_datum_tells_the_same_time(through_collapse):
    ds = through_collapse
    last = ds.last_change_time.values
    assert last.shape == (300,)
    # Half the trajectories have made up their mind by about the time at which half the clones meet.
    assert np.median(last) == pytest.approx(float(ds.collapse_time[1, 0]), rel=0.35)


def test_trunk_from_noise_measures_the_same_agreement(off_a_trunk):
    ds = off_a_trunk
    error = np.hypot(ds.phi_c_clones_stderr, ds.phi_c_stderr)
    np.testing.assert_array_less(np.abs(ds.phi_c_clones - ds.phi_c), 4 * error + 0.03)


def test_interrupted_run_resumes_to_the_same_bits(small, tmp_path, monkeypatch):
    arguments = {"samples": 64, "clones": 48, "steps": 8, "chunk": 8, "datasets": 0}
    whole = dp.collapse(small, OU, [0.5, 0.8], key=key(), **arguments)
    from diffphys.experiments import _chunks

    called, original = [], _chunks.ChunkedProgram.__call__

    def failing(self, index):
        if len(called) == 9:
            raise KeyboardInterrupt
        called.append(index)
        return original(self, index)

    monkeypatch.setattr(_chunks.ChunkedProgram, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        dp.collapse(small, OU, [0.5, 0.8], key=key(), checkpoint=tmp_path, **arguments)
    monkeypatch.setattr(_chunks.ChunkedProgram, "__call__", lambda self, i: (called.append(i), original(self, i))[1])
    called.clear()
    resumed = dp.collapse(small, OU, [0.5, 0.8], key=key(), checkpoint=tmp_path, **arguments)
    assert len(called) == 8 + 6 - 9
    for name in whole.data_vars:
        np.testing.assert_array_equal(whole[name], resumed[name])
    with pytest.raises(ValueError, match=r"`Journal` needs the folder of the same run.*times: \[0.5, 0.8\] there"):
        dp.collapse(small, OU, [0.5, 0.9], key=key(), checkpoint=tmp_path, **arguments)


def test_each_time_has_the_samples_that_its_error_needs(small):
    """The first n_t of the same samples: the mean at a time is that of a run of n_t samples at all times."""
    times = [0.1, 0.4, 0.8, 1.6, 4.0]
    ds = dp.collapse(small, OU, times, key=key(), stderr=0.006, datasets=0)
    assert np.all(ds.excess_entropy_stderr <= 0.006)
    samples = ds.samples.values
    assert samples.min() == 256
    assert samples.max() > 768
    assert ds.attrs["samples"] == samples.max()
    for number in (256, int(samples.max())):
        alone = dp.collapse(small, OU, times, key=key(), samples=number, datasets=0)
        same = samples == number
        assert same.any()
        assert np.all(alone.samples == number)
        for name in ("excess_entropy", "excess_entropy_stderr", "phi_c_class", "log_ratio"):
            np.testing.assert_allclose(ds[name][..., same], alone[name][..., same], rtol=1e-4, atol=1e-7)
    assert np.isfinite(ds.own_collapse_time).all()
    assert np.all(ds.collapse_time_low[:3, 0] < ds.collapse_time_high[:3, 0])


def test_an_allocation_is_resumed_to_the_same_bits(small, tmp_path, monkeypatch):
    from diffphys.experiments import _chunks

    arguments = {"stderr": 0.008, "datasets": 0, "chunk": 64}
    called, original = [], _chunks.ChunkedProgram.__call__
    monkeypatch.setattr(_chunks.ChunkedProgram, "__call__", lambda self, i: (called.append(i), original(self, i))[1])
    whole = dp.collapse(small, OU, [0.4, 0.8], key=key(), **arguments)
    assert len(called) > 6

    def failing(self, index):
        if len(called) == 6:
            raise KeyboardInterrupt
        return called.append(index) or original(self, index)

    count = len(called)
    called.clear()
    monkeypatch.setattr(_chunks.ChunkedProgram, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        dp.collapse(small, OU, [0.4, 0.8], key=key(), checkpoint=tmp_path, **arguments)
    called.clear()
    monkeypatch.setattr(_chunks.ChunkedProgram, "__call__", lambda self, i: (called.append(i), original(self, i))[1])
    resumed = dp.collapse(small, OU, [0.4, 0.8], key=key(), checkpoint=tmp_path, **arguments)
    assert len(called) == count - 6
    for name in whole.data_vars:
        np.testing.assert_array_equal(whole[name], resumed[name])


def test_curves_of_the_data_do_not_need_those_of_the_labels(small):
    """`collapse` leaves the labels out, `regimes` has both: the same samples, the same curves."""
    alone, both = (
        run(small, OU, [0.5, 0.8], key=key(), samples=64, datasets=0, chunk=64) for run in (dp.collapse, dp.regimes)
    )
    for name in ("excess_entropy", "phi_c", "own_weight", "log_ratio"):
        np.testing.assert_allclose(alone[name], both[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        (0.0, "`stderr` needs a positive error"),
        (float("nan"), "`stderr` needs a positive error"),
        (1e-7, r"`stderr` needs about .* samples at t = 0.5, and 1000000 are allowed. Do ask for"),
    ],
)
def test_errors_that_cannot_be_reached_are_refused(small, stderr, message):
    with pytest.raises(ValueError, match=message):
        dp.collapse(small, OU, [0.5], key=key(), stderr=stderr, datasets=0)


def test_memory_that_runs_out_halves_the_chunk(small, monkeypatch):
    from diffphys.experiments import _chunks

    whole = dp.collapse(small, OU, [0.5, 0.8], key=key(), samples=64, datasets=0, chunk=64)
    original = _chunks.ChunkedProgram.__init__

    def starved(self, program, *args, **kwargs):
        original(self, program, *args, **kwargs)

        def limited(*arguments):
            if arguments[-1] > 16:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
            return program(*arguments)

        self._program = limited

    monkeypatch.setattr(_chunks.ChunkedProgram, "__init__", starved)
    halved = dp.collapse(small, OU, [0.5, 0.8], key=key(), samples=64, datasets=0, chunk=64)
    np.testing.assert_allclose(halved.phi_c, whole.phi_c, rtol=1e-5)


def test_a_result_has_the_settings_of_its_trajectories_and_none_that_collapse_cannot_have(off_a_trunk):
    config = json.loads(off_a_trunk.attrs["config"])
    assert "classify" not in config["clones"]
    assert {name: config["trajectories"][name] for name in ("number", "steps", "grid", "trunk_from")} == {
        "number": 6, "steps": 64, "grid": "log_snr_grid", "trunk_from": 5.0,
    }  # fmt: skip
    assert config["trajectories"]["sampler"]["kind"] == "Bridge"


def test_theory_alone_knows_the_load(small):
    ds = dp.collapse(small, OU, [0.5], key=key(), samples=None)
    assert ds.attrs["alpha"] == pytest.approx(np.log(100) / 16)
    assert ds.attrs["d_varying"] == 16


def test_collapse_refuses_a_model_without_data(unchecked):
    with pytest.raises(ValueError, match=r"`collapse` needs a data set, `Empirical\(points\)`. Got `IsotropicMixture`"):
        dp.collapse(dp.symmetric_mixture(np.ones(4, np.float32)), OU, [1.0], key=key())
