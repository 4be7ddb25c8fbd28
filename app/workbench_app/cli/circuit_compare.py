"""`workbench circuit group` and `compare`: supernodes, two graphs side by side, several as one."""

import json
from pathlib import Path
from typing import Annotated

import typer

from workbench.circuits import GroupConfig, MergeConfig, PruneConfig

from .circuit import GraphArgument
from .flags import settings
from .options import Shared
from .terminal import note, print_json, print_table


@settings(grouping=GroupConfig, pruning=PruneConfig)
def group_command(
    name: GraphArgument,
    grouping: GroupConfig,
    pruning: PruneConfig,
    shared: Shared,
    edited: Annotated[Path | None, typer.Option("--from", help="Take the groups of this JSON file instead.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Write the groups to this file, to be edited.")] = None,
) -> None:
    """Suggest supernodes (what writes alike, fires alike, stands alike), or save edited ones."""
    from workbench.core import write_bytes
    from workbench.recipes import group_by_name

    result = group_by_name(shared.place(), name, grouping, pruning, edited)
    groups = [{key: row[key] for key in ("name", "members", "rationale")} for row in result.tables["groups"]]
    if to is not None:
        write_bytes(to, json.dumps(groups, indent=1, ensure_ascii=False).encode() + b"\n")
    if shared.as_json:
        print_json(result.to_json())
        return
    shown = [{"group": g["name"], "members": len(g["members"]), "why": g["rationale"]} for g in groups]
    print_table(shown, title=f"groups of {name}")
    print_table(result.tables["edges"][:15], title="between groups")
    note(f"saved as results/{name}-groups" + (f", to edit in {to}" if to else ""))


@settings(comparison=MergeConfig, pruning=PruneConfig)
def compare_command(
    names: Annotated[list[str], typer.Argument(help="Names of graphs in the workspace.")],
    comparison: MergeConfig,
    pruning: PruneConfig,
    shared: Shared,
    merge: Annotated[bool, typer.Option("--merge", help="Merge them: how stable is each node and edge?")] = False,
    name: Annotated[str | None, typer.Option(help="Name of what is saved.")] = None,
) -> None:
    """Lay two graphs beside each other, or merge graphs over several prompts of one task."""
    from workbench.recipes import compare_by_name

    result = compare_by_name(shared.place(), names, comparison, pruning, merge, name)
    if shared.as_json:
        print_json(result.to_json())
        return
    print_table([{"number": key, "value": value} for key, value in result.scalars.items()])
    for table, rows in result.tables.items():
        print_table(rows[:15], title=table)
    for line in result.notes:
        note(line)
