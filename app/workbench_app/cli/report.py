"""`workbench report`: run a report again, render it anew, print its schema."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.report import AgreeConfig

from .flags import settings
from .options import JsonOption, Opening
from .terminal import TerminalProgress, note, print_json, print_table

report_app = typer.Typer(help="Run reports again, render them anew.", no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(help="A report.json or the folder that holds it.")]
KnownArgument = Annotated[Path, typer.Argument(help="A report.json, its folder, or a report of the workspace.")]


@report_app.command("rerun")
@settings(agree=AgreeConfig)
def rerun_command(
    file: KnownArgument,
    agree: AgreeConfig,
    shared: Opening,
    to: Annotated[Path | None, typer.Option("--to", help="Write the new report to this folder.")] = None,
    evaluation: Annotated[bool, typer.Option(help="Make held-out numbers anew, too.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any number moved.")] = False,
) -> None:
    """Run a report again from what it records and print which numbers moved."""
    from workbench.recipes import rerun_report

    with TerminalProgress() as progress:
        done = rerun_report(
            shared.place(), file, agree, to=to, evaluation=evaluation, **shared.opening, progress=progress,
        )  # fmt: skip
    result = done.comparison
    if shared.as_json:
        print_json(result.to_json())
    else:
        print_table(result.tables["blocks"], title="compared")
        if result.tables["moved"]:
            print_table(result.tables["moved"][:40], title="moved")
        numbers, moved = int(result.scalars["numbers"]), int(result.scalars["moved"])
        note(f"{moved} of {numbers} numbers moved by more than {agree.tolerance:g} of their column's largest")
        for line in result.notes:
            note(line)
    if strict and result.tables["moved"]:
        raise typer.Exit(1)


@report_app.command("render")
def render_command(
    file: FileArgument,
    to: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    formats: Annotated[list[str], typer.Option("--format", "-f", help="html, interactive, json, markdown or pdf.")],
    as_json: JsonOption = False,
) -> None:
    """Write a report.json in other forms; nothing is computed."""
    from workbench.report import read_report, write_report

    written = write_report(read_report(file), to, tuple(formats))
    if as_json:
        print_json({name: str(path) for name, path in written.items()})
        return
    for path in written.values():
        note(str(path))


@report_app.command("schema")
def schema_command() -> None:
    """Print the JSON schema of report.json."""
    from workbench.report import report_schema

    print_json(report_schema())
