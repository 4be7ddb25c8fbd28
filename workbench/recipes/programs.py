"""Train Transformer Programs, and keep them with the Python that they become."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from workbench.core import Artifact, Manifest, Progress, child, read_artifact, write_artifact
from workbench.data import PAD, Sequences, draw_sequences, token_names
from workbench.models import ProgramTransformer, discretise, program_source
from workbench.training import ModuleConfig, TrainedModule, fit_module
from workbench.workspace import shipped_folder

from .program_runs import ProgramRun

KIND, SOURCE = "transformer program", "program.py.txt"


def new_program(run: ProgramRun) -> ProgramTransformer:
    """The untrained program of a run."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(child(run.seed, "program"))
        return ProgramTransformer(run.program, padding=PAD)


def program_data(run: ProgramRun) -> dict[str, Sequences]:
    """Distinct sequences: eight tenths to train on, one to validate and one to test."""
    found = draw_sequences(run.name, run.samples, 0, longest=run.longest)
    tenth = run.samples // 10
    cuts = {"train": slice(0, -2 * tenth), "validation": slice(-2 * tenth, -tenth), "test": slice(-tenth, None)}
    return {name: Sequences(found.ids[cut], found.targets[cut]) for name, cut in cuts.items()}


def train_program(
    run: ProgramRun, root: Path, progress: Progress | None = None
) -> tuple[ProgramTransformer, TrainedModule]:
    """Train a run under `root`, or go on with it; a finished one is opened."""
    model, data = new_program(run), program_data(run)["train"]

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(data.ids), (run.batch,), generator=torch.Generator().manual_seed(seed))
        return data.ids[chosen], data.targets[chosen]

    config = ModuleConfig(
        steps=run.steps, lr=run.lr, warm_up=0, decay_share=0.0, clip=None, seed=run.seed, records_per_checkpoint=2
    )
    identity = {"run": run.model_dump(mode="json")}
    return model, fit_module(model, draw, root / run.name, config, progress, name=run.name, identity=identity)


def class_names(run: ProgramRun) -> Sequence[str | int]:
    """What the classes of a task stand for: a count, or a token."""
    return token_names() if run.name == "reverse" else range(run.program.classes)


def source_of(run: ProgramRun, program: ProgramTransformer) -> str:
    """The Python that a trained program is once it is discretised."""
    title = f"{run.name}: a Transformer Program of {run.program.layers} layers, trained and written by workbench."
    return program_source(discretise(program), token_names(), class_names(run), title)


@torch.no_grad()
def hits(program: ProgramTransformer, data: Sequences, temperature: float | None = None) -> tuple[int, int]:
    """Positions answered rightly, and positions that have a target."""
    asked = data.targets >= 0
    return int(((program(data.ids, temperature).argmax(-1) == data.targets) & asked).sum()), int(asked.sum())


def save_program(run: ProgramRun, model: ProgramTransformer, trained: TrainedModule, folder: Path) -> Artifact:
    """Write a trained program to a folder of its name below `folder`: weights in float32, and the Python."""
    details = {"run": run.model_dump(mode="json"), "loss": trained.metrics[-1]["loss"], "partial": trained.partial}
    manifest = Manifest(kind=KIND, name=run.name, details=details)
    files = {SOURCE: source_of(run, model).encode()}
    return write_artifact(folder / run.name, manifest, dict(model.state_dict()), files)


def shipped_programs() -> Path:
    """Where the trained programs lie in the package."""
    return shipped_folder() / "programs"


def open_program(name: str, folder: Path | None = None) -> tuple[ProgramRun, ProgramTransformer, str]:
    """A trained program, its run and its Python.

    Raises:
        ArtifactError: it is not there, or damaged.
    """
    artifact = read_artifact((folder or shipped_programs()) / name)
    run = ProgramRun(**artifact.manifest.details["run"])
    model = new_program(run)
    model.load_state_dict(artifact.tensors())
    return run, model.eval(), (artifact.path / SOURCE).read_text(encoding="utf-8")
