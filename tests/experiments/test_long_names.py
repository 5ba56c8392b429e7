"""Every variable and coordinate of a result says what it is."""

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments._long_names import long_name

OU = dp.OrnsteinUhlenbeck()


def data():
    points = np.random.default_rng(0).normal(size=(24, 3)) + 2 * np.repeat([[1], [-1]], 12, 0)
    return dp.Empirical(points, np.repeat([0, 1], 12))


def hierarchy():
    return dp.hierarchical_mixture(jax.random.key(3), 8, (2, 2), (12.0, 4.0))


LAW = dp.symmetric_mixture(np.ones(3))
CLONES = {"samples": 32, "clones": 8, "steps": 2, "datasets": 2}
RUNS = {
    "levels": lambda key: dp.speciation(hierarchy(), OU, [0.5, 1.0], key=key, samples=32),
    "sampler": lambda key: dp.speciation(
        dp.symmetric_mixture(np.ones(2)), OU, [0.5], key=key, samples=32, clones=8, steps=2,
        sampler=dp.ReverseSDE(OU, dp.symmetric_mixture(np.ones(2)).posterior_mean, 2.0),
    ),
    "collapse": lambda key: dp.collapse(data(), OU, [0.5, 1.0], key=key, samples=None, steps=2, trajectories=4),
    "regimes": lambda key: dp.regimes(data(), OU, [0.5, 1.0], key=key, **CLONES),
    "information": lambda key: dp.information(
        LAW.posterior_mean, data().points, OU, [0.5, 1.0], key=key, count=9, training=data().points[:8], nodes=1
    ),
    "switch": lambda key: dp.switch(LAW, OU, [0.5], key=key, trajectories=8, steps=2, samples=32),
    "late start": lambda key: dp.gaussian_start(
        dp.Gaussian(np.zeros(3)), OU, [0.5, 1.0], key=key, quality={"size": lambda a: float(a.var())}, steps=(2,),
        samples=8, repeats=2, samplers={"DDIM": dp.DDIM},
    ),
    "diagram": lambda key: dp.diagram(data(), key=key, measured_sizes=1, samples=32, progress=False),
}  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_every_variable_and_coordinate_has_a_long_name(run):
    ds = RUNS[run](jax.random.key(0))
    assert [name for name in ds.variables if not ds[name].attrs.get("long_name")] == []


def test_endings_add_their_words_to_those_of_the_name():
    assert long_name("phi_c_hard_clones_stderr") == (
        "standard error of: datum agreement, E sum_mu w_mu^2, of hard labels, by clones"
    )
    assert long_name("nothing_stderr") is None
