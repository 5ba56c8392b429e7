"""Fixed points and modes along a trajectory, for exact denoisers and for one without symmetry."""

import jax.numpy as jnp
import numpy as np
import pytest
from symmetric_targets import FOUR, TWO

import diffphys as dp
from diffphys.thermo import along_trajectory

RNG = np.random.default_rng(0)


def test_modes_at_the_fixed_points_follow_the_branch_of_two_points(oracles):
    taus = ["0.99", "0.75", "0.5", "0.25"]
    expected = np.array([oracles[f"two_delta_m_tau{tau}"]["value"][:2] for tau in taus])
    variances = np.array([float(tau) for tau in taus])
    found = along_trajectory(TWO.posterior_mean, np.full((4, 1), 0.8), variances)
    m = found.fixed_point.values[:, 0]
    np.testing.assert_allclose(m, expected[:, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.eigenvalue.values[:, 0], (1 - m**2) / variances, rtol=1e-10)
    np.testing.assert_allclose(found.susceptibility.values[:, 0], expected[:, 1], rtol=1e-8)
    slope = (1 - np.tanh(0.8 / variances) ** 2) / variances
    np.testing.assert_allclose(found.eigenvalue_at_y.values[:, 0], slope, rtol=1e-10)
    assert found.converged.values.all()


def test_fixed_point_downhill_is_the_nearest_of_four_points():
    found = along_trajectory(FOUR.posterior_mean, np.array([[0.3, 0.1], [-0.1, 0.4]]), np.array([0.25, 0.25]))
    m = 0.9575040240772688
    np.testing.assert_allclose(found.fixed_point, [[m, 0], [0, m]], rtol=0, atol=1e-10)


def test_fixed_points_lie_within_the_shell_of_typical_observations():
    """A datum far from the others is its own fixed point; an observation of it lies `sqrt(d v)` away."""
    points = 20 * RNG.normal(size=(10, 100))
    noise = RNG.normal(size=(2, 100))
    variances = np.array([1.0, 0.25])
    ys = points[:2] + np.sqrt(variances)[:, None] * noise
    found = along_trajectory(dp.Empirical(points).posterior_mean, ys, variances)
    np.testing.assert_allclose(found.fixed_point, points[:2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.shell, np.linalg.norm(noise, axis=1) / 10, rtol=1e-9)
    assert np.all(found.eigenvalue < 1e-9)


COUPLINGS = RNG.normal(size=(3, 3)) / 3


def learned(y, variance):
    return jnp.asarray(COUPLINGS, y.dtype) @ jnp.tanh(y) / (1 + variance)


def test_a_denoiser_without_symmetry_gives_its_real_parts():
    found = along_trajectory(learned, np.zeros((1, 3)), np.array([0.5]), symmetric=False, count=2)
    expected = np.sort(np.linalg.eigvals(COUPLINGS / 1.5).real)[::-1][:2]
    np.testing.assert_allclose(found.eigenvalue.values[0], expected, rtol=1e-10)
    with pytest.raises(ValueError, match="needs symmetry"):
        along_trajectory(learned, np.zeros((1, 3)), np.array([0.5]))


def drifting(y, variance):
    return y + 1.0 + y**2


def test_a_denoiser_without_fixed_points_says_so():
    found = along_trajectory(drifting, np.zeros((1, 1)), np.array([0.5]), descents=2)
    assert not found.converged.values[0]
    assert float(found.residual[0]) > 1e-3


@pytest.mark.parametrize("variances", [np.ones(2), np.zeros(1)])
def test_trajectories_refuse_variances_that_do_not_fit(variances):
    with pytest.raises(ValueError, match="one variance > 0 for each"):
        along_trajectory(TWO.posterior_mean, np.zeros((1, 1)), variances)
