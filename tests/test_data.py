"""Real data in: every format, every choice, every refusal."""

import gzip
import hashlib
import io
import json
import pathlib
import struct
import tarfile

import h5py
import numpy as np
import PIL.Image
import pooch
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from diffphys.data import load
from diffphys.data._labelled import _padded as padded

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
LABELS = np.array([3, 5, 3, 7, 5, 3, 7, 7, 5, 3, 5, 3])


def idx(array):
    """The bytes of an IDX file."""
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, images=IMAGES, labels=LABELS):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


def python2_pickle(pixels, labels):
    """A batch of CIFAR-10 as Python 2 and NumPy 1 wrote it."""
    raw = np.ascontiguousarray(pixels).tobytes()
    shape = b"(I%d\nI%d\nt" % pixels.shape
    dtype = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    state = b"(I1\n" + shape + dtype + b"I00\nT" + struct.pack("<i", len(raw)) + raw + b"tb"
    listed = b"(l" + b"".join(b"I%d\na" % label for label in labels)
    return b"\x80\x02}(S'data'\n" + array + state + b"S'labels'\n" + listed + b"u."


def cifar_batches():
    """Five batches of two images, channels first as published, and the images and labels in them."""
    generator = np.random.default_rng(2)
    images, labels = generator.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8), np.arange(10) % 4
    rows = images.transpose(0, 3, 1, 2).reshape(10, -1)
    parts = [python2_pickle(rows[i : i + 2], labels[i : i + 2]) for i in range(0, 10, 2)]
    return images, labels, {f"data_batch_{i + 1}": part for i, part in enumerate(parts)}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of named sets, an empty cache and no network."""
    monkeypatch.setenv("DIFFPHYS_DATA", str(tmp_path / "sets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse(self, url, output_file, pooch, check_only=False):
        raise ConnectionError(f"no route to {url}")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)
    return tmp_path / "sets"


# Every format gives the same points.


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


# Named sets.


def test_named_sets_are_found_in_the_folder_of_the_environment(home):
    write_mnist(home / "mnist")
    write_mnist(home / "fashion-mnist", images=255 - IMAGES)
    mnist, fashion = load("mnist", centre=False), load("fashion-mnist", centre=False)
    assert mnist.classes == ("3", "5", "7")
    assert fashion.classes == ("dress", "sandal", "sneaker")
    np.testing.assert_allclose(mnist.points + fashion.points, 1.0, rtol=1e-6)


def test_named_sets_are_found_in_the_cache(home):
    write_mnist(home.parent / "cache" / "diffphys" / "mnist")
    assert load("mnist").points.shape == (12, 16)


@pytest.mark.parametrize("form", ["archive", "folder", "npz"])
def test_every_form_of_cifar10_gives_channels_last(home, form):
    images, labels, batches = cifar_batches()
    folder = home / "cifar10"
    folder.mkdir(parents=True)
    if form == "npz":
        np.savez(folder / "part.npz", images=images, labels=labels)
    elif form == "folder":
        (folder / "cifar-10-batches-py").mkdir()
        for name, content in batches.items():
            (folder / "cifar-10-batches-py" / name).write_bytes(content)
    else:
        with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
            for name, content in batches.items():
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    data = load("cifar10", scale=None, centre=False, channel="green")
    np.testing.assert_array_equal(data.points, images[..., 1].reshape(10, -1))
    np.testing.assert_array_equal(data.labels, labels)
    assert data.classes == ("airplane", "automobile", "bird", "cat")


def test_pickled_program_is_refused(home):
    folder = home / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(ValueError, match=r"holds os\.system, not only arrays"):
        load("cifar10")


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", "train-images-idx3-ubyte.gz"), ("cifar10", "cifar-10-python.tar.gz")]
)
def test_without_network_the_error_says_which_file_to_put_where(home, name, file):
    place = home.parent / "cache" / "diffphys" / name / file
    with pytest.raises(OSError, match=r"could not be downloaded: no route") as refusal:
        load(name)
    assert f"Put the file at `{place}`" in str(refusal.value)
    assert f"`{name}/{file}` in the folder that the environment variable DIFFPHYS_DATA" in str(refusal.value)


def test_download_with_another_hash_is_refused(home, monkeypatch):
    def deliver(self, url, output_file, pooch, check_only=False):
        output = pathlib.Path(output_file)
        output.write_bytes(b"something else")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", deliver)
    with pytest.raises(OSError, match="MD5 hash of downloaded file"):
        load("mnist")
    assert not list((home.parent / "cache").rglob("*.gz"))


# Choices.


def test_classes_keep_the_order_asked_for_and_points_that_of_the_file(tmp_path):
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=LABELS)
    data = load(tmp_path / "x.npz", classes=(7, 3), per_class=2, scale=None, centre=False)
    assert (data.classes, data.labels.tolist()) == (("7", "3"), [1, 1, 0, 0])
    np.testing.assert_array_equal(data.points, IMAGES[[0, 2, 3, 6]].reshape(4, 16))


def test_labels_given_replace_those_of_the_source(tmp_path):
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=LABELS)
    data = load(tmp_path / "x.npz", labels=(LABELS > 4).astype(int), classes=(1,))
    assert len(data.points) == 7


def test_padding_keeps_the_background(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    data = load(tmp_path / "x.npy", pad=7, scale=(-1.0, 1.0), centre=False)
    images = data.points.reshape(12, *data.shape)
    assert data.shape == (7, 7)
    np.testing.assert_allclose(images[:, 1:5, 1:5], 2.0 * (IMAGES / 255.0) - 1.0, atol=1e-7)
    assert np.count_nonzero(images != -1.0) == np.count_nonzero(IMAGES)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 7))
def test_padding_loses_nothing(height, width, extra):
    side = max(height, width) + extra
    images = np.arange(1, 2 * height * width + 1).reshape(2, height, width)
    frame = padded(images, side)
    assert frame.shape == (2, side, side)
    np.testing.assert_array_equal(frame[frame != 0], images.ravel())


def test_centred_points_have_no_mean_and_remember_it():
    data, plain = load("digits"), load("digits", centre=False)
    assert np.abs(data.points.mean(0, dtype=np.float64)).max() < 1e-7
    np.testing.assert_allclose(data.points + data.mean[None], plain.points, atol=1e-7)
    np.testing.assert_array_equal(plain.mean, 0.0)
    assert (plain.points.min(), plain.points.max()) == (0.0, 1.0)


def test_eight_bit_values_are_scaled_to_the_nearest_float32(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(256, dtype=np.uint8)[:, None])
    data = load(tmp_path / "x.npy", centre=False)
    np.testing.assert_array_equal(data.points[:, 0], (np.arange(256) * (1 / 255)).astype(np.float32))


def test_settings_redo_the_data(tmp_path):
    np.savez(tmp_path / "x.npz", images=COLOURS, labels=LABELS)
    data = load(tmp_path / "x.npz", classes=(7, np.int64(3)), per_class=2, channel=1, pad=6, scale=(-1, 1))
    kept = json.loads(json.dumps(data.settings))
    digest = kept.pop("sha256")
    again = load(**kept)
    np.testing.assert_array_equal(again.points, data.points)
    np.testing.assert_array_equal(again.mean, data.mean)
    assert again.settings["sha256"] == digest
    assert load(**kept | {"per_class": 1}).settings["sha256"] != digest


# The real sets.


def test_real_mnist_is_the_published_one(lab, monkeypatch):
    monkeypatch.setenv("DIFFPHYS_DATA", str(lab))
    content = (lab / "mnist" / "train-images-idx3-ubyte.gz").read_bytes()
    assert hashlib.md5(content).hexdigest() == "f68b3c2dcbeaaa9fbdd348bbdeb94873"
    content = (lab / "mnist" / "train-labels-idx1-ubyte.gz").read_bytes()
    assert hashlib.md5(content).hexdigest() == "d53e105ee54ea40749a09fcbcd1e9432"
    data = load("mnist", centre=False)
    assert np.bincount(data.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    np.testing.assert_allclose(data.points.mean(dtype=np.float64), 0.1306604762738429, rtol=1e-7)


def test_largest_eigenvalue_of_mnist_one_and_eight_is_that_of_the_paper(lab, monkeypatch):
    monkeypatch.setenv("DIFFPHYS_DATA", str(lab))
    data = load("mnist", classes=(1, 8), per_class=5000, pad=32)
    assert data.points.shape == (10_000, 1024)
    covariance = data.points.T @ data.points / np.float32(len(data.points) - 1)
    assert abs(np.linalg.eigvalsh(covariance.astype(np.float64))[-1] - 7.668) < 6e-4


def test_largest_eigenvalue_of_cifar10_cars_and_horses_is_that_of_the_paper(lab, monkeypatch):
    monkeypatch.setenv("DIFFPHYS_DATA", str(lab))
    data = load("cifar10", classes=("automobile", "horse"), per_class=3000, channel="red")
    assert data.classes == ("automobile", "horse")
    covariance = data.points.T @ data.points / np.float32(len(data.points) - 1)
    assert abs(np.linalg.eigvalsh(covariance.astype(np.float64))[-1] - 16.718) < 6e-4


# Refusals.


@pytest.fixture
def colours(tmp_path):
    np.savez(tmp_path / "x.npz", images=COLOURS, labels=LABELS)
    return tmp_path / "x.npz"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": (3, 4)}, r"`classes` needs classes that have samples\. Got 4\. There are: 3, 5, 7"),
        ({"classes": (3, 3)}, "`classes` needs different classes"),
        ({"classes": ()}, "`classes` needs different classes, at least one"),
        ({"per_class": 4}, r"`per_class` needs at most the 3 samples of class 7\. Got 4"),
        ({"per_class": 0}, "`per_class` needs at least 1"),
        ({"channel": 3}, r"`channel` needs an index below 3.*Got 3"),
        ({"channel": "purple"}, r"`channel` needs .* Got 'purple'"),
        ({"pad": 3}, r"`pad` needs .* Got 3 for samples of shape \(4, 4, 3\)"),
        ({"scale": (1.0, 1.0)}, r"`scale` needs two finite bounds, low < high"),
        ({"scale": (0.0, np.inf)}, r"`scale` needs two finite bounds"),
        ({"labels": LABELS[:5]}, r"`labels` needs one label a sample, \(12,\)\. Got \(5,\)"),
        ({"labels": LABELS + 0.5}, "`labels` needs whole numbers or words"),
        ({"labels": "absent.npy"}, "`labels` needs an existing file"),
    ],
)
def test_choices_that_do_not_fit_are_refused(colours, options, message):
    with pytest.raises(ValueError, match=message):
        load(colours, **options)


@pytest.mark.parametrize("options", [{"channel": 0}, {"channel": "red"}])
def test_grey_images_have_no_channel(options):
    with pytest.raises(ValueError, match="`channel` needs an index below 0"):
        load("digits", **options)


def test_name_without_samples_lists_those_with(home):
    write_mnist(home / "fashion-mnist")
    with pytest.raises(ValueError, match=r"Got 'coat'\. There are: 3 \(dress\), 5 \(sandal\), 7 \(sneaker\)"):
        load("fashion-mnist", classes=("dress", "coat"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[1.0, np.nan]]), r"finite in float32\. Got 1"),
        (np.array([[1.0, np.inf], [-np.inf, 0.0]]), r"finite in float32\. Got 2"),
        (np.array([[1e39, 0.0]]), "finite in float32"),
        (np.full((3, 2, 2), 7, np.uint8), r"needs data that vary\. Got 7 everywhere"),
        (np.arange(3.0), r"needs numbers of shape \(n, d\)"),
        (np.zeros((0, 3)), r"needs numbers of shape \(n, d\)"),
        (np.array([["a", "b"]]), r"needs numbers of shape \(n, d\)"),
        (np.ones((2, 3, 8, 8)), "needs channels on the last axis"),
        (np.array([[0.0, 1.5]]), r"`scale` needs a known raw range.*float64 in \[0, 1\.5\].*scale=None"),
        (np.array([[0, 1]]), "`scale` needs a known raw range"),
    ],
)
def test_values_that_cannot_be_used_are_refused(tmp_path, values, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "x.npy")


def test_classes_of_unlabelled_data_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    with pytest.raises(ValueError, match="`classes` needs labelled data"):
        load(tmp_path / "x.npy", classes=(1,))


@pytest.mark.parametrize("write", [write_npy, write_npz, write_idx, write_netcdf4, write_netcdf3, write_hdf5])
@pytest.mark.parametrize("part", [0.1, 0.9])
def test_truncated_files_are_refused(tmp_path, write, part):
    arguments = write(tmp_path)
    content = arguments["source"].read_bytes()
    arguments["source"].write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"`source` needs a (readable, undamaged|whole IDX) file\. Got"):
        load(**arguments)


def test_truncated_gzip_is_refused(home):
    write_mnist(home / "mnist")
    path = home / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"undamaged file\. Got .*train-images.*end-of-stream"):
        load("mnist")


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
    with pytest.raises(ValueError, match=r"`labels` needs .* an array `labels` or `y`.*\['a', 'b'\]"):
        load("digits", labels=tmp_path / "x.npz")
    np.save(tmp_path / "x.npy", np.array([{}]))
    with pytest.raises(ValueError, match=r"undamaged file\. Got `.*x\.npy`"):
        load(tmp_path / "x.npy")


def test_several_parts_of_cifar10_are_not_guessed_between(home):
    (home / "cifar10").mkdir(parents=True)
    for name in ("a.npz", "b.npz"):
        np.savez(home / "cifar10" / name, images=COLOURS)
    with pytest.raises(ValueError, match=r"needs one \.npz for cifar10\. Got \['a\.npz', 'b\.npz'\]"):
        load("cifar10")


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
