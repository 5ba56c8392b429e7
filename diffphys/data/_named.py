"""Sets known by name: found in a folder, in the cache, or downloaded once."""

import os
import pathlib
import pickle
import sys
import tarfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from ._formats import read, read_idx
from ._raw import Raw, reading

NAMES = ("digits", "mnist", "fashion-mnist", "cifar10")

_URLS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/",
}
_IMAGES, _LABELS, _BATCHES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "cifar-10-python.tar.gz",
)
_MD5 = {
    ("mnist", _IMAGES): "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ("mnist", _LABELS): "d53e105ee54ea40749a09fcbcd1e9432",
    ("fashion-mnist", _IMAGES): "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ("fashion-mnist", _LABELS): "25c81989df183df01b3e8a0aad5dffbe",
    ("cifar10", _BATCHES): "c58f30108f718f92721af3b95e74349a",
}
_DIGITS = tuple("0123456789")
_CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TIMEOUT = 30.0  # Seconds without an answer.


def read_named(name: str) -> Raw:
    """The training set of that name.

    Raises:
        OSError: if it is nowhere and cannot be downloaded; it says which file to put where.
        ValueError: if a file is damaged.
    """
    if name == "digits":
        import sklearn.datasets

        bunch: Any = sklearn.datasets.load_digits()
        return Raw(bunch.images, bunch.target, _DIGITS, top=16.0)
    if name == "cifar10":
        found = _cifar(name)
        return Raw(found.values, found.labels, _THINGS)
    images, labels = _idx_files(name)
    return Raw(read_idx(images), read_idx(labels), _DIGITS if name == "mnist" else _CLOTHES)


def _folders(name: str) -> list[pathlib.Path]:
    """Where to look: the folder of the user first, then the cache, into which downloads go."""
    import platformdirs

    mine = os.environ.get("DIFFPHYS_DATA")
    return [pathlib.Path(folder) / name for folder in (mine, platformdirs.user_cache_dir("diffphys")) if folder]


def _idx_files(name: str) -> tuple[pathlib.Path, pathlib.Path]:
    for folder in _folders(name):
        pair = [
            next((p for p in (folder / file, folder / file.removesuffix(".gz")) if p.is_file()), None)
            for file in (_IMAGES, _LABELS)
        ]
        if pair[0] and pair[1]:
            return pair[0], pair[1]
    return _download(name, _IMAGES), _download(name, _LABELS)


def _cifar(name: str) -> Raw:
    """CIFAR-10 from the published archive, from the folder in it, or from a `.npz` of images and labels."""
    for folder in _folders(name):
        if (folder / _BATCHES).is_file():
            return _cifar_batches(folder / _BATCHES)
        if (folder / "cifar-10-batches-py").is_dir():
            return _cifar_batches(folder / "cifar-10-batches-py")
        archives = sorted(folder.glob("*.npz"))
        if len(archives) > 1:
            raise ValueError(
                f"`source` needs one .npz for {name}. Got {[path.name for path in archives]} in `{folder}`. "
                "Give the path of the one that is meant."
            )
        if archives:
            return read(archives[0])
    return _cifar_batches(_download(name, _BATCHES))


def _cifar_batches(path: pathlib.Path) -> Raw:
    with reading(path):
        batches = [_Arrays(file, encoding="bytes").load() for file in _batch_files(path)]
        pixels = np.concatenate([batch[b"data"] for batch in batches])
        labels = np.concatenate([np.asarray(batch[b"labels"]) for batch in batches])
        return Raw(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels)


def _batch_files(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """The five files of training images, one after another."""
    names = [f"data_batch_{i}" for i in range(1, 6)]
    if path.is_dir():
        for name in names:
            with (path / name).open("rb") as file:
                yield file
        return
    with tarfile.open(path, "r:gz") as archive:
        for name in names:
            file = archive.extractfile(f"cifar-10-batches-py/{name}")
            if file is not None:
                yield file


class _Arrays(pickle.Unpickler):
    """A reader of pickled arrays that refuses anything else: a pickle can run any program."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if global_name == "_reconstruct" and module_name.startswith("numpy"):
            # The one private name: it moved between NumPy 1, which wrote the files, and NumPy 2.
            return np.zeros(0).__reduce__()[0]
        allowed = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
        if (module_name, global_name) not in allowed:
            raise pickle.UnpicklingError(f"it holds {module_name}.{global_name}, not only arrays")
        return allowed[module_name, global_name]


def _download(name: str, file: str) -> pathlib.Path:
    """A file of a named set in the cache, downloaded if it is not there, its hash checked."""
    import pooch

    folder = _folders(name)[-1]
    downloader: Any = pooch.HTTPDownloader(timeout=_TIMEOUT, progressbar=sys.stderr.isatty())
    try:
        found = pooch.retrieve(
            _URLS[name] + file,
            known_hash=f"md5:{_MD5[name, file]}",
            fname=file,
            path=folder,
            downloader=downloader,
        )
    except (OSError, ValueError) as error:  # No network, no space; another hash.
        raise OSError(
            f"`{name}` needs {_URLS[name]}{file}, which could not be downloaded: {error}. Put the file at "
            f"`{folder / file}`, or at `{name}/{file}` in the folder that the environment variable "
            "DIFFPHYS_DATA names."
        ) from None
    return pathlib.Path(found)
