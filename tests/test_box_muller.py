"""Normal numbers: the map from words is exact, and the numbers have the law."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from diffphys import box_muller
from diffphys._box_muller import _middle
from diffphys._threefry import threefry4x32

COUNT = 2**20
every_width = pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=["float32", "float64"])


@pytest.fixture(scope="module", params=[jnp.float32, jnp.float64], ids=["float32", "float64"])
def numbers(request):
    return np.asarray(box_muller(jr.key(0), (COUNT,), request.param), np.float64)


def words_of(key, blocks):
    """The words behind the numbers, as the docstring has them, in float64."""
    zero, i = jnp.zeros(blocks, jnp.uint32), jnp.arange(blocks, dtype=jnp.uint32)
    own = (*jr.bits(key, (2,), jnp.uint32), jnp.uint32(0), jnp.uint32(0))
    return [np.asarray(word, np.float64) for word in threefry4x32(own, (i, zero, zero, zero))]


def test_float32_numbers_are_the_map_of_their_words_to_rounding():
    a, b, c, d = words_of(jr.key(1), COUNT // 4)
    # Pairs of a block side by side: cosine and sine of the first two words, then of the others.
    u = np.stack([a, a, c, c], axis=1) + 0.5
    turns = np.stack([b, b, d, d], axis=1) / 2**32 - np.array([0, 0.25, 0, 0.25])
    radius = np.sqrt(-2 * np.log(u / 2**32))
    found = np.asarray(box_muller(jr.key(1), (COUNT,), jnp.float32), np.float64).reshape(-1, 4)
    # The relative error of u in float32, 2^-25, is an absolute one of half the square of the radius.
    tolerance = 2.0**-24 / radius + 4 * 2.0**-24 * radius
    assert (np.abs(found - radius * np.cos(2 * np.pi * turns)) < tolerance).all()


def test_float64_numbers_are_the_map_of_their_words_to_rounding():
    a, b, c, d = words_of(jr.key(1), COUNT // 2)
    u = (a + (b + 0.5) / 2**32) / 2**32
    radius, turns = np.sqrt(-2 * np.log(u)), (c + d / 2**32) / 2**32
    found = np.asarray(box_muller(jr.key(1), (COUNT,), jnp.float64)).reshape(-1, 2)
    np.testing.assert_allclose(found[:, 0], radius * np.cos(2 * np.pi * turns), rtol=0, atol=2e-14)
    np.testing.assert_allclose(found[:, 1], radius * np.sin(2 * np.pi * turns), rtol=0, atol=2e-14)


def test_moments_are_those_of_a_normal(numbers):
    """The first eight, within four standard errors: eight false alarms in 16 000 seeds."""
    for power in range(1, 9):
        wanted = stats.norm.moment(power)
        error = np.sqrt((stats.norm.moment(2 * power) - wanted**2) / COUNT)
        assert abs((numbers**power).mean() - wanted) < 4 * error, power


def test_the_distribution_is_that_of_a_normal(numbers):
    """Kolmogorov and Smirnov, at a false alarm in 10 000 seeds."""
    assert stats.kstest(numbers, "norm").pvalue > 1e-4


def test_pairs_radii_and_angles_are_those_of_a_plane(numbers):
    """Of the pair of one radius and one angle: a false alarm each in 10 000 seeds."""
    x, y = numbers.reshape(-1, 2).T
    assert stats.kstest(x**2 + y**2, stats.chi2(2).cdf).pvalue > 1e-4
    assert stats.kstest(np.arctan2(y, x) / (2 * np.pi), stats.uniform(-0.5, 1).cdf).pvalue > 1e-4


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 8, 64, 1024])
@pytest.mark.parametrize("power", [1, 2], ids=["values", "squares"])
def test_numbers_of_a_block_and_of_others_are_independent(numbers, lag, power):
    x = numbers**power - (power - 1)
    products = x[:-lag] * x[lag:]
    assert abs(products.mean()) < 4.5 * products.std() / len(products) ** 0.5


def test_steps_trajectories_and_seeds_have_numbers_of_their_own():
    keys = [jr.fold_in(jr.fold_in(jr.key(s), i), j) for s in (0, 1) for i in (0, 1) for j in (0, 1)]
    # One by one: the reuse check of jax 0.12 takes stacked keys for used ones.
    rows = np.stack([box_muller(key, (2**14,)) for key in keys])
    correlations = (rows @ rows.T / 2**14)[np.triu_indices(len(rows), 1)]
    assert (np.abs(correlations) < 4.5 / 2**7).all()


@pytest.mark.slow
def test_tails_are_those_of_a_normal():
    """2^28 numbers: beyond 5, 154 are expected; beyond 5.5, 10; `jax.random.normal` ends at 5.42."""
    draw = jax.jit(lambda i: box_muller(jr.fold_in(jr.key(7), i), (2**22,), jnp.float32))
    tails = np.zeros(4)
    levels = np.array([3.0, 4.0, 5.0, 5.5])
    for i in range(64):
        sizes = np.abs(np.asarray(draw(i)))
        tails += (sizes[None] > levels[:, None]).sum(1)
    expected = 2**28 * 2 * stats.norm.sf(levels)
    assert (np.abs(tails - expected) < 4.5 * np.sqrt(expected)).all()


def test_words_of_zeros_and_of_ones_give_the_radii_that_are_promised():
    for dtype, words, greatest in ((jnp.float32, 1, 6.764), (jnp.float64, 2, 9.493)):
        low, high = (_middle(word, (word,) * (words - 1), dtype) for word in jnp.array([[0], [2**32 - 1]], jnp.uint32))
        assert np.sqrt(-2 * np.log(low)) == pytest.approx(greatest, abs=0.001)
        assert low > 0
        assert high <= 1


@every_width
def test_a_shorter_array_is_the_beginning_of_a_longer_one(dtype):
    long = np.asarray(box_muller(jr.key(3), (3, 2, 33), dtype)).ravel()
    for shape in [(), (1,), (5,), (2, 3), (0,), (4, 0)]:
        short = box_muller(jr.key(3), shape, dtype)
        assert (short.shape, short.dtype) == (shape, dtype)
        np.testing.assert_array_equal(np.ravel(short), long[: short.size])


def test_narrow_types_are_rounded_from_float32():
    wanted = box_muller(jr.key(4), (64,), jnp.float32)
    for dtype in (jnp.float16, jnp.bfloat16):
        np.testing.assert_array_equal(box_muller(jr.key(4), (64,), dtype), wanted.astype(dtype))


def test_a_batch_of_keys_gives_what_each_gives():
    keys = jr.split(jr.key(5), 3)
    together = jax.jit(jax.vmap(lambda key: box_muller(key, (7,))))(jr.clone(keys))
    for key, row in zip(keys, together, strict=True):
        np.testing.assert_allclose(box_muller(key, (7,)), row, rtol=1e-13)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_any_kind_of_key_will_do_and_none_twice(impl):
    key = jr.key(6, impl=impl)
    x = box_muller(key, (1000,))
    assert abs(x.mean()) < 4.5 / 1000**0.5
    with pytest.raises(jax.errors.KeyReuseError):
        box_muller(key, (1000,))


def test_types_that_are_not_real_are_refused():
    with pytest.raises(ValueError, match="`dtype` needs a real floating type"):
        box_muller(jr.key(0), (3,), jnp.int32)


def test_more_numbers_than_have_addresses_are_refused():
    with pytest.raises(ValueError, match=r"at most 2\*\*32 numbers"):
        box_muller(jr.key(0), (2**16, 2**17))
