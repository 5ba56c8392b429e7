"""What the commands share: the folder of the results, the data, and how results are left there and told."""

import pathlib
import shutil
from typing import Any

import jax
import typer
import xarray as xr

from .._devices import first_for_all, is_first_process, wait_for_all
from .._files import replacing
from .._journal import check_unclaimed
from .._keys import root_of
from ..data import LabelledData, load
from ..data._named import NAMES
from ..results import save


def set_precision(precision: str) -> None:
    """Switches float64 on, if that is the precision."""
    if precision == "float64":
        jax.config.update("jax_enable_x64", True)


def folder(out: pathlib.Path) -> pathlib.Path:
    """The folder of the results, made and tried before any work is done, by the process that writes there."""

    def make() -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            probe = out / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OSError(f"--out needs a folder that can be written. Got {out}: {error.strerror}.") from None

    first_for_all(make)
    return out


def checkpoint(out: pathlib.Path, command: str, resume: bool) -> pathlib.Path:
    """The folder of the journals; emptied unless the run goes on from them.

    Raises:
        ValueError: if another run is at work there.
    """
    folder = out / f".{command}-checkpoint"
    check_unclaimed(folder)
    if not resume:
        forget(folder)
        # No process reads a journal that is about to go.
        wait_for_all()
    return folder


def forget(checkpoint: pathlib.Path) -> None:
    """Removes the journals: once the results are saved, or to begin again."""
    if is_first_process():
        shutil.rmtree(checkpoint, ignore_errors=True)


def refuse(options: dict[str, Any], names: tuple[str, ...], wanted: str, instead: str) -> None:
    """Refuses options that the user typed where they would do nothing; defaults are nobody's wish."""
    for name in names:
        if name in options["typed"]:
            value = getattr(options[name], "value", options[name])
            raise ValueError(
                f"--{name.replace('_', '-')} needs {wanted}. Got {value} with {instead}. Leave one of them out."
            )


def refuse_data_options(options: dict[str, Any], instead: str) -> None:
    """Refuses options that say which data to take where none are taken."""
    refuse(options, ("array", "classes", "per_class", "channel", "pad", "scale"), "data", instead)


def root_key(seed: int) -> Any:
    """The key of a seed.

    Raises:
        ValueError: for a seed of more than 32 bits, which jax would cut to them.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed needs a whole number from 0 to {2**32 - 1}. Got {seed}.")
    return root_of(seed)


def load_data(options: dict[str, Any]) -> LabelledData:
    """The data of the options; the digits 0 and 1 in [-1, 1] without any."""
    default = options["data"] is None
    if default or options["data"] in NAMES:
        refuse(options, ("array",), "a file of several arrays", f"the named set {options['data'] or 'digits'}")
    classes = None if options["classes"] is None else [c.strip() for c in options["classes"].split(",")]
    if default and classes is None:
        classes = ["0", "1"]
    return load(
        "digits" if default else options["data"],
        array=options["array"],
        classes=classes and [int(c) if c.lstrip("-").isdigit() else c for c in classes],
        per_class=options["per_class"],
        channel=int(options["channel"]) if (options["channel"] or "").isdigit() else options["channel"],
        pad=options["pad"],
        scale=_scale(options["scale"], default),
    )


def _scale(text: str | None, default: bool) -> tuple[float, float] | None:
    if text is None:
        return (-1.0, 1.0) if default else (0.0, 1.0)
    if text == "none":
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--scale needs two numbers, LOW,HIGH, or none. Got {text!r}.") from None
    return low, high


def whole_numbers(option: str, text: str) -> list[int]:
    """The whole numbers of an option that lists them; 1e6 is one."""
    found = numbers(option, text)
    if not all(number.is_integer() for number in found):
        raise ValueError(f"{option} needs whole numbers. Got {text!r}.")
    return [int(number) for number in found]


def numbers(option: str, text: str) -> list[float]:
    """The numbers of an option that lists them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} needs numbers with commas between them. Got {text!r}.") from None


def leave(ds: xr.Dataset, path: pathlib.Path, figure: Any, words: list[str]) -> None:
    """Saves the results and their figure, and prints the summary."""
    keep(ds, path)
    picture = path.with_suffix(".png")
    draw(figure, picture)
    typer.echo("\n".join([*words, f"Saved {path} and {picture}"]))


def keep(ds: xr.Dataset, path: pathlib.Path) -> None:
    """Saves results, from the first process: all have the same."""
    if is_first_process():
        save(ds, path)


def draw(figure: Any, picture: pathlib.Path) -> None:
    """Saves a figure, whole or not at all, from the first process, and closes it."""
    import matplotlib.pyplot as plt

    if is_first_process():
        with replacing(picture) as writing:
            figure.savefig(writing, dpi=200)
    plt.close(figure)
