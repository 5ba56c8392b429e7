"""A data set in parts against the whole one, on one device and on eight."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from parted_data import LABELS, POINTS, QUANTITIES, VARIANCES, YS as HOST_YS, assert_same, batched

from diffphys.experiments._chunks import fingerprint
from diffphys.targets import Empirical, ShardedEmpirical

YS = jnp.asarray(HOST_YS)


def pair(dtype, direct=False):
    """The whole data set and the one in parts; where asked for, with direct distances at any noise."""
    points = POINTS.astype(dtype)
    whole, parted = Empirical(points, LABELS, block=16), ShardedEmpirical(points, LABELS, parts=5, block=16)
    if direct:
        far = jnp.asarray(1e18, dtype)
        whole = eqx.tree_at(lambda t: t.cloud.radius, whole, far)
        parted = eqx.tree_at(lambda t: t.radius, parted, far)
    return whole, parted


@pytest.mark.parametrize("direct", [False, True], ids=["expanded", "direct"])
@pytest.mark.parametrize("name", QUANTITIES)
def test_sums_over_parts_are_those_over_all_data(name, direct):
    targets = pair(np.float64, direct)
    for variance in VARIANCES.values():
        whole, parted = (batched(name, target, jnp.asarray(variance)) for target in targets)
        assert_same(parted, whole, rtol=1e-10, atol=1e-11)


@eqx.filter_jit
def essentials(target, ys, variance):
    def one(y, i):
        return target.log_evidence(y, variance), target.weights_summary(y, variance, i, None, True)

    return jax.vmap(one)(ys, jnp.arange(len(ys)))


@pytest.mark.parametrize("variance", VARIANCES.values(), ids=VARIANCES)
def test_sums_over_parts_keep_the_digits_of_float32(variance):
    """Logarithms to a hundredth of a nat, of weights that hundreds of nats can separate."""
    exact = essentials(pair(np.float64)[0], YS, jnp.asarray(variance))
    found = essentials(pair(np.float32)[1], YS.astype(jnp.float32), jnp.asarray(variance, jnp.float32))
    assert_same(found, exact, rtol=2e-5, atol=5e-3)


@eqx.filter_jit
def derivatives(target, y, variance):
    one, other = jnp.ones(5), jnp.asarray(0.3)
    backward = jax.vjp(target.posterior_mean, y, variance)[1](one)
    classes = jax.jvp(target.label_log_posterior, (y, variance), (one, other))[1]
    return backward, classes, jax.jvp(jax.grad(target.log_evidence), (y, variance), (one, other))[1]


@pytest.mark.parametrize("direct", [False, True], ids=["expanded", "direct"])
def test_derivatives_of_parts_are_those_of_all_data(direct):
    whole, parted = (derivatives(target, YS[0], jnp.asarray(0.64)) for target in pair(np.float64, direct))
    assert_same(parted, whole, rtol=1e-9, atol=1e-10)


def test_at_hardly_any_noise_the_summary_of_parts_is_exact():
    """Parts out of reach, thousands of nats down, add nothing: not even nan."""
    ys = jnp.asarray(POINTS[:6], jnp.float32)
    found = essentials(pair(np.float32)[1], ys, jnp.float32(1e-6))[1]
    np.testing.assert_array_equal([found.entropy, 1 - found.participation, found.log_own_weight], np.zeros((3, 6)))
    np.testing.assert_array_equal(found.argmax, np.arange(6))
    np.testing.assert_allclose(found.mean, POINTS[:6], rtol=1e-6)
    assert np.all((found.log_rest_over_own > -1e8) & (found.log_rest_over_own < -1e4))


def test_samples_of_parts_are_the_data_with_their_own_index_and_class():
    whole, target = pair(np.float64)
    np.testing.assert_allclose(target.points, POINTS, rtol=1e-14)
    np.testing.assert_array_equal(target.labels, LABELS)
    np.testing.assert_allclose(target.label_weights, np.bincount(LABELS) / 83, rtol=1e-14)
    keys = jr.split(jr.key(0), 400)
    points, indices = jax.jit(jax.vmap(target.sample_indexed))(keys)
    np.testing.assert_allclose(points, POINTS[indices], rtol=1e-14)
    # The same draws as of the whole set, so that a run can be compared with one on a single device.
    np.testing.assert_array_equal(indices, jax.jit(jax.vmap(whole.sample_indexed))(jr.clone(keys))[1])


@pytest.mark.parametrize("which", [0, 1], ids=["whole", "parted"])
def test_a_subset_has_the_chosen_data_and_renumbers_their_classes(which):
    target = pair(np.float64)[which]
    kept = np.flatnonzero((LABELS == 0) | (LABELS == 2))
    subset = target.subset(kept)
    assert type(subset) is type(target)
    np.testing.assert_allclose(subset.points, POINTS[kept], rtol=1e-14)
    np.testing.assert_array_equal(subset.labels, LABELS[kept] // 2)


def test_parts_refuse_what_cannot_be_divided():
    with pytest.raises(ValueError, match=r"`parts` needs a multiple of the 1 devices, and at most the 3 data\. Got 4"):
        ShardedEmpirical(np.eye(3), parts=4)
    for names, kind in (("samples", AxisType.Auto), ("data", AxisType.Explicit)):
        mesh = jax.make_mesh((1,), (names,), axis_types=(kind,))
        with pytest.raises(ValueError, match="`mesh` needs an automatic axis 'data'"):
            ShardedEmpirical(np.eye(3), mesh=mesh)


def test_a_subset_smaller_than_the_parts_is_whole():
    subset = pair(np.float64)[1].subset(np.array([3, 1, 2]))
    assert isinstance(subset, Empirical)
    np.testing.assert_allclose(subset.points, POINTS[[3, 1, 2]], rtol=1e-14)


def test_a_denoiser_that_hides_the_data_from_those_who_share_out_work_is_refused():
    data, mesh = pair(np.float64)[1], jax.make_mesh((1,), ("samples",), axis_types=(AxisType.Auto,))
    spec = PartitionSpec("samples")
    ask = jax.shard_map(jax.vmap(lambda y: data.posterior_mean(y, 0.5)), mesh=mesh, in_specs=spec, out_specs=spec)
    with pytest.raises(ValueError, match=r"asked within a share.*Do pass its method, `data.posterior_mean`"):
        ask(YS)


ON_EIGHT_DEVICES = """
import equinox as eqx, jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
import diffphys as dp

rng = np.random.default_rng(0)
labels = np.arange(400) % 2
points = rng.normal(size=(400, 12)) + 2.0 * labels[:, None]
whole, parted = dp.Empirical(points, labels, block=32), dp.ShardedEmpirical(points, labels, block=32)
"""

PLACED = """
import re
assert len(jax.devices()) == 8
shapes = {(shard.device.id, shard.data.shape) for shard in parted.blocks.addressable_shards}
assert shapes == {(i, (2, 1, 32, 12)) for i in range(8)}, shapes
np.testing.assert_allclose(parted.points, points, atol=1e-15)

@eqx.filter_jit
def many(target, ys):
    def one(y, i):
        drawn, _ = target.sample_indexed(jax.random.fold_in(jax.random.key(1), i))
        return target.posterior_mean(y, 0.3), drawn
    return jax.vmap(one)(ys, jnp.arange(16))

ys = jnp.asarray(points[:16] + 0.5 * rng.normal(size=(16, 12)))
for found, expected in zip(*(many(target, ys) for target in (parted, whole)), strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
text = many.lower(parted, ys).compile().compiled.as_text()
# Sums travel, and never the data, nor anything else that is not summed.
assert re.search("= [^=]* all-reduce", text)
assert not re.search("= [^=]* (all-gather|all-to-all|collective-permute)", text)
print("done")
"""

STUDIES = """
times, common = np.array([0.1, 0.5, 1.0]), dict(samples=64, progress=False)
for study, settings in ((dp.collapse, dict(clones=32, clone_times=[0.5], steps=8)), (dp.speciation, {})):
    found, expected = (
        study(data, dp.OrnsteinUhlenbeck(), times, key=jax.random.key(0), **common, **settings)
        for data in (parted, whole)
    )
    for name in expected.data_vars:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-9, err_msg=name)
print("done")
"""


def on_eight_devices(program):
    """What a program prints, and its errors, where eight devices are made of the processor."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    return subprocess.run(
        [sys.executable, "-c", ON_EIGHT_DEVICES + program],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_eight_devices_hold_an_eighth_of_the_data_each_and_agree_with_one():
    found = on_eight_devices(PLACED)
    assert found.stdout.strip() == "done", found.stderr[-3000:]


def test_a_journal_knows_a_data_set_however_it_is_divided_and_no_other():
    marks = [
        fingerprint((ShardedEmpirical(points, labels, parts=parts).posterior_mean, 1.0))
        for points, labels, parts in ((POINTS, LABELS, 5), (POINTS, LABELS, 2), (POINTS[::-1], LABELS, 5),
                                      (POINTS, LABELS % 2, 5))
    ]  # fmt: skip
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


@pytest.mark.slow
def test_studies_of_data_on_eight_devices_are_those_on_one():
    found = on_eight_devices(STUDIES)
    assert found.stdout.strip() == "done", found.stderr[-3000:]
