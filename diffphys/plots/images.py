"""Figures of samples, and of the training that made them."""

import json
import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ._style import BLUE, GREY, ORANGE, STYLE

# Inches: of a picture, of a line of text, and the most a figure is wide.
_SIDE, _LINE, _WIDEST = 0.6, 0.16, 8.0
# White between pictures, as a share of their longer side.
_GAP = 0.06
# Of all steps: the window of the running mean of the loss.
_WINDOW = 0.02
# From this ratio of the largest loss to the least on, the axis is logarithmic.
_DECADE = 10.0


def image_grid(
    samples: Float[Array | np.ndarray, "n d"],
    shape: Sequence[int],
    *,
    mean: Float[np.ndarray, " d"] | float = 0.0,
    columns: int | None = None,
    value_range: tuple[float, float] | None = None,
    labels: Sequence[Any] | None = None,
    title: str | None = None,
) -> Figure:
    """Pictures side by side, row by row, in grey or in colour.

    Args:
        samples: flat pictures.
        shape: of one: (height, width), or with 1 or 3 channels on a last axis.
        mean: what is added to each of them, where data were centred.
        columns: pictures a row; about as many as rows by default.
        value_range: the values of black and white, beyond which is black and white too; the extremes of all pictures by
            default.
        labels: a word above each picture.
        title: of the figure.

    Raises:
        ValueError: for a shape that is not of a picture or of the samples, or labels that are not one each.
    """
    values = np.asarray(samples, np.float64) + mean
    sides = tuple(int(side) for side in shape)
    if len(sides) not in (2, 3) or sides[2:] not in ((), (1,), (3,)) or math.prod(sides) != values.shape[1]:
        raise ValueError(
            f"`image_grid` needs the `shape` of pictures of {values.shape[1]} numbers, (height, width) or with 1 or 3 "
            f"channels. Got {sides}. Draw vectors with `point_cloud`."
        )
    if labels is not None and len(labels) != len(values):
        raise ValueError(f"`labels` needs one word a picture, {len(values)}. Got {len(labels)}.")
    low, high = (values.min(), values.max()) if value_range is None else value_range
    pictures = np.clip((values - low) / max(high - low, np.finfo(float).tiny), 0, 1).reshape(-1, *sides[:2], *sides[2:])
    if sides[2:] != (3,):
        pictures = np.repeat(pictures.reshape(-1, *sides[:2], 1), 3, axis=3)
    columns = math.ceil(math.sqrt(len(values))) if columns is None else columns
    with plt.rc_context(STYLE):
        return _page(pictures, columns, None if labels is None else [str(label) for label in labels], title)


def _page(pictures: np.ndarray, columns: int, labels: list[str] | None, title: str | None) -> Figure:
    """Pictures of red, green and blue on a white page, each with its label above it."""
    sides = pictures.shape[1:3]
    unit = min(_SIDE, _WIDEST / columns) / max(sides)
    gap = max(1, round(_GAP * max(sides)))
    above = 0 if labels is None else max(gap, round(_LINE / unit))
    height, width = sides[0] + (above or gap), sides[1] + gap
    rows = math.ceil(len(pictures) / columns)
    page = np.ones((rows * height - (0 if above else gap), columns * width - gap, 3))
    inches = (page.shape[1] * unit, page.shape[0] * unit + (0 if title is None else 2 * _LINE))
    figure = plt.figure(figsize=inches)
    axes = figure.add_axes((0.0, 0.0, 1.0, page.shape[0] * unit / inches[1]))
    for i, picture in enumerate(pictures):
        top, left = i // columns * height + above, i % columns * width
        page[top : top + sides[0], left : left + sides[1]] = picture
        if labels is not None:
            middle = left + 0.5 * sides[1] - 0.5
            axes.text(middle, top - 0.2 * above, labels[i], ha="center", va="bottom", fontsize=7)
    axes.imshow(page, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    if title is not None:
        axes.set_title(title)
    return figure


def point_cloud(
    samples: Float[Array | np.ndarray, "n d"],
    data: Float[Array | np.ndarray, "m d"] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Samples over data, in the plane of the first two principal directions of the data.

    Args:
        samples: flat samples.
        data: the data, in the same units; without them the samples are drawn alone, in a plane of their own.
        title: of the figure.

    Raises:
        ValueError: for vectors of other lengths, or fewer than two data.
    """
    made = np.asarray(samples, np.float64)
    given = made if data is None else np.asarray(data, np.float64)
    if made.ndim != 2 or given.ndim != 2 or made.shape[1] != given.shape[1] or len(given) < 2:
        raise ValueError(
            "`point_cloud` needs samples and data of one dimension, two or more of the last. "
            f"Got {made.shape} and {given.shape}."
        )
    centre = given.mean(0)
    _, stds, directions = np.linalg.svd(given - centre, full_matrices=False)
    share = stds**2 / np.sum(stds**2)
    clouds = ({} if data is None else {"data": (given, GREY, 2.0)}) | {"samples": (made, BLUE, 3.5)}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 3.6))
        for label, (points, colour, size) in clouds.items():
            along = (points - centre) @ directions[:2].T
            along = np.pad(along, [(0, 0), (0, 2 - along.shape[1])])
            axes.plot(along[:, 0], along[:, 1], "o", ms=size, mew=0, alpha=0.6, color=colour, label=label)
        axes.set_xlabel(f"first principal direction ({share[0]:.0%} of the variance)")
        if len(share) > 1:
            axes.set_ylabel(f"second principal direction ({share[1]:.0%})")
        if title is not None:
            axes.set_title(title)
        axes.legend(markerscale=1.5)
        figure.tight_layout()
    return figure


def training_history(ds: xr.Dataset) -> Figure:
    """The loss of a training against the samples it has seen: each batch, and a running mean.

    The attribute `linear_loss`, where there is one, is the loss of the best linear denoiser, and drawn as a line.
    """
    loss = ds.loss.dropna("step")
    seen = (loss.step.values + 1) * json.loads(ds.attrs["config"])["batch"]
    window = min(len(loss), max(10, round(_WINDOW * len(loss))))
    smooth = np.convolve(loss.values, np.full(window, 1 / window), mode="valid")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.8, 3.2))
        axes.plot(seen, loss, color=BLUE, lw=0.6, alpha=0.3, label="a batch")
        # A mean belongs to the middle of its window.
        axes.plot(seen[(window - 1) // 2 :][: len(smooth)], smooth, color=BLUE, label=f"mean of {window}")
        if "linear_loss" in ds.attrs:
            axes.axhline(ds.attrs["linear_loss"], color=ORANGE, ls="--", lw=1, label="best linear denoiser")
        if smooth.max() > _DECADE * smooth.min() > 0:
            axes.set_yscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("samples seen")
        axes.set_ylabel("loss")
        axes.set_title("Training")
        axes.legend()
        figure.tight_layout()
    return figure
