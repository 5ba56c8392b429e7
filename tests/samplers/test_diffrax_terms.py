"""What diffrax makes of our flows and diffusions, against their exact laws and our own steps."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from exact_laws import PROCESSES
from linear_maps import gaussian_denoiser, marginal

from diffphys.clocks import uniform_grid
from diffphys.diffused import Diffused
from diffphys.samplers import ReverseSDE
from diffphys.samplers.base import place, run
from diffphys.samplers.diffrax_terms import as_diffrax
from diffphys.targets import symmetric_mixture

NAMES = ["ou", "brownian", "psld"]
VARIANCE, T_MAX, T_MIN = 0.3, 0.8, 0.1
START, END = jnp.asarray(T_MAX), jnp.asarray(T_MIN)


@pytest.fixture(autouse=True)
def keys_of_diffrax():
    """Its Brownian trees split a key that they have split before, by design: they are functions of time."""
    with jax.debug_key_reuse(False):
        yield


@eqx.filter_jit
def flowed(process, denoise, z, t0, t1):
    """The example of the docstring."""
    solution = diffrax.diffeqsolve(
        as_diffrax(process, denoise),
        diffrax.Tsit5(),
        t0=t0,
        t1=t1,
        dt0=None,
        y0=z,
        stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-10),
    )
    return solution.ys[-1]


@pytest.mark.parametrize("name", NAMES)
def test_the_flow_of_a_gaussian_maps_its_covariances(name):
    """Of one coordinate the flow is linear: its columns are the ends of the unit states."""
    process, denoise = PROCESSES[name], gaussian_denoiser(VARIANCE)
    shape = (*np.shape(process.kernel(1.0).mean), 1)
    units = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    ends = eqx.filter_vmap(flowed, in_axes=(None, None, 0, None, None))(process, denoise, units, START, END)
    psi = np.asarray(ends).reshape(len(units), -1).T
    start, wanted = (marginal(process, t, VARIANCE) for t in (T_MAX, T_MIN))
    np.testing.assert_allclose(psi @ start @ psi.T, wanted, rtol=1e-8, atol=1e-8 * np.abs(wanted).max())


def test_the_flow_of_a_mixture_runs_down_and_up_again():
    law = Diffused(symmetric_mixture(jnp.ones(3), 0.2), PROCESSES["psld"])
    z = law.sample(jr.key(0), T_MAX)
    down = flowed(law.process, law.target.posterior_mean, z, START, END)
    np.testing.assert_allclose(flowed(law.process, law.target.posterior_mean, down, END, START), z, atol=1e-7)


@pytest.mark.parametrize(("name", "noise_level"), [("ou", 1.0), ("brownian", 0.5), ("psld", 0.7)])
def test_euler_of_diffrax_takes_the_steps_of_the_reverse_diffusion(name, noise_level):
    """On the same increments of one Brownian path."""
    process, denoise, n = PROCESSES[name], symmetric_mixture(jnp.ones(3), 0.2).posterior_mean, 16
    z = 0.5 * jr.normal(jr.key(0), (*np.shape(process.kernel(1.0).mean), 3))
    path = diffrax.VirtualBrownianTree(0.0, T_MAX - T_MIN, 1e-4, z.shape, jr.key(1))
    terms = as_diffrax(process, denoise, path, t_max=T_MAX, noise_level=noise_level)
    taus = jnp.linspace(0.0, T_MAX - T_MIN, n + 1)
    control = diffrax.StepTo(taus)
    got = diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, taus[-1], None, z, stepsize_controller=control).ys[-1]
    sampler = ReverseSDE(process, denoise, noise_level)
    rows = place(sampler.plan(uniform_grid(T_MAX, T_MIN, n)), z.dtype)
    noise = jax.vmap(path.evaluate)(taus[:-1], taus[1:]) / np.sqrt((T_MAX - T_MIN) / n)
    wanted = run(sampler, rows, z, lambda i: noise[i][None])
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)


@eqx.filter_jit
@eqx.filter_vmap(in_axes=(None, None, 0, None, None))
def reversed_end(process, denoise, key, dt, solver):
    """The example of the docstring, from an exact start."""
    start_key, path_key = jr.split(key)
    z = process.kernel(T_MAX).sample(start_key, jnp.sqrt(VARIANCE) * jr.normal(jr.fold_in(start_key, 1), (1,)))
    path = diffrax.VirtualBrownianTree(0.0, T_MAX - T_MIN, 1e-3, z.shape, path_key, diffrax.SpaceTimeLevyArea)
    solution = diffrax.diffeqsolve(
        as_diffrax(process, denoise, path, t_max=T_MAX),
        solver,
        t0=0.0,
        t1=T_MAX - T_MIN,
        dt0=dt,
        y0=z,
    )
    return solution.ys[-1]


@pytest.mark.slow
def test_a_solver_for_additive_noise_converges_strongly_at_its_order():
    """One and a half, where the Levy areas of the path have the right sign; Euler has one."""
    process, denoise = PROCESSES["ou"], symmetric_mixture(jnp.ones(1), 0.2).posterior_mean

    def ends(steps, solver):
        dt = jnp.asarray((T_MAX - T_MIN) / steps)
        return np.asarray(reversed_end(process, denoise, jr.split(jr.key(0), 40), dt, solver))

    reference = ends(256, diffrax.ShARK())
    errors = [np.sqrt(np.mean((ends(n, diffrax.ShARK()) - reference) ** 2)) for n in (8, 16, 32)]
    assert np.log2(errors[0] / errors[2]) / 2 > 1.35, errors
    assert errors[1] < 0.2 * np.sqrt(np.mean((ends(16, diffrax.Euler()) - reference) ** 2))


@pytest.mark.parametrize(
    "name", [pytest.param("ou", marks=pytest.mark.slow), "brownian", pytest.param("psld", marks=pytest.mark.slow)]
)
def test_the_reverse_diffusion_ends_in_the_marginal(name):
    process, n, dt = PROCESSES[name], 600, jnp.asarray((T_MAX - T_MIN) / 40)
    keys = jr.split(jr.key(0), n)
    ends = np.asarray(reversed_end(process, gaussian_denoiser(VARIANCE), keys, dt, diffrax.ShARK())).reshape(n, -1)
    wanted = marginal(process, T_MIN, VARIANCE)
    error = np.sqrt((wanted**2 + np.outer(np.diag(wanted), np.diag(wanted))) / n)
    assert (np.abs(ends.T @ ends / n - wanted) < 4 * error).all()


def test_states_in_float32_stay_so():
    denoise = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), gaussian_denoiser(VARIANCE))
    velocity = as_diffrax(PROCESSES["psld"], denoise).vf(jnp.float32(0.3), jnp.ones((2, 1), jnp.float32), None)
    exact = as_diffrax(PROCESSES["psld"], gaussian_denoiser(VARIANCE)).vf(0.3, jnp.ones((2, 1)), None)
    assert velocity.dtype == jnp.float32
    np.testing.assert_allclose(velocity, exact, rtol=1e-5)


@pytest.mark.parametrize("noise_level", [0.0, -1.0, np.inf])
def test_a_reverse_diffusion_without_noise_is_refused(noise_level):
    path = diffrax.UnsafeBrownianPath((1,), jr.key(0))
    with pytest.raises(ValueError, match="`noise_level > 0`"):
        as_diffrax(PROCESSES["ou"], gaussian_denoiser(1.0), path, t_max=1.0, noise_level=noise_level)


class Classical(diffrax.AbstractERK):
    """The rule of Runge and Kutta of order 4, without an estimate of its error."""

    tableau = diffrax.ButcherTableau(
        c=np.array([0.5, 0.5, 1.0]),
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        b_sol=np.array([1, 2, 2, 1]) / 6,
        b_error=np.zeros(4),
    )
    interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        return 4


@pytest.mark.parametrize("name", ["disc_ODE_RK4_c0.25", "disc_ODE_RK4_c4.0"])
def test_a_rule_that_diffrax_has_not_makes_the_exact_recursion(oracles, name):
    """The flow of a Gaussian is linear: the end of 1 is the factor of the deviation. It ends at t = 1e-9, not at 0."""
    entry = oracles[name]
    flow, counts = as_diffrax(PROCESSES["ou"], gaussian_denoiser(entry["inputs"]["c"])), entry["inputs"]["nsteps"]

    @eqx.filter_jit
    def factor(knots):
        steps = diffrax.StepTo(knots)
        solution = diffrax.diffeqsolve(
            flow, Classical(), knots[0], knots[-1], None, jnp.ones(1), stepsize_controller=steps,
            max_steps=len(knots) + 1,
        )  # fmt: skip
        return solution.ys[-1, 0]

    found = [factor(np.append(uniform_grid(entry["inputs"]["tf"], 0.0, n)[:-1], 1e-9)) ** 2 for n in counts[:2]]
    np.testing.assert_allclose(found, entry["value"][:2], rtol=1e-7)
