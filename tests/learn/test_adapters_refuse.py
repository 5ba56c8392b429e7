"""What networks as denoisers, and denoisers as networks, refuse, and the numbers that they take."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffphys import clocks
from diffphys.learn.adapters import from_network, to_network
from diffphys.learn.continuous import ExplodingSchedule, StraightSchedule
from diffphys.learn.frameworks import nnx_network
from diffphys.learn.outputs import DataOutput, NoiseOutput
from diffphys.learn.schedules import DiscreteSchedule

SHAPE, DIM = (2, 1, 2), 4
DDPM = DiscreteSchedule.from_betas(clocks.linear_betas())


@pytest.mark.parametrize(("v", "where"), [(1e5, "Got 100000"), (1e-6, "Got 1e-06")])
def test_noise_outside_the_schedule_is_refused(v, where):
    denoise = from_network(lambda x, u: x, NoiseOutput(), DDPM, (DIM,))
    with pytest.raises(ValueError, match=rf"Ornstein-Uhlenbeck times 3.37173e-05 to 5.06391.*{where}"):
        denoise(jnp.ones(DIM), v)
    with pytest.raises(RuntimeError, match="Got one outside"):
        jax.block_until_ready(eqx.filter_jit(denoise)(jnp.ones(DIM), v))


def test_a_network_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape of its state, \(1, 2, 1, 2\)\. Got \(1, 4\)"):
        from_network(lambda x, u: x.reshape(1, 4), NoiseOutput(), DDPM, SHAPE)
    with pytest.raises(ValueError, match=r"shape of its state, \(2, 2, 1\)\. Got tuple"):
        from_network(lambda x, u: (x, u), NoiseOutput(), DDPM, SHAPE, batched=False, channels_first=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": ()}, "`shape` needs the axes"),
        ({"shape": (4,), "channels_first": True}, "`channels_first` needs a `shape` with channels last"),
        ({"scale": -1.0}, "`scale` needs a finite number > 0"),
        ({"shape": (2.0, 2)}, "`shape` needs the axes"),
        ({"offset": np.ones(3)}, r"`offset` needs to be one number or of shape \(4,\)"),
        ({"offset": np.nan}, "`offset` needs finite values"),
        ({"dtype": int}, "`dtype` needs a floating-point type"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        from_network(lambda x, u: x, NoiseOutput(), DDPM, **{"shape": SHAPE} | options)


def test_data_of_another_dimension_are_refused():
    denoise = from_network(lambda x, u: x, NoiseOutput(), DDPM, SHAPE, offset=np.ones(DIM))
    with pytest.raises(ValueError, match=r"`y` needs shape \(4,\), one flat sample of \(2, 1, 2\). Got \(5,\)"):
        denoise(jnp.ones(5), 1.0)


def test_an_image_of_other_axes_is_refused_by_an_adapted_denoiser():
    network = to_network(lambda y, v: y, NoiseOutput(), DDPM, SHAPE, batched=False)
    with pytest.raises(ValueError, match=r"`x` needs shape \(2, 1, 2\), that of the network. Got \(4,\)"):
        network(jnp.ones(4), jnp.asarray(3))


def test_a_denoiser_of_another_shape_is_refused_by_an_adapted_network():
    network = to_network(lambda y, v: y[:2], NoiseOutput(), DDPM, (DIM,))
    with pytest.raises(ValueError, match=r"`denoise\(y, v\)` needs shape \(4,\)"):
        network(jnp.ones((1, DIM)), jnp.asarray([3]))


@pytest.mark.parametrize("v", [np.ones(1), np.ones(DIM), jnp.ones(1), -1.0, 0.0, np.inf, np.nan])
def test_a_variance_that_is_not_one_positive_number_is_refused(v, unchecked):
    denoise = from_network(lambda x, u: x, DataOutput(), ExplodingSchedule(), (DIM,))
    with pytest.raises(ValueError, match="`variance` needs"):
        denoise(jnp.ones(DIM), v)


def test_an_infinite_noise_is_outside_of_every_schedule():
    denoise = from_network(lambda x, u: x + u[:, None], DataOutput(), ExplodingSchedule(), (DIM,))
    with pytest.raises(ValueError, match="`ExplodingSchedule` needs a noise variance"):
        denoise(jnp.ones(DIM), jnp.asarray(np.inf))
    with pytest.raises(RuntimeError, match="Got one outside"):
        jax.block_until_ready(eqx.filter_jit(denoise)(jnp.ones(DIM), jnp.asarray(np.inf)))


def test_whole_numbers_are_denoised_as_the_same_real_ones(unchecked):
    denoise = from_network(lambda x, u: 0.3 * x, NoiseOutput(), DDPM, (DIM,))
    network = to_network(lambda y, v: y / (1 + v), NoiseOutput(), DDPM, (DIM,))
    for whole in (np.arange(DIM), [0, 1, 2, 3]):
        np.testing.assert_array_equal(denoise(whole, 1.5), denoise(jnp.arange(float(DIM)), 1.5))
    x, u = np.arange(DIM)[None], np.array([400])
    np.testing.assert_array_equal(network(x, u), network(jnp.asarray(x, float), jnp.asarray(u)))


@pytest.mark.parametrize(
    ("schedule", "u"),
    [(DDPM, -1), (DDPM, 1000), (StraightSchedule(), 0.0), (StraightSchedule(), 1.0), (StraightSchedule(), 2.0)],
)
def test_an_adapted_network_is_not_asked_where_there_is_no_state(schedule, u):
    network = to_network(lambda y, v: y, NoiseOutput(), schedule, (DIM,))
    x, u = jnp.ones((2, DIM)), jnp.asarray([1 if schedule is DDPM else 0.5, u])
    with pytest.raises(ValueError, match=rf"a signal and a noise above 0\. Got \[{int(u[1])}"):
        network(x, u)
    with jax.debug_nans(False), pytest.raises(RuntimeError, match="a signal and a noise above 0"):
        jax.block_until_ready(eqx.filter_jit(network)(x, u))


@pytest.mark.parametrize(
    ("u", "message"),
    [
        (3, r"`argument` needs one number a state, of shape \(2,\) for `x` of \(2, 4\). Got \(\)"),
        (np.array([1, 2, 3]), r"one number a state, of shape \(2,\)"),
        (np.array([1.0, 2.0]), "`DiscreteSchedule` needs indices"),
    ],
)
def test_arguments_that_do_not_fit_the_states_are_refused(u, message, unchecked):
    with pytest.raises(ValueError, match=message):
        to_network(lambda y, v: y, NoiseOutput(), DDPM, (DIM,))(jnp.ones((2, DIM)), u)


def test_a_network_that_jax_cannot_trace_is_named():
    with pytest.raises(ValueError, match=r"`network` needs to compute in jax\..*jax\.pure_callback"):
        from_network(lambda x, u: jnp.asarray(np.asarray(x)), NoiseOutput(), DDPM, SHAPE)


@pytest.mark.parametrize(
    ("output", "schedule", "message"),
    [
        (NoiseOutput, DDPM, r"`output` needs an `AbstractOutput`, such as `NoiseOutput\(\)`. Got the class"),
        ("noise", DDPM, "`output` needs an `AbstractOutput`.* Got `str`"),
        (NoiseOutput(), clocks.linear_betas(), "`schedule` needs an `AbstractNetworkSchedule`.* Got `ndarray`"),
    ],
    ids=["class", "name", "betas"],
)
def test_what_does_not_say_how_a_network_was_trained_is_refused(output, schedule, message, unchecked):
    with pytest.raises(ValueError, match=message):
        from_network(lambda x, u: x, output, schedule, (DIM,))


@pytest.mark.parametrize("network", [nn.Dense(DIM), lambda x: x, None], ids=["flax", "of x alone", "none"])
def test_a_network_that_cannot_be_called_is_refused_in_words(network, unchecked):
    with pytest.raises(ValueError, match=r"`network` needs to be called as `network\(x, u\)`.* flax callable by"):
        from_network(network, NoiseOutput(), DDPM, (DIM,))


def test_the_shape_of_a_sample_is_not_a_number(unchecked):
    with pytest.raises(ValueError, match=r"`shape` needs the axes of one sample.* Got 4"):
        from_network(lambda x, u: x, NoiseOutput(), DDPM, 4)


class Dropping(nnx.Module):
    """Draws what it drops from keys that it keeps: a call changes it."""

    def __init__(self):
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def __call__(self, x, u):
        return self.dropout(x)


def test_a_flax_module_in_training_is_refused_before_it_runs(unchecked):
    with pytest.raises(ValueError, match=r"`network` needs to be called .* callable by `linen_network` or `nnx_netw"):
        from_network(Dropping(), NoiseOutput(), DDPM, (DIM,))
    assert from_network(nnx_network(Dropping()), NoiseOutput(), DDPM, (DIM,)).times[0] > 0
