"""The plain form of a configuration."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from diffphys._config import canonical


def test_canonical_text_forgets_order_and_array_library():
    one = {"b": np.float64(0.5), "a": (1, 2), "path": pathlib.Path("x"), "t": jnp.array([1.0, 2.0])}
    two = {"t": [1.0, 2.0], "path": "x", "a": [1, 2], "b": 0.5}
    assert canonical(one) == canonical(two)
    assert canonical({"x": np.inf}) == '{"x": "inf"}'


def test_canonical_text_tells_long_arrays_apart():
    data = np.zeros(1000)
    assert canonical({"x": data}) == canonical({"x": data.copy()})
    assert canonical({"x": data}) != canonical({"x": data + np.eye(1, 1000, 999)[0]})
    assert len(canonical({"x": data})) < 200


def test_canonical_text_refuses_what_has_no_plain_form(getkey):
    with pytest.raises(ValueError, match=r"`config\.run\[1\]` needs a plain value"):
        canonical({"run": [0, print]})
    with pytest.raises(ValueError, match=r"`config\.key` needs a plain value"):
        canonical({"key": getkey()})
