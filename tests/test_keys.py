"""What is not one typed key is refused."""

import re

import jax
import jax.random as jr
import numpy as np
import pytest

from diffphys._keys import check_key


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
