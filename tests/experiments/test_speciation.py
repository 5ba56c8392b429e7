"""Speciation against theory: by the identity, by clones, in every process."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys import thermo

KEY = 7
OU = dp.OrnsteinUhlenbeck()


def within(mean, stderr, exact, sigmas=4.0, floor=2e-4, bias=0.0):
    """Every point within so many standard errors (and a bias) of its exact value: false alarm 6e-5 a point."""
    np.testing.assert_array_less(
        np.abs(np.asarray(mean) - np.asarray(exact)), sigmas * np.asarray(stderr) + floor + bias
    )


def two_gaussians(d, dtype=np.float32):
    return dp.symmetric_mixture(np.ones(d, dtype))


@pytest.mark.parametrize("d", [256, 1024])
def test_identity_equals_the_integral_at_the_authors_times(oracles, d):
    entry = oracles[f"phi_gm_repo_d{d}"]
    ds = dp.speciation(two_gaussians(d), OU, entry["inputs"]["t"], key=jax.random.key(KEY), samples=1000)
    within(ds.phi, ds.phi_stderr, entry["value"]["theory"])
    within(ds.phi_true, ds.phi_true_stderr, entry["value"]["theory"])
    np.testing.assert_allclose(ds.phi_theory, entry["value"]["theory"], atol=1e-9)
    assert float(ds.phi_stderr.max()) < 0.006


@pytest.mark.parametrize("case", [3, *(pytest.param(case, marks=pytest.mark.slow) for case in range(3))])
def test_euler_steps_of_the_authors_have_their_agreement(oracles, case):
    """Along the means, down to 0.02, where classes are long decided, for an even number of steps."""
    entry = oracles["em_bias_phi_dt0.01"]
    d, t = entry["inputs"]["cases"][case]
    law = dp.reduce(two_gaussians(d)).target
    ds = dp.speciation(
        law, OU, [t], key=jax.random.key(KEY), samples=None, clones=100_000, stop=0.02, steps=round(100 * t) - 2,
        sampler=dp.ReverseSDE(OU, law.posterior_mean), grid=dp.clocks.uniform_grid,
    )  # fmt: skip
    within(ds.phi_clones, ds.phi_clones_stderr, entry["value"][case], bias=entry["tol"])


@pytest.fixture(scope="module")
def of_sixty_four():
    """Eighteen times of two Gaussians, by the identity."""
    return dp.speciation(two_gaussians(64), OU, np.linspace(0.6, 4, 18), key=jax.random.key(KEY), samples=4000)


def test_crossing_of_two_gaussians_is_the_zero_of_the_score_at_any_dimension(of_sixty_four):
    ds = of_sixty_four
    assert ds.attrs["crossing_low"] < 0.5 * np.log(64) < ds.attrs["crossing_high"]
    assert ds.attrs["score_zero_time"] == pytest.approx(0.5 * np.log(64), abs=1e-12)
    assert ds.attrs["spectral_time"] == pytest.approx(0.5 * np.log(65), abs=1e-12)
    assert ds.attrs["drift_time"] == pytest.approx(0.5 * np.log(128), abs=1e-12)
    assert ds.attrs["verdict"] == "speciation"


def test_crossing_interval_covers_the_exact_time():
    """Over 40 seeds a 95 % interval fails more than 7 times with probability 3e-4."""
    hits = 0
    for seed in range(40):
        ds = dp.speciation(two_gaussians(16), OU, np.linspace(0.4, 3, 8), key=jax.random.key(seed), samples=400)
        hits += ds.attrs["crossing_low"] < 0.5 * np.log(16) < ds.attrs["crossing_high"]
    assert hits >= 33


PROCESSES = {
    "ou": (OU, [1.0, 1.8, 2.6]),
    "cold-ou": (dp.OrnsteinUhlenbeck(0.5), [1.3, 2.0, 3.0]),
    "brownian": (dp.Brownian(2.0), [2.0, 10.0, 60.0]),
    "pslD": (dp.PhaseSpaceLangevin(), [0.2, 0.35, 0.5]),
    "third-order": (dp.third_order_langevin(), [1.6, 2.0, 2.6]),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_clones_agree_with_the_identity_in_every_process(name):
    process, times = PROCESSES[name]
    target = two_gaussians(16)
    ds = dp.speciation(target, process, times, key=jax.random.key(KEY), samples=None, clones=2000, steps=64)
    # What halving the grid moves is about the bias that is left.
    within(
        ds.phi_clones,
        ds.phi_clones_stderr,
        ds.phi_theory,
        bias=np.abs(ds.phi_clones_bias) + 2 * ds.phi_clones_bias_stderr,
    )
    assert float(ds.phi_clones.max() - ds.phi_clones.min()) > 0.15


def test_clones_off_one_trunk_agree_with_the_identity():
    ds = dp.speciation(
        two_gaussians(16),
        OU,
        [1.0, 1.5, 2.0],
        key=jax.random.key(KEY),
        samples=None,
        clones=2000,
        steps=48,
        trunk_from=6.0,
        sampler=dp.ReverseSDE(OU, two_gaussians(16).posterior_mean),
    )
    within(ds.phi_clones, ds.phi_clones_stderr, ds.phi_theory, bias=0.01)


def test_more_clones_a_branch_leave_the_mean_and_lower_the_error():
    pair, many = (
        dp.speciation(
            two_gaussians(16), OU, [1.4], key=jax.random.key(KEY), samples=None, clones=2000, branches=b, steps=32
        )
        for b in (2, 6)
    )
    within(many.phi_clones, many.phi_clones_stderr, many.phi_theory, bias=0.01)
    assert float(many.phi_clones_stderr[0]) < 0.75 * float(pair.phi_clones_stderr[0])


@pytest.mark.parametrize(("level", "phi"), [(0.0, 1.0), (0.5, 0.893), (2**0.5, 0.680), (2.0, 0.572)])
def test_other_members_of_the_family_have_another_agreement_and_name(level, phi):
    """Same marginals, other paths: the values at t_S for d = 1024 in the reference, where the identity is .7752.

    Isotropic classes move along their means alone, so that one dimension is enough.
    """
    target = dp.symmetric_mixture(np.full(1, 32.0, np.float32))
    ds = dp.speciation(
        target,
        OU,
        [0.5 * np.log(1024)],
        key=jax.random.key(KEY),
        samples=None,
        clones=4000,
        steps=200,
        stop=0.3,
        sampler=dp.ReverseSDE(OU, target.posterior_mean, level),
        grid=dp.clocks.uniform_grid,
    )
    assert "phi_clones" not in ds
    within(ds.phi_sampler, ds.phi_sampler_stderr, phi, bias=0.015)


@pytest.mark.parametrize("t", ["0.05", "0.5", "1.0"])
def test_hard_labels_follow_the_sign_and_latent_ones_the_identity(oracles, t):
    latent, sign = oracles[f"phi_latent_vs_sign_1d_t{t}"]["value"]
    target = dp.symmetric_mixture(np.ones(1, np.float32))
    ds = dp.speciation(target, OU, [float(t)], key=jax.random.key(KEY), samples=1000, clones=8000, steps=128, stop=1e-4)
    within(ds.phi_clones, ds.phi_clones_stderr, latent, bias=0.01)
    within(ds.phi_hard_clones, ds.phi_hard_clones_stderr, sign, bias=0.01)


def test_agreement_is_a_martingale_so_that_clones_may_stop_anywhere():
    runs = [
        dp.speciation(
            two_gaussians(16), OU, [1.5], key=jax.random.key(KEY), samples=None, clones=2000, steps=32, stop=stop
        )
        for stop in (1.2, 0.6, 0.05)
    ]
    for ds in runs:
        within(ds.phi_clones, ds.phi_clones_stderr, ds.phi_theory, bias=0.01)
    errors = [float(ds.phi_clones_stderr[0]) for ds in runs]
    assert errors[0] < errors[1] < errors[2]


def test_unequal_weights_have_their_own_threshold():
    target = dp.symmetric_mixture(np.ones(64, np.float32), weight=0.8)
    ds = dp.speciation(target, OU, np.linspace(0.6, 4.5, 20), key=jax.random.key(KEY), samples=4000)
    within(ds.phi, ds.phi_stderr, ds.phi_theory)
    assert ds.attrs["threshold"] == pytest.approx(0.8368, abs=5e-5)
    assert ds.attrs["floor"] == pytest.approx(0.68, abs=1e-6)
    assert ds.attrs["crossing_low"] < ds.attrs["theory_crossing_time"] < ds.attrs["crossing_high"]


def test_orthogonal_classes_follow_their_theory_and_report_normalised_overlap():
    classes, d, norm = 4, 32, 4.0
    target = dp.mixture(norm * np.eye(d, dtype=np.float32)[:classes])
    ds = dp.speciation(target, OU, [0.5, 1.0, 1.5, 2.5], key=jax.random.key(KEY), samples=4000)
    exact = thermo.agreement_orthogonal(classes, norm / np.sqrt(1 + ds.sigma_v.values**2))
    within(ds.phi, ds.phi_stderr, exact)
    np.testing.assert_allclose(ds.overlap, (ds.phi - 0.25) / 0.75, atol=1e-12)
    assert 0.5 < ds.attrs["half_information_time"] < 2.5


def test_more_than_two_classes_cross_half_their_overlap_where_their_theory_does():
    classes, d, norm = 3, 16, 4.0
    target = dp.mixture(norm * np.eye(d, dtype=np.float32)[:classes])
    times = np.linspace(0.5, 2.5, 9)
    ds = dp.speciation(target, OU, times, key=jax.random.key(KEY), samples=2000)
    exact = thermo.agreement_orthogonal(classes, norm / np.sqrt(1 + ds.sigma_v.values**2))
    assert ds.attrs["threshold"] == pytest.approx(2 / 3, abs=1e-6)
    expected = np.interp(-2 / 3, -exact, times)
    # The interval is of two standard errors; the theory may miss it by as much again, and 0.01 between the times.
    low, high = ds.attrs["crossing_low"], ds.attrs["crossing_high"]
    assert low < ds.attrs["crossing_time"] < high
    assert abs(ds.attrs["crossing_time"] - expected) < high - low + 0.01


def test_levels_of_a_hierarchy_speciate_one_after_the_other():
    target = dp.hierarchical_mixture(jax.random.key(3), 64, (2, 2), (12.0, 4.0))
    ds = dp.speciation(target, OU, np.linspace(0.3, 4, 12), key=jax.random.key(KEY), samples=2000)
    coarse, fine = ds.phi_level.values
    assert np.all(coarse >= fine - 1e-6)
    np.testing.assert_allclose(fine, ds.phi, atol=1e-6)
    outer = thermo.agreement(thermo.separation(np.array([12.0]), 1.0, ds.sigma_v.values**2))
    within(coarse, ds.phi_level_stderr[0], outer)
    # Half the distance squared on each level: 144 + 1; and 8 + 1 twice.
    np.testing.assert_allclose(np.exp(2 * np.array(ds.attrs["outlier_times"])), [145, 9, 9], rtol=1e-4)


def test_class_information_equals_its_closed_form(of_sixty_four):
    ds = of_sixty_four
    exact = thermo.class_information(ds.separation.values) / np.log(2)
    within(ds.class_information, ds.class_information_stderr, exact)


def test_results_carry_every_clock_and_their_settings(tmp_path):
    ds = dp.speciation(two_gaussians(16), OU, [1.6], key=jax.random.key(KEY), samples=400, clones=2000, steps=32)
    back = dp.results.load(dp.results.save(ds, tmp_path / "speciation.nc"))
    np.testing.assert_array_equal(back.phi, ds.phi)
    for clock in ("sigma_v", "log_snr", "ddpm_index", "vp_linear", "flow_matching", "t_ou"):
        assert clock in back.coords
    np.testing.assert_allclose(back.sigma_v**2, np.expm1(2 * ds.t), rtol=1e-12)
    assert back.attrs["steps"] == 32
    assert back.attrs["sampler"] == "Bridge"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [0.0, 1.0]}, "`times` needs finite times above 0"),
        ({"times": [1.0, 3.0, 2.0]}, "`times` needs distinct times in order"),
        ({"times": [1.0, np.nan]}, "`times` needs finite"),
        ({"times": "abc"}, "`times` needs numbers. Got 'abc'"),
        ({"samples": "a"}, "`samples` needs a whole number, at least 32. Got 'a'"),
        ({"samples": 64.0}, "`samples` needs a whole number, at least 32. Got 64.0"),
        ({"samples": 5}, "`samples` needs a whole number, at least 32"),
        ({"clones": 1}, "`clones` needs a whole number, at least 2"),
        ({"clones": 2**31}, "`clones` needs at most 1073741824. Got 2147483648"),
        ({"clones": 10, "branches": 1}, "`branches` needs"),
        ({"clones": 10, "steps": 7}, "`steps` needs an even number"),
        ({"clones": 10, "stop": 2.0}, "`stop` needs a time above 0 and below"),
        ({"clones": 10, "trunk_from": 0.5}, "`trunk_from` needs a time above"),
        ({"clones": 10, "clone_times": [0.3]}, "`clone_times` needs some of `times`"),
        ({"chunk": 0}, "`chunk` needs a positive number"),
    ],
)
def test_speciation_refuses_what_means_nothing(change, message, unchecked):
    arguments = {"times": [1.0, 2.0], "key": jax.random.key(KEY), "samples": 64} | change
    with pytest.raises(ValueError, match=message):
        dp.speciation(two_gaussians(4), OU, **arguments)


def test_speciation_refuses_a_target_without_labels(unchecked):
    law = dp.Gaussian(np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match=r"`speciation` needs a target with labels.*Got `Gaussian`"):
        dp.speciation(law, OU, [1.0], key=jax.random.key(0))


def test_theory_alone_knows_the_threshold_of_two_classes():
    ds = dp.speciation(dp.symmetric_mixture(np.ones(4), weight=0.8), OU, [1.0], key=jax.random.key(0), samples=None)
    assert ds.attrs["threshold"] == pytest.approx(0.8368, abs=5e-5)


def test_a_chunk_beyond_the_memory_is_refused_before_the_run_and_one_that_is_chosen_is_smaller(monkeypatch):
    def run(**options):
        return dp.speciation(two_gaussians(256), OU, [1.0, 2.0], key=jax.random.key(KEY), samples=4096, **options)

    monkeypatch.setattr("diffphys.experiments._chunks.free_bytes", lambda: 3 * 2**20)
    with pytest.raises(ValueError, match=r"A `chunk` of 1024 needs .* MiB.*Ask for a `chunk` of at most \d+"):
        # As it would be chosen with more memory: every size that is tried is a program.
        run(chunk=1024)
    assert run().attrs["chunk_forward"] < 1024
    monkeypatch.setattr("diffphys.experiments._chunks.free_bytes", lambda: 1000)
    with pytest.raises(ValueError, match=r"A `chunk` of 1 needs .* MiB.*Free memory, or use a larger machine"):
        run()


def test_a_target_whose_covariance_is_not_known_is_measured_by_its_draws():
    states = dp.pure_states(np.array([[0.6] * 9, [-0.6] * 9]))
    ds = dp.speciation(states, dp.OrnsteinUhlenbeck(), [0.3, 1.0], key=jax.random.key(0), samples=64)
    # 1 - m^2 + d m^2 along the states; an eigenvalue of 4096 draws has a relative error of at most (2 / 4096)^1/2.
    np.testing.assert_allclose(ds.attrs["eigenvalue"], 0.64 + 9 * 0.36, rtol=4 * (2 / 4096) ** 0.5)
    assert ds.attrs["spectral_time_low"] < 0.5 * np.log(0.64 + 9 * 0.36) < ds.attrs["spectral_time_high"]
