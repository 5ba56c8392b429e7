"""Data sets of nearly one size: one compiled program for all, which gives each its own closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special

from diffphys.targets import Empirical, ShardedEmpirical

RNG = np.random.default_rng(41)
POINTS = 1.5 * RNG.normal(size=(1100, 4)) + 3.0
LABELS = np.concatenate([np.arange(3), RNG.integers(0, 3, 1097)])
PERMUTED = RNG.integers(0, 3, size=(2, 1100))
YS = jnp.asarray(POINTS[:2] + 0.8 * RNG.normal(size=(2, 4)))
MAKE = {
    "whole": lambda n: Empirical(POINTS[:n], LABELS[:n], block=64),
    "parted": lambda n: ShardedEmpirical(POINTS[:n], LABELS[:n], parts=4, block=16),
}
# The first and the last that round up to 1088, and one within. Parts of the first have a block of nothing but padding.
SIZES = 1025, 1080, 1088
both_kinds = pytest.mark.parametrize("kind", MAKE)


def described(tree):
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


@both_kinds
def test_data_sets_of_nearly_one_size_have_arrays_of_the_same_shapes(kind):
    smallest, middle, largest, beyond = (described(MAKE[kind](n)) for n in (*SIZES, 1100))
    assert smallest == middle == largest != beyond


TRACED = []


@eqx.filter_jit
def everything(target, y, other, variance, index, labelings):
    TRACED.append(type(target))
    return {
        "evidence": target.log_evidence(y, variance),
        "mean": target.posterior_mean(y, variance),
        "covariance": target.posterior_covariance(y, variance),
        "classes": target.label_log_posterior(y, variance),
        "overlap": target.overlap(y, other, variance),
        "summary": target.weights_summary(y, variance, index, labelings, True),
        "class": target.label_of(index),
    }


def closed_form(n, variance, index):
    """What all weights of the first `n` data give, by brute force."""
    points, labels = POINTS[:n], LABELS[:n]
    log_joint = [-0.5 * np.sum((np.asarray(y)[None] - points) ** 2, -1) / variance for y in YS]
    norms = [scipy.special.logsumexp(logs) for logs in log_joint]
    here, there = (np.exp(logs - norm) for logs, norm in zip(log_joint, norms, strict=True))
    rest = np.delete(here, index)
    classes, without = (np.array([w[k == own].sum() for k in range(3)])
                        for w, own in ((here, labels), (rest, np.delete(labels, index))))  # fmt: skip
    evidence = norms[0] - np.log(n) - 2 * np.log(2 * np.pi * variance)
    return {
        "evidence": evidence,
        "mean": here @ points,
        "covariance": np.cov(points.T, aweights=here, bias=True),
        "classes": np.log(classes),
        "overlap": here @ there,
        "summary": {
            "log_evidence": evidence,
            "entropy": -np.sum(scipy.special.xlogy(here, here)),
            "participation": np.sum(here**2),
            "argmax": np.argmax(here),
            "label_log_posterior": np.log(classes),
            "mean": here @ points,
            "log_own_weight": np.log(here[index]),
            "log_rest_over_own": np.log(rest.sum() / here[index]),
            "label_log_posterior_without": np.log(without / rest.sum()),
            "grouping_posteriors": [[here[k == other].sum() for k in range(3)] for other in PERMUTED[:, :n]],
        },
        "class": labels[index],
    }


def assert_closed_form(target, n, variance, index):
    labelings = target.labelings(PERMUTED[:, :n])
    found = everything(target, YS[0], YS[1], jnp.asarray(variance), jnp.asarray(index), labelings)
    expected = closed_form(n, variance, index)
    summary = found.pop("summary")._asdict()
    for name, value in (expected.pop("summary") | expected).items():
        np.testing.assert_allclose((summary | found)[name], value, rtol=1e-9, atol=1e-11, err_msg=name)


@both_kinds
def test_one_program_gives_each_data_set_its_closed_form(kind):
    TRACED.clear()
    for n in SIZES:
        target = MAKE[kind](n)
        if kind == "parted":
            assert bool(np.all(target.half_norms[-1, -1] == np.inf)) == (n == 1025)
        far = eqx.tree_at(lambda t: t.cloud.radius if kind == "whole" else t.radius, target, jnp.asarray(1e18, float))
        for variance in (0.3, 20.0):
            assert_closed_form(target, n, variance, n - 1)
            # With direct distances, as at small noise.
            assert_closed_form(far, n, variance, 5)
    assert len(TRACED) == 1


def test_data_sets_with_the_places_of_the_largest_share_its_program():
    TRACED.clear()
    for n in (8, 500, 900):
        assert_closed_form(Empirical(POINTS[:n], LABELS[:n], block=64, slots=900), n, 0.3, 5)
    assert len(TRACED) == 1


def test_columns_of_zeros_change_no_weight():
    """So a sweep over the dimension may run the program of the largest."""
    wide = Empirical(np.pad(POINTS, ((0, 0), (0, 3))), LABELS)
    narrow, variance, index = Empirical(POINTS, LABELS), jnp.asarray(0.3), jnp.asarray(5)
    beside = jnp.concatenate([YS[0], 0.5 * jnp.asarray(RNG.normal(size=3))])
    found, expected = (t.weights_summary(y, variance, index, with_mean=True)._asdict() for t, y in
                       ((wide, beside), (narrow, YS[0])))  # fmt: skip
    elsewhere = np.asarray(jax.scipy.stats.norm.logpdf(beside[4:], scale=np.sqrt(0.3))).sum()
    found["log_evidence"] -= elsewhere
    np.testing.assert_array_equal(found["mean"][4:], 0)
    found["mean"] = found["mean"][:4]
    for name, value in expected.items():
        if value is not None:
            np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-11, err_msg=name)


def test_parts_of_the_data_share_the_program_of_all_where_those_are_one_block():
    TRACED.clear()
    whole = Empirical(POINTS[:500], LABELS[:500], block=512)
    kept = np.arange(100)
    for target, n in ((whole, 500), (whole.subset(kept), 100)):
        assert_closed_form(target, n, 0.3, 5)
    assert len(TRACED) == 1
    # Of more data, empty places would cost more than they save.
    assert Empirical(POINTS, LABELS, block=64).subset(kept).num_slots == 112


@both_kinds
def test_draws_are_those_of_a_known_number_of_data(kind):
    """The number does not depend on the padding, nor do they: runs can be made again."""
    keys = jr.split(jr.key(0), 500)
    drawn = eqx.filter_jit(lambda target, keys: jax.vmap(target.sample_indexed)(keys))
    for n in SIZES:
        points, indices = drawn(MAKE[kind](n), jr.clone(keys))
        expected = jax.vmap(lambda key, n=n: jr.randint(key, (), 0, n, jnp.int32))(jr.clone(keys))
        np.testing.assert_array_equal(indices, expected)
        np.testing.assert_allclose(points, POINTS[np.asarray(indices)], rtol=1e-14)


@both_kinds
def test_the_class_of_a_draw_is_that_of_its_datum(kind):
    target = MAKE[kind](1025)
    np.testing.assert_array_equal(target.labels, LABELS[:1025])
    np.testing.assert_array_equal(jax.jit(jax.vmap(target.label_of))(jnp.arange(1025)), LABELS[:1025])


@both_kinds
def test_the_number_of_data_is_known_but_where_a_program_is_for_others_too(kind):
    target = MAKE[kind](1025)
    assert type(target.num_points) is int
    assert target.num_points == 1025
    assert jax.jit(lambda: jnp.asarray(target.num_points))() == 1025
    assert eqx.filter_jit(lambda target: target.count + 1)(target) == 1026
    with pytest.raises(ValueError, match="`num_points` needs a data set that is known"):
        eqx.filter_jit(lambda target: target.num_points)(target)


@eqx.filter_jit
def regrouped(target, y, groupings, index=None):
    return target.weights_summary(y, 0.5, index, groupings)


def test_groupings_that_are_not_one_for_each_datum_are_refused_in_programs_too():
    target = MAKE["whole"](1025)
    fitting, short, long = (jnp.asarray(PERMUTED[:, :n]) for n in (1025, 1024, 1100))
    own = target.labelings(fitting)
    expected = regrouped(target, YS[0], own).grouping_posteriors
    np.testing.assert_allclose(regrouped(target, YS[0], fitting).grouping_posteriors, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"`groupings` needs shape \(g, 1025\)"):
        target.labelings(short)
    with pytest.raises(ValueError, match=r"`groupings` needs shape \(g, n\)"):
        regrouped(target, YS[0], long)
    with pytest.raises(Exception, match=r"a label for each datum\. Got 1024 columns, and another number"):
        jax.block_until_ready(regrouped(target, YS[0], short))


def test_the_index_of_a_single_datum_is_refused_in_programs_too():
    with pytest.raises(ValueError, match="`index` needs other data"):
        regrouped(Empirical(POINTS[:1]), YS[0], None, jnp.asarray(0))
