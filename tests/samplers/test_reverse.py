"""Reverse diffusions and the bridge, exactly: coefficients, orders, laws of their ends."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_laws import PROCESSES, assert_close_by_rows
from fast_samplers import kind
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps

import diffphys._block as block
from diffphys.clocks import ddpm_times, linear_betas, log_snr_grid, uniform_grid
from diffphys.processes import Brownian, OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import Bridge, ExponentialSDE, ProbabilityFlow, ReverseSDE

SAMPLERS = {
    "reverse 0": lambda process, denoise: ReverseSDE(process, denoise, 0.0),
    "reverse 0.5": lambda process, denoise: ReverseSDE(process, denoise, 0.5),
    "reverse 1": ReverseSDE,
    "reverse 2": lambda process, denoise: ReverseSDE(process, denoise, 2.0),
    "bridge": Bridge,
    "flow": ProbabilityFlow,
}
ORDERS = dict.fromkeys(SAMPLERS, 1) | {"flow": 2}
SPANS = {"ou": (2.0, 0.1), "brownian": (5.0, 0.12), "psld": (0.8, 0.05)}
VARIANCE = 0.3
AT_DATA = 1e-13
"""Where a bridge may stop in place of 0: what it leaves out is of this size."""


def coefficients(row):
    """Of the estimate, the state and the noise in the steps of a table."""
    return [np.asarray(row.state[term]) for term in (("data", 0), ("state", 0), ("noise", 0))]


@functools.cache
def maps_of(kind, name):
    """The steps of 320 and of 640."""
    process = PROCESSES[name]
    sampler = SAMPLERS[kind](process, gaussian_denoiser(VARIANCE))
    return sampler, step_maps(sampler, *[uniform_grid(*SPANS[name], steps) for steps in (320, 640)])


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize("kind", SAMPLERS)
def test_end_covariance_converges_to_the_marginal_at_the_order_of_the_sampler(kind, name):
    _, maps = maps_of(kind, name)
    start, wanted = (marginal(PROCESSES[name], t, VARIANCE) for t in SPANS[name])
    errors = [np.abs(end_covariance(steps, start) - wanted).max() for steps in maps]
    assert errors[1] < 0.1 * np.abs(wanted).max()
    assert abs(np.log2(errors[0] / errors[1]) - ORDERS[kind]) < 0.12, errors


def test_bridge_converges_at_order_one_on_a_grid_uniform_in_log_snr():
    process = OrnsteinUhlenbeck()
    maps = step_maps(Bridge(process, gaussian_denoiser(VARIANCE)), *[log_snr_grid(6.0, 1e-3, n) for n in (160, 320)])
    start, wanted = (marginal(process, t, VARIANCE) for t in (6.0, 1e-3))
    errors = [(end_covariance(steps, start) - wanted).item() for steps in maps]
    assert abs(np.log2(errors[0] / errors[1]) - 1) < 0.05


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("name", ["ou", "psld"])
def test_a_time_reversal_and_no_other_has_the_joint_law_of_the_forward_process(kind, name):
    """Cov(z_s, z_t) over a whole run: of the forward process it is the marginal at s times E'."""
    process, (t, s) = PROCESSES[name], SPANS[name]
    sampler, (_, (states, _)) = maps_of(kind, name)
    joint = marginal(process, t, VARIANCE)
    for state in states:
        joint = state @ joint
    wanted = marginal(process, s, VARIANCE) @ np.atleast_2d(process.transition(s, t)[0]).T
    distance = np.abs(joint - wanted).max() / np.abs(wanted).max()
    assert (distance < 0.05) == sampler.is_time_reversal, distance


@pytest.mark.parametrize(
    ("name", "noise_level"), [("disc_EM_c0.25", 1.0), ("disc_ODE_Euler_c0.25", 0.0), ("disc_ODE_Euler_c4.0", 0.0)]
)
def test_euler_steps_to_the_data_match_the_exact_recursion(oracles, name, noise_level):
    inputs = oracles[name]["inputs"]
    sampler = ReverseSDE(OrnsteinUhlenbeck(), gaussian_denoiser(inputs["c"]), noise_level)
    maps = step_maps(sampler, *[uniform_grid(inputs["tf"], 0.0, n) for n in inputs["nsteps"]])
    got = [end_covariance(steps, np.eye(1)).item() for steps in maps]
    np.testing.assert_allclose(got, oracles[name]["value"], rtol=oracles[name]["tol"])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("disc_EI_x0_c0.25", Bridge),
        ("disc_EI_x0_c4.0", Bridge),
        ("disc_EI_score_c0.25", kind(ExponentialSDE, prediction="score")),
    ],
)
def test_exponential_steps_to_the_data_match_the_exact_recursion(oracles, name, make):
    """The last step of the recursion ends at the data; ours stops just short of them."""
    inputs = oracles[name]["inputs"]
    sampler = make(OrnsteinUhlenbeck(), gaussian_denoiser(inputs["c"]))
    grids = [np.append(uniform_grid(inputs["tf"], 0.0, n)[:-1], AT_DATA) for n in inputs["nsteps"]]
    got = [end_covariance(steps, np.eye(1)).item() for steps in step_maps(sampler, *grids)]
    np.testing.assert_allclose(got, oracles[name]["value"], rtol=oracles[name]["tol"])


@pytest.mark.parametrize("name", ["ddpm_ancestral_c0.25", "ddpm_ancestral_c1.0"])
def test_bridge_on_the_clock_of_ddpm_has_the_end_of_ancestral_sampling(oracles, name):
    sampler = Bridge(OrnsteinUhlenbeck(), gaussian_denoiser(oracles[name]["inputs"]["c"]))
    ts = np.append(ddpm_times(linear_betas())[::-1], AT_DATA)
    end = end_covariance(*step_maps(sampler, ts), np.eye(1)).item()
    np.testing.assert_allclose(end, oracles[name]["value"][3], rtol=oracles[name]["tol"])


def test_bridge_has_the_coefficients_of_ancestral_sampling():
    """Ho et al. (2020), eqs. 6 and 7, for every index above 0."""
    betas = linear_betas()
    row = Bridge(OrnsteinUhlenbeck(), gaussian_denoiser(1.0)).plan(ddpm_times(betas)[::-1])
    alpha_bars = np.cumprod(1 - betas)
    before, after, beta = alpha_bars[:-1], alpha_bars[1:], betas[1:]
    wanted = (
        np.sqrt(before) * beta / (1 - after),
        np.sqrt(1 - beta) * (1 - before) / (1 - after),
        np.sqrt(beta * (1 - before) / (1 - after)),
    )
    for got, values in zip(coefficients(row), wanted, strict=True):
        np.testing.assert_allclose(got[::-1], values, rtol=1e-10)


def test_bridge_matches_its_exact_coefficients(oracles):
    entry = oracles["bridge_coeffs"]
    ts = np.array([entry["inputs"]["t"], entry["inputs"]["s"]])
    row = Bridge(OrnsteinUhlenbeck(), gaussian_denoiser(1.0)).plan(ts)
    pull, carry, noise = coefficients(row)
    got = [pull.item(), carry.item(), noise.item() ** 2]
    np.testing.assert_allclose(got, entry["value"], atol=entry["tol"])


@pytest.mark.parametrize("name", PROCESSES)
def test_bridge_is_exact_at_any_step_for_a_single_datum(name):
    """Mean and covariance of the state given the datum, carried down: each row to its own scale."""
    process, ts = PROCESSES[name], np.array([1.5, 0.8, 0.79, 0.1, 2e-3, 1e-5])
    rows = Bridge(process, lambda y, v: y).plan(ts)
    now = process.kernel(ts[0])
    mean, factor = np.atleast_1d(now.mean), np.atleast_2d(now.factor)
    for i, s in enumerate(ts[1:]):
        pull, carry, noise = (part[i] for part in coefficients(rows))
        mean = np.atleast_1d(pull) + np.atleast_2d(carry) @ mean
        factor = block.join(np.atleast_2d(carry) @ factor, np.atleast_2d(noise))
        kernel = process.kernel(s)
        error = np.abs(mean - np.atleast_1d(kernel.mean))
        # Against the mean or the noise about it, whichever is the larger.
        assert (error < 1e-9 * np.abs(kernel.mean) + 1e-9 * np.sqrt(np.diag(np.atleast_2d(kernel.cov)))).all()
        assert_close_by_rows(factor, kernel.factor, 1e-8)
        np.testing.assert_allclose(np.diag(factor), np.diag(np.atleast_2d(kernel.factor)), rtol=1e-6)


def strong_errors(counts, fine):
    """Root mean square distances to the path of `fine` steps, of which coarse steps sum the increments.

    Exactly: the end of a path is linear in the start, of variance 1, and in the increments.
    """
    sampler = ReverseSDE(OrnsteinUhlenbeck(), gaussian_denoiser(0.25))

    def weights(maps):
        state, noise = (matrix[:, 0, 0] for matrix in maps)
        after, each = np.append(np.cumprod(state[:0:-1])[::-1], 1.0), fine // len(state)
        return np.append(np.repeat(after * noise, each) / np.sqrt(each), np.prod(state))

    *coarse, reference = step_maps(sampler, *[uniform_grid(3.0, 0.0, n) for n in (*counts, fine)])
    return np.array([np.linalg.norm(weights(maps) - weights(reference)) for maps in coarse])


def test_euler_maruyama_converges_strongly_at_order_one():
    errors = strong_errors((16, 32, 64), 1024)
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 1.06, atol=0.06)


@pytest.mark.slow
def test_strong_errors_of_euler_maruyama_match_simulation(oracles):
    entry = oracles["strong_order_EM_gaussian"]
    np.testing.assert_allclose(strong_errors(entry["inputs"]["n"], 8192), entry["value"], rtol=0.05)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_sampler_calls_the_denoiser_and_draws_as_often_as_it_says(kind):
    calls = []

    def denoise(y, v):
        calls.append(v)
        return 0.5 * y

    sampler = SAMPLERS[kind](PhaseSpaceLangevin(), denoise)
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), sampler.plan(np.array([0.5, 0.4])))
    step = lambda noise: sampler.state(sampler.step(row, sampler.init(jnp.ones((2, 3))), noise))  # noqa: E731
    still = step(jnp.zeros((sampler.draws, 2, 3)))
    assert len(calls) == sampler.evaluations
    assert sampler.draws == (0 if kind in ("reverse 0", "flow") else 1)
    if sampler.draws:
        moved = step(jnp.ones((sampler.draws, 2, 3))) - still
        weights = row.state[("noise", 0)]
        weights = weights if weights.ndim == 1 else weights.sum(axis=1)
        np.testing.assert_allclose(moved, np.repeat(weights[:, None], 3, axis=1), rtol=1e-11)


@pytest.mark.parametrize(("kind", "mixes"), [("reverse 1", False), ("bridge", True)])
def test_noise_that_mixes_no_variables_is_planned_as_its_diagonal(kind, mixes):
    """XLA draws a noise into the state that alone reads it; each row of a block reads all of it."""
    ts = np.array([0.5, 0.4, 0.2])
    sampler = SAMPLERS[kind](PhaseSpaceLangevin(), gaussian_denoiser(VARIANCE))
    written, planned = (rows.state["noise", 0] for rows in (sampler.table(ts), sampler.plan(ts)))
    np.testing.assert_array_equal(written, planned if mixes else planned[:, :, None] * np.eye(2)[None])


@pytest.mark.parametrize("kind", SAMPLERS)
def test_plans_are_float64_whatever_the_parameters_are(kind):
    ts = np.array([1.0, 0.3, 1e-3])
    single = SAMPLERS[kind](OrnsteinUhlenbeck(jnp.float32(0.5)), gaussian_denoiser(1.0)).plan(ts)
    assert jax.tree.all(
        jax.tree.map(np.array_equal, single, SAMPLERS[kind](OrnsteinUhlenbeck(0.5), gaussian_denoiser(1.0)).plan(ts))
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(single)} == {np.dtype(np.float64)}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_plan_of_traced_parameters_is_refused(kind):
    def plan(sigma):
        return SAMPLERS[kind](Brownian(sigma), lambda y, v: y).plan(np.array([1.0, 0.5]))

    with pytest.raises(ValueError, match="`Brownian` needs known parameters"):
        jax.jit(plan)(1.0)


@pytest.mark.parametrize("level", [-1.0, float("nan"), float("inf")])
def test_a_noise_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="`ReverseSDE` needs a finite `noise_level >= 0`"):
        ReverseSDE(OrnsteinUhlenbeck(), lambda y, v: y, level)
