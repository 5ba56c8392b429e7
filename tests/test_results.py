"""Results survive the disk, with their provenance; spoilt files do not pass."""

import datetime
import json
import os
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

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


def test_attributes_that_a_file_lacks_become_json_and_numbers_stay_numbers(ds, tmp_path):
    ds.attrs |= {
        "none": None,
        "yes": True,
        "tree": {"b": [1, 2]},
        "one": [1.5],
        "half": 0.5,
        "n": 3,
        "big": 2**70,
    }
    back = results.load(results.save(ds, tmp_path / "run.nc")).attrs
    assert (back["half"], back["n"]) == (0.5, 3)
    decoded = {name: json.loads(back[name]) for name in ("none", "yes", "tree", "one", "big")}
    assert decoded == {"none": None, "yes": True, "tree": {"b": [1, 2]}, "one": [1.5], "big": 2**70}
    assert json.loads(results.load(tmp_path / "run.nc").flips.attrs["exact"]) is True


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
