"""`workbench`: the entry point. Every error a user can cause is one line on standard error and an exit code."""

import logging
import os
import sys
from typing import Annotated

import typer

from . import terminal
from .application import app_command
from .artifacts import artifacts_app
from .bench import bench_app
from .bench_app import app_bench_command
from .bench_circuits import circuits_command, codes_command
from .bigram import bigram_app
from .cache import cache_app
from .capture import capture_command
from .circuit import circuit_app
from .circuit_compare import compare_command, group_command
from .circuit_graphs import export_graph_command, import_graph_command
from .circuit_paths import paths_command, weights_command
from .circuit_rank import heads_command, ledger_command, rank_command
from .circuit_units import units_command
from .codebook import codebook_app
from .codes import search_command, steer_command
from .continual import continual_command
from .converge import converge_command
from .demo import demo_command
from .doctor import doctor_command
from .evaluate import evaluate_command
from .exchange import export_command, import_command, push_command
from .features import features_app
from .geometry import geometry_command
from .label import label_command
from .lens import lens_command
from .models import models_app
from .needed_neurons import sparsity_app
from .patch_prompts import patch_prompts_command
from .planted import planted_command
from .probe import probe_command
from .report import report_app
from .reproduce import reproduce_command
from .tasks import tasks_command
from .text import text_app
from .train import train_command

app = typer.Typer(
    name="workbench",
    help="A mechanistic interpretability workbench: from a prompt to a tested claim about a circuit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo_command)
app.command("app")(app_command)
app.command("doctor")(doctor_command)
app.command("capture")(capture_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("probe")(probe_command)
app.command("geometry")(geometry_command)
app.command("lens")(lens_command)
app.command("converge")(converge_command)
app.command("label")(label_command)
app.command("reproduce")(reproduce_command)
app.command("import")(import_command)
app.command("export")(export_command)
app.command("push")(push_command)
app.add_typer(models_app, name="models")
app.add_typer(text_app, name="text")
app.add_typer(features_app, name="features")
app.add_typer(circuit_app, name="circuit")
app.add_typer(report_app, name="report")
app.add_typer(sparsity_app, name="sparsity")
circuit_app.command("group")(group_command)
circuit_app.command("units")(units_command)
circuit_app.command("compare")(compare_command)
circuit_app.command("tasks")(tasks_command)
circuit_app.command("import")(import_graph_command)
circuit_app.command("export")(export_graph_command)
circuit_app.command("rank")(rank_command)
circuit_app.command("ledger")(ledger_command)
circuit_app.command("heads")(heads_command)
circuit_app.command("paths")(paths_command)
circuit_app.command("weights")(weights_command)
circuit_app.command("patch-prompts")(patch_prompts_command)
bench_app.command("planted")(planted_command)
bench_app.command("app")(app_bench_command)
bench_app.command("circuits")(circuits_command)
bench_app.command("codes")(codes_command)
codebook_app.command("search")(search_command)
codebook_app.command("steer")(steer_command)
codebook_app.command("continual")(continual_command)
app.add_typer(codebook_app, name="codebook")
app.add_typer(bigram_app, name="bigram")
app.add_typer(bench_app, name="bench")
app.add_typer(artifacts_app, name="artifacts")
app.add_typer(cache_app, name="cache")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("mech-workbench"))
        raise typer.Exit


@app.callback()
def options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but results and errors.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads for every computation.")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if quiet:
        os.environ[terminal.QUIET] = "1"
        logging.getLogger("sparse_kernels").setLevel(logging.ERROR)
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ[name] = str(threads)
        if loaded := sys.modules.get("torch"):  # it has read them already
            loaded.set_num_threads(threads)


def main() -> None:
    """Run the command line; never a traceback for what a user can mend (WORKBENCH_DEBUG=1 shows it)."""
    from workbench.core import WorkbenchError

    try:
        app(standalone_mode=True)
    except WorkbenchError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        _fail("out of memory. Try a smaller batch, fewer layers or --dtype bfloat16.", 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        _fail(f"unexpected {type(error).__name__}: {error}. WORKBENCH_DEBUG=1 shows where.", 1)


def _fail(message: str, code: int) -> None:
    if os.environ.get("WORKBENCH_DEBUG"):
        raise
    print(f"workbench: {message}", file=sys.stderr)
    sys.exit(code)
