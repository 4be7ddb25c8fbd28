"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder for artifacts [default: WORKBENCH_HOME or ./workbench-workspace]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never touch the network.", envvar="WORKBENCH_OFFLINE")]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="A known model, hub id, folder or .gguf file.")]
TextOption = Annotated[str, typer.Option("--text", "-t", help="A known text, file, folder or hf:dataset.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
DtypeOption = Annotated[str, typer.Option("--dtype", help="float32 or bfloat16.")]
NameOption = Annotated[str, typer.Option("--name", help="Name of the artifact in the workspace.")]

DEFAULT_MODEL = "smollm2-135m-instruct-q4"
DEFAULT_TEXT = "wikipedia-sample"
