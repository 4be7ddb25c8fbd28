"""`reproduce transformer-programs`: Learning Transformer Programs (Friedman, Wettig and Chen 2023)."""

from pathlib import Path
from typing import Any

import torch

from workbench.core import ConfigError, Progress, Result, register
from workbench.data import PAD, Sequences, token_names
from workbench.evaluation import proportion
from workbench.models import ProgramTransformer, discretise, load_source

from .program_runs import RUNS, ProgramRun, program_run
from .programs import (
    class_names,
    hits,
    open_program,
    program_data,
    save_program,
    shipped_programs,
    source_of,
    train_program,
)
from .reproduce_config import ReproduceConfig
from .reproduce_summary import Compared, summary

PAPER = "Transformer Programs (Friedman et al. 2023)"
ACCURACY = {"histogram": 1.0, "reverse": 0.9979}
"""Of the paper's best programs: 1 layer, 4 heads, 2 tables; 3 layers, 8 heads, 2 tables."""
SIZES = {"histogram": "1 layer, 4 heads, 2 tables", "reverse": "3 layers, 8 heads, 2 tables"}

Found = tuple[ProgramRun, ProgramTransformer, str]


@register("reproduction", "transformer-programs")
def reproduce_programs(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """Accuracy of the trained model, of the program it becomes, and of the Python that this is printed as."""
    programs, partial = _programs(folder, config, progress)
    rows = [_row(found, progress) for found in programs]
    return Result(
        "transformer_programs",
        tables={"summary": _summary(rows), "programs": rows},
        params={"name": "transformer-programs", "python": {run.name: source for run, _, source in programs}},
        notes=_NOTES,
        seed=0,
        partial=partial,
    )


def _programs(folder: Path, config: ReproduceConfig, progress: Progress) -> tuple[list[Found], bool]:
    """The shipped programs, or those trained now (and saved); and whether training was cut short."""
    runs = [program_run(name) for name in config.chosen] or RUNS
    if not config.from_scratch:
        there = [open_program(run.name) for run in runs if (shipped_programs() / run.name).is_dir()]
        if not there:
            raise ConfigError("no program is shipped", hint="train them with --from-scratch")
        return there, False
    found: list[Found] = []
    for run in runs:
        model, trained = train_program(run, folder, progress)
        if trained.partial:
            return found, True
        save_program(run, model, trained, config.save or folder / "artifacts")
        found.append((run, model.eval(), source_of(run, model)))
    return found, False


def _row(found: Found, progress: Progress) -> dict[str, Any]:
    """One program on its test inputs."""
    run, model, source = found
    test = program_data(run)["test"]
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        soft, asked = hits(model, test, run.program.cold)
    right, _ = hits(discretise(model), test)
    estimate = proportion(right, asked)
    sizes = run.program
    return {
        "program": run.name,
        "longest": run.longest,
        "layers": sizes.layers,
        "heads": sizes.categorical_heads + sizes.numerical_heads,
        "tables": sizes.categorical_mlps + sizes.numerical_mlps,
        "sampled": soft / asked,
        "discrete": estimate.value,
        "discrete_low": estimate.low,
        "discrete_high": estimate.high,
        "paper": ACCURACY[run.name],
        "paper_sizes": SIZES[run.name],
        "test_inputs": len(test.ids),
        "python_agrees": agreement(found, test, progress),
        "lines": source.count("\n"),
    }


def agreement(found: Found, data: Sequences, progress: Progress) -> int:
    """Inputs on which the Python gives the discrete program's class at every position."""
    run, model, source = found
    names, classes, agree = token_names(), list(class_names(run)), 0
    program = load_source(source)
    with torch.no_grad():
        answers = discretise(model)(data.ids).argmax(-1).tolist()
    progress.phase(f"run the Python of {run.name}", total=len(answers), unit="inputs")
    for ids, row in zip(data.ids.tolist(), answers, strict=True):
        tokens = [names[number] for number in ids if number != PAD]
        agree += program(tokens) == [classes[number] for number in row[: len(tokens)]]
        progress.advance()
    return agree


def _summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = []
    for row in rows:
        own = f"{row['layers']} layers, {row['heads']} heads, {row['tables']} tables"
        sizes = f"words of at most {row['longest']}, {own}; theirs 8, {row['paper_sizes']}"
        told: dict[str, Any] = {"paper": PAPER, "differs": sizes}
        what = f"accuracy of the discrete program, {row['program']}"
        lines.append(Compared.of(row, "discrete", what=what, published=row["paper"], **told))
        share = row["python_agrees"] / row["test_inputs"]
        what = f"inputs on which the Python equals the program, {row['program']}"
        lines.append(Compared(what=what, ours=share, published="equal by construction", **told))
    return summary(*lines)


_NOTES = (
    "sampled: choices sampled at the last temperature; discrete: every choice its likeliest value, every table argmax, "
    "readout in whole numbers; accuracy over positions with a target, 95 % Wilson interval",
    "8 letters, words of at most 8 (histogram) or 5 (reverse; the paper: 8), 20,000 distinct ones: 16,000 to train on, "
    "2,000 to choose the program, 2,000 to test",
    "numerical heads count their matches here, the paper's may also add up other counts; choices are sampled for each "
    "sequence, the paper's once for a batch",
)
