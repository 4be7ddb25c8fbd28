"""Train small transformers on in-context regression, and keep them as small artifacts."""

from pathlib import Path

import torch
from torch import Tensor

from workbench.core import Artifact, Manifest, Progress, child, read_artifact, write_artifact
from workbench.data import draw_contexts
from workbench.models import RegressionTransformer
from workbench.training import ModuleConfig, TrainedModule, fit_module
from workbench.workspace import shipped_folder

from .in_context_runs import InContextRun, in_context_run

KIND = "regression transformer"


def new_in_context(run: InContextRun, seed: int = 0) -> RegressionTransformer:
    """The untrained model of a run."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(child(seed, "regression transformer"))
        return RegressionTransformer(run.task.size, run.task.pairs, run.layers, run.width)


def train_in_context(
    run: InContextRun, root: Path, progress: Progress | None = None
) -> tuple[RegressionTransformer, TrainedModule]:
    """Train a run under `root`, after the run that it starts with; a finished one is opened."""
    model = new_in_context(run)
    if run.start:
        before, trained = train_in_context(in_context_run(run.start), root, progress)
        if trained.partial:
            return before, trained
        start_with(model, before)
    if run.frozen:
        model.blocks.requires_grad_(False)
    config = ModuleConfig(
        steps=run.steps, lr=run.lr, warm_up=min(200, run.steps // 5), decay_share=0.7, records_per_checkpoint=2
    )

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        x, y, _ = draw_contexts(run.task, run.batch, seed)
        return x, y

    identity = {"run": run.model_dump(mode="json")}
    return model, fit_module(model, draw, root / run.name, config, progress, name=run.name, identity=identity)


@torch.no_grad()
def start_with(model: RegressionTransformer, other: RegressionTransformer) -> None:
    """Copy the weights of another model, or of as many of its upper blocks as this one has."""
    model.read.load_state_dict(other.read.state_dict())
    model.answer.load_state_dict(other.answer.state_dict())
    model.positions.copy_(other.positions)
    if model.blocks.norm is not None and other.blocks.norm is not None:
        model.blocks.norm.load_state_dict(other.blocks.norm.state_dict())
    upper = list(other.blocks.layers)[-len(model.blocks.layers) :]
    for own, theirs in zip(model.blocks.layers, upper, strict=True):
        own.load_state_dict(theirs.state_dict())


def save_in_context(run: InContextRun, model: RegressionTransformer, trained: TrainedModule, folder: Path) -> Artifact:
    """Write a trained run to a folder of its name below `folder`, in float16."""
    weights = {name: weight.half().contiguous() for name, weight in model.state_dict().items()}
    curve = [[record["step"], record["loss"]] for record in trained.metrics[:: -(-len(trained.metrics) // 40)]]
    details = {"run": run.model_dump(mode="json"), "curve": curve, "partial": trained.partial}
    return write_artifact(folder / run.name, Manifest(kind=KIND, name=run.name, details=details), weights)


def shipped_in_context() -> Path:
    """Where the trained runs lie in the package."""
    return shipped_folder() / "in-context"


def open_in_context(name: str, folder: Path | None = None) -> RegressionTransformer:
    """A trained run, ready to answer.

    Raises:
        ArtifactError: it is not there, or damaged.
    """
    artifact = read_artifact((folder or shipped_in_context()) / name)
    model = new_in_context(InContextRun(**artifact.manifest.details["run"]))
    model.load_state_dict({key: tensor.float() for key, tensor in artifact.tensors().items()})
    return model.eval()
