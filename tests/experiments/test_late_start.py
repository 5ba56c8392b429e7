"""Late starts: the identity against trajectories, its limits, and a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffphys as dp
from diffphys.experiments._chunks import ChunkedProgram
from diffphys.thermo import spontaneous_magnetisation

OU = dp.OrnsteinUhlenbeck()
TIMES = [0.4, 1.5, 3.0]


@pytest.mark.parametrize(
    "process", [OU, dp.OrnsteinUhlenbeck(0.5), dp.PhaseSpaceLangevin()], ids=["ou", "cold", "psld"]
)
def test_trajectories_keep_the_weights_that_their_start_has(process):
    target = dp.symmetric_mixture(np.full(4, 1.5), 0.3, 0.8)
    ds = dp.late_start(target, process, TIMES, key=jax.random.key(1), samples=4000, trajectories=1500, steps=60)
    error = np.hypot(ds.label_weight_stderr, ds.label_weight_sampler_stderr)
    # The posterior of a discretised path drifts a little: 1 % at 60 steps.
    assert np.all(np.abs(ds.label_weight_sampler - ds.label_weight) < 4 * error + 0.01)


def test_a_start_far_from_the_data_loses_nothing_and_one_near_it_forgets_the_bias():
    magnet = dp.CurieWeiss(60, 1.5, 0.8)
    ds = dp.late_start(magnet, OU, [0.05, 7.0], key=jax.random.key(2), samples=3000)
    near, far = ds.label_weight[:, 0].values
    assert abs(far - float(magnet.label_weights[0])) < 4 * float(ds.label_weight_stderr[1, 0]) + 1e-3
    # Spins read off a prior without any: the field of order 1 / N of one spin is nothing, that of all is h m*.
    assert abs(near - 0.5) < 0.1 < ds.deficit[0]


def test_weights_of_two_distant_states_are_those_of_a_normal_magnetisation():
    # P(+|x) = sigmoid 2 (h m* + kappa m* mu / Delta'), with mu normal: by quadrature in one dimension.
    beta, field, dim = 1.5, 0.5, 400
    ds = dp.late_start(dp.CurieWeiss(dim, beta, field), OU, [2.5, 4.0], key=jax.random.key(3), samples=3000)
    m = spontaneous_magnetisation(beta)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    kappa = np.sqrt(dim) * np.exp(-ds.t.values)[:, None]
    exact = (1 / (1 + np.exp(-2 * (field * m + kappa * m * nodes)))) @ weights / weights.sum()
    # The theory is of infinite N: corrections of order kappa^2 / N and 1 / N.
    assert np.all(np.abs(ds.label_weight[:, 0] - exact) < 4 * ds.label_weight_stderr[:, 0] + 0.01)


@pytest.mark.parametrize("process", [OU, dp.PhaseSpaceLangevin()], ids=["ou", "psld"])
def test_chunks_change_no_number(process):
    """Noise has the number of the sample or trajectory, wherever its chunk begins."""
    target = dp.symmetric_mixture(np.full(4, 1.5), 0.3, 0.8)
    whole, parts = (
        dp.late_start(
            target, process, TIMES, key=jax.random.key(4), samples=50, trajectories=30, steps=4, chunk=chunk
        )
        for chunk in (None, 7)
    )  # fmt: skip
    assert (parts.attrs["chunk_samples"], parts.attrs["chunk_trajectories"]) == (7, 7)
    assert whole.attrs["chunk_samples"] > 7
    for name in whole.data_vars:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-10, atol=1e-14, err_msg=name)
    assert len({*whole.label_weight_sampler.values.ravel()}) == 2 * len(TIMES)


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    def run(**options):
        target = dp.symmetric_mixture(np.full(4, 1.5))
        return dp.late_start(
            target, OU, TIMES, key=jax.random.key(5), samples=20, trajectories=20, steps=4, chunk=8, **options
        )

    whole, called, original = run(), [], ChunkedProgram.__call__

    def failing(self, index):
        if len(called) == 4:
            raise KeyboardInterrupt
        return called.append(index) or original(self, index)

    monkeypatch.setattr(ChunkedProgram, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=tmp_path)
    called[:] = called[2:]
    resumed = run(checkpoint=tmp_path)
    for name in whole.data_vars:
        np.testing.assert_array_equal(resumed[name], whole[name])


def test_grids_of_different_sizes_are_refused():
    def grid(start, stop, steps):
        return dp.clocks.log_snr_grid(start, stop, steps + (start > 1))

    with pytest.raises(ValueError, match=r"`grid` needs as many times from every start. Got \[5, 6\]"):
        dp.late_start(
            dp.symmetric_mixture(np.ones(2)), OU, TIMES, key=jax.random.key(0), samples=4, trajectories=4, steps=4,
            grid=grid,
        )  # fmt: skip


def test_what_means_nothing_is_refused():
    target = dp.symmetric_mixture(np.ones(2))
    with pytest.raises(ValueError, match="`stop` needs a time above 0 and below all `times`"):
        dp.late_start(target, OU, [1.0], key=jax.random.key(0), trajectories=4, stop=2.0)
    with pytest.raises(ValueError, match="`samples` needs a whole number, at least 2"):
        dp.late_start(target, OU, [1.0], key=jax.random.key(0), samples=1)


def test_a_trajectory_that_is_not_finite_is_named():
    target = dp.symmetric_mixture(np.full(2, 1.5))
    sampler = dp.ReverseSDE(OU, lambda y, v: jnp.where(y[0] > 3.0, jnp.nan, target.posterior_mean(y, v)))
    with jax.debug_nans(False), pytest.raises(FloatingPointError, match=r"`label_weight_sampler` of trajectory \d+ is"):
        dp.late_start(target, OU, [1.0], key=jax.random.key(0), samples=8, trajectories=64, sampler=sampler, steps=4)
