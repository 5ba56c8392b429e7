"""SEEDS-2: what the middle evaluation adds to an ancestral step."""

import numpy as np
import pytest

from diffphys.processes import Brownian
from diffphys.samplers import Bridge
from diffphys.samplers.seeds import SEEDS2

LEVELS = np.array([6.0, 3.0, 0.4])


@pytest.mark.parametrize("variant", ["phi1", "phi2"])
@pytest.mark.parametrize("r", [0.3, 0.5, 0.8])
def test_with_a_constant_estimate_it_is_two_ancestral_steps(r, variant):
    """Their noises too, one by one: the second evaluation is the start of the second of them."""
    middles = LEVELS[:-1] ** (1 - r) * LEVELS[1:] ** r
    row = SEEDS2(Brownian(), lambda y, v: y, r, variant).plan(LEVELS**2)
    for i in range(2):
        pair = Bridge(Brownian(), lambda y, v: y).plan(np.array([LEVELS[i], middles[i], LEVELS[i + 1]]) ** 2)
        state, data, noise = (pair.state[term] for term in (("state", 0), ("data", 0), ("noise", 0)))
        stage = {term: values[i] for term, values in row.stages[1].channel.items()}
        np.testing.assert_allclose(row.stages[1].variance[i], middles[i] ** 2, rtol=1e-12)
        for term, wanted in ((("state", 0), state[0]), (("data", 0), data[0]), (("noise", 0), noise[0])):
            np.testing.assert_allclose(stage[term], wanted, rtol=1e-12)
        end = {term: values[i] for term, values in row.state.items()}
        np.testing.assert_allclose(end[("state", 0)], state[0] * state[1], rtol=1e-12)
        np.testing.assert_allclose(end[("data", 0)] + end[("data", 1)], state[1] * data[0] + data[1], rtol=1e-12)
        np.testing.assert_allclose([end[("noise", 0)], end[("noise", 1)]], [state[1] * noise[0], noise[1]], rtol=1e-12)


def test_phi2_integrates_an_estimate_linear_in_log_snr():
    """The integral of 2 e^{-2 (h - q)} q dq is h - (1 - e^{-2h}) / 2."""
    row, h = SEEDS2(Brownian(), lambda y, v: y, 0.4, "phi2").plan(LEVELS**2), np.log(LEVELS[:-1] / LEVELS[1:])
    np.testing.assert_allclose(0.4 * h * row.state[("data", 1)], h + 0.5 * np.expm1(-2 * h), rtol=1e-12)


@pytest.mark.parametrize("r", [0.0, 1.0, float("nan")])
def test_an_r_out_of_range_is_refused(r):
    with pytest.raises(ValueError, match=r"`SEEDS2` needs `r` in \(0, 1\)"):
        SEEDS2(Brownian(), lambda y, v: y, r)


def test_an_unknown_variant_is_refused(unchecked):
    with pytest.raises(ValueError, match='`variant` to be "phi1" or "phi2"'):
        SEEDS2(Brownian(), lambda y, v: y, variant="phi3")
