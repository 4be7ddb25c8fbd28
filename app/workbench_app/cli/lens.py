"""`workbench lens`: a tuned lens, trained and held against the logit lens."""

import typer

from workbench.data import PackConfig
from workbench_probes import LensConfig

from .flags import settings
from .options import DEFAULT_MODEL, DEFAULT_TEXT, ModelOption, NameOption, PreciseOpening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(config=LensConfig, pack=PackConfig)
def lens_command(
    config: LensConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    name: NameOption = "tuned-lens",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Train a tuned lens and print its KL to the model's prediction, layer by layer, beside the logit lens."""
    from workbench.recipes import lens_by_name

    place = shared.place()
    with TerminalProgress() as progress:
        result = lens_by_name(place, name, model, text, config, pack, **shared.opening, progress=progress)
    if shared.as_json:
        print_json(result.to_json())
    else:
        print_table(result.tables["lenses"], title="KL to the model's prediction (nats)")
        for line in result.notes:
            note(line)
    note(f"saved as models/{name} in {place.path}")
    if result.partial:
        raise typer.Exit(130)
