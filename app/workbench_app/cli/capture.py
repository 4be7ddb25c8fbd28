"""`workbench capture`: activations of a model over a text, written to a store."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench.store import CaptureConfig

from .flags import settings
from .options import DEFAULT_MODEL, DEFAULT_TEXT, ModelOption, NameOption, Opening, TextOption
from .terminal import TerminalProgress, note, print_json


@settings(capture=CaptureConfig, pack=PackConfig)
def capture_command(
    sites: Annotated[list[str], typer.Argument(help="Sites such as resid_post.12 or blocks.12.hook_resid_post.")],
    capture: CaptureConfig,
    pack: PackConfig,
    shared: Opening,
    name: NameOption = "activations",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
    split: Annotated[str, typer.Option(help="train, heldout or all.")] = "train",
    run_dtype: Annotated[str, typer.Option("--model-dtype", help="float32 or bfloat16.")] = "float32",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the estimate and stop.")] = False,
) -> None:
    """Run a model over a text and store its activations; start it again to resume."""
    from workbench.recipes import open_subject
    from workbench.store import capture as capture_activations, plan_capture

    folder = shared.place().path_of("stores", name)
    with TerminalProgress() as progress:
        subject, packed = open_subject(model, text, pack, device=shared.device, dtype=run_dtype, offline=shared.offline,
                                       progress=progress)  # fmt: skip
        packed = packed if split == "all" else packed.split(split)
        if dry_run:
            note(plan_capture(subject, packed, sites, capture, folder).describe())
            return
        store = capture_activations(subject, packed, sites, folder, capture, progress=progress)
    data = {"name": name, "path": str(folder), "rows": store.n_rows, "partial": store.partial}
    if shared.as_json:
        print_json(data)
    note(f"{store.n_rows:,} rows in {folder}" + ("; partial: run it again to go on" if store.partial else ""))
    if store.partial:
        raise typer.Exit(130)
