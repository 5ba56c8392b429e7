"""Networks as denoisers and back: exact laws through every output and schedule."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import diffphys as dp
from diffphys import clocks
from diffphys.learn.adapters import from_network, to_network
from diffphys.learn.continuous import (
    CosineSchedule,
    EDMSchedule,
    ExplodingSchedule,
    StraightSchedule,
    VariancePreservingSchedule,
)
from diffphys.learn.outputs import (
    AngularVelocityOutput,
    DataOutput,
    FlowVelocityOutput,
    NoiseOutput,
    ResidualOutput,
    ScoreOutput,
)
from diffphys.learn.schedules import DiscreteSchedule

DATA_STD, SHAPE, DIM = 0.5, (2, 1, 2), 4
DDPM = DiscreteSchedule.from_betas(clocks.linear_betas())
SIGMAS = np.geomspace(50.0, 0.01, 40)
OUTPUTS = {
    "noise": NoiseOutput(),
    "data": DataOutput(),
    "score": ScoreOutput(),
    "angular velocity": AngularVelocityOutput(),
    "residual": ResidualOutput(DATA_STD),
    "flow": FlowVelocityOutput(),
    "flow towards data": FlowVelocityOutput(towards_data=True),
}


def scaled_noise(sigma):
    return 1 / np.sqrt(sigma**2 + DATA_STD**2), sigma / np.sqrt(sigma**2 + DATA_STD**2)


def preserving(alpha_bar):
    return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)


# A schedule, and the arguments u, signals and noises that its paper has, worked out apart.
U = np.array([0.02, 0.3, 0.9])
INDEX = np.array([0, 20, 39])
SCHEDULES = {
    "ddpm": (DDPM, np.array([0, 300, 999]), *preserving(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[[0, 300, 999]])),
    "ncsn": (DiscreteSchedule(np.ones(40), SIGMAS), INDEX, np.ones(3), SIGMAS[INDEX]),
    "linear": (VariancePreservingSchedule(), U, *preserving(np.exp(-0.1 * U - 9.95 * U**2))),
    "cosine": (
        CosineSchedule(),
        U,
        *preserving((np.cos((U + 0.008) / 1.008 * np.pi / 2) / np.cos(0.008 / 1.008 * np.pi / 2)) ** 2),
    ),
    "exploding": (ExplodingSchedule(), U, np.ones(3), U),
    "exploding log": (ExplodingSchedule(jnp.log, jnp.exp), U, np.ones(3), np.exp(U)),
    "edm": (EDMSchedule(DATA_STD), U, *scaled_noise(np.exp(4 * U))),
    "straight": (StraightSchedule(), U, 1 - U, U),
    "straight to data": (StraightSchedule(data_at_one=True), U, U, 1 - U),
}
each_schedule = pytest.mark.parametrize("name", SCHEDULES)
VARIANCE = 0.7


def exact_gaussian(y, variance):
    return VARIANCE / (VARIANCE + variance) * y


def slopes(signal, noise):
    """The linear least squares answers for Gaussian data, each a factor of the state."""
    total = signal**2 * VARIANCE + noise**2
    spread = DATA_STD * np.sqrt(noise**2 + DATA_STD**2 * signal**2)
    return {
        "noise": noise / total,
        "data": signal * VARIANCE / total,
        "score": -1 / total,
        "angular velocity": signal * noise * (1 - VARIANCE) / total,
        "residual": signal * noise * (VARIANCE - DATA_STD**2) / (spread * total),
        "flow": (noise - signal * VARIANCE) / total,
        "flow towards data": (signal * VARIANCE - noise) / total,
    }


def table_network(arguments, factors):
    """A linear network that knows the arguments of a table alone: another gives nan."""
    arguments, factors = jnp.asarray(arguments, float), jnp.asarray(factors, float)

    def network(x, u):
        near = jnp.abs(arguments[None] - u.astype(float)[:, None]) < 1e-9
        factor = jnp.where(near.any(1), jnp.sum(jnp.where(near, factors[None], 0), 1), 1e300)
        return factor[:, None, None, None] * x

    return network


@each_schedule
def test_the_gaussian_minimiser_of_every_output_adapts_to_the_exact_denoiser(name):
    schedule, arguments, signals, noises = SCHEDULES[name]
    variances = (noises / signals) ** 2
    y = jnp.linspace(-1.0, 2.0, DIM)
    wanted = np.stack([exact_gaussian(y, v) for v in variances])
    table = {output: [slopes(s, n)[output] for s, n in zip(signals, noises, strict=True)] for output in OUTPUTS}

    @jax.jit
    def adapted(variances):
        return {
            key: jax.vmap(
                from_network(table_network(arguments, table[key]), output, schedule, SHAPE, dtype=float), (None, 0)
            )(y, variances)
            for key, output in OUTPUTS.items()
        }

    for key, got in adapted(variances).items():
        np.testing.assert_allclose(got, wanted, rtol=1e-9, err_msg=key)


@each_schedule
def test_a_denoiser_becomes_the_minimiser_of_every_output(name):
    schedule, arguments, signals, noises = SCHEDULES[name]
    x = jnp.linspace(-1.0, 2.0, 3 * DIM).reshape(3, *SHAPE)

    @jax.jit
    def said(u):
        return {key: to_network(exact_gaussian, output, schedule, SHAPE)(x, u) for key, output in OUTPUTS.items()}

    for key, got in said(jnp.asarray(arguments)).items():
        factors = np.array([slopes(s, n)[key] for s, n in zip(signals, noises, strict=True)])
        np.testing.assert_allclose(got, factors[:, None, None, None] * x, rtol=1e-9, atol=1e-11, err_msg=key)


def cosine_betas(count):
    alphas_cumprod = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - alphas_cumprod[1:] / alphas_cumprod[:-1], 0.999)


@pytest.mark.parametrize("name", ["ddpm", "ncsn", "cosine of 1000"])
def test_noise_between_levels_is_denoised_to_a_share_of_the_posterior_width(name):
    """The share is the distance in log v to the nearest level; the last step of the cosine betas is log 1000 long."""
    betas = DiscreteSchedule.from_betas(cosine_betas(1000))
    schedule = betas if name == "cosine of 1000" else SCHEDULES[name][0]
    log_v = np.random.default_rng(0).uniform(*np.log(schedule.variances), 300)
    variances = jnp.asarray(np.append(np.exp(log_v), schedule.variances))
    y = jnp.sqrt(VARIANCE + variances[:, None]) * jnp.linspace(-1.0, 2.0, DIM)[None]
    width = np.sqrt(variances * VARIANCE / (variances + VARIANCE))
    distance = np.abs(np.log(variances)[:, None] - schedule.log_variances[None]).min(1)

    @jax.jit
    def adapted(y, variances):
        networks = {key: to_network(exact_gaussian, output, schedule, SHAPE) for key, output in OUTPUTS.items()}
        return {
            key: jax.vmap(from_network(networks[key], output, schedule, SHAPE, dtype=float))(y, variances)
            for key, output in OUTPUTS.items()
        }

    wanted = jax.vmap(exact_gaussian)(y, variances)
    for key, got in adapted(y, variances).items():
        worst = np.max(np.abs(got - wanted), axis=1) / (2 * width * distance)
        assert worst.max() < 0.5, key


MIXTURE = dp.symmetric_mixture(jnp.array([1.0, -0.5, 0.2, 0.0]), 0.1, 0.3)


_compiled = jax.jit(lambda y, v: MIXTURE.posterior_mean(y, v))


def mixture_mean(y, variance):
    return _compiled(y, variance)


@each_schedule
def test_a_mixture_survives_the_round_trip_through_every_output(name):
    schedule, _, signals, noises = SCHEDULES[name]
    y, units = jnp.array([0.3, -0.2, 0.5, 0.1]), {"scale": 2.0, "offset": np.array([-1.0, 0.0, 0.5, 0.2])}
    for key, output in OUTPUTS.items():
        network = to_network(mixture_mean, output, schedule, SHAPE, channels_first=True, **units)
        denoise = from_network(network, output, schedule, SHAPE, channels_first=True, dtype=float, **units)
        for v in (noises / signals) ** 2 / 4:
            np.testing.assert_allclose(denoise(y, v), mixture_mean(y, v), atol=1e-9, err_msg=f"{key} at {v}")


def test_networks_in_other_units_are_asked_in_theirs():
    """Data N(.5, .7) that the network has as N(0, 2.8): scale 2 and offset -1."""
    network = to_network(lambda y, v: 2.8 / (2.8 + v) * y, NoiseOutput(), DDPM, SHAPE)
    denoise = from_network(network, NoiseOutput(), DDPM, SHAPE, scale=2.0, offset=-1.0, dtype=float)
    y, v = jnp.linspace(-1.0, 2.0, DIM), np.exp(DDPM.log_variances[250]) / 4
    np.testing.assert_allclose(denoise(y, v), (0.7 * y + v * 0.5) / (0.7 + v), rtol=1e-12)
    np.testing.assert_allclose(denoise.variances, np.array(DDPM.variances) / 4, rtol=1e-15)
    np.testing.assert_allclose(denoise.times, clocks.time_of_variance(denoise.variances), rtol=1e-15)


def test_noise_between_indices_is_taken_away_in_full():
    """a = y - sqrt(v) eps at the true v, not at that of the nearest index."""
    denoise = from_network(lambda x, u: jnp.ones_like(x), NoiseOutput(), DDPM, (DIM,), dtype=float)
    y = jnp.linspace(-1.0, 2.0, DIM)
    for v in (3e-4, 0.0123, 1.7, 321.0):
        np.testing.assert_allclose(denoise(y, v), y - v**0.5, rtol=1e-12, atol=1e-12)


def test_channels_first_puts_the_last_axis_first():
    def network(x, u):
        return (
            x
            + jnp.arange(3.0, dtype=x.dtype)[None, :, None, None]
            + 10 * jnp.arange(2.0, dtype=x.dtype)[None, None, :, None]
        )

    denoise = from_network(network, DataOutput(), ExplodingSchedule(), (2, 1, 3), channels_first=True)
    np.testing.assert_array_equal(denoise(jnp.zeros(6), 1.0), [0, 1, 2, 10, 11, 12])


def test_the_network_works_in_its_dtype_and_the_denoiser_in_that_of_the_data():
    seen = []

    def network(x, u):
        seen.append((x.dtype, u.dtype))
        return x

    y = jnp.full(DIM, 1 / 3)
    for schedule, argument in ((DDPM, jnp.int32), (VariancePreservingSchedule(), jnp.float32)):
        got = from_network(network, DataOutput(), schedule, SHAPE)(y, 1e-4)
        assert got.dtype == y.dtype
        assert seen[-1] == (jnp.float32, argument)
        assert 0 < np.abs(got - y * schedule.locate(jnp.asarray(1e-4)).signal).max() < 1e-7  # One rounding to float32.


def test_many_samples_are_one_batched_convolution():
    kernel = jnp.ones((3, 3, 1, 1), jnp.float32)

    def network(x, u):
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)

    denoise = from_network(network, NoiseOutput(), DDPM, (6, 6, 1))
    text = str(jax.make_jaxpr(jax.vmap(denoise, (0, None)))(jnp.zeros((32, 36), jnp.float32), jnp.float32(1.0)))
    found = [line for line in text.splitlines() if "conv_general_dilated[" in line]
    assert len(found) == 1
    assert "f32[32,6,6,1]" in found[0]


def test_the_stability_of_an_adapted_network_is_that_of_the_denoiser():
    denoise = from_network(
        to_network(MIXTURE.posterior_mean, NoiseOutput(), DDPM, SHAPE), NoiseOutput(), DDPM, SHAPE, dtype=float
    )
    y, v = jnp.array([0.3, -0.2, 0.5, 0.1]), np.exp(DDPM.log_variances[300])
    got, wanted = (jax.jit(jax.jacrev(d))(y, v) for d in (denoise, MIXTURE.posterior_mean))
    np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_a_sampler_draws_the_same_with_an_adapted_network_of_the_noise():
    process, schedule = dp.OrnsteinUhlenbeck(), VariancePreservingSchedule()
    ts = clocks.log_snr_grid(4.0, 0.01, 20)
    network = to_network(MIXTURE.posterior_mean, NoiseOutput(), schedule, SHAPE)
    adapted = from_network(network, NoiseOutput(), schedule, SHAPE, dtype=float)

    @eqx.filter_jit
    def run(denoise):
        z = jnp.linspace(-1.0, 1.0, DIM)
        return dp.simulate(dp.ReverseSDE(process, denoise), jr.key(3), ts, z)

    np.testing.assert_allclose(run(adapted), run(MIXTURE.posterior_mean), atol=1e-10)


def test_a_network_of_the_host_is_called_back_with_every_batch_at_once(unchecked):
    """The example of `from_network`, with NumPy in place of torch."""
    weights, shapes = np.eye(DIM, dtype=np.float32) + 0.1, []

    def on_host(x, u):
        shapes.append((x.shape, u.shape))
        return (np.array(x).reshape(-1, DIM) @ weights + np.array(u).reshape(-1, 1)).reshape(x.shape)

    def network(x, u):
        return jax.pure_callback(on_host, jax.ShapeDtypeStruct(x.shape, x.dtype), x, u, vmap_method="broadcast_all")

    called, traced = (
        from_network(one, NoiseOutput(), VariancePreservingSchedule(), (DIM,))
        for one in (network, lambda x, u: x @ weights + u[:, None])
    )
    ys = jr.normal(jr.key(0), (3, 2, DIM), jnp.float32)
    found, wanted = (jax.vmap(jax.vmap(one, (0, None)), (0, None))(ys, 0.5) for one in (called, traced))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert shapes == [((3, 2, 1, DIM), (3, 2, 1))]


def test_the_ends_of_a_schedule_may_be_asked_in_float32():
    schedule = VariancePreservingSchedule(ends=(1e-3, 1.0))
    denoise = eqx.filter_jit(from_network(lambda x, u: x, DataOutput(), schedule, (DIM,)))
    for u in (1e-3, 1.0):
        v = jnp.float32(np.expm1(2 * clocks.vp_time(u)))
        assert np.isfinite(denoise(jnp.ones(DIM, jnp.float32), v)).all()
