"""Fixed points of the sphere, whose symmetry leaves a direction free: magnetisation and its response are exact."""

import jax.numpy as jnp
import numpy as np
import pytest

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
