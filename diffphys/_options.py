"""The options of the commands: their types, their help, and where they stand in it."""

import pathlib
from typing import Annotated

import typer

from ._choices import Compute, Estimator, Generator, Model, Network, Precision, SamplerName, ThermoModel

_DATA, _MODEL, _MAGNET, _NETWORK, _RUN, _OUT = "Data", "Model, instead of data", "Magnet", "Network", "Run", "Output"

Hosts = Annotated[
    str | None,
    typer.Option(metavar="auto|ADDRESS:PORT,COUNT,INDEX",
                 help="Before the command: join the other processes of the same command, on several hosts. auto under "
                 "SLURM, Open MPI, Kubernetes and on a Cloud TPU; else where process 0 is reached, how many there "
                 "are, and which this is."),
]  # fmt: skip
Data = Annotated[
    str | None,
    typer.Option(
        help="digits, mnist, fashion-mnist, cifar10, or a file: .npy, .npz, IDX(.gz), .nc, .h5, a folder of images. "
        "Named sets are sought in $DIFFPHYS_DATA first.",
        rich_help_panel=_DATA, show_default="digits; in gaussian-regimes and thermo, a model",
    ),
]  # fmt: skip
ArrayName = Annotated[
    str | None, typer.Option("--array", help="Name of the values in a .npz, .nc or .h5 file.", rich_help_panel=_DATA)
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Classes to keep.", rich_help_panel=_DATA,
                 show_default="0,1 of the digits; else all"),
]  # fmt: skip
PerClass = Annotated[int | None, typer.Option(help="First so many of each class.", rich_help_panel=_DATA)]
Channel = Annotated[
    str | None, typer.Option(help="One colour channel: red, green, blue or an index.", rich_help_panel=_DATA)
]
Pad = Annotated[int | None, typer.Option(help="Side to pad images to, with zeros.", rich_help_panel=_DATA)]
Scale = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", rich_help_panel=_DATA, show_default="0,1; -1,1 without --data",
                 help="Range that pixel values are mapped to, or none."),
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
    typer.Option("--model", help="A model.", rich_help_panel=_MODEL, show_default="two-deltas"),
]
Beta = Annotated[
    float, typer.Option(help="Inverse temperature of its spins, or their coupling.", rich_help_panel=_MODEL)
]
Variances = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", rich_help_panel=_RUN, show_default="about the critical one",
                 help="Noise variances between which branches are followed."),
]  # fmt: skip
Spectrum = Annotated[
    str, typer.Option(metavar="LOW,HIGH", rich_help_panel=_MODEL,
                      help="Its covariance has eigenvalues evenly between these."),
]  # fmt: skip
Counts = Annotated[
    str | None,
    typer.Option(metavar="P1,P2,...", rich_help_panel=_RUN, show_default="15 from N / 8 to 8 N^2",
                 help="Numbers of data."),
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
    typer.Option(metavar="T1,T2,...", rich_help_panel=_RUN, show_default="chosen from the spectrum",
                 help="Diffusion times, or one whole number: how many."),
]  # fmt: skip
EstimatorOption = Annotated[Estimator, typer.Option("--estimator", help="Which curves.", rich_help_panel=_RUN)]
SamplerOption = Annotated[SamplerName, typer.Option("--sampler", help="How clones move.", rich_help_panel=_RUN)]
Samples = Annotated[int, typer.Option(help="Forward samples of the identities.", rich_help_panel=_RUN)]
Stderr = Annotated[
    float | None,
    typer.Option(help="Standard error of f_e / alpha to reach at every time, each with as many samples as it needs, "
                      "instead of --samples.", rich_help_panel=_RUN),
]  # fmt: skip
ClonesStderr = Annotated[float | None, typer.Option(help="Standard error of their agreement to reach at every time, "
                                                    "instead of --clones.", rich_help_panel=_RUN)]  # fmt: skip
Reduce = Annotated[bool, typer.Option("--reduce", help="Only the coordinates that the classes depend on.",
                                      rich_help_panel=_MODEL)]  # fmt: skip
Steps = Annotated[int, typer.Option(help="Steps of a clone, an even number.", rich_help_panel=_RUN)]
Temperature = Annotated[float, typer.Option(help="Temperature T of the Ornstein-Uhlenbeck bath.", rich_help_panel=_RUN)]
Seed = Annotated[int, typer.Option(help="Seed of all noise.", rich_help_panel=_RUN)]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="Type of states.", rich_help_panel=_RUN)]
Chunk = Annotated[int | None, typer.Option(help="Trajectories a compiled call; chosen from memory by default.",
                                           rich_help_panel=_RUN)]  # fmt: skip
Trajectories = Annotated[
    int | None, typer.Option(help="Trajectories timed until the last change of the nearest datum.",
                             rich_help_panel=_RUN, show_default="none; of a --model a quarter of --clones"),
]  # fmt: skip
Out = Annotated[pathlib.Path, typer.Option(help="Folder of the results.", rich_help_panel=_OUT)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=_OUT)]
NetworkOption = Annotated[
    Network | None,
    typer.Option("--network", help="Kind of network.", show_default="unet of images, mlp of vectors",
                 rich_help_panel=_NETWORK),
]  # fmt: skip
Channels = Annotated[
    int | None,
    typer.Option(help="Channels at the highest resolution of a U-Net [32]; width of an MLP [128].",
                 rich_help_panel=_NETWORK),
]  # fmt: skip
Multipliers = Annotated[
    str | None,
    typer.Option(metavar="M1,M2,...", help="Of the channels of a U-Net, one a resolution, each half the one before.",
                 show_default="1,2,2", rich_help_panel=_NETWORK),
]  # fmt: skip
Blocks = Annotated[
    int | None,
    typer.Option(help="Residual blocks, a resolution of a U-Net [1]; of an MLP [3].", rich_help_panel=_NETWORK),
]
Attention = Annotated[
    str | None,
    typer.Option(metavar="S1,S2,...", help="Sides of the maps at which a U-Net attends to the whole map.",
                 rich_help_panel=_NETWORK),
]  # fmt: skip
Patch = Annotated[
    int | None,
    typer.Option(help="Side of the squares of pixels that a U-Net takes as one [1].", rich_help_panel=_NETWORK),
]
Dropout = Annotated[float, typer.Option(help="Share of features dropped in training.", rich_help_panel=_NETWORK)]
Conditional = Annotated[
    bool, typer.Option("--conditional", help="Train with the labels, hidden for a tenth of the samples.",
                       rich_help_panel=_NETWORK),
]  # fmt: skip
ComputeOption = Annotated[
    Compute, typer.Option("--compute", help="Type that layers compute in.", rich_help_panel=_NETWORK)
]
Updates = Annotated[int, typer.Option("--steps", help="Updates of the weights.", rich_help_panel=_RUN)]
Batch = Annotated[int, typer.Option(help="Samples an update, over all devices.", rich_help_panel=_RUN)]
LearningRate = Annotated[float, typer.Option(help="Of Adam; it falls to 0 along a cosine.", rich_help_panel=_RUN)]
Average = Annotated[
    float, typer.Option("--ema", help="Decay a step of the average of the weights, which is what denoises.",
                        rich_help_panel=_RUN),
]  # fmt: skip
SaveEvery = Annotated[int, typer.Option(help="Steps between checkpoints.", rich_help_panel=_RUN)]
Milestones = Annotated[
    str | None,
    typer.Option(metavar="N1,N2,...", help="Steps whose checkpoints are kept beside the last and the best.",
                 rich_help_panel=_RUN),
]  # fmt: skip
HeldOut = Annotated[
    int,
    typer.Option(help="Data of each class kept out of training, for the table of errors. None by default: how many "
                      "are trained on is what collapse depends on.", rich_help_panel=_RUN),
]  # fmt: skip
ModelFolder = Annotated[
    pathlib.Path, typer.Option("--out", help="Folder of the model and of its results.", rich_help_panel=_OUT)
]
TrainedModel = Annotated[
    str,
    typer.Option("--model", metavar="DIR|FILE.py:NAME", rich_help_panel=_MODEL,
                 help="A folder that train left, or a function (y, v) -> estimate of a, of one flat centred sample, in "
                 "a Python file, which is run."),
]  # fmt: skip
ModelToMeasure = Annotated[
    str | None,
    typer.Option("--model", metavar="DIR|FILE.py:NAME", rich_help_panel=_MODEL,
                 help="A model, as sample takes it: its regimes, late starts, and what it knows of data held out."),
]  # fmt: skip
ModelData = Annotated[
    str | None,
    typer.Option("--data", help="The data of FILE.py:NAME, as in train: they tell the shape of a sample, the mean and "
                 "the range of noise.", rich_help_panel=_DATA),
]  # fmt: skip
ModelDim = Annotated[
    int | None,
    typer.Option("--dim", help="Numbers of a sample of FILE.py:NAME, for data of mean 0 and variance about 1 whose "
                 "shape no --data tells.", rich_help_panel=_MODEL),
]  # fmt: skip
KeptStep = Annotated[
    str, typer.Option("--step", metavar="last|best|N", help="Which of its checkpoints.", rich_help_panel=_MODEL)
]
_names = [entry.value for entry in Generator]
GeneratorOption = Annotated[
    Generator,
    typer.Option("--sampler", metavar="NAME", rich_help_panel=_RUN,
                 help=f"How samples are drawn, at noise levels spaced as in EDM: {', '.join(_names[:-8])}; in phase "
                 f"space {', '.join(_names[-8:])}."),
]  # fmt: skip
SamplerSteps = Annotated[int, typer.Option("--steps", help="Steps of a trajectory.", rich_help_panel=_RUN)]
Number = Annotated[int, typer.Option(help="Samples to draw.", rich_help_panel=_RUN)]
Label = Annotated[
    str | None, typer.Option(help="The class to draw, by name, of a model with labels.", rich_help_panel=_RUN)
]
Guidance = Annotated[
    float | None,
    typer.Option(metavar="W", help="Classifier-free guidance: 0 ignores the label, 1 is its denoiser, more "
                 "exaggerates it.", show_default="1", rich_help_panel=_RUN),
]  # fmt: skip
