"""Files of data: every format gives the same points, and what cannot be read is named."""

import gzip

import h5py
import numpy as np
import PIL.Image
import pytest
import xarray as xr
from data_files import IMAGES, LABELS, idx

from diffphys import results
from diffphys.data import load


def write_npy(folder):
    np.save(folder / "data.npy", IMAGES)
    np.save(folder / "labels.npy", LABELS)
    return {"source": folder / "data.npy", "labels": folder / "labels.npy"}


def write_npz(folder):
    np.savez(folder / "data.npz", images=IMAGES, labels=LABELS, other=np.zeros(3))
    return {"source": folder / "data.npz"}


def write_npz_of_one(folder):
    np.savez(folder / "data.npz", whatever=IMAGES, y=LABELS.astype(float))
    return {"source": str(folder / "data.npz")}


def write_idx(folder):
    (folder / "my-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (folder / "my-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    return {"source": folder / "my-images-idx3-ubyte"}


def write_idx_with_labels_elsewhere(folder):
    (folder / "a.gz").write_bytes(gzip.compress(idx(IMAGES)))
    (folder / "b.idx").write_bytes(idx(LABELS))
    return {"source": folder / "a.gz", "labels": str(folder / "b.idx")}


def write_netcdf4(folder):
    ds = xr.Dataset({"images": (("n", "y", "x"), IMAGES), "labels": ("n", LABELS)})
    ds.to_netcdf(folder / "data.nc", engine="h5netcdf")
    return {"source": folder / "data.nc"}


def write_netcdf3(folder):
    ds = xr.Dataset({"x": (("n", "i", "j"), IMAGES / 255.0), "labels": ("n", LABELS.astype(np.int32))})
    ds.to_netcdf(folder / "data.nc", engine="scipy")
    return {"source": folder / "data.nc"}


def write_hdf5(folder):
    with h5py.File(folder / "data.h5", "w") as file:
        file["points"], file["labels"], file["group/more"] = IMAGES, LABELS, 1.0
    return {"source": folder / "data.h5"}


def write_folder(folder):
    for i, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        (folder / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(folder / "images" / str(label) / f"{i:02}.png")
    (folder / "images" / "7" / "notes.txt").write_text("not an image")
    (folder / "images" / ".hidden").mkdir()
    return {"source": folder / "images"}


FORMATS = [
    write_npy,
    write_npz,
    write_npz_of_one,
    write_idx,
    write_idx_with_labels_elsewhere,
    write_netcdf4,
    write_netcdf3,
    write_hdf5,
    write_folder,
]


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
def test_every_format_gives_the_same_points_and_labels(tmp_path, write):
    data = load(**write(tmp_path), centre=False)
    order = np.argsort(LABELS, kind="stable") if write is write_folder else np.arange(12)
    np.testing.assert_allclose(data.points, IMAGES[order].reshape(12, 16) / 255.0, rtol=1e-7)
    assert [int(data.classes[label]) for label in data.labels] == LABELS[order].tolist()
    assert data.shape == (4, 4)


def test_named_folders_are_classes_by_name(tmp_path):
    for name, colour in {"cat": 10, "dog": 200}.items():
        (tmp_path / name).mkdir()
        PIL.Image.new("RGB", (3, 2), (colour, 0, 255)).save(tmp_path / name / "0.png")
    data = load(tmp_path, classes=("dog", "cat"), channel="red", scale=None, centre=False)
    assert (data.classes, data.shape) == (("dog", "cat"), (2, 3))
    np.testing.assert_array_equal(data.points[data.labels == 0], np.full((1, 6), 200.0))


def test_words_are_labels_too(tmp_path):
    words = np.array(["up", "down"])[LABELS % 3 % 2]
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = IMAGES, [word.encode() for word in words]
    data = load(tmp_path / "data.h5", classes=("up", "down"))
    assert [data.classes[label] for label in data.labels] == words.tolist()


def test_data_without_labels_are_one_class(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(9, 3)))
    data = load(tmp_path / "x.npy", scale=None, per_class=5)
    assert (data.classes, data.labels.tolist(), data.shape) == (("all",), [0] * 5, (3,))


@pytest.mark.parametrize("write", [write_npy, write_npz, write_idx, write_netcdf4, write_netcdf3, write_hdf5])
@pytest.mark.parametrize("part", [0.1, 0.9])
def test_truncated_files_are_refused(tmp_path, write, part):
    arguments = write(tmp_path)
    content = arguments["source"].read_bytes()
    arguments["source"].write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"`source` needs a (readable, undamaged|whole IDX) file\. Got"):
        load(**arguments)


def test_spoilt_pictures_and_pictures_of_another_size_are_named(tmp_path):
    PIL.Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    PIL.Image.fromarray(IMAGES[1][:3]).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"one size and kind\. Got `.*1\.png` with \(3, 4\) after `.*0\.png`"):
        load(tmp_path)
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"undamaged file\. Got `.*1\.png`"):
        load(tmp_path)
    PIL.Image.fromarray(IMAGES[0].astype(np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"eight bits a channel\. Got `.*1\.png` of kind I;16"):
        load(tmp_path)


def test_unknown_sources_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one of digits, mnist, .*Got 'mnits', which does not exist"):
        load("mnits")
    with pytest.raises(ValueError, match=r"needs a folder with images .* without any"):
        load(tmp_path)
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"`source` needs a \.npy, .*x\.csv"):
        load(tmp_path / "x.csv")
    (tmp_path / "x.idx").write_bytes(b"12345678")
    with pytest.raises(ValueError, match="does not begin like one"):
        load(tmp_path / "x.idx")
    np.savez(tmp_path / "x.npz", a=IMAGES, b=IMAGES)
    with pytest.raises(ValueError, match=r"one of images, points, data, x, or a single array\. Got a, b in"):
        load(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"Do name one of its files, such as `.*x\.npz`"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"`labels` needs .* an array `labels` or `y`.*\['a', 'b'\]"):
        load("digits", labels=tmp_path / "x.npz")
    np.save(tmp_path / "x.npy", np.array([{}]))
    with pytest.raises(ValueError, match=r"undamaged file\. Got `.*x\.npy`"):
        load(tmp_path / "x.npy")


def test_array_of_several_is_chosen_by_its_name(tmp_path):
    np.savez(tmp_path / "several.npz", rain=IMAGES, places=LABELS)
    np.testing.assert_array_equal(
        load(tmp_path / "several.npz", array="rain").points, load_array(tmp_path, IMAGES).points
    )
    with pytest.raises(ValueError, match=r"`source` needs one of images.*Got places, rain.*by `array`"):
        load(tmp_path / "several.npz")
    with pytest.raises(ValueError, match="needs an array `snow`"):
        load(tmp_path / "several.npz", array="snow")


def load_array(folder, values):
    np.save(folder / "one.npy", values)
    return load(folder / "one.npy")


def test_precipitation_of_the_lab_loads_by_name(lab):
    rain = load(
        lab / "precipitation" / "mrms_20190610_patches64.npz", array="patches_tenth_mm_per_h", scale=None, centre=False
    )
    assert rain.points.shape == (1045, 4096)
    assert rain.points.max() == pytest.approx(1510, abs=5)


def test_a_result_given_as_data_is_told_to_be_one_and_samples_in_one_are_read(tmp_path):
    def saved(**variables):
        ds = results.dataset(variables, {}, experiment="speciation", seed=0, parameters={})
        return results.save(ds, tmp_path / "result.nc")

    saved(phi=("t", np.ones(3)), phi_stderr=("t", np.ones(3)))
    with pytest.raises(ValueError, match=r"result of an experiment, `speciation`. Do open it with `diffphys.results"):
        load(tmp_path / "result.nc")
    saved(points=(("sample", "d"), np.eye(3)), phi=("t", np.ones(3)))
    assert load(tmp_path / "result.nc").points.shape == (3, 3)
