"""`python -m benchmarks`: the cases; `... run`: their table; `... show`, `... plot`: a record of it."""

import importlib
import json
import pathlib
from typing import Annotated, Any

import typer

from .cases import CASES

app = typer.Typer(
    help="How fast diffphys is, beside its peers and beside what the machine can do.",
    add_completion=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.callback(invoke_without_command=True)
def listing(context: typer.Context) -> None:
    """How fast diffphys is, beside its peers and beside what the machine can do. Alone: the list of cases."""
    if context.invoked_subcommand is None:
        width = max(map(len, CASES))
        typer.echo("\n".join(f"{name.ljust(width)}  {line}" for name, line in CASES.items()))
        typer.echo("\nRun them: python -m benchmarks run [CASE ...]")


@app.command()
def run(
    cases: Annotated[list[str] | None, typer.Argument(metavar="[CASE]...", help="By default all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: to see that it works, not how fast.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each program, after one that compiles.")] = 5,
    report: Annotated[pathlib.Path | None, typer.Option("--json", help="Write every repeat to this file.")] = None,
) -> None:
    """Run cases, print a table of each, and say which goals are met."""
    chosen = cases or list(CASES)
    unknown = [name for name in chosen if name not in CASES]
    if unknown:
        raise typer.BadParameter(f"needs some of {', '.join(CASES)}. Got {', '.join(unknown)}.", param_hint="CASE")
    from ._report import machine, record, table

    about = machine()
    typer.echo(f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; {about['device']}")
    reports = {}
    for name in chosen:
        typer.echo(f"\n## {name}: {CASES[name]}\n")
        case = importlib.import_module(f".cases.{name.replace('-', '_')}", __package__)
        reports[name] = case.measure(quick, repeats)
        # Goals are about full sizes.
        typer.echo(table(reports[name], goals=not quick))
        # After each case: a run of all of them takes minutes, and may be stopped.
        if report is not None:
            report.write_text(json.dumps(record(reports, quick=quick, repeats=repeats), indent=1) + "\n")


@app.command()
def show(
    report: Annotated[pathlib.Path, typer.Argument(help="A file that `run --json` wrote.", exists=True)],
    cases: Annotated[list[str] | None, typer.Argument(metavar="[CASE]...", help="By default all of it.")] = None,
) -> None:
    """Print the tables of a record again."""
    from ._report import read, table

    record = _record_of_run(report)
    about = record["machine"]
    typer.echo(
        f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; {about['device']}; {record['date']}"
    )
    for name, found in read(record).items():
        if not cases or name in cases:
            typer.echo(f"\n## {name}: {CASES.get(name, '')}\n\n{table(found, goals=not record['quick'])}")


@app.command()
def plot(
    report: Annotated[pathlib.Path, typer.Argument(help="A file that `run --json` wrote.", exists=True)],
    out: Annotated[pathlib.Path, typer.Option(help="The picture.")] = pathlib.Path("benchmarks.png"),
) -> None:
    """Draw a record: ratios to peers, parts of limits, rates against sizes."""
    from ._figure import figure

    figure(_record_of_run(report)).savefig(out, dpi=150)
    typer.echo(f"Saved {out}")


def _record_of_run(report: pathlib.Path) -> dict[str, Any]:
    """The record in a file; those of `nfe` and `learned` are others."""
    try:
        record = json.loads(report.read_text())
    except ValueError:
        record = {}
    if "cases" not in record:
        raise typer.BadParameter(f"needs a file that `run --json` wrote. Got {report}.", param_hint="REPORT")
    return record


@app.command()
def nfe(
    target: Annotated[list[str] | None, typer.Option(help="One target; may be repeated. By default all.")] = None,
    sampler: Annotated[list[str] | None, typer.Option(help="Samplers whose name holds this; may be repeated.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: to see that it works, not how well.")] = False,
    report: Annotated[pathlib.Path | None, typer.Option("--json", help="Write every error to this file.")] = None,
    out: Annotated[pathlib.Path | None, typer.Option(help="Write the figure to this folder.")] = None,
) -> None:
    """Error against network evaluations: all samplers, ours and the peers', on targets with exact scores."""
    import jax

    # Before any array is made: exact moments need float64.
    jax.config.update("jax_enable_x64", True)
    from .nfe._command import compare
    from .nfe._problems import PROBLEMS

    chosen = target or list(PROBLEMS)
    unknown = [name for name in chosen if name not in PROBLEMS]
    if unknown:
        raise typer.BadParameter(
            f"needs some of {', '.join(PROBLEMS)}. Got {', '.join(unknown)}.", param_hint="--target"
        )
    compare(chosen, sampler or [], quick, typer.echo, report, out)


@app.command()
def learned(
    study: Annotated[list[str] | None, typer.Option(help="One study; may be repeated. By default all.")] = None,
    clones: Annotated[int, typer.Option(help="Cloned trajectories of each experiment.")] = 2000,
    steps: Annotated[
        int | None, typer.Option(help="Train a small network this many steps, as a CPU can. By default a wide one.")
    ] = None,
    out: Annotated[pathlib.Path, typer.Option(help="Folder of the results.")] = pathlib.Path("learned"),
) -> None:
    """Train networks on real images and measure their regimes, as in Figures 4 and 5 of the paper."""
    from .learned._command import run as run_studies
    from .learned._studies import STUDIES

    chosen = study or list(STUDIES)
    unknown = [name for name in chosen if name not in STUDIES]
    if unknown:
        raise typer.BadParameter(f"needs some of {', '.join(STUDIES)}. Got {', '.join(unknown)}.", param_hint="--study")
    run_studies(chosen, out, clones, steps, typer.echo)


if __name__ == "__main__":
    app()
