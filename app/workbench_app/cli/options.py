"""Options that several commands share: one by one, and those that nearly all have as one parameter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.workspace import Workspace

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


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Where results lie and how they are shown. `settings` makes each field a flag of the command."""

    workspace: WorkspaceOption = None
    as_json: JsonOption = False

    def place(self) -> Workspace:
        """The workspace; made where there is none."""
        return Workspace(self.workspace)


@dataclass(frozen=True, kw_only=True)
class Opening(Shared):
    """The same for commands that open a model."""

    device: DeviceOption = "auto"
    offline: OfflineOption = False

    @property
    def opening(self) -> dict[str, Any]:
        """What a recipe hands to `load_model`."""
        return {"device": self.device, "offline": self.offline}


@dataclass(frozen=True, kw_only=True)
class PreciseOpening(Opening):
    """The same where the model's dtype can be chosen."""

    dtype: DtypeOption = "float32"

    @property
    def opening(self) -> dict[str, Any]:
        return {**super().opening, "dtype": self.dtype}
