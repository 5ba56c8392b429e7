"""Named sets: where they are found, in every form, and what the published ones are."""

import gzip
import hashlib
import io
import pathlib
import struct
import tarfile

import numpy as np
import pooch
import pytest
from data_files import COLOURS, IMAGES, LABELS, idx

from diffphys.data import load


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


def test_several_parts_of_cifar10_are_not_guessed_between(home):
    (home / "cifar10").mkdir(parents=True)
    for name in ("a.npz", "b.npz"):
        np.savez(home / "cifar10" / name, images=COLOURS)
    with pytest.raises(ValueError, match=r"needs one \.npz for cifar10\. Got \['a\.npz', 'b\.npz'\]"):
        load("cifar10")


def test_pickled_program_is_refused(home):
    folder = home / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(ValueError, match=r"holds os\.system, not only arrays"):
        load("cifar10")


def test_truncated_gzip_is_refused(home):
    write_mnist(home / "mnist")
    path = home / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"undamaged file\. Got .*train-images.*end-of-stream"):
        load("mnist")


def test_name_without_samples_lists_those_with(home):
    write_mnist(home / "fashion-mnist")
    with pytest.raises(ValueError, match=r"Got 'coat'\. There are: 3 \(dress\), 5 \(sandal\), 7 \(sneaker\)"):
        load("fashion-mnist", classes=("dress", "coat"))


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
