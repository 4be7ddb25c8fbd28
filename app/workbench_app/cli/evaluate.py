"""`workbench evaluate`: dictionaries on held-out text, side by side."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from workbench.data import PackConfig
from workbench.evaluation import EvaluateConfig

from .flags import settings
from .options import DEFAULT_TEXT, Opening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table

_MORE = "Measure these, too: probing, absorption, stability (separated by commas)."


@settings(evaluation=EvaluateConfig, pack=PackConfig)
def evaluate_command(
    names: Annotated[list[str], typer.Argument(help="Names of dictionary sets in the workspace.")],
    evaluation: EvaluateConfig,
    pack: PackConfig,
    shared: Opening,
    text: TextOption = DEFAULT_TEXT,
    also: Annotated[str, typer.Option(help=_MORE)] = "",
    neurons: Annotated[bool, typer.Option(help="Put plain neurons with the same L0 beside them.")] = True,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Default: the model they were trained on.")] = None,
) -> None:
    """Measure reconstruction, sparsity and spliced cross-entropy on held-out documents, beside controls."""
    from workbench.recipes import judge_by_name

    wanted = [part.strip() for part in also.split(",") if part.strip()]
    with TerminalProgress() as progress:
        judged = judge_by_name(
            shared.place(), names, text, evaluation, pack, model=model, **shared.opening,
            neurons=neurons, also=wanted, progress=progress,
        )  # fmt: skip
    shown = {"comparison": judged.comparison, **judged.more}
    if shared.as_json:
        evaluations = {name: result.to_json() for name, result in judged.evaluations.items()}
        print_json({"evaluations": evaluations, **{kind: result.to_json() for kind, result in shown.items()}})
        return
    for kind, result in shown.items():
        _print(kind, result)
    for result in shown.values():
        for line in result.notes:
            note(line)


def _print(kind: str, result: Any) -> None:
    for table, rows in result.tables.items():
        if not rows:
            continue
        if table == "absorbed":
            rows = rows[:10]
        print_table([_shown(row) for row in rows], title=table if table == kind else f"{kind}: {table}")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its intervals' ends, which stand behind the value instead."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key.removesuffix("_low").removesuffix("_high") != key:
            continue
        found[key] = _joined(value) if isinstance(value, list) else value
        low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
        if key in ("fvu", "ce", "accuracy", "absorbed") and low is not None and high is not None:
            found[f"{key} interval"] = f"{low:.3g} to {high:.3g}"
    return found


def _joined(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
