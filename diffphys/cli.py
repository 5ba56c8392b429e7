"""The command `diffphys`: experiments on data and models, without writing code."""

import contextlib
import enum
import pathlib
import signal
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="diffphys",
    help="Speciation and collapse of diffusion models, on solvable models and on real data.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Estimator(enum.StrEnum):
    """Which curves are made."""

    POSTERIOR = "posterior"
    CLONES = "clones"
    THEORY = "theory"
    ALL = "all"


class Model(enum.StrEnum):
    """Solvable models."""

    MIXTURE = "mixture"


class Precision(enum.StrEnum):
    """Type of the states; tables of coefficients are float64 always."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class SamplerName(enum.StrEnum):
    """How clones move."""

    BRIDGE = "bridge"
    REVERSE_SDE = "reverse-sde"


_DATA, _MODEL, _RUN, _OUT = "Data", "Model, instead of data", "Run", "Output"

Data = Annotated[
    str | None,
    typer.Option(
        help="digits, mnist, fashion-mnist, cifar10, or a file: .npy, .npz, IDX(.gz), .nc, .h5, a folder of images. "
        "Named sets are looked for in $DIFFPHYS_DATA first. [default: digits]",
        rich_help_panel=_DATA, show_default=False,
    ),
]  # fmt: skip
ArrayName = Annotated[
    str | None, typer.Option("--array", help="Name of the values in a .npz, .nc or .h5 file.", rich_help_panel=_DATA)
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Classes to keep. [default: 0,1 of the digits; else all]", rich_help_panel=_DATA,
                 show_default=False),
]  # fmt: skip
PerClass = Annotated[int | None, typer.Option(help="First so many of each class.", rich_help_panel=_DATA)]
Channel = Annotated[
    str | None, typer.Option(help="One colour channel: red, green, blue or an index.", rich_help_panel=_DATA)
]
Pad = Annotated[int | None, typer.Option(help="Side to pad images to, with zeros.", rich_help_panel=_DATA)]
Scale = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", rich_help_panel=_DATA, show_default=False,
                 help="Range that pixel values are mapped to, or none. [default: 0,1; -1,1 without --data]"),
]  # fmt: skip
Target = Annotated[Model | None, typer.Option(help="A solvable model.", rich_help_panel=_MODEL)]
Dim = Annotated[int, typer.Option(help="Its dimension d.", rich_help_panel=_MODEL)]
Mean = Annotated[float, typer.Option(help="Each coordinate of the class means is plus or minus this.",
                                     rich_help_panel=_MODEL)]  # fmt: skip
Variance = Annotated[float, typer.Option(help="Variance within a class.", rich_help_panel=_MODEL)]
Weight = Annotated[float, typer.Option(help="Weight of the first class.", rich_help_panel=_MODEL)]
Size = Annotated[int, typer.Option(help="Data drawn from it, for collapse.", rich_help_panel=_MODEL)]
Clones = Annotated[int, typer.Option(help="Clone pairs at each time.", rich_help_panel=_RUN)]
ClonesOfData = Annotated[int, typer.Option("--clones", help="Clone pairs at each of 10 of the times.",
                                           rich_help_panel=_RUN)]  # fmt: skip
Times = Annotated[
    str | None,
    typer.Option(metavar="T1,T2,...", rich_help_panel=_RUN, show_default=False,
                 help="Diffusion times, or one whole number: how many. [default: chosen from the spectrum]"),
]  # fmt: skip
EstimatorOption = Annotated[Estimator, typer.Option("--estimator", help="Which curves.", rich_help_panel=_RUN)]
SamplerOption = Annotated[SamplerName, typer.Option("--sampler", help="How clones move.", rich_help_panel=_RUN)]
Samples = Annotated[int, typer.Option(help="Forward samples of the identities.", rich_help_panel=_RUN)]
Stderr = Annotated[
    float | None,
    typer.Option(help="Standard error of f_e / alpha to reach at every time, each with as many samples as it needs, "
                      "instead of --samples.", rich_help_panel=_RUN),
]  # fmt: skip
Steps = Annotated[int, typer.Option(help="Steps of a clone, an even number.", rich_help_panel=_RUN)]
Temperature = Annotated[float, typer.Option(help="Temperature T of the Ornstein-Uhlenbeck bath.", rich_help_panel=_RUN)]
Seed = Annotated[int, typer.Option(help="Seed of all noise.", rich_help_panel=_RUN)]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="Type of states.", rich_help_panel=_RUN)]
Chunk = Annotated[int | None, typer.Option(help="Trajectories a compiled call; chosen from memory by default.",
                                           rich_help_panel=_RUN)]  # fmt: skip
Trajectories = Annotated[
    int | None,
    typer.Option(help="Trajectories on which the last change of the nearest datum is timed.", rich_help_panel=_RUN),
]
Out = Annotated[pathlib.Path, typer.Option(help="Folder of the results.", rich_help_panel=_OUT)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=_OUT)]


@contextlib.contextmanager
def _errors(out: pathlib.Path | None = None) -> Iterator[None]:
    """Errors of use become one line and status 2; an interrupt says how to resume, status 130."""
    # A terminated run stops as an interrupted one does: between chunks, with its journal whole.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        typer.echo(f"diffphys: {error}{notes}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(f"\ndiffphys: interrupted. Run the same command with --resume to go on from {out}.", err=True)
        raise typer.Exit(130) from None


@app.command()
def speciation(
    data: Data = None, array: ArrayName = None, classes: Classes = None, per_class: PerClass = None,
    channel: Channel = None, pad: Pad = None, scale: Scale = None, target: Target = None, dim: Dim = 1024,
    mean: Mean = 1.0, variance: Variance = 1.0,
    weight: Weight = 0.5, clones: Clones = 10_000, times: Times = None,
    estimator: EstimatorOption = Estimator.ALL, sampler: SamplerOption = SamplerName.BRIDGE, samples: Samples = 2000,
    steps: Steps = 64, temperature: Temperature = 1.0, seed: Seed = 0, precision: PrecisionOption = Precision.FLOAT32,
    chunk: Chunk = None, out: Out = pathlib.Path("diffphys-out"), resume: Resume = False,
) -> None:  # fmt: skip
    """When the class of a trajectory is decided: phi(t) by the posterior identity, by clones and by theory."""
    options = dict(locals())
    with _errors(out):
        from ._commands import regimes as command

        command.run("speciation", **options)


@app.command()
def collapse(
    data: Data = None, array: ArrayName = None, classes: Classes = None, per_class: PerClass = None,
    channel: Channel = None, pad: Pad = None, scale: Scale = None, target: Target = None, dim: Dim = 256,
    mean: Mean = 1.0, variance: Variance = 1.0,
    weight: Weight = 0.5, size: Size = 20_000, clones: ClonesOfData = 10_000, times: Times = None,
    estimator: EstimatorOption = Estimator.ALL, sampler: SamplerOption = SamplerName.BRIDGE,
    samples: Samples = 2000, stderr: Stderr = None, steps: Steps = 64, temperature: Temperature = 1.0, seed: Seed = 0,
    precision: PrecisionOption = Precision.FLOAT32, chunk: Chunk = None, trajectories: Trajectories = None,
    out: Out = pathlib.Path("diffphys-out"), resume: Resume = False,
) -> None:  # fmt: skip
    """When a trajectory is bound to one datum: f_e(t) / alpha and phi_C(t) of the exact score of a data set."""
    options = dict(locals())
    with _errors(out):
        from ._commands import regimes as command

        command.run("collapse", **options)


@app.command()
def regimes(
    data: Data = None, array: ArrayName = None, classes: Classes = None, per_class: PerClass = None,
    channel: Channel = None, pad: Pad = None, scale: Scale = None, target: Target = None, dim: Dim = 256,
    mean: Mean = 1.0, variance: Variance = 1.0,
    weight: Weight = 0.5, size: Size = 20_000, clones: ClonesOfData = 1000, times: Times = None,
    estimator: EstimatorOption = Estimator.ALL, sampler: SamplerOption = SamplerName.BRIDGE, samples: Samples = 2000,
    steps: Steps = 64, temperature: Temperature = 1.0, seed: Seed = 0, precision: PrecisionOption = Precision.FLOAT32,
    chunk: Chunk = None, out: Out = pathlib.Path("diffphys-out"), resume: Resume = False,
) -> None:  # fmt: skip
    """Both transitions of one data set, and the three regimes between them."""
    options = dict(locals())
    with _errors(out):
        from ._commands import regimes as command

        command.run("regimes", **options)


@app.command()
def diagram(
    data: Data = None, array: ArrayName = None, classes: Classes = None, per_class: PerClass = None,
    channel: Channel = None, pad: Pad = None, scale: Scale = None, target: Target = None, dim: Dim = 256,
    mean: Mean = 1.0, variance: Variance = 1.0,
    weight: Weight = 0.5, samples: Samples = 500, temperature: Temperature = 1.0, seed: Seed = 0,
    precision: PrecisionOption = Precision.FLOAT32, out: Out = pathlib.Path("diffphys-out"),
) -> None:  # fmt: skip
    """Where the regimes lie for any number of data: t_S and t_C(n) in one plane."""
    options = dict(locals())
    with _errors(out):
        from ._commands.regimes import run_diagram

        run_diagram(**options)


@app.command()
def info() -> None:
    """Versions, devices, precision, and whether this release of JAX computes right."""
    with _errors():
        from ._commands.info import info as words

        typer.echo(words())


def main() -> Any:
    """Entry point of the command."""
    sys.exit(app())


if __name__ == "__main__":
    main()
