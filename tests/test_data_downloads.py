"""Named sets that are downloaded: the real client against a server on this machine."""

import functools
import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

from diffphys.data import _named, load

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3
FILES = {"train-images-idx3-ubyte.gz": IMAGES, "train-labels-idx1-ubyte.gz": LABELS}


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; of those named in `cut`, the first bytes alone."""

    def __init__(self, *args, asked, cut, **kwargs):
        self.asked, self.cut = asked, cut
        super().__init__(*args, **kwargs)

    def copyfile(self, source, outputfile):
        name = self.path.rsplit("/", 1)[-1]
        self.asked.append(name)
        content = source.read()
        outputfile.write(content[:20] if name in self.cut else content)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serves a folder in place of the published address of MNIST, to an empty cache; returns what was asked for."""
    monkeypatch.delenv("DIFFPHYS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    servers = []

    def start(folder, cut=()):
        asked = []
        handler = functools.partial(_Handler, directory=str(folder), asked=asked, cut=cut)
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setitem(_named._URLS, "mnist", f"http://127.0.0.1:{servers[-1].server_port}/")
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder with two small files, which are what is known as MNIST."""
    folder = tmp_path / "published"
    folder.mkdir()
    for name, array in FILES.items():
        array = np.asarray(array, np.uint8)
        shape = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        content = gzip.compress(shape + array.tobytes())
        (folder / name).write_bytes(content)
        monkeypatch.setitem(_named._MD5, ("mnist", name), hashlib.md5(content).hexdigest())
    return folder


def test_a_named_set_is_downloaded_once_into_the_cache(published, serve, tmp_path):
    asked = serve(published)
    first, second = (load("mnist", scale=None, centre=False) for _ in range(2))
    assert asked == list(FILES)
    np.testing.assert_array_equal(first.points, IMAGES.reshape(12, 16))
    np.testing.assert_array_equal(first.points, second.points)
    cached = tmp_path / "cache" / "diffphys" / "mnist"
    assert {path.name for path in cached.iterdir()} == set(FILES)


def test_a_download_that_breaks_off_leaves_nothing_and_is_told_to_be_one(published, serve, tmp_path):
    serve(published, cut=["train-labels-idx1-ubyte.gz"])
    with pytest.raises(OSError, match=r"train-labels-idx1-ubyte\.gz, which could not be downloaded"):
        load("mnist")
    cached = tmp_path / "cache" / "diffphys" / "mnist"
    assert [path.name for path in cached.iterdir()] == ["train-images-idx3-ubyte.gz"]
    # What did arrive is not asked for again.
    asked = serve(published)
    load("mnist")
    assert asked == ["train-labels-idx1-ubyte.gz"]


def test_a_file_that_is_not_there_is_told_by_its_address(published, serve):
    serve(published.parent)
    with pytest.raises(OSError, match=r"`mnist` needs http://127.*404.*Put the file at"):
        load("mnist")


def test_the_published_files_have_the_hashes_that_are_known(lab, serve):
    """Of the real set, through the real client."""
    serve(lab / "mnist")
    data = load("mnist", classes=(1, 8), per_class=10)
    assert data.points.shape == (20, 784)
