"""Fixed points of the sphere, whose symmetry leaves a direction free: magnetisation and its response are exact."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import i0e, i1e
from symmetric_targets import RING

import diffphys as dp
from diffphys.thermo import fixed_point, stability_matrix

SHARES = ("0.5", "0.9", "0.99")


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 100])
def test_magnetisation_and_response_of_a_sphere_are_exact(dim, oracles):
    sphere, along = dp.Sphere(dim), np.eye(dim)[0]
    known = [oracles[f"sphere_d{dim}_q{share}"] for share in SHARES if f"sphere_d{dim}_q{share}" in oracles]
    assert known
    for oracle in known:
        variance, (m, response) = oracle["inputs"]["tau"], oracle["value"]
        found = fixed_point(sphere.posterior_mean, (m + 0.02) * along, variance).magnetisation
        np.testing.assert_allclose(found, m * along, atol=oracle["tol"] * m)
        matrix = np.asarray(stability_matrix(sphere.posterior_mean, jnp.asarray(found), variance))
        slope = along @ matrix @ along
        np.testing.assert_allclose(slope / (1 - slope), response, rtol=1e-6)
        # Goldstone: nothing resists a turn.
        np.testing.assert_allclose(np.diag(matrix)[1:], 1, atol=1e-8)


def test_the_orbit_of_a_circle_does_not_stop_a_search_near_the_critical_point():
    """There I - J is small altogether, and what it has along the orbit, rounding alone, must still count as zero."""
    variance = 0.5 - 1.34134789764e-4
    radius = brentq(lambda m: i1e(m / variance) / i0e(m / variance) - m, 1e-3, 0.1, xtol=1e-14)
    angles = np.linspace(0.3, 6.3, 24)
    ends = [
        fixed_point(RING.posterior_mean, 0.02316 * np.array([np.cos(a), np.sin(a)]), variance).magnetisation
        for a in angles
    ]
    np.testing.assert_allclose(np.linalg.norm(ends, axis=1), radius, rtol=1e-9)
    np.testing.assert_allclose(np.unwrap(np.arctan2(*np.transpose(ends)[::-1])), angles, atol=1e-5)
