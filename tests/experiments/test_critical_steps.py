"""Steps near the critical time: grids that hold what they say, and weights that get better by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments.critical_steps import windowed_grid

OU = dp.OrnsteinUhlenbeck()


@pytest.mark.parametrize("process", [OU, dp.PhaseSpaceLangevin()], ids=["ou", "psld"])
@pytest.mark.parametrize("inside", [1, 5, 10])
def test_a_windowed_grid_has_its_steps_where_it_says(process, inside):
    ts = windowed_grid(process, 5.0, 1.0, 2.0, 0.1, 12, inside)
    assert len(ts) == 13
    assert np.all(np.diff(ts) < 0)
    assert (ts[0], ts[-1]) == (5.0, 0.1)
    np.testing.assert_allclose(np.min(np.abs(ts - 1.0)), 0, atol=1e-9)
    assert np.sum((ts[1:] < 2.0 - 1e-9) & (ts[1:] > 1.0 - 1e-9)) == inside
    # Evenly in log-noise within the window.
    logs = np.log([float(process.kernel(t).variance) for t in ts[(ts < 2.0 + 1e-9) & (ts > 1.0 - 1e-9)]])
    np.testing.assert_allclose(np.diff(logs), np.diff(logs)[0], rtol=1e-6)


@pytest.fixture(scope="module")
def run():
    target = dp.symmetric_mixture(np.full(16, 1.0), 0.05, 0.7)
    return dp.critical_steps(
        target, OU, 0.5 * np.log(16.0), key=jax.random.key(0), start=5.0, stop=0.05, steps=8, inside=[1, 3, 5],
        trajectories=20_000,
    )  # fmt: skip


def test_steps_near_the_critical_time_mend_the_weights(run):
    error = float(run.label_weight_stderr.max())
    assert run.deficit[0] > run.deficit[2] + 4 * error
    assert run.deficit[2] < run.attrs["deficit_uniform"] + 4 * error


def test_diversity_is_the_entropy_of_the_weights_and_all_is_decided_at_the_end(run):
    weights = run.label_weight.values
    np.testing.assert_allclose(run.diversity, -(weights * np.log(weights)).sum(1), rtol=1e-12)
    np.testing.assert_allclose(run.attrs["diversity_true"], -0.7 * np.log(0.7) - 0.3 * np.log(0.3), rtol=1e-6)
    np.testing.assert_allclose(run.indecision, 0, atol=0.01)


def test_many_steps_anywhere_rebuild_the_weights():
    target = dp.symmetric_mixture(np.full(16, 1.0), 0.05, 0.7)
    ds = dp.critical_steps(
        target, OU, 0.5 * np.log(16.0), key=jax.random.key(0), start=5.0, stop=0.05, steps=100, inside=[40],
        trajectories=4000,
    )  # fmt: skip
    assert ds.deficit[0] < 4 * ds.label_weight_stderr.max() + 0.004


def test_chunks_change_no_number():
    whole, parts = (
        dp.critical_steps(
            dp.symmetric_mixture(np.full(8, 1.0), 0.05, 0.7), OU, 1.0, key=jax.random.key(1), start=3.0, stop=0.1,
            steps=5, inside=[1, 3], trajectories=40, chunk=chunk,
        )
        for chunk in (None, 7)
    )  # fmt: skip
    assert parts.attrs["chunk"] == 7 < whole.attrs["chunk"]
    for name in whole.data_vars:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-10, atol=1e-14, err_msg=name)
    for name in ("deficit_uniform", "diversity_uniform", "deficit_uniform_stderr", "diversity_uniform_stderr"):
        assert parts.attrs[name] == pytest.approx(whole.attrs[name], rel=1e-10)


def test_windows_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="start > high > low > stop > 0"):
        windowed_grid(OU, 1.0, 1.0, 2.0, 0.1, 12, 3)
    with pytest.raises(
        ValueError, match=r"on either side of `critical_time` plus and minus `width`.*Got 5.0, 0.6, 1.0"
    ):
        dp.critical_steps(dp.symmetric_mixture(np.ones(2)), OU, 1.0, key=jax.random.key(0), start=5.0, stop=0.6)
    with pytest.raises(ValueError, match=r"`inside` needs from 1 to 10 of the 12 steps. Got 11"):
        windowed_grid(OU, 5.0, 1.0, 2.0, 0.1, 12, 11)


def test_a_trajectory_that_is_not_finite_is_named():
    target = dp.symmetric_mixture(np.full(2, 1.5))

    def sampler(process, denoise):
        return dp.ReverseSDE(process, lambda y, v: jnp.where(y[0] > 3.0, jnp.nan, denoise(y, v)))

    with jax.debug_nans(False), pytest.raises(FloatingPointError, match=r"`label_weight` of trajectory \d+ is not"):
        dp.critical_steps(
            target, dp.OrnsteinUhlenbeck(), 1.0, key=jax.random.key(0), start=3.0, stop=0.1, steps=4, inside=[1],
            width=0.2, trajectories=64, sampler=sampler,
        )  # fmt: skip
