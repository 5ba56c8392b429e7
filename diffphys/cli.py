"""The command `diffphys`: experiments on data and models, without writing code."""

import contextlib
import contextvars
import pathlib
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import typer
import typer.core

from . import _options as o
from ._choices import Compute, Estimator, Generator, Precision, SamplerName
from ._commands import _hosts

app = typer.Typer(
    name="diffphys",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@contextlib.contextmanager
def _errors(out: pathlib.Path | None = None) -> Iterator[None]:
    """Errors of use become one line, status 2, and an interrupt another, status 130; both say how to resume."""
    # A terminated run stops as an interrupted one does: between chunks, with its journal whole.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hint = f"Run the same command with --resume to go on from {out}."
    try:
        from ._commands._cache import keep_compiled

        keep_compiled()
        yield
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        # Of the notes, that of jax on its own frames says nothing where no traceback is shown.
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()) if "JAX_TRACEBACK" not in note)
        if isinstance(error, OSError | MemoryError) and out is not None and any(out.glob(".*-checkpoint/*/*.npz")):
            notes += f"\n{hint}"
        typer.echo(f"diffphys: {error}{notes}", err=True)
        _hosts.stop(2)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        hint = "" if out is None else f" {hint}"
        typer.echo(f"\ndiffphys: interrupted.{hint}", err=True)
        _hosts.stop(130)
        raise typer.Exit(130) from None
    except Exception:
        if _hosts.are_several():
            traceback.print_exc()
            _hosts.stop(1)
        raise


# Not an argument of the commands: the class of a context differs between releases of typer.
_typed: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("typed", default=frozenset())


class _Command(typer.core.TyperCommand):
    """A command that knows which of its options the user typed."""

    def invoke(self, ctx: Any) -> Any:
        sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
        _typed.set(frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE"))
        return super().invoke(ctx)


def _told(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a command and, as `typed`, the names of those that the user gave."""
    return options | {"typed": _typed.get()}


@app.callback()
def hosts(hosts: o.Hosts = None) -> None:
    """Speciation and collapse of diffusion models, on solvable models and on real data."""
    if hosts is not None:
        try:
            _hosts.join(hosts)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


@app.command(cls=_Command)
def speciation(
    data: o.Data = None, array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None,
    channel: o.Channel = None, pad: o.Pad = None, scale: o.Scale = None, target: o.Target = None, dim: o.Dim = 1024,
    mean: o.Mean = 1.0, variance: o.Variance = 1.0,
    weight: o.Weight = 0.5, reduce: o.Reduce = False, clones: o.Clones = 10_000,
    clones_stderr: o.ClonesStderr = None, times: o.Times = None,
    estimator: o.EstimatorOption = Estimator.ALL, sampler: o.SamplerOption = SamplerName.DPM_SOLVER,
    samples: o.Samples = 2000, steps: o.Steps = 32, temperature: o.Temperature = 1.0, seed: o.Seed = 0,
    precision: o.PrecisionOption = Precision.FLOAT32, chunk: o.Chunk = None,
    out: o.Out = pathlib.Path("diffphys-out"), resume: o.Resume = False,
) -> None:  # fmt: skip
    """When the class of a trajectory is decided: phi(t) by the posterior identity, by clones and by theory."""
    options = _told(locals())
    with _errors(out):
        from ._commands import regimes as command

        command.run("speciation", **options)


@app.command(cls=_Command)
def collapse(
    data: o.Data = None, array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None,
    channel: o.Channel = None, pad: o.Pad = None, scale: o.Scale = None, target: o.Target = None, dim: o.Dim = 256,
    mean: o.Mean = 1.0, variance: o.Variance = 1.0,
    weight: o.Weight = 0.5, size: o.Size = 20_000, clones: o.ClonesOfData = 10_000,
    clones_stderr: o.ClonesStderr = None, times: o.Times = None,
    estimator: o.EstimatorOption = Estimator.ALL, sampler: o.SamplerOption = SamplerName.DPM_SOLVER,
    samples: o.Samples = 2000, stderr: o.Stderr = None, steps: o.Steps = 32, temperature: o.Temperature = 1.0,
    seed: o.Seed = 0, precision: o.PrecisionOption = Precision.FLOAT32, chunk: o.Chunk = None,
    trajectories: o.Trajectories = None,
    out: o.Out = pathlib.Path("diffphys-out"), resume: o.Resume = False,
) -> None:  # fmt: skip
    """When a trajectory is bound to one datum: f_e(t) / alpha and phi_C(t) of the exact score of a data set."""
    options = _told(locals())
    with _errors(out):
        from ._commands import regimes as command

        command.run("collapse", **options)


@app.command(cls=_Command)
def regimes(
    data: o.Data = None, array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None,
    channel: o.Channel = None, pad: o.Pad = None, scale: o.Scale = None, target: o.Target = None, dim: o.Dim = 256,
    mean: o.Mean = 1.0, variance: o.Variance = 1.0, model: o.ModelToMeasure = None, step: o.KeptStep = "last",
    weight: o.Weight = 0.5, size: o.Size = 20_000, clones: o.ClonesOfData = 1000,
    clones_stderr: o.ClonesStderr = None, times: o.Times = None,
    estimator: o.EstimatorOption = Estimator.ALL, sampler: o.SamplerOption = SamplerName.DPM_SOLVER,
    samples: o.Samples = 2000, steps: o.Steps = 32, temperature: o.Temperature = 1.0, seed: o.Seed = 0,
    precision: o.PrecisionOption = Precision.FLOAT32, chunk: o.Chunk = None,
    trajectories: o.Trajectories = None,
    out: o.Out = pathlib.Path("diffphys-out"), resume: o.Resume = False,
) -> None:  # fmt: skip
    """Both transitions of one data set, or of a model of it, and the three regimes between them."""
    options = _told(locals())
    with _errors(out):
        if model is not None:
            from ._commands import learned

            learned.run(**options)
        else:
            from ._commands import regimes as command

            command.run("regimes", **options)


@app.command(cls=_Command)
def diagram(
    data: o.Data = None, array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None,
    channel: o.Channel = None, pad: o.Pad = None, scale: o.Scale = None, target: o.Target = None, dim: o.Dim = 256,
    mean: o.Mean = 1.0, variance: o.Variance = 1.0,
    weight: o.Weight = 0.5, samples: o.Samples = 500, temperature: o.Temperature = 1.0, seed: o.Seed = 0,
    precision: o.PrecisionOption = Precision.FLOAT32, out: o.Out = pathlib.Path("diffphys-out"),
) -> None:  # fmt: skip
    """Where the regimes lie for any number of data: t_S and t_C(n) in one plane."""
    options = _told(locals())
    with _errors():
        from ._commands.regimes import run_diagram

        run_diagram(**options)


@app.command(cls=_Command)
def gaussian_regimes(
    data: o.Data = None, array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None,
    channel: o.Channel = None, pad: o.Pad = None, scale: o.Scale = None, dim: o.Dim = 48,
    spectrum: o.Spectrum = "0.5,2", counts: o.Counts = None, draws: o.Draws = 8, steps: o.CovarianceSteps = 400,
    temperature: o.Temperature = 1.0, seed: o.Seed = 0, out: o.Out = pathlib.Path("diffphys-out"),
) -> None:  # fmt: skip
    """How many data a Gaussian law needs: rank, spectrum and eigenvectors of what linear scores generate."""
    options = _told(locals())
    with _errors():
        from ._commands.gaussian import run

        run(**options)


@app.command(cls=_Command)
def thermo(
    data: o.Data = None, array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None,
    channel: o.Channel = None, pad: o.Pad = None, scale: o.Scale = None, model: o.ThermoModelOption = None,
    dim: o.Dim = 10, beta: o.Beta = 0.5, variances: o.Variances = None, temperature: o.Temperature = 1.0,
    seed: o.Seed = 0, out: o.Out = pathlib.Path("diffphys-out"),
) -> None:  # fmt: skip
    """Where a symmetry breaks: branches of magnetisations, stability, critical points and exponents."""
    options = _told(locals())
    with _errors():
        from ._commands.thermo import run

        run(**options)


@app.command(cls=_Command)
def curie_weiss(
    dim: o.Spins = 400, beta: o.InverseTemperature = 1.5, field: o.Field = 0.5, clones: o.Clones = 500,
    samples: o.Samples = 2000, steps: o.Steps = 64, trajectories: o.Walks = 4096, draws: o.Draws = 24,
    temperature: o.Temperature = 1.0, seed: o.Seed = 0, precision: o.PrecisionOption = Precision.FLOAT32,
    out: o.Out = pathlib.Path("diffphys-out"), resume: o.Resume = False,
) -> None:  # fmt: skip
    """When the Curie-Weiss magnet chooses its state, and what its weights need: start, data, steps."""
    options = _told(locals())
    with _errors(out):
        from ._commands.curie_weiss import run

        run(**options)


@app.command(cls=_Command)
def train(
    data: o.Data = None, array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None,
    channel: o.Channel = None, pad: o.Pad = None, scale: o.Scale = None, network: o.NetworkOption = None,
    channels: o.Channels = None, multipliers: o.Multipliers = None, blocks: o.Blocks = None,
    attention: o.Attention = None, patch: o.Patch = None, dropout: o.Dropout = 0.0, conditional: o.Conditional = False,
    compute: o.ComputeOption = Compute.FLOAT32, steps: o.Updates = 2000, batch: o.Batch = 128,
    learning_rate: o.LearningRate = 1e-3, ema: o.Average = 0.999, save_every: o.SaveEvery = 500,
    milestones: o.Milestones = None, held_out: o.HeldOut = 0, seed: o.Seed = 0,
    out: o.ModelFolder = pathlib.Path("diffphys-model"), resume: o.Resume = False,
) -> None:  # fmt: skip
    """Train a network as a denoiser of data: a model to sample from and to measure."""
    options = _told(locals())
    with _errors(out):
        from ._commands.learn import run_train

        run_train(**options)


@app.command(cls=_Command)
def sample(
    model: o.TrainedModel, step: o.KeptStep = "last", dim: o.ModelDim = None, data: o.ModelData = None,
    array: o.ArrayName = None, classes: o.Classes = None, per_class: o.PerClass = None, channel: o.Channel = None,
    pad: o.Pad = None, scale: o.Scale = None, sampler: o.GeneratorOption = Generator.DPM_SOLVER_MULTISTEP,
    steps: o.SamplerSteps = 32, number: o.Number = 64, label: o.Label = None, guidance: o.Guidance = None,
    seed: o.Seed = 0, chunk: o.Chunk = None, out: o.Out = pathlib.Path("diffphys-out"),
) -> None:  # fmt: skip
    """Draw samples of a model, with any sampler."""
    options = _told(locals())
    with _errors():
        from ._commands.learn import run_sample

        run_sample(**options)


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
