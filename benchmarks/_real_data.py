"""Where real data are found."""

import os
import pathlib


def mnist() -> tuple[pathlib.Path, pathlib.Path] | None:
    """The files of MNIST's training images and labels, of the user or beside the checkout; None without them."""
    beside = pathlib.Path(__file__).parents[1].parent / "shared" / "data"
    folder = pathlib.Path(os.environ.get("DIFFPHYS_DATA", beside)) / "mnist"
    images, labels = (folder / f"train-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
    return (images, labels) if images.is_file() else None
