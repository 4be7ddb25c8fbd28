"""`workbench bench`: times and memory beside their floors and plain PyTorch."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from workbench.evaluation import (
    CaptureBenchConfig,
    CodebookBenchConfig,
    GraphBenchConfig,
    KernelBenchConfig,
    MaskBenchConfig,
    ProfileBenchConfig,
    SparsityBenchConfig,
    TrainingBenchConfig,
)

from .flags import settings, with_lists
from .options import JsonOption
from .terminal import TerminalProgress, note, print_json, print_table

bench_app = typer.Typer(help="Measure speed and memory on this machine.", no_args_is_help=True)
RowsOption = Annotated[list[int] | None, typer.Option("--rows", min=1, help="Rows; may be given several times.")]
FeaturesOption = Annotated[
    list[int] | None, typer.Option("--features", min=1, help="Features; may be given several times.")
]


@bench_app.command("kernels")
@settings(bench=KernelBenchConfig)
def kernels_command(
    bench: KernelBenchConfig,
    operations: Annotated[list[str] | None, typer.Argument(help="Operations to measure; none: all.")] = None,
    rows: RowsOption = None,
    features: FeaturesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time the sparse kernels beside the bare product (or the bytes they move) and plain PyTorch."""
    _bench("kernels", with_lists(bench, operations=operations, rows=rows, features=features), as_json)


@bench_app.command("capture")
@settings(bench=CaptureBenchConfig)
def capture_command(bench: CaptureBenchConfig, as_json: JsonOption = False) -> None:
    """Time the capture of a residual stream beside a plain Hugging Face hook and the bare products."""
    _bench("capture", bench, as_json)


@bench_app.command("graphs")
@settings(bench=GraphBenchConfig)
def graphs_command(bench: GraphBenchConfig, as_json: JsonOption = False) -> None:
    """Time the attribution graph of a prompt beside the bare products of its pull-backs."""
    _bench("graphs", bench, as_json)


@bench_app.command("codebooks")
@settings(bench=CodebookBenchConfig)
def codebooks_command(bench: CodebookBenchConfig, as_json: JsonOption = False) -> None:
    """Time training with codebooks beside the plain module, the bare bridge and plain PyTorch codebooks."""
    _bench("codebooks", bench, as_json)


@bench_app.command("profile")
@settings(bench=ProfileBenchConfig)
def profile_command(bench: ProfileBenchConfig, as_json: JsonOption = False) -> None:
    """Time the streaming measures of a sparsity profile beside the bare forward passes."""
    _bench("profile", bench, as_json)


@bench_app.command("sparsity")
@settings(bench=SparsityBenchConfig)
def sparsity_command(
    bench: SparsityBenchConfig,
    cores: Annotated[list[float] | None, typer.Option("--core", help="Shares of a fixed core.")] = None,
    tokens: Annotated[list[float] | None, typer.Option("--token", help="Shares chosen for each token.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time generation on some of the neurons beside Hugging Face's generate, with the perplexity that it costs."""
    _bench("sparsity", with_lists(bench, cores=cores, tokens=tokens), as_json)


@bench_app.command("training")
@settings(bench=TrainingBenchConfig)
def training_command(
    bench: TrainingBenchConfig, rows: RowsOption = None, features: FeaturesOption = None, as_json: JsonOption = False
) -> None:
    """Time whole training steps of dictionaries beside the bare encoder product and plain PyTorch."""
    _bench("training", with_lists(bench, rows=rows, features=features), as_json)


@bench_app.command("masks")
@settings(bench=MaskBenchConfig)
def masks_command(bench: MaskBenchConfig, as_json: JsonOption = False) -> None:
    """Time a step of mask training beside a plain forward and backward pass, and count its memory."""
    _bench("masks", bench, as_json)


def _bench(name: str, bench: Any, as_json: bool) -> None:
    from workbench.core import get

    run = get("benchmark", name)
    with TerminalProgress() as progress:
        result = run(bench, progress)
    if as_json:
        print_json(result.to_json())
    else:
        for table, rows in result.tables.items():
            _print(table, rows)
        for name, value in result.scalars.items():
            if name.endswith("_mb"):
                note(f"{name}: {value:.0f}")
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    """One table for each piece of work; every other table as it is."""
    if not rows or "operation" not in rows[0]:
        print_table(rows, title=title)
        return
    titles = list(dict.fromkeys(map(_title, rows)))
    for each in titles:
        print_table([_shown(row) for row in rows if _title(row) == each], title=each)


def _title(row: Mapping[str, Any]) -> str:
    flag = "   (too noisy to tell)" if row["noisy"] else ""
    return f"{row['operation']}: {row['shape']}, {row['dtype']}{flag}"


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "case": row["case"],
        "backend": row["backend"],
        "ms": row["ms"],
        f"x {row['floor']}": row["ratio_floor"],
        "x plain PyTorch": row["ratio_plain"],
        "MB": row["transient_mb"],
    }
