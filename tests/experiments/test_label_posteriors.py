"""Posteriors of labels, chunk after chunk: their sums are those of all."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from diffphys.experiments._chunks import ChunkedProgram, Runner
from diffphys.experiments._label_posteriors import LabelPosteriors, _collected


def test_posteriors_summed_up_by_chunks_have_the_moments_of_all():
    """Of chunks of 4 of 10 items: means, errors, those of linear functions, and entropies, by NumPy."""
    rows = np.random.default_rng(0).dirichlet(np.ones(3), size=(10, 2))
    slopes = np.array([[1.0, 0.0, -1.0], [0.5, -0.5, 0.2]])

    def posteriors(rows, first, chunk):
        return {"label_weight": rows[jnp.minimum(first + jnp.arange(chunk, dtype=jnp.int32), 9)]}

    program = ChunkedProgram(eqx.filter_jit(posteriors), (jnp.asarray(rows),), items=10, elements=1, chunk=4)
    found = _collected(program, Runner(progress=False), "posteriors", {}, unit="item")
    assert (found.number, found.chunk) == (10, 4)
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.stderr, rows.std(0, ddof=1) / 10**0.5, rtol=1e-12)
    along = np.einsum("nsk,sk->ns", rows, slopes)
    np.testing.assert_allclose(found.stderr_along(slopes), along.std(0, ddof=1) / 10**0.5, rtol=1e-12)
    np.testing.assert_allclose(found.entropy, -(rows * np.log(rows)).sum(2).mean(0), rtol=1e-12)


def test_a_function_that_does_not_vary_has_no_error_whatever_rounding_leaves():
    """Two classes whose posteriors sum to one, but for rounding, and a sum of both: less than zero by a digit."""
    covariance = np.array([[[0.25, -0.25 - 1e-16], [-0.25 - 1e-16, 0.25]]])
    found = LabelPosteriors(8, np.full((1, 2), 0.5), covariance, np.zeros(1), 2)
    assert found.stderr_along(np.ones((1, 2))) == 0
    assert found.stderr_along(np.array([[1.0, 0.0]])) == np.sqrt(0.25 / 8)
