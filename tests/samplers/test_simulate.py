"""The loop: which noise goes where, what it keeps of its arguments, what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from linear_maps import gaussian_denoiser, marginal, step_maps

from diffphys import box_muller
from diffphys.clocks import log_snr_grid, uniform_grid
from diffphys.diffused import Diffused
from diffphys.processes import OrnsteinUhlenbeck, PhaseSpaceLangevin
from diffphys.samplers import Bridge, ProbabilityFlow, ReverseSDE, simulate
from diffphys.samplers.base import made_once, noise_of, place, run, run_halved
from diffphys.targets import symmetric_mixture

PROCESSES = {"ou": OrnsteinUhlenbeck(), "psld": PhaseSpaceLangevin()}
KINDS = {"reverse": ReverseSDE, "bridge": Bridge, "flow": ProbabilityFlow}
every_sampler = pytest.mark.parametrize(
    "sampler", [kind(PhaseSpaceLangevin(), gaussian_denoiser(0.3)) for kind in KINDS.values()], ids=KINDS.keys()
)
TS = uniform_grid(0.8, 0.1, 7)


def start(sampler, dtype=jnp.float64):
    return jnp.ones((*np.shape(sampler.process.kernel(1.0).mean), 1), dtype)


@every_sampler
def test_a_path_is_the_product_of_its_steps_with_the_noise_of_their_numbers(sampler):
    key, z = jr.key(3), start(sampler)
    path = simulate(sampler, jr.clone(key), TS, z, path=True)
    wanted = z.ravel()
    np.testing.assert_array_equal(path[0], z)
    for i, (state, noise) in enumerate(zip(*step_maps(sampler, TS)[0], strict=True)):
        draws = box_muller(jr.fold_in(jr.clone(key), i), (sampler.draws, *z.shape))
        wanted = state @ wanted + noise @ draws.ravel()
        np.testing.assert_allclose(path[i + 1].ravel(), wanted, rtol=1e-10)
    np.testing.assert_array_equal(simulate(sampler, jr.clone(key), TS, z), path[-1])


@every_sampler
def test_the_same_key_gives_the_same_path_and_another_another(sampler):
    z = start(sampler)
    one, again, other = (simulate(sampler, jr.key(seed), TS, z) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert bool(jnp.any(one != other)) == (sampler.draws > 0)


def test_noise_of_a_step_does_not_depend_on_how_many_there_are():
    sampler = ReverseSDE(OrnsteinUhlenbeck(), gaussian_denoiser(0.3))
    long = simulate(sampler, jr.key(0), TS, jnp.ones(1), path=True)
    short = simulate(sampler, jr.key(0), TS[:4], jnp.ones(1), path=True)
    np.testing.assert_array_equal(long[:4], short)


@every_sampler
def test_a_halved_grid_takes_the_noise_of_the_fine_one(sampler):
    """On a grid of uneven steps: sqrt(h1) n1 + sqrt(h2) n2 over the root of their sum, in every coordinate."""
    ts, z = log_snr_grid(0.8, 0.1, 6), start(sampler)
    draw = noise_of(sampler, jr.key(4), z)
    weights = np.sqrt(-np.diff(ts)).reshape(-1, 2)
    mix = jnp.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True))
    fine, coarse = (place(sampler.plan(grid), z.dtype) for grid in (ts, ts[::2]))
    got, got_halved = run_halved(sampler, fine, coarse, mix, z, draw)
    np.testing.assert_allclose(got, run(sampler, fine, z, draw), rtol=1e-12)
    wanted = z.ravel()
    for i, (state, noise) in enumerate(zip(*step_maps(sampler, ts[::2])[0], strict=True)):
        n1, n2, (h1, h2) = draw(2 * i).ravel(), draw(2 * i + 1).ravel(), -np.diff(ts)[2 * i : 2 * i + 2]
        wanted = state @ wanted + noise @ ((h1**0.5 * n1 + h2**0.5 * n2) / (h1 + h2) ** 0.5)
    np.testing.assert_allclose(got_halved.ravel(), wanted, rtol=1e-10)


@every_sampler
def test_states_in_float32_stay_so(sampler):
    exact = simulate(sampler, jr.key(0), TS, start(sampler))
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), sampler.denoise)
    sampler = eqx.tree_at(lambda tree: tree.denoise, sampler, single)
    end = simulate(sampler, jr.key(0), TS, start(sampler, jnp.float32), path=True)
    assert end.dtype == jnp.float32
    if sampler.draws == 0:  # Their noises are of another dtype, hence others.
        np.testing.assert_allclose(end[-1], exact, rtol=1e-5)


@every_sampler
def test_the_end_is_differentiable_in_the_start_under_jit_and_vmap(sampler):
    shape = start(sampler).shape
    jacobian = jax.jit(jax.vmap(jax.jacrev(lambda z: simulate(sampler, jr.key(1), TS, z).sum())))
    states = jr.normal(jr.key(2), (3, *shape))
    wanted = np.eye(states[0].size)
    for state in step_maps(sampler, TS)[0][0]:
        wanted = state @ wanted
    np.testing.assert_allclose(jacobian(states).reshape(3, -1), np.repeat(wanted.sum(0)[None], 3, 0), rtol=1e-10)


def test_many_states_are_a_map_over_keys_and_states():
    sampler = Bridge(PhaseSpaceLangevin(), gaussian_denoiser(0.3))
    keys, states = jr.split(jr.key(0), 3), jr.normal(jr.key(1), (3, 2, 1))
    batch = jax.vmap(lambda key, z: simulate(sampler, key, TS, z))(jr.clone(keys), states)
    for i in range(3):
        np.testing.assert_allclose(batch[i], simulate(sampler, keys[i], TS, states[i]), rtol=1e-12)


def test_a_parameter_of_the_denoiser_can_be_differentiated():
    """The flow of a Gaussian multiplies by the ratio of its widths at the two times."""
    ts = uniform_grid(0.8, 0.1, 400)

    def end(variance):
        sampler = ProbabilityFlow(OrnsteinUhlenbeck(), gaussian_denoiser(variance))
        return simulate(sampler, jr.key(0), ts, jnp.ones(1))[0]

    def ratio(c):
        total = lambda t: c * jnp.exp(-2 * t) - jnp.expm1(-2 * t)  # noqa: E731
        return jnp.sqrt(total(0.1) / total(0.8))

    np.testing.assert_allclose(jax.grad(end)(0.3), jax.grad(ratio)(0.3), rtol=1e-4)


def test_a_noise_that_is_read_twice_is_made_once():
    """As often as if nobody read it: counted by the turns of its words."""

    def turns(read):
        program = jax.jit(lambda key, v: read(box_muller(key, (2, 64)), v))
        return program.lower(jr.key(0), jnp.ones(())).compile().as_text().count("shift-left(")

    def twice(noise):
        return jnp.stack([noise[0] + noise[1], noise[0] - noise[1]])[None] * jnp.ones((3, 1, 1))

    alone = turns(lambda noise, v: noise)
    assert turns(lambda noise, v: twice(made_once(noise, v))) == alone < turns(lambda noise, v: twice(noise))


@pytest.mark.parametrize("jacobian", [jax.jacfwd, jax.jacrev])
def test_a_noise_made_once_is_itself_and_differentiable(jacobian):
    noise = jnp.array([0.3, -1.2])
    np.testing.assert_array_equal(jax.vmap(made_once, (0, None))(noise[:, None], 0.5), noise[:, None])
    np.testing.assert_array_equal(jacobian(lambda x: made_once(x, 0.5))(noise), np.eye(2))


@pytest.mark.parametrize(("kind", "process"), [(ReverseSDE, "psld"), (Bridge, "ou")])
def test_samples_of_a_mixture_have_its_moments(kind, process):
    """From exact samples at t: the statistic is E a_1^2 and E of the class, both known."""
    law, n = Diffused(symmetric_mixture(jnp.array([1.0, 0.5]), 0.2, 0.7), PROCESSES[process]), 4000
    sampler, ts = kind(law.process, law.target.posterior_mean), log_snr_grid(1.0, 0.02, 100)

    def end(key):
        start_key, step_key = jr.split(key)
        z = simulate(sampler, step_key, ts, law.sample(start_key, ts[0]))
        return law.process.kernel(ts[-1]).observe(z)[0]

    y = np.asarray(eqx.filter_jit(jax.vmap(end))(jr.split(jr.key(0), n)))
    variance = 0.2 + float(law.process.kernel(ts[-1]).variance)
    for got, wanted in ((y, 0.4 * np.array([1.0, 0.5])), (y**2, np.array([1.0, 0.25]) + variance)):
        assert (np.abs(got.mean(0) - wanted) < 4 * got.std(0) / n**0.5 + 0.01).all()


def test_posterior_mean_and_score_are_those_of_the_denoiser():
    """Of one Gaussian coordinate the score is -P^-1 z."""
    sampler, z = Bridge(PhaseSpaceLangevin(), gaussian_denoiser(0.3)), jnp.array([[0.7], [-0.4]])
    y, v = sampler.process.kernel(0.3).observe(z)
    np.testing.assert_allclose(sampler.posterior_mean(0.3, z), 0.3 / (0.3 + v) * y, rtol=1e-13)
    wanted = -np.linalg.solve(marginal(sampler.process, 0.3, 0.3), z)
    np.testing.assert_allclose(sampler.score(0.3, z), wanted, rtol=1e-11)


SAMPLER = ReverseSDE(OrnsteinUhlenbeck(), gaussian_denoiser(0.3))


@pytest.mark.parametrize(
    ("ts", "message"),
    [
        (TS[::-1], "Time runs from noise down to data"),
        (np.array([1.0, 0.5, 0.5]), "Time runs from noise down to data"),
        (np.array([1.0, 0.0]), "a last time above 0"),
        (np.array([1.0, np.nan]), "finite times"),
        (np.array([1.0]), "at least two"),
    ],
)
def test_a_grid_that_cannot_be_walked_is_refused(ts, message):
    with pytest.raises(ValueError, match=message):
        simulate(SAMPLER, jr.key(0), ts, jnp.ones(1))


def test_a_traced_grid_is_refused():
    with pytest.raises(ValueError, match="`ts` needs known times"):
        jax.jit(lambda ts: simulate(SAMPLER, jr.key(0), ts, jnp.ones(1)))(TS)


@pytest.mark.parametrize("key", [jr.key_data(jr.key(0)), np.zeros(2, np.uint32), 0], ids=["raw", "numpy", "seed"])
def test_a_key_that_is_not_typed_is_refused(unchecked, key):
    with pytest.raises(ValueError, match="`key` needs a typed key"):
        simulate(SAMPLER, key, TS, jnp.ones(1))


def test_a_state_of_another_process_is_refused(unchecked):
    sampler = Bridge(PhaseSpaceLangevin(), lambda y, v: y)
    with pytest.raises(ValueError, match=r"`z` needs shape \(2, d\)"):
        simulate(sampler, jr.key(0), TS, jnp.ones(2))


@pytest.mark.parametrize("denoise", [lambda y, v: y[:1] + 0 * y.sum(), lambda y, v: (y, v)], ids=["shape", "tuple"])
def test_a_denoiser_of_another_shape_is_refused(denoise):
    sampler = Bridge(OrnsteinUhlenbeck(), denoise)
    with pytest.raises(ValueError, match=r"`denoise` needs to return an estimate of shape \(3,\)"):
        simulate(sampler, jr.key(0), TS, jnp.ones(3))


@pytest.mark.parametrize("z", [[1], np.array([1])], ids=["list", "integers"])
def test_a_state_in_lists_and_integers_is_one_of_floats(z, unchecked):
    sampler = Bridge(OrnsteinUhlenbeck(), gaussian_denoiser(0.3))
    found = simulate(sampler, jr.key(0), TS, z)
    np.testing.assert_array_equal(found, simulate(sampler, jr.key(0), TS, jnp.ones(1)))
