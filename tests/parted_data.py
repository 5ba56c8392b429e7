"""A small data set, and what is asked of it whole and in parts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import diffphys as dp

RNG = np.random.default_rng(21)
# Parts of 17, 17, 17, 16 and 16 data in two blocks of 16: the second one of the last two parts is nothing but padding.
POINTS = 1.5 * RNG.normal(size=(83, 5)) + 3.0
LABELS = np.concatenate([np.arange(4), RNG.integers(0, 3, 79)])  # class 3 has one datum only, the fourth
GROUPINGS = np.stack([RNG.permutation(LABELS), np.arange(83) % 2])
YS = POINTS[:6] + 0.8 * RNG.normal(size=(6, 5))
VARIANCES = {"cold": 1e-2, "mild": 0.64, "hot": 100.0}

QUANTITIES = {
    "evidence": lambda target, y, v, _: target.log_evidence(y, v),
    "mean": lambda target, y, v, _: target.posterior_mean(y, v),
    "covariance": lambda target, y, v, _: target.posterior_covariance(y, v),
    "classes": lambda target, y, v, _: target.label_log_posterior(y, v),
    "summary": lambda target, y, v, i: target.weights_summary(y, v, i, jnp.asarray(GROUPINGS), True)._asdict(),
    "overlap": lambda target, y, v, _: target.overlap(y, jnp.asarray(YS[0]), v),
}


@eqx.filter_jit
def batched(name, target, variance):
    """One of the quantities, of all observations."""
    return jax.vmap(lambda y, i: QUANTITIES[name](target, y, variance, i))(jnp.asarray(YS), jnp.arange(len(YS)))


def assert_same(found, expected, **tolerance):
    for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, err_msg=jax.tree_util.keystr(path), **tolerance)


@eqx.filter_jit
def drawn(target):
    return jax.vmap(target.sample_indexed)(jr.split(jr.key(0), 50))


def measured(target, names, studies, of_few):
    """Some of the quantities at every noise, look-ups, draws, and studies of the data and of three of them.

    The same whole and in parts. The three are whole in every process, and trajectories are shared out.
    """
    found = {name: [batched(name, target, jnp.asarray(v)) for v in VARIANCES.values()] for name in names}
    subset, few = target.subset(np.flatnonzero(LABELS != 1)), target.subset(np.array([3, 1, 2]))
    found |= {
        "rows": target.rows(np.array([82, 3, 3, 40])), "points": target.points, "labels": target.labels,
        "subset": (subset.points, subset.labels), "few": (few.points, few.labels), "drawn": drawn(target),
    }  # fmt: skip
    for data, chosen, of in ((target, studies, "all"), (few, of_few, "few")):
        for study, settings in chosen.items():
            ds = getattr(dp, study)(data, dp.OrnsteinUhlenbeck(), key=jr.key(1), **settings)
            found[f"{study} of {of}"] = {str(name): values.values for name, values in ds.data_vars.items()}
    return jax.tree.map(np.asarray, found)
