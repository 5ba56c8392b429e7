"""What is not one typed key is refused."""

import re

import jax
import jax.random as jr
import numpy as np
import pytest

from diffphys._keys import check_key, check_root, root_of


@pytest.mark.parametrize(
    ("key", "found"),
    [(jr.key_data(jr.key(0)), "an array of uint32"), (np.zeros(2, np.uint32), "ndarray"), (7, "int 7")],
    ids=["raw", "numpy", "seed"],
)
def test_a_key_that_is_not_typed_is_refused(key, found):
    with pytest.raises(ValueError, match=f"`key` needs a typed key. Got {found}"):
        check_key(key)


def test_a_batch_of_keys_is_refused_but_for_a_map_over_them():
    keys = jr.split(jr.key(0), 3)
    with pytest.raises(ValueError, match=re.escape("`key` needs one key. Got shape (3,). Map over many with")):
        check_key(keys)
    assert jax.vmap(lambda key: (check_key(key), jr.bits(key))[1])(keys).shape == (3,)


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_a_root_whose_numbers_hang_on_their_batch_is_refused(kind):
    """The reason first: of such keys, the same one draws other numbers beside others."""
    keys = jax.vmap(jr.fold_in, (None, 0))(jr.key(0, impl=kind), np.arange(4))
    draw = jax.vmap(lambda key: jr.bits(key, (2,)))
    assert not np.array_equal(draw(jr.clone(keys))[2:], draw(keys[2:]))
    with pytest.raises(ValueError, match=f"same in every batch. Got .*{kind}.*threefry2x32"):
        check_root(jr.key(0, impl=kind))
    check_root(jr.key(0, impl="threefry2x32"))


def test_the_root_of_a_seed_is_the_same_whatever_kind_jax_makes():
    own = jr.key_data(root_of(7))
    with jax.default_prng_impl("rbg"):
        check_root(root_of(7))
        np.testing.assert_array_equal(jr.key_data(root_of(7)), own)
