"""What every overdamped sampler obeys: golden errors, orders, laws of paths, exactness for a datum, refusals."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from fast_samplers import (
    GOLDEN,
    MIXTURE,
    SAMPLERS,
    STARTS,
    VARIANCE,
    VP,
    corrected_too,
    ends,
    kind,
    mixture_ends,
    variance_errors,
    vp_grid,
)
from linear_maps import end_covariance, gaussian_denoiser, marginal, step_maps

from diffphys.clocks import log_snr_grid
from diffphys.processes import Brownian, OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import Bridge, ReverseSDE, simulate
from diffphys.samplers.analytic import AnalyticDDPM

PEERS = SAMPLERS | {"euler": kind(ReverseSDE, 0.0), "reverse": ReverseSDE, "bridge": Bridge}
ORDERS = dict.fromkeys(SAMPLERS, 2) | {
    **dict.fromkeys(["ddim", "ddim half", "ddim eta", "exponential", "exponential half"], 1),
    **dict.fromkeys(["exponential noise", "exponential score"], 1),
    **dict.fromkeys(["3m", "deis 3 t", "deis 3 lambda", "flow adams 3", "unipc 2", "unipc 2 bh1"], 3),
    **dict.fromkeys(["deis 4 rho", "unipc 3"], 4),
}
SPAN = (6.0, 1e-2)


def golden_grid(name, steps):
    return corrected_too(vp_grid(steps)) if name.startswith(("unipc", "sa")) else vp_grid(steps)


@functools.cache
def maps_of(name):
    """The steps of 160 and of 320, on a Gaussian target."""
    sampler = SAMPLERS[name](OrnsteinUhlenbeck(), gaussian_denoiser(VARIANCE))
    return sampler, step_maps(sampler, *[log_snr_grid(*SPAN, steps) for steps in (160, 320)])


def test_the_reference_flow_of_the_mixture_has_its_known_ends():
    np.testing.assert_allclose(mixture_ends()[[0, 20, 40]], GOLDEN["mixture_ends"], atol=5e-9)


@pytest.mark.parametrize("name", GOLDEN["mixture"])
def test_errors_on_a_mixture_match_the_golden_table(name):
    sampler, errors = PEERS[name](VP, MIXTURE.posterior_mean), []
    for steps in (20, 40):
        found = ends(sampler, golden_grid(name, steps), jnp.asarray(STARTS[:, None]))
        errors.append(np.sqrt(np.mean((found[:, 0] - mixture_ends()) ** 2)))
    np.testing.assert_allclose(errors, GOLDEN["mixture"][name], rtol=3e-7)


@pytest.mark.parametrize("name", GOLDEN["gaussian"])
def test_errors_on_a_gaussian_match_the_golden_table(name):
    errors = variance_errors(PEERS[name], 1 / 16, *[golden_grid(name, steps) for steps in (20, 40)])
    np.testing.assert_allclose(errors, GOLDEN["gaussian"][name], rtol=2e-8)


ELSEWHERE = ("analytic", "sa", "deis 3 lambda", "3m stochastic")


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ELSEWHERE])
def test_end_variance_converges_at_the_order_of_the_sampler(name):
    """Of the flow or in law. Left out: the exact one, and those whose leading errors nearly cancel here: see below."""
    start, wanted = (marginal(OrnsteinUhlenbeck(), t, VARIANCE) for t in SPAN)
    errors = [abs(end_covariance(maps, start) - wanted).item() for maps in maps_of(name)[1]]
    assert abs(np.log2(errors[0] / errors[1]) - ORDERS[name]) < 0.15, errors


@pytest.mark.parametrize(("name", "variance", "span"), [("sa", 0.3, (2.0, 0.05)), ("3m stochastic", 8.0, SPAN)])
def test_end_variance_converges_at_weak_order_two_where_leading_errors_do_not_cancel(name, variance, span):
    process, errors = OrnsteinUhlenbeck(), []
    grids = [corrected_too(log_snr_grid(*span, steps)) for steps in (80, 160)]
    sampler = SAMPLERS[name](process, gaussian_denoiser(variance))
    for ts, maps in zip(grids, step_maps(sampler, *grids), strict=True):
        first, last = (marginal(process, t, variance) for t in (ts[0], ts[-1]))
        errors.append(abs(end_covariance(maps, first) - last).item())
    assert abs(np.log2(errors[0] / errors[1]) - ORDERS[name]) < 0.15, errors


def test_deis_of_three_in_lambda_converges_at_order_three_on_a_mixture():
    sampler, errors = SAMPLERS["deis 3 lambda"](VP, MIXTURE.posterior_mean), []
    for steps in (160, 320):
        run = functools.partial(simulate, sampler, jr.key(0), vp_grid(steps))
        found = jax.vmap(run)(jnp.asarray(STARTS[:, None]))[:, 0]
        errors.append(np.sqrt(np.mean((found - mixture_ends()) ** 2)))
    assert abs(np.log2(errors[0] / errors[1]) - ORDERS["deis 3 lambda"]) < 0.15, errors


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_time_reversal_and_no_other_has_the_joint_law_of_the_forward_process(name):
    """Cov(z_s, z_t) of the last quarter of a run, where z_t and z_s are far from independent."""
    process, (sampler, (_, (states, _))) = OrnsteinUhlenbeck(), maps_of(name)
    ts = log_snr_grid(*SPAN, 320)[240:]
    # The past that is remembered at t counts little: what its errors move is of the order of the step.
    joint = np.zeros(states.shape[1])
    joint[0] = marginal(process, ts[0], VARIANCE).item()
    for k in range(1, len(joint)):
        joint[k] = joint[0] * _remembered(name, process, ts[0])
    for state in states[240:]:
        joint = state @ joint
    wanted = marginal(process, ts[-1], VARIANCE).item() * process.transition(ts[-1], ts[0])[0]
    distance = abs(joint[0] / wanted - 1)
    assert (distance < 0.02) == sampler.is_time_reversal, distance


def _remembered(name, process, t):
    """The slope of a prediction, of the noise or of the data, in the state at t."""
    kernel = process.kernel(t)
    data = VARIANCE / (VARIANCE + kernel.variance)
    slope = (1 - data) / np.sqrt(kernel.variance) if name.startswith(("deis", "pndm")) else data
    return slope / kernel.mean


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("exponential noise", "exponential score")])
def test_a_run_is_exact_at_any_step_for_a_single_datum(name):
    process, ts = OrnsteinUhlenbeck(2.0), np.array([1.5, 1.1, 0.7, 0.4, 0.25, 0.1, 0.04])
    if name == "analytic":
        make = kind(AnalyticDDPM, lambda t: 1 / process.kernel(t).cov)
    else:
        make = SAMPLERS[name]
    first, last = process.kernel(ts[0]), process.kernel(ts[-1])
    sampler = make(process, lambda y, v: 0 * y + 1.0)
    end = ends(sampler, ts, jnp.array([[first.mean]]))
    np.testing.assert_allclose(end, np.full((1, 1), last.mean), rtol=1e-10)
    (maps,) = step_maps(sampler, ts)
    np.testing.assert_allclose(end_covariance(maps, np.array([[first.cov]])), np.full((1, 1), last.cov), rtol=1e-9)


IN_TIME = ("analytic", "pndm", "exponential score")


@pytest.mark.parametrize(
    "name", [name for name in SAMPLERS if "t" not in name.split() and not name.startswith(IN_TIME)]
)
def test_a_step_in_data_units_is_that_of_any_process_with_its_noise_levels(name):
    levels = np.geomspace(30.0, 0.05, 8)
    plans = []
    for process, ts in ((Brownian(2.0), levels / 4), (OrnsteinUhlenbeck(3.0), 0.5 * np.log1p(levels / 3))):
        row, means = SAMPLERS[name](process, lambda y, v: y).plan(ts), process.table(ts).mean
        stay = {kind: np.ones(7) for kind in ("data", "noise", "past")} | {"state": means[:-1]}
        channels = [in_units(stage.channel, stay) for stage in row.stages]
        last = in_units(row.state, {term: scale / means[1:] for term, scale in stay.items()})
        plans.append(
            ([stage.variance for stage in row.stages], channels, last, [in_units(terms, stay) for terms in row.memory])
        )
    for one, other in zip(*map(jax.tree.leaves, plans), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["unipc 3", "deis 3 lambda", "sa", "flow adams 3"])
def test_an_estimate_that_is_remembered_is_read_only_for_that(name):
    """The state is made of what was remembered: the same state, since predictions add up to it."""
    sampler, ts = SAMPLERS[name](OrnsteinUhlenbeck(), lambda y, v: y), np.geomspace(2.0, 0.05, 9)
    plan, table = sampler.plan(ts), sampler.table(ts)
    assert ("data", 0) in table.state
    assert ("data", 0) not in plan.state
    for term in ("state", "data"):
        got = plan.state.get((term, 0), 0.0)
        for i, slot in enumerate(plan.slot.astype(int)):
            remembered = plan.state["past", slot][i] * plan.memory[0].get((term, 0), np.zeros(8))[i]
            wanted = table.state[term, 0][i]
            np.testing.assert_allclose(np.broadcast_to(got, 8)[i] + remembered, wanted, rtol=1e-9, atol=1e-13)


def in_units(terms, scales):
    return {term: coefficient * scales[term[0]] for term, coefficient in terms.items()}


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "pndm"])
def test_a_sampler_calls_the_denoiser_and_draws_as_often_as_it_says(name):
    calls = []

    def denoise(y, v):
        calls.append(v)
        return 0.5 * y

    sampler = SAMPLERS[name](OrnsteinUhlenbeck(), denoise)
    rows = sampler.plan(np.geomspace(1.0, 0.1, 8))
    # The last row: there the past is full.
    row = jax.tree.map(lambda leaf: jnp.asarray(leaf[-1]), rows)
    step = lambda noise: sampler.state(sampler.step(row, sampler.init(jnp.ones(3)), noise))  # noqa: E731
    still = step(jnp.zeros((sampler.draws, 3)))
    assert len(calls) == sampler.evaluations == sampler.calls(1)
    for j in range(sampler.draws):
        assert abs(step(jnp.zeros((sampler.draws, 3)).at[j].set(1.0)) - still).min() > 1e-3


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_process_with_momentum_is_refused(name):
    with pytest.raises(ValueError, match="needs an overdamped process"):
        SAMPLERS[name](PhaseSpaceLangevin(), lambda y, v: y)


@pytest.mark.parametrize("name", ["deis 3 t", "unipc 3", "sa", "2m"])
def test_a_grid_shorter_than_the_past_is_refused(name):
    sampler = SAMPLERS[name](OrnsteinUhlenbeck(), lambda y, v: y)
    with pytest.raises(ValueError, match=f"needs at least {sampler.history + 1} steps"):
        sampler.plan(np.linspace(1.0, 0.1, sampler.history + 1))
