"""Readers of files and folders: NumPy, IDX, netCDF and HDF5, images."""

import gzip
import io
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._raw import Raw, reading

_VALUES = ("images", "points", "data", "x")
_LABELS = ("labels", "y")
_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
_ARRAYS = (".npy", ".npz", ".nc", ".h5", ".hdf5")
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read(path: pathlib.Path, array: str | None = None) -> Raw:
    """The values of a file or folder, and its labels where it has them; `array` names one of several arrays.

    Raises:
        ValueError: if there is nothing at `path`, or it is damaged, or of an unknown kind.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ValueError(f"`source` needs an existing file or folder. Got `{path}`. Give another path.")
    if _is_idx(path):
        return _idx_pair(path)
    if path.suffix == ".npy":
        return Raw(_npy(path))
    if path.suffix in (".npz", ".nc", ".h5", ".hdf5"):
        return _from_named_arrays(*_named_arrays(path), path, array)
    raise ValueError(
        "`source` needs a .npy, .npz, .nc, .h5 or .hdf5 file, an IDX file (*-ubyte, .gz) or a folder of "
        f"images. Got `{path}`. Convert it to one of them."
    )


def read_labels(path: pathlib.Path) -> np.ndarray:
    """The labels in a file of their own.

    Raises:
        ValueError: if there is no such file, or it is damaged, or of an unknown kind.
    """
    if not path.is_file():
        raise ValueError(f"`labels` needs an existing file. Got `{path}`. Give another path.")
    if _is_idx(path):
        return read_idx(path)
    if path.suffix == ".npy":
        return _npy(path)
    arrays = _named_arrays(path)[0] if path.suffix in (".npz", ".nc", ".h5", ".hdf5") else {}
    names = [name for name in _LABELS if name in arrays] or (list(arrays) if len(arrays) == 1 else [])
    if not names:
        raise ValueError(
            f"`labels` needs a .npy or IDX file, or one with an array `labels` or `y`. "
            f"Got `{path}` with {sorted(arrays)}. Rename the array or give it directly."
        )
    return arrays[names[0]]


def read_idx(path: pathlib.Path) -> np.ndarray:
    """The array in an IDX file (the format of MNIST), compressed or not.

    Raises:
        ValueError: if the file is damaged, shorter or longer than it says, or not an IDX file.
    """
    with reading(path):
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[2] not in _IDX_TYPES:
        raise ValueError(f"`source` needs an IDX file. Got `{path}`, which does not begin like one. Check it.")
    dtype, dims = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * dims
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    wanted = start + math.prod(shape) * dtype.itemsize
    if len(shape) != dims or len(content) != wanted:
        raise ValueError(
            f"`source` needs a whole IDX file. Got `{path}` with {len(content)} bytes where its header "
            f"says {wanted}. Take a new copy of it."
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _is_idx(path: pathlib.Path) -> bool:
    return path.suffix in (".gz", ".idx") or path.name.endswith("-ubyte")


def _idx_pair(path: pathlib.Path) -> Raw:
    """An IDX file of images with the file of labels beside it, if that is there."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    siblings = [path.with_name(name + ending) for ending in (".gz", "")]
    found = [sibling for sibling in siblings if "images" in path.name and sibling.is_file()]
    return Raw(read_idx(path), read_idx(found[0]) if found else None)


def _npy(path: pathlib.Path) -> np.ndarray:
    with reading(path), path.open("rb") as file:
        return np.load(file, allow_pickle=False)


def _named_arrays(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[Any, Any]]:
    """Every array of a file of several, and the attributes of a netCDF file."""
    with reading(path):
        if path.suffix == ".npz":
            # Opened here: `numpy.load` leaves the file of a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return dict(archive), {}
        if path.suffix == ".nc":
            import xarray as xr

            content = path.read_bytes()
            engine: Any = "h5netcdf" if content[:4] == b"\x89HDF" else "scipy"
            # From memory: the readers leave the file of a damaged set open.
            ds = xr.load_dataset(io.BytesIO(content), engine=engine, decode_times=False, decode_timedelta=False)
            arrays = {str(name): array.values for name, array in ds.variables.items() if name not in ds.indexes}
            return arrays, ds.attrs
        import h5py

        with h5py.File(path, "r") as file:
            return {name: entry[()] for name, entry in file.items() if isinstance(entry, h5py.Dataset)}, {}


def _from_named_arrays(
    arrays: Mapping[str, np.ndarray], attributes: Mapping[Any, Any], path: pathlib.Path, array: str | None
) -> Raw:
    """The values and labels among named arrays."""
    others = [name for name in arrays if name not in _LABELS]
    usual = [name for name in _VALUES if name in arrays] or (others if len(others) == 1 else [])
    names = usual if array is None else [name for name in arrays if name == array]
    if not names and {"experiment", "config"} <= set(attributes):
        raise ValueError(
            f"`source` needs data. Got `{path}`, the result of an experiment, `{attributes['experiment']}`. "
            "Do open it with `diffphys.results.load`."
        )
    if not names:
        shown = ", ".join(sorted(arrays)[:8]) + (", ..." if len(arrays) > 8 else "")
        wanted = f"one of {', '.join(_VALUES)}, or a single array" if array is None else f"an array `{array}`"
        raise ValueError(
            f"`source` needs {wanted}. Got {shown} in `{path}`. Name the one that is meant by `array` (`--array`)."
        )
    labels = [arrays[name] for name in _LABELS if name in arrays]
    return Raw(arrays[names[0]], labels[0] if labels else None)


def _folder(folder: pathlib.Path) -> Raw:
    """Images of one size; the sub-folders, in the order of their names, are the classes."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        return Raw(_images(_image_files(folder), folder))
    files = [_image_files(entry) for entry in classes]
    values = _images([file for group in files for file in group], folder)
    names = tuple(entry.name for entry in classes)
    # Folders called 1 and 8 are the classes 1 and 8, not 0 and 1.
    numbered = all(name.isdecimal() for name in names)
    numbers = [int(name) for name in names] if numbered else list(range(len(names)))
    labels = np.repeat(numbers, [len(group) for group in files])
    return Raw(values, labels, () if numbered else names)


def _image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return [entry for entry in entries if entry.is_file() and entry.suffix.lower() in _IMAGES]


def _images(files: list[pathlib.Path], folder: pathlib.Path) -> np.ndarray:
    """The pixels of all the files, which must have one size and one kind."""
    if not files:
        inside = sorted(entry.name for entry in folder.iterdir() if entry.suffix in _ARRAYS)
        advice = f"Do name one of its files, such as `{folder / inside[0]}`." if inside else "Give another folder."
        raise ValueError(
            f"`source` needs a folder with images ({', '.join(sorted(_IMAGES))}), in sub-folders where "
            f"there are classes. Got `{folder}` without any. {advice}"
        )
    first = _pixels(files[0])
    images = np.empty((len(files), *first.shape), first.dtype)
    for image, file in zip(images, files, strict=True):
        pixels = _pixels(file)
        if pixels.shape != first.shape:
            raise ValueError(
                f"`source` needs images of one size and kind. Got `{file}` with {pixels.shape} "
                f"after `{files[0]}` with {first.shape}. Resize or convert them."
            )
        image[...] = pixels
    return images


def _pixels(file: pathlib.Path) -> np.ndarray:
    """One image in grey, (height, width), or in colour, (height, width, 3)."""
    import PIL.Image

    with reading(file), PIL.Image.open(file) as image:
        kind, grey = image.mode, image.mode in ("1", "L", "LA")
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    if kind not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise ValueError(
            f"`source` needs images of eight bits a channel. Got `{file}` of kind {kind}. Store them as .npy."
        )
    return pixels
