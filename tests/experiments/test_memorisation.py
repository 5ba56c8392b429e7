"""Copies and what they are counted by: chance, nothing but copies, and the samples of an exact score."""

import jax
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import chi2, ncx2

import diffphys as dp


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def chance(count, dim, threshold):
    """The share of normal points that are memorised by normal data: nearest, the others all 1 / c further, averaged."""
    radii = chi2.ppf((np.arange(200) + 0.5) / 200, dim)
    found = []
    for radius in radii:
        s = np.exp(np.linspace(np.log(1e-7), np.log(radius + 60), 6000))
        law = ncx2(dim, radius)
        rest = law.sf(s / threshold**2) ** (count - 1)
        found.append(np.trapezoid(count * law.pdf(s) * rest, s))
    return float(np.mean(found))


def test_samples_that_are_data_with_a_little_noise_are_all_memorised():
    training = normal(0, 50, 6)
    copies = np.repeat(training, 4, 0) + 1e-3 * normal(1, 200, 6)
    ds = dp.memorisation(copies, training, held_out=normal(2, 300, 6))
    assert ds.fraction == 1
    np.testing.assert_array_equal(ds.nearest, np.repeat(np.arange(50), 4))
    # The length of six normal numbers, of variance 6.
    assert abs((ds.nearest_distance**2).mean() / 6e-6 - 1) < 4 * np.sqrt(2 / 6 / 200)
    assert ds.nearer == 1
    # Wilson's interval of all of m: down to m / (m + z^2).
    np.testing.assert_allclose([ds.fraction_low, ds.fraction_high], [200 / (200 + 1.959964**2), 1], rtol=1e-6)


@pytest.mark.parametrize(("count", "dim"), [(30, 1), (40, 3)])
def test_points_of_the_law_are_memorised_by_chance_as_often_as_order_statistics_say(count, dim):
    exact, shares = chance(count, dim, 1 / 3), []
    for seed in range(25):
        training = normal(100 + seed, count, dim)
        shares.append(float(dp.memorisation(normal(200 + seed, 400, dim), training).fraction))
    error = np.std(shares, ddof=1) / 5
    assert abs(np.mean(shares) - exact) < 4 * error + 1e-3
    assert 0.005 < exact < 0.5


def test_in_high_dimension_chance_memorises_nothing():
    ds = dp.memorisation(normal(0, 200, 100), normal(1, 300, 100), held_out=normal(2, 200, 100))
    assert ds.fraction == ds.fraction_held_out == 0
    assert 0 == ds.fraction_low < ds.fraction_high < 0.02
    assert abs(ds.nearer - 0.5) < 4 * ds.nearer_stderr


def test_the_exact_score_of_a_data_set_memorises_and_that_of_its_law_does_not():
    law, ou = dp.Gaussian(np.zeros(8), 1.0), dp.OrnsteinUhlenbeck()
    training, held_out = normal(0, 40, 8), normal(1, 400, 8)
    grid = dp.clocks.log_snr_grid(3.0, 1e-4, 40)

    def samples(denoise):
        keys = jax.random.split(jax.random.key(0), 200)
        sampler = dp.DDIM(ou, denoise)
        return np.asarray(jax.vmap(lambda key, z: dp.simulate(sampler, key, grid, z))(keys, normal(3, 200, 8)))

    learned = dp.memorisation_curve(
        {0: samples(law.posterior_mean), 500: samples(dp.Empirical(training).posterior_mean)},
        training, held_out=held_out,
    )  # fmt: skip
    assert list(learned.training_step) == [0, 500]
    assert learned.fraction[0] < 0.05
    assert learned.fraction[1] > 0.97
    assert abs(learned.nearer[0] - 0.5) < 4 * learned.nearer_stderr[0]
    assert learned.nearer[1] > 0.99


def test_nearest_points_are_those_of_a_tree_whatever_the_blocks():
    training, rows = normal(0, 333, 5), normal(1, 50, 5)
    distances, index = cKDTree(training).query(rows, 2)
    for block, chunk in ((64, 7), (1024, 256)):
        ds = dp.memorisation(rows, training, block=block, chunk=chunk)
        np.testing.assert_array_equal(ds.nearest, index[:, 0])
        np.testing.assert_allclose(ds.nearest_distance, distances[:, 0], rtol=1e-12)
        np.testing.assert_allclose(ds.second_distance, distances[:, 1], rtol=1e-12)


def test_a_copy_of_a_datum_given_twice_is_as_near_to_both_and_counted_as_none():
    training = np.repeat(normal(0, 10, 4), 2, 0)
    ds = dp.memorisation(training[:6], training)
    np.testing.assert_array_equal(ds.ratio, 1)
    assert ds.fraction == 0


def test_copies_far_from_the_origin_are_found_in_single_precision():
    training = (1e3 + normal(0, 200, 20)).astype(np.float32)
    copies = training[:50] + np.float32(1e-3) * normal(1, 50, 20).astype(np.float32)
    ds = dp.memorisation(copies, training)
    exact = np.linalg.norm(copies.astype(float) - training[:50].astype(float), axis=1)
    np.testing.assert_allclose(ds.nearest_distance, exact, rtol=1e-12)
    assert ds.fraction == 1


def test_the_error_of_the_order_is_that_of_a_bootstrap():
    own, other, training = normal(0, 60, 3) * 0.8, normal(1, 80, 3), normal(2, 30, 3)
    ds = dp.memorisation(own, training, held_out=other)
    first, second = ds.nearest_distance.values, ds.nearest_distance_held_out.values
    order = (first[:, None] < second).astype(float)
    np.testing.assert_allclose(ds.nearer, order.mean())
    rng = np.random.default_rng(3)
    drawn = [order[rng.integers(60, size=60)][:, rng.integers(80, size=80)].mean() for _ in range(4000)]
    np.testing.assert_allclose(ds.nearer_stderr, np.std(drawn), rtol=0.06)


def test_a_curve_may_have_its_own_data_for_each_size():
    sizes = {n: normal(n, n, 2) for n in (10, 40)}
    curve = dp.memorisation_curve({n: own + 1e-4 for n, own in sizes.items()}, sizes, along="n")
    assert list(curve.n) == [10, 40]
    assert np.all(curve.fraction == 1)
    np.testing.assert_allclose(curve.nearest_distance, 2**0.5 * 1e-4, rtol=1e-6)
    for points, along in (({}, "n"), (sizes, "fraction")):
        with pytest.raises(ValueError, match="`memorisation_curve` needs `generated` points"):
            dp.memorisation_curve(points, sizes, along=along)
    with pytest.raises(ValueError, match=r"`training` needs data for \[10, 40\]"):
        dp.memorisation_curve(sizes, {10: sizes[10]}, along="n")


def test_what_means_nothing_is_refused(unchecked):
    points = normal(0, 5, 3)
    with pytest.raises(ValueError, match="`threshold` needs a ratio of distances in"):
        dp.memorisation(points, points, threshold=1.5)
    with pytest.raises(ValueError, match=r"`generated` needs two finite points or more.* of shape \(m, 3\)"):
        dp.memorisation(points[:, :2], points)
    with pytest.raises(ValueError, match="`training` needs two finite points or more"):
        dp.memorisation(points, points * np.nan)
