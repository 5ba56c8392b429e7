"""Results survive the disk, with their provenance; spoilt files do not pass."""

import datetime
import json
import os
import random
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import diffphys as dp
from diffphys import results
from diffphys._versions import versions


@pytest.fixture
def ds():
    return results.dataset(
        {
            "phi": (("time", "class"), jnp.linspace(0.0, 1.0, 400).reshape(200, 2), {"units": "seconds"}),
            "flips": ("time", np.arange(200, dtype=np.int32), {"exact": True, "note": None, "weight": 0.5}),
            "resolved": ("time", np.arange(200) % 3 == 0),
            "total": ((), np.float32(3.5)),
        },
        {
            "time": np.geomspace(1e-3, 3.0, 200),
            "class": ["one", "eight"],
            "sigma": ("time", np.full(200, np.nan)),
        },
        experiment="speciation",
        seed=7,
        parameters={"dim": 3, "times": np.array([0.5, 1.0]), "sampler": {"name": "ddim", "churn": None}},
    )


def test_saved_results_come_back_identical(ds, tmp_path):
    ds.attrs |= {"spectral_time": np.float64(0.25), "count": jnp.asarray(3)}
    path = results.save(ds, tmp_path / "deep" / "run.nc")
    back = results.load(path)
    ds.attrs |= {"spectral_time": 0.25, "count": 3}
    xr.testing.assert_identical(back, ds)
    for name, variable in ds.variables.items():
        assert back[name].dtype == variable.dtype
    assert [entry.name for entry in path.parent.iterdir()] == ["run.nc"]


def test_bits_of_a_nan_survive(ds, tmp_path):
    ds["sigma"] = ("time", -np.full(200, np.nan))
    back = results.load(results.save(ds, tmp_path / "run.nc"))
    np.testing.assert_array_equal(back.sigma.values.view(np.int64), ds.sigma.values.view(np.int64))


def test_provenance_says_what_was_run_and_with_what(ds):
    attributes = ds.attrs
    assert attributes["experiment"] == "speciation"
    assert attributes["seed"] == 7
    assert json.loads(attributes["config"]) == {
        "dim": 3,
        "times": [0.5, 1.0],
        "sampler": {"name": "ddim", "churn": None},
    }
    assert {name: attributes[f"{name}_version"] for name in versions()} == versions()
    assert attributes["jax_version"] == jax.__version__
    assert attributes["device"] == jax.devices()[0].device_kind
    assert json.loads(attributes["x64"]) is True
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(attributes["created"])
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=10)


ODD = {
    "none": None,
    "yes": True,
    "tree": {"b": [1, 2], "c": {"d": None}},
    "one": [1.5],
    "nothing": [],
    "words": ["up", "nan"],
    "gaps": [0.5, float("nan"), float("-inf")],
    "pair": (0.1, 3),
    "weights": np.array([0.25, np.nan, 1 / 3]),
    "counts": np.arange(100, dtype=np.int32).reshape(50, 2),
    "big": 2**70,
    "text": "[1, 2]",
    "half": 0.5,
    "n": 3,
}


def test_attributes_come_back_as_they_were(ds, tmp_path):
    ds.attrs |= ODD
    ds.phi.attrs |= ODD
    back = results.load(results.save(ds, tmp_path / "run.nc"))
    for found in (back.attrs, back.phi.attrs):
        assert {name: type(found[name]) for name in ODD} == {name: type(value) for name, value in ODD.items()}
        for name, value in ODD.items():
            np.testing.assert_equal(found[name], value)
            assert getattr(found[name], "dtype", None) == getattr(value, "dtype", None)
    assert back.attrs.keys() == ds.attrs.keys()


def test_sequences_of_other_kinds_come_back_as_what_they_are_made_like(ds, tmp_path):
    class Pair(NamedTuple):
        low: float
        high: float

    back = results.load(results.save(ds.assign_attrs(pair=Pair(0.5, 2.0)), tmp_path / "run.nc"))
    assert back.attrs["pair"] == (0.5, 2.0)


@pytest.mark.slow
def test_results_of_an_experiment_come_back_identical(tmp_path):
    target = dp.symmetric_mixture(np.ones(2))
    ds = dp.speciation(target, dp.OrnsteinUhlenbeck(), [0.5, 1.0], key=jax.random.key(0), samples=64)
    back = results.load(results.save(ds, tmp_path / "run.nc"))
    xr.testing.assert_identical(back, ds)
    assert back.attrs["label_weights"] == [0.5, 0.5]
    assert [*map(type, back.attrs.values())] == [*map(type, ds.attrs.values())]


def test_attributes_that_a_file_lacks_are_json_in_it(ds, tmp_path):
    ds.attrs |= ODD
    with xr.open_dataset(results.save(ds, tmp_path / "run.nc"), engine="h5netcdf") as raw:
        assert (raw.attrs["half"], raw.attrs["n"], raw.attrs["text"]) == (0.5, 3, "[1, 2]")
        for name in ("none", "yes", "tree", "one", "words", "big"):
            assert json.loads(raw.attrs[name]) == ODD[name]


def test_files_of_before_have_their_attributes_as_text(ds, tmp_path, monkeypatch):
    ds.attrs |= {"label_weights": [0.25, 0.75]}
    monkeypatch.setattr(results, "_written", results._plain_attributes)
    back = results.load(results.save(ds, tmp_path / "run.nc"))
    assert back.attrs["label_weights"] == "[0.25, 0.75]"
    xr.testing.assert_equal(back, ds)


def test_attributes_without_a_plain_form_are_refused(ds, tmp_path):
    with pytest.raises(ValueError, match="needs a plain value or an array of numbers"):
        results.save(ds.assign_attrs(made_by=np.sin), tmp_path / "run.nc")


def test_results_without_randomness_have_no_seed(tmp_path):
    ds = results.dataset({"x": ((), 1.0)}, {}, experiment="exact", seed=None, parameters={})
    assert json.loads(results.load(results.save(ds, tmp_path / "run.nc")).attrs["seed"]) is None


def test_failed_write_keeps_the_file_that_was_there(ds, tmp_path, monkeypatch):
    path = results.save(ds, tmp_path / "run.nc")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"folder that can be written.*No space left"):
        results.save(ds * 2, path)
    xr.testing.assert_equal(results.load(path), ds)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.nc"]


def test_folder_that_cannot_be_written_is_named(ds, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"needs a folder that can be written\. Got `.*file`"):
        results.save(ds, tmp_path / "file" / "run.nc")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(ds, tmp_path, part):
    path = results.save(ds, tmp_path / "run.nc")
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="needs an undamaged netCDF4 file"):
        results.load(path)


def test_flipped_bit_in_the_numbers_is_noticed(ds, tmp_path):
    path = results.save(ds, tmp_path / "run.nc")
    content, places = bytearray(path.read_bytes()), random.Random(0)
    start = content.index(ds.phi.values.tobytes())
    for _ in range(20):
        place = start + places.randrange(ds.phi.nbytes)
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match="fail their checksum"):
            results.load(path)
        content[place] ^= 1


def test_file_of_another_program_is_refused(tmp_path):
    xr.Dataset({"x": ("t", [1.0, 2.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"needs a result of diffphys.*without the attributes \['experiment'"):
        results.load(tmp_path / "other.nc")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.nc`, which does not exist"):
        results.load(tmp_path / "absent.nc")


@pytest.mark.parametrize("values", [np.array([1j]), jnp.zeros(1, jnp.bfloat16), np.zeros(1, np.float16)])
def test_types_that_a_file_cannot_hold_are_refused(values):
    with pytest.raises(ValueError, match="`x` needs real numbers or text"):
        results.dataset({"x": ("t", values)}, {}, experiment="e", seed=0, parameters={})


def test_random_keys_are_refused(getkey):
    with pytest.raises(ValueError, match=r"`x` needs numbers.*Store the seed"):
        results.dataset({"x": ((), getkey())}, {}, experiment="e", seed=0, parameters={})


def test_what_is_no_result_is_neither_saved_nor_drawn(tmp_path, unchecked):
    with pytest.raises(ValueError, match=r"`ds` needs a result, a dataset of xarray. Got `str`"):
        results.save("result.nc", tmp_path / "copy.nc")
    with pytest.raises(ValueError, match=r"`plots.regimes` needs a result .* open one that was saved with `diffphys"):
        dp.plots.regimes("result.nc")
