"""What a mixture is on the few coordinates that its labels depend on."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import diffphys as dp
from diffphys.samplers.base import place, run
from diffphys.targets import IsotropicMixture, SharedCovarianceMixture

DIM = 7


def rotated(eigenvalues, seed=0):
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))[0]
    return basis @ np.diag(eigenvalues) @ basis.T


def means_of(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, DIM))


# A target, and how many coordinates its labels depend on.
TARGETS = {
    "two classes": (dp.symmetric_mixture(np.ones(DIM), 0.5, 0.3), 1),
    "three points": (IsotropicMixture(np.zeros(3), means_of(3), np.zeros(3)), 2),
    "three on a line": (IsotropicMixture(np.zeros(3), np.outer([0.0, 1.0, 3.0], np.ones(DIM)) + 2.0, np.ones(3)), 1),
    "two eigenspaces": (SharedCovarianceMixture([0.0, 0.5], means_of(2), rotated([1, 1, 1, 1, 1, 1, 4.0])), 2),
    "three of three": (SharedCovarianceMixture(np.zeros(3), means_of(3), rotated([1, 1, 1, 1, 2, 2, 2.0])), 4),
    "a tree": (dp.hierarchical_mixture(jr.key(3), DIM, (2, 2), (2.0, 1.0)), 3),
}
every_target = pytest.mark.parametrize("name", TARGETS)


@every_target
def test_labels_and_denoiser_are_those_of_the_projection(name, getkey):
    target, size = TARGETS[name]
    small, basis, _ = dp.reduce(target)
    assert small.dim == size
    np.testing.assert_allclose(basis.T @ basis, np.eye(size), atol=1e-12)
    for variance in (0.05, 1.0, 20.0):
        y = 2 * jr.normal(getkey(), (DIM,))
        np.testing.assert_allclose(
            small.label_log_posterior(y @ basis, variance), target.label_log_posterior(y, variance), atol=1e-10
        )
        np.testing.assert_allclose(
            small.posterior_mean(y @ basis, variance), target.posterior_mean(y, variance) @ basis, atol=1e-12
        )


@every_target
def test_what_is_left_out_is_one_gaussian_and_says_nothing(name, getkey):
    target, _ = TARGETS[name]
    small, basis, _ = dp.reduce(target)
    rest = jnp.eye(DIM) - basis @ basis.T
    np.testing.assert_allclose((target.means - target.means[:1]) @ rest, 0, atol=1e-12)
    y, variance = jr.normal(getkey(), (DIM,)), 0.7
    # The covariance couples nothing that is kept with anything that is not.
    coupling = basis.T @ target.posterior_covariance(y, variance) @ rest
    np.testing.assert_allclose(coupling, 0, atol=1e-12)
    np.testing.assert_array_equal(small.label_weights, target.label_weights)


SAMPLERS = {
    "bridge": (dp.Bridge, dp.OrnsteinUhlenbeck()),
    "reverse": (dp.ReverseSDE, dp.Brownian()),
    "multistep": (dp.DPMSolverMultistep, dp.OrnsteinUhlenbeck()),
    "phase space": (dp.ReverseSDE, dp.PhaseSpaceLangevin()),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_projected_trajectory_is_one_of_the_reduced_mixture(kind, getkey):
    rule, process = SAMPLERS[kind]
    target, _ = TARGETS["two eigenspaces"]
    reduction = dp.reduce(target)
    ends = []
    ts = np.linspace(1.5, 0.05, 9)
    z = dp.Diffused(target, process).sample(getkey(), ts[0])
    full = rule(process, target.posterior_mean)
    noise = jr.normal(getkey(), (len(ts) - 1, full.draws, *z.shape))
    for sampler, project in (
        (full, lambda x: x),
        (rule(process, reduction.target.posterior_mean), reduction.project),
    ):
        rows = place(sampler.plan(ts), z.dtype)
        ends.append(run(sampler, rows, project(z), lambda i, project=project: project(noise[i])))
    np.testing.assert_allclose(reduction.project(ends[0]), ends[1], atol=1e-11)


def test_agreement_of_clones_is_that_of_all_coordinates(getkey):
    target, process = dp.symmetric_mixture(np.ones(64)), dp.OrnsteinUhlenbeck()
    small = dp.reduce(target).target
    options = {"clones": 1500, "samples": None, "steps": 16, "progress": False}
    curves = [dp.speciation(law, process, [1.5, 2.5], key=getkey(), **options) for law in (target, small)]
    gap = curves[0].phi_clones - curves[1].phi_clones
    error = np.hypot(curves[0].phi_clones_stderr, curves[1].phi_clones_stderr)
    # Two times at 4 standard errors: a false alarm in 8000 seeds.
    assert np.all(np.abs(gap) < 4 * error)
    np.testing.assert_allclose(curves[0].attrs["spectral_time"], curves[1].attrs["spectral_time"], rtol=1e-12)


def test_float32_keeps_its_type_and_finds_the_same_directions():
    target = SharedCovarianceMixture(
        np.zeros(2, np.float32), means_of(2).astype(np.float32), rotated([1, 1, 1, 1, 1, 1, 4.0]).astype(np.float32)
    )
    small, basis, _ = dp.reduce(target)
    assert (small.dim, small.means.dtype, basis.dtype) == (2, np.float32, np.float32)


def test_a_dense_tail_of_small_eigenvalues_is_not_taken_for_one_of_them():
    eigenvalues = np.concatenate([[1.0], np.linspace(1e-9, 1e-4, 60)]).astype(np.float32)
    mean = np.concatenate([[0.0], np.full(60, 1e-3)]).astype(np.float32)
    target = SharedCovarianceMixture(np.zeros(2, np.float32), np.stack([mean, -mean]), eigenvalues)
    small, basis, _ = dp.reduce(target)
    y, variance = 0.05 * target.means[0], np.float32(1e-6)
    np.testing.assert_allclose(
        small.label_log_posterior(y @ basis, variance), target.label_log_posterior(y, variance), atol=1e-4
    )


def test_sweeps_over_the_dimension_compile_once(caplog):
    """Clones and identities of two classes, on the one coordinate that they have in any dimension."""
    compiled = []
    for dim in (64, 96, 4096):
        target = dp.reduce(dp.symmetric_mixture(np.ones(dim))).target
        caplog.clear()
        with jax.log_compiles():
            ds = dp.speciation(
                target, dp.OrnsteinUhlenbeck(), [0.5 * np.log(dim)], key=jr.key(0), samples=32, clones=4, steps=4,
                progress=False,
            )  # fmt: skip
        assert ds.attrs["theory_crossing_time"] == pytest.approx(0.5 * np.log(dim))
        compiled.append(sum("Compiling" in line for line in caplog.messages))
    assert compiled[0] >= 2
    assert compiled[1:] == [0, 0]


def test_a_target_with_other_labels_is_refused():
    with pytest.raises(ValueError, match=r"needs a mixture of Gaussians.*`CurieWeiss`"):
        dp.reduce(dp.CurieWeiss(8, 0.5))


def test_unequal_variances_are_refused():
    with pytest.raises(ValueError, match=r"one covariance for all.*length of an observation"):
        dp.reduce(IsotropicMixture(np.zeros(2), means_of(2), np.array([1.0, 2.0])))


def test_equal_means_are_refused():
    with pytest.raises(ValueError, match="different means"):
        dp.reduce(IsotropicMixture(np.zeros(2), np.ones((2, DIM)), np.ones(2)))


def test_traced_values_are_refused():
    with pytest.raises(ValueError, match="known values"):
        jax.jit(lambda m: dp.reduce(dp.symmetric_mixture(m)).basis)(jnp.ones(3))


def test_points_of_another_space_are_refused(unchecked):
    reduction = dp.reduce(IsotropicMixture(np.zeros(2), means_of(2), np.ones(2)))
    with pytest.raises(ValueError, match=rf"`x` needs {DIM} coordinates along its last axis.* Got shape \(2, 3\)"):
        reduction.project(jnp.ones((2, 3)))
