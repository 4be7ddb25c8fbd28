"""CRATE on the digits that ship with scikit-learn: training, artifacts, and its two measures block by block."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Artifact, Manifest, Progress, read_artifact, write_artifact
from workbench.data import digits
from workbench.evaluation import EvaluateConfig, ratio
from workbench.models import PatchClassifier, new_classifier
from workbench.training import fit_module
from workbench.workspace import shipped_folder
from workbench_probes import coding_rate, subspace_rate

from .crate_runs import CrateRun

KIND = "patch classifier"
_SPLIT = 0


class Pictures(NamedTuple):
    """Pictures as patches, with their classes."""

    patches: Float[Tensor, "b n v"]
    label: Int[Tensor, " b"]


def digit_patches(test_share: float = 1 / 3) -> tuple[Pictures, Pictures]:
    """The digits in 16 patches of 2 x 2 pixels, from 0 to 1; those to learn from and those to test on."""
    found = digits()
    rows = (found.rows / 16).reshape(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)
    learn, test = found.split(test_share, _SPLIT)
    return Pictures(rows[learn], found.label[learn]), Pictures(rows[test], found.label[test])


def train_classifier(run: CrateRun, folder: Path, progress: Progress | None = None) -> tuple[PatchClassifier, bool]:
    """Train the model of a run, or go on with it; and whether it was cut short."""
    learn, _ = digit_patches()
    model = new_classifier(run.model, run.training.seed)

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        picked = torch.randint(len(learn.label), (run.batch,), generator=torch.Generator().manual_seed(seed))
        return learn.patches[picked], learn.label[picked]

    identity = {"run": run.model_dump(mode="json")}
    trained = fit_module(model, draw, folder / run.name, run.training, progress, name=run.name, identity=identity)
    return model.eval(), trained.partial


def save_classifier(run: CrateRun, model: PatchClassifier, folder: Path) -> Artifact:
    """Write to a folder of the run's name below `folder`, weights in float16."""
    weights = {name: weight.half() for name, weight in model.state_dict().items()}
    return write_artifact(
        folder / run.name, Manifest(kind=KIND, name=run.name, config=run.model_dump(mode="json")), weights
    )


def shipped_classifier(run: CrateRun) -> Path:
    """Where the trained model lies in the package, if it is shipped."""
    return shipped_folder() / "crate" / run.name


def open_classifier(run: CrateRun, path: Path) -> PatchClassifier:
    """A saved model, in float32.

    Raises:
        ArtifactError: it is not there, or damaged.
    """
    model = new_classifier(run.model, run.training.seed)
    model.load_state_dict({name: weight.float() for name, weight in read_artifact(path, KIND).tensors().items()})
    return model.eval()


class BlockMeasures(NamedTuple):
    """Of one block, a number for each picture.

    Attributes:
        before, between: R^c of the tokens before and after the attention, in the block's own subspaces (nats).
        whole: R of the tokens after the attention. nonzero: share of entries above 0 after the sparse step.
    """

    before: Float[np.ndarray, " b"]
    between: Float[np.ndarray, " b"]
    whole: Float[np.ndarray, " b"]
    nonzero: Float[np.ndarray, " b"]


@torch.no_grad()
def measure_blocks(model: PatchClassifier, patches: Float[Tensor, "b n v"]) -> list[BlockMeasures]:
    """CRATE's two measures by block, of tokens scaled to length 1, so that lengths alone change nothing."""
    found = []
    for block, halves in model.halves(patches):
        before, between = (torch.nn.functional.normalize(x, dim=-1) for x in (halves.before, halves.between))
        first, second = (subspace_rate(block.attention.inside(x)).numpy() for x in (before, between))
        nonzero = (halves.after > 0).double().mean((1, 2)).numpy()
        found.append(BlockMeasures(first, second, coding_rate(between).numpy(), nonzero))
    return found


@torch.no_grad()
def answers(model: PatchClassifier, pictures: Pictures) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """For each picture whether the class is named, and the cross-entropy in nats."""
    logits = model(pictures.patches)
    loss = torch.nn.functional.cross_entropy(logits, pictures.label, reduction="none")
    return (logits.argmax(1) == pictures.label).double().numpy(), loss.double().numpy()


def mean_over(values: Float[np.ndarray, " b"], config: EvaluateConfig) -> dict[str, float]:
    """Mean, low and high over pictures."""
    return ratio(values, np.ones(len(values)), config)._asdict()
