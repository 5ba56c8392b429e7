"""The options of the commands: their types, their help, and where they stand in it."""

import enum
import pathlib
from typing import Annotated

import typer


class Estimator(enum.StrEnum):
    """Which curves are made."""

    POSTERIOR = "posterior"
    CLONES = "clones"
    THEORY = "theory"
    ALL = "all"


class Model(enum.StrEnum):
    """Solvable models."""

    MIXTURE = "mixture"


class ThermoModel(enum.StrEnum):
    """Models with a symmetry to break."""

    TWO_DELTAS = "two-deltas"
    FOUR_DELTAS = "four-deltas"
    SPHERE = "sphere"
    CURIE_WEISS = "curie-weiss"
    ISING_RING = "ising-ring"
    MIXTURE = "mixture"


class Precision(enum.StrEnum):
    """Type of the states; tables of coefficients are float64 always."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class SamplerName(enum.StrEnum):
    """How clones move."""

    BRIDGE = "bridge"
    REVERSE_SDE = "reverse-sde"


_DATA, _MODEL, _MAGNET, _RUN, _OUT = "Data", "Model, instead of data", "Magnet", "Run", "Output"

Data = Annotated[
    str | None,
    typer.Option(
        help="digits, mnist, fashion-mnist, cifar10, or a file: .npy, .npz, IDX(.gz), .nc, .h5, a folder of images. "
        "Named sets are sought in $DIFFPHYS_DATA first. [default: digits; in gaussian-regimes and thermo, a model]",
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
ThermoModelOption = Annotated[
    ThermoModel | None,
    typer.Option("--model", help="A model. [default: two-deltas]", rich_help_panel=_MODEL, show_default=False),
]
Beta = Annotated[
    float, typer.Option(help="Inverse temperature of its spins, or their coupling.", rich_help_panel=_MODEL)
]
Variances = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", rich_help_panel=_RUN, show_default=False,
                 help="Noise variances between which branches are followed. [default: about the critical one]"),
]  # fmt: skip
Spectrum = Annotated[
    str, typer.Option(metavar="LOW,HIGH", rich_help_panel=_MODEL,
                      help="Its covariance has eigenvalues evenly between these."),
]  # fmt: skip
Counts = Annotated[
    str | None,
    typer.Option(metavar="P1,P2,...", rich_help_panel=_RUN, show_default=False,
                 help="Numbers of data. [default: 15 from N / 8 to 8 N^2]"),
]  # fmt: skip
Spins = Annotated[int, typer.Option("--dim", help="Number of spins N.", rich_help_panel=_MAGNET)]
InverseTemperature = Annotated[
    float, typer.Option("--beta", help="Inverse temperature of the magnet, above 1.", rich_help_panel=_MAGNET)
]
Field = Annotated[float, typer.Option(help="Field h, scaled by 1 / N: the bias between the states.",
                                      rich_help_panel=_MAGNET)]  # fmt: skip
Walks = Annotated[
    int, typer.Option("--trajectories", rich_help_panel=_RUN, help="Trajectories of each grid of few steps.")
]
Draws = Annotated[int, typer.Option(help="Data sets for each number.", rich_help_panel=_RUN)]
CovarianceSteps = Annotated[
    int, typer.Option("--steps", help="Steps of the equation of the generated covariance.", rich_help_panel=_RUN)
]
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
