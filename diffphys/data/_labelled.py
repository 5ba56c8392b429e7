"""Labelled points: the choice of classes and channels, padding, scaling, centring."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32

from ._formats import read, read_labels
from ._named import NAMES, read_named
from ._raw import Raw

_CHANNELS = ("red", "green", "blue")


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledData:
    """Data points with one label each.

    Args:
        points: one flat point a row, in the order of the source; minus `mean` if centred.
        labels: the class of each point, an index into `classes`.
        classes: the names of the classes.
        shape: of one image or point before it was flattened.
        name: of the set or file.
        settings: the arguments of `load`, plain enough for JSON, and the `sha256` of the chosen raw values
            and labels.
        mean: what was subtracted from each coordinate; zeros if nothing was.
    """

    points: Float32[np.ndarray, "n d"]
    labels: Int32[np.ndarray, " n"]
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    name: str
    settings: dict[str, Any]
    mean: Float64[np.ndarray, " d"]


def load(
    source: str | os.PathLike[str] = "digits",
    *,
    classes: Sequence[int | str | np.integer] | None = None,
    per_class: int | None = None,
    channel: int | str | None = None,
    pad: int | None = None,
    scale: Sequence[float | int] | None = (0.0, 1.0),
    labels: str | os.PathLike[str] | Sequence[int] | np.ndarray | None = None,
    array: str | None = None,
    centre: bool = True,
) -> LabelledData:
    """Labelled points from a named set or a file.

    Named sets (`digits`, `mnist`, `fashion-mnist`, `cifar10`: their training sets) are looked for in
    `$DIFFPHYS_DATA/<name>`, then in the user's cache, then downloaded into the cache. Files are .npy, .npz,
    IDX, .nc, .h5, or a folder of images with one sub-folder a class.

    Args:
        source: a name or a path.
        classes: the labels to keep, as numbers or names; in the order given they become 0, 1, ... All by
            default.
        per_class: keep the first so many of each class, in the order of the source. All by default.
        channel: one colour channel of images, as an index or red, green, blue. All, flattened, by default.
        pad: the side to which images are padded with zeros (raw ones: the background stays background).
        scale: what the raw range is mapped to: 0..255 for eight-bit numbers, 0..16 for digits, 0..1 for truth
            values and for floats in that range. None keeps the values as they are.
        labels: labels, or a file of them, in place of those of the source.
        array: the name of the values among several arrays of a .npz, .nc or .h5 file; by default images, points,
            data or x.
        centre: subtract the mean of every coordinate, over all points kept.

    Returns:
        The points in float32 and how they were made.

    Raises:
        ValueError: if the source is unknown, damaged, not finite or constant, or an argument does not fit it.
        OSError: if a named set is nowhere and cannot be downloaded.
    """
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            f"`source` needs a name or a path. Got {type(source).__name__}. Give arrays to `Empirical(points, labels)`."
        )
    if scale is not None and np.shape(scale) != (2,):
        raise ValueError(f"`scale` needs two bounds, (low, high). Got {scale!r}. Give (0, 1), or None.")
    path = pathlib.Path(source)
    known = isinstance(source, str) and source in NAMES
    if not known and not path.exists():
        raise ValueError(
            f"`source` needs one of {', '.join(NAMES)} or the path of a file or folder. "
            f"Got {str(source)!r}, which does not exist. {_hint(str(source))}"
        )
    raw = _relabelled(read_named(str(source)) if known else read(path, array), labels)
    _check_values(raw, source)
    chosen, codes, names = _choose(raw, classes, per_class)
    kept = raw.values[chosen]
    values = _one_channel(kept, channel)
    if values.min() == values.max():
        raise ValueError(f"`source` needs data that vary. Got {values.min()} everywhere. Check the file and `classes`.")
    values = _padded(values, pad)
    settings = {
        "source": str(source),
        "classes": None if classes is None else [c if isinstance(c, str) else int(c) for c in classes],
        "per_class": per_class,
        "channel": channel,
        "pad": pad,
        "scale": None if scale is None else [float(bound) for bound in scale],
        "labels": labels if labels is None or isinstance(labels, str) else _described(labels),
        "array": array,
        "centre": centre,
        "sha256": _digest(kept, codes),
    }
    shape = values.shape[1:]
    points = _scaled(values.reshape(len(values), -1), raw, scale)
    mean = points.mean(axis=0, dtype=np.float64) if centre else np.zeros(points.shape[1])
    np.subtract(points, mean, out=points, dtype=np.float64, casting="same_kind")
    return LabelledData(points, codes, names, shape, str(source) if known else path.name, settings, mean)


def _relabelled(raw: Raw, labels: Any) -> Raw:
    """The same values with the labels of the caller, and all labels as numbers or words."""
    given = raw.labels if labels is None else labels
    if given is None:
        return raw
    array = read_labels(pathlib.Path(given)) if isinstance(given, str | os.PathLike) else np.asarray(given)
    if array.shape != raw.values.shape[:1]:
        raise ValueError(
            f"`labels` needs one label a sample, {raw.values.shape[:1]}. Got {array.shape}. "
            "Give as many as there are samples."
        )
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.rint(array)).all():
        array = array.astype(np.int64)
    if array.dtype.kind in "SO":  # Text from HDF5.
        array = np.array([word.decode() if isinstance(word, bytes) else str(word) for word in array.tolist()])
    if array.dtype.kind not in "biuU":
        raise ValueError(f"`labels` needs whole numbers or words. Got {array.dtype}. Convert them.")
    array = array.astype(np.int64) if array.dtype.kind in "biu" else array
    return dataclasses.replace(raw, labels=array, names=raw.names if labels is None else ())


def _check_values(raw: Raw, source: Any) -> None:
    values = raw.values
    if values.dtype.kind not in "buif" or not 2 <= values.ndim <= 4 or values.size == 0:
        raise ValueError(
            f"`source` needs numbers of shape (n, d), (n, height, width) or (n, height, width, channels). "
            f"Got {values.dtype} {values.shape} in `{source}`. Convert them."
        )
    if values.ndim == 4 and values.shape[1] <= 4 < values.shape[3]:
        raise ValueError(f"`source` needs channels on the last axis. Got {values.shape} in `{source}`. Transpose it.")
    bad = 0
    if values.dtype.kind == "f":
        bad = values.size - np.count_nonzero(np.abs(values) <= np.finfo(np.float32).max)
    if bad:
        raise ValueError(
            f"`source` needs values that are finite in float32. Got {bad} others in `{source}`. Repair it."
        )


def _choose(
    raw: Raw, classes: Sequence[int | str | np.integer] | None, per_class: int | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The rows to keep, in the order of the source, their new labels, and the names of these."""
    if per_class is not None and per_class < 1:
        raise ValueError(f"`per_class` needs at least 1. Got {per_class}. Give None to keep all.")
    if raw.labels is None:
        if classes is not None:
            raise ValueError("`classes` needs labelled data. Got a source without labels. Give `labels`.")
        groups = {"all": np.arange(len(raw.values))}
    else:
        present = {value: _word(value, raw.names) for value in np.unique(raw.labels).tolist()}
        if isinstance(classes, str | int | np.integer):
            raise ValueError(f"`classes` needs a list of classes. Got {classes!r}. Give [{classes!r}] for one alone.")
        wanted = list(present) if classes is None else [_label(entry, present) for entry in classes]
        if len(set(wanted)) != len(wanted) or not wanted:
            raise ValueError(f"`classes` needs different classes, at least one. Got {classes}. Name each once.")
        groups = {present[value]: np.flatnonzero(raw.labels == value) for value in wanted}
    codes = np.full(len(raw.values), -1, np.int32)
    for code, (name, rows) in enumerate(groups.items()):
        if per_class is not None and len(rows) < per_class:
            raise ValueError(
                f"`per_class` needs at most the {len(rows)} samples of class {name}. Got {per_class}. Ask for fewer."
            )
        codes[rows[:per_class]] = code
    chosen = np.flatnonzero(codes >= 0)
    return chosen, codes[chosen], tuple(groups)


def _hint(source: str) -> str:
    """What to do about a source that is not there."""
    meant = [name for name in NAMES if name.replace("-", "") == source.lower().replace("-", "").replace("_", "")]
    if meant:
        return f"Do say `{meant[0]}`."
    return "Do give the path of the home folder in full." if source.startswith("~") else "Check the spelling."


def _word(value: int | str, names: tuple[str, ...]) -> str:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else str(value)


def _label(entry: int | str | np.integer, present: dict[Any, str]) -> int | str:
    """The label of the data that a caller means by a number or a name."""
    matches = [value for value, name in present.items() if entry in (value, name)]
    if not matches:
        listed = ", ".join(f"{v} ({name})" if str(v) != name else name for v, name in present.items())
        raise ValueError(f"`classes` needs classes that have samples. Got {entry!r}. There are: {listed}.")
    return matches[0]


def _one_channel(values: np.ndarray, channel: int | str | None) -> np.ndarray:
    if channel is None:
        return values
    index = _CHANNELS.index(channel) if channel in _CHANNELS else channel
    count = values.shape[3] if values.ndim == 4 else 0
    if not isinstance(index, int | np.integer) or not 0 <= index < count:
        wanted = f"an index below {count}, or red, green, blue of three" if count else "images in colour"
        raise ValueError(
            f"`channel` needs {wanted}; None for grey images and points. "
            f"Got {channel!r} for samples of shape {values.shape[1:]}."
        )
    return values[..., int(index)]


def _padded(values: np.ndarray, pad: int | None) -> np.ndarray:
    """Images with a frame of zeros, the same on both sides up to one pixel."""
    if pad is None:
        return values
    if values.ndim < 3 or pad < max(values.shape[1:3]):
        raise ValueError(
            f"`pad` needs images and a side of at least theirs. Got {pad} for samples of shape "
            f"{values.shape[1:]}. Give a longer side, or None."
        )
    frame = [((pad - side) // 2, (pad - side + 1) // 2) for side in values.shape[1:3]]
    return np.pad(values, [(0, 0), *frame, *[(0, 0)] * (values.ndim - 3)])


def _scaled(values: np.ndarray, raw: Raw, scale: Sequence[float | int] | None) -> np.ndarray:
    """The values in float32, their raw range mapped to `scale`."""
    smallest, largest = float(values.min()), float(values.max())
    points = np.empty(values.shape, np.float32)
    if scale is None:
        points[...] = values
        return points
    low, high = scale
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"`scale` needs two finite bounds, low < high. Got {scale}. Swap them, or give None.")
    top = {"u1": 255.0, "b1": 1.0}.get(values.dtype.str[1:], raw.top)
    if top is None and values.dtype.kind == "f" and 0.0 <= smallest and largest <= 1.0:
        top = 1.0
    if top is None:
        raise ValueError(
            f"`scale` needs a known raw range: eight-bit numbers, or floats in [0, 1]. Got {values.dtype} in "
            f"[{smallest:g}, {largest:g}]. Give `scale=None` (`--scale none`) to keep them, or map to [0, 1] first."
        )
    # In float64, block by block, so that a large set never exists twice in eight bytes.
    np.multiply(values, (high - low) / top, out=points, dtype=np.float64, casting="same_kind")
    return np.add(points, low, out=points, dtype=np.float64, casting="same_kind")


def _described(labels: Any) -> str:
    """What identifies labels that were given as a path or as values."""
    if isinstance(labels, os.PathLike):
        return os.fspath(labels)
    return f"sha256:{_digest(np.asarray(labels))}"


def _digest(*arrays: np.ndarray) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
