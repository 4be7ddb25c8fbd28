"""`workbench app`: the Streamlit app."""

from typing import Annotated

import typer

from .options import WorkspaceOption
from .terminal import note


def app_command(
    workspace: WorkspaceOption = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model to start with.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8501,
    address: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Any but this machine's own asks visitors for a token, which is printed; "
            "it guards the pages, not Streamlit's own static files, and nothing is encrypted."
        ),
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = False,
) -> None:
    """Serve the app on this machine; nothing leaves it unless --address lets others in."""
    from workbench_app.serve import serve

    raise typer.Exit(
        serve(workspace=workspace, model=model, port=port, open_browser=browser, announce=note, address=address)
    )
