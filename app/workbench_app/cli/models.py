"""`workbench models`: known models."""

from typing import Annotated

import typer

from .options import DeviceOption, DtypeOption, JsonOption, OfflineOption
from .terminal import TerminalProgress, note, print_json, print_table

models_app = typer.Typer(help="List, fetch and show models.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="A known model, hub id, folder or .gguf file.")]


@models_app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List the known models; any hub id, folder or .gguf file works as well."""
    from workbench.models import known_models

    rows = [model.model_dump(mode="json") for model in known_models()]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "family", "parameters", "licence", "source")
    print_table([{column: row[column] for column in columns} for row in rows], title="parameters in millions")


@models_app.command("fetch")
def fetch_command(name: NameArgument) -> None:
    """Fetch a model into the cache and convert it once."""
    from workbench.models import load_model

    with TerminalProgress() as progress:
        model = load_model(name, device="cpu", progress=progress)
    note(f"{model.ref.id} is ready ({model.shape.n_layers} layers, d_model {model.shape.d_model})")


@models_app.command("show")
def show_command(
    name: NameArgument,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Load a model and print its shape, sites and provenance."""
    from dataclasses import asdict

    from workbench.models import load_model

    with TerminalProgress() as progress:
        model = load_model(name, device=device, dtype=dtype, offline=offline, progress=progress)
    data = {**model.ref.model_dump(mode="json"), **asdict(model.shape), "sites": list(model.site_kinds())}
    if as_json:
        print_json(data)
    else:
        print_table([{"what": key, "value": str(value)} for key, value in data.items()])
