"""Two targets that are one law, by their answers."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np


@eqx.filter_jit
def ask(target, y, variance):
    return (
        target.log_evidence(y, variance),
        target.posterior_mean(y, variance),
        target.posterior_covariance(y, variance),
    )


@eqx.filter_jit
def labels(target, y, variance):
    return target.label_log_posterior(y, variance)


def assert_same_law(found, expected, y):
    for variance in (0.01, 0.7, 20.0):
        for one, other in zip(*(ask(t, jnp.asarray(y), jnp.asarray(variance)) for t in (found, expected)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def assert_same_labels(found, expected, y, variance):
    one, other = (labels(target, jnp.asarray(y), jnp.asarray(variance)) for target in (found, expected))
    np.testing.assert_allclose(one, other, rtol=1e-11)
