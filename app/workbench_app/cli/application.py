"""`workbench app`: the Streamlit app."""

from typing import Annotated

import typer

from .options import WorkspaceOption
from .terminal import note


def app_command(
    workspace: WorkspaceOption = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model to start with.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8501,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = False,
) -> None:
    """Serve the app on 127.0.0.1; nothing leaves this machine."""
    from workbench_app.serve import serve

    raise typer.Exit(serve(workspace=workspace, model=model, port=port, open_browser=browser, announce=note))
