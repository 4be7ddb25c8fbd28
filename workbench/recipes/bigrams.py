"""Bigram subnetworks by name: train a mask, judge it beside its controls."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.core import ArtifactError, Progress, Result, Silent, read_artifact
from workbench.data import PackConfig, PackedText
from workbench.dictionaries import load_dictionaries
from workbench.evaluation import BigramEvalConfig, effect_features
from workbench.exchange import read_weight_masks
from workbench.models import HookedModel
from workbench.subnetworks import (
    BigramTarget,
    CorpusBigrams,
    FullAnswer,
    MaskConfig,
    OwnBigrams,
    Subnetwork,
    Target,
    TargetConfig,
    TrainedMasks,
    from_hugging_face,
    random_weights,
    train_masks,
)
from workbench.training import RunLog
from workbench.workspace import Workspace

from .bigram_config import BodyConfig
from .judge_bigrams import judge
from .subject import open_subject

FOLDER = "subnetworks"


def train_bigram(
    place: Workspace,
    name: str,
    config: MaskConfig | None = None,
    target: TargetConfig | None = None,
    body: BodyConfig | None = None,
    *,
    model: str = "tiny-wikipedia",
    text: str = "wikipedia-sample",
    pack: PackConfig | None = None,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train a mask and save it as subnetworks/NAME; started again with the same settings, it goes on.

    Raises:
        ConfigError: the run of that name has other settings. ModelError, TextError: see `open_subject`.
    """
    config, target, body = config or MaskConfig(), target or TargetConfig(), body or BodyConfig()
    progress = progress or Silent()
    hooked, packed = open_subject(
        model,
        text,
        pack or PackConfig(sequence_length=64),
        device=device,
        dtype=dtype,
        offline=offline,
        progress=progress,
    )
    with place.lock(f"bigram-{name}"):
        trained = train_subnetwork(
            hooked, packed, place.path_of("runs", f"bigram-{name}"), config, target, body, progress
        )
        settings = {"mask": config.model_dump(mode="json"), "pack": packed.config.model_dump(mode="json")}
        artifact = trained.subnetwork.save(place.path_of(FOLDER, name), name, settings)
    return training_result(
        trained, artifact.manifest.content_hash, {**settings, "target": target.model_dump(mode="json")}
    )


def train_subnetwork(
    model: HookedModel,
    text: PackedText,
    folder: Path,
    config: MaskConfig,
    target: TargetConfig,
    body: BodyConfig,
    progress: Progress | None = None,
) -> TrainedMasks:
    """Train a mask on the training part of a text."""
    about = {"target": target.model_dump(mode="json"), "body": body.model_dump(mode="json")}
    about |= {"penalty": config.penalty, "text": text.ref.model_dump(mode="json")}
    part = text.split("train")
    return train_masks(
        model, make_target(model, part, target), part, folder, config, weights=body_weights(model, body), about=about,
        progress=progress,
    )  # fmt: skip


def make_target(model: HookedModel, text: PackedText, config: TargetConfig) -> Target:
    """The target that the settings name; bigrams are counted in the training part of a text."""
    if config.target == "full":
        return FullAnswer(model)
    return bigrams(model, text, config)


def bigrams(model: HookedModel, text: PackedText, config: TargetConfig) -> BigramTarget:
    """The bigrams that a subnetwork is judged by: the model's own, or those counted in the training part."""
    if config.target == "own":
        return OwnBigrams(model)
    return CorpusBigrams(text.split("train"), model.shape.d_vocab, config.discount)


def body_weights(model: HookedModel, body: BodyConfig) -> dict[str, Tensor]:
    """What stands in for the model's own weights; nothing for its own body."""
    if body.body == "own":
        return {}
    return random_weights(model, body.body_seed, embeddings=body.body == "random-embeddings")


def training_result(trained: TrainedMasks, content_hash: str, params: Mapping[str, Any]) -> Result:
    """What a training came to."""
    subnetwork = trained.subnetwork
    return Result(
        kind="bigram training",
        scalars={
            "kept": float(subnetwork.kept),
            "entries": float(subnetwork.total),
            "share": subnetwork.share,
            "loss": float(subnetwork.details.get("loss", float("nan"))),
            "divergence": float(subnetwork.details.get("divergence", float("nan"))),
            "tokens": float(subnetwork.details["tokens"]),
            "steps": float(subnetwork.details["steps"]),
            "tries": float(trained.tries),
        },
        tables={"matrices": subnetwork.table(), "training": trained.records},
        params=dict(params),
        inputs={"subnetwork": content_hash},
        notes=(
            "loss: cross-entropy against the target with soft masks, in nats; divergence: what it is above the least",
            *(("the loss spiked in every try",) if trained.spiked else ()),
        ),
        partial=trained.partial,
    )


def open_subnetwork(place: Workspace, name: str) -> Subnetwork:
    """A subnetwork of the workspace by name, or of a folder.

    Raises:
        ArtifactError: there is none.
    """
    return Subnetwork.load(_path(place, name))


def _path(place: Workspace, name: str) -> Path:
    return Path(name) if "/" in name else place.path_of(FOLDER, name)


def _hash(place: Workspace, name: str) -> str:
    return read_artifact(_path(place, name)).manifest.content_hash


def evaluate_bigram(
    place: Workspace,
    name: str,
    config: BigramEvalConfig | None = None,
    *,
    optimal: str | None = None,
    model: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Judge a subnetwork beside its controls on the held-out part of its text; saved as results/NAME-bigrams.

    A further table, `training`, has the records of the run where the workspace still holds it.

    Args:
        optimal: the subnetwork trained on the model's full answer, for the overlap.

    Raises:
        ArtifactError: no such subnetwork, or it belongs to another model.
    """
    subnetwork, progress = open_subnetwork(place, name), progress or Silent()
    other = open_subnetwork(place, optimal) if optimal else None
    if subnetwork.model is None or "text" not in subnetwork.details:
        raise ArtifactError(f"{name} does not say of which model and text it is")
    hooked, packed = open_subject(
        model or subnetwork.model.id, subnetwork.details["text"]["id"], pack_of(place, name), device=device,
        dtype=dtype or subnetwork.model.dtype, offline=offline, progress=progress,
    )  # fmt: skip
    result = judge_subnetwork(hooked, packed, subnetwork, config or BigramEvalConfig(), other, progress)
    if curve := training_curve(place, name):
        result = replace(result, tables={**result.tables, "training": curve})
    result = replace(result, inputs={**result.inputs, "subnetwork": _hash(place, name)})
    result.save(place.path_of("results", f"{Path(name).name}-bigrams"))
    return result


def training_curve(place: Workspace, name: str) -> list[dict[str, Any]]:
    """The records of the last try of the run that made a subnetwork; none where the run is gone."""
    tries = sorted(place.path_of("runs", f"bigram-{Path(name).name}").glob("try-*"))
    if not tries:
        return []
    log = RunLog(tries[-1])
    log.refresh()
    return log.records


def features_of_bigram(
    place: Workspace,
    name: str,
    dictionaries: str,
    config: BigramEvalConfig | None = None,
    *,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Through which features of a workspace's dictionaries a subnetwork's effect runs; saved as results/NAME-features.

    Raises:
        ArtifactError: no such subnetwork or dictionaries. SiteError: a dictionary writes no mlp_out.
    """
    subnetwork, progress = open_subnetwork(place, name), progress or Silent()
    if subnetwork.model is None or "text" not in subnetwork.details:
        raise ArtifactError(f"{name} does not say of which model and text it is")
    members = load_dictionaries(place.path_of("dictionaries", dictionaries))
    hooked, packed = open_subject(
        subnetwork.model.id, subnetwork.details["text"]["id"], pack_of(place, name), device=device,
        dtype=subnetwork.model.dtype, offline=offline, progress=progress,
    )  # fmt: skip
    result = effect_features(hooked, subnetwork, members, packed.split("heldout"), config or BigramEvalConfig())
    result.save(place.path_of("results", f"{Path(name).name}-features"))
    return result


def import_bigram(place: Workspace, path: Path, name: str, model: HookedModel) -> Subnetwork:
    """A released mask (a pickle of Hugging Face's names) as subnetworks/NAME; the pickle is read, never run.

    Raises:
        ArtifactError: no such file, not a pickle of masks, or masks of another model.
    """
    masks, of = read_weight_masks(path)
    found = from_hugging_face(masks, model.shape)
    subnetwork = Subnetwork(found.masks, {"file": path.name, "orig_model_name": of}, model.ref)
    subnetwork.save(place.path_of(FOLDER, name), name)
    return subnetwork


def pack_of(place: Workspace, name: str) -> PackConfig:
    """How the text of a subnetwork was packed."""
    return PackConfig.parse(read_artifact(_path(place, name)).manifest.config.get("pack", {"sequence_length": 64}))


def judge_subnetwork(
    model: HookedModel,
    text: PackedText,
    subnetwork: Subnetwork,
    config: BigramEvalConfig,
    optimal: Subnetwork | None = None,
    progress: Progress | None = None,
) -> Result:
    """`judge` by the target and with the body that the subnetwork was trained with."""
    about = subnetwork.details
    target = TargetConfig.parse({**about.get("target", {}), **({"target": "corpus"} if _is_full(about) else {})})
    body = BodyConfig.parse(about.get("body", {}))
    return judge(
        model, bigrams(model, text, target), text.split("heldout"), subnetwork, config, optimal,
        body_weights(model, body), progress or Silent(),
    )  # fmt: skip


def _is_full(about: Mapping[str, Any]) -> bool:
    return about.get("target", {}).get("target") == "full"


def mask_shelf(place: Workspace) -> tuple[list[str], dict[str, Result]]:
    """Names of the masks of a workspace, newest first, and the saved judgements that are of these very masks."""
    names = [entry.name for entry in place.list(FOLDER)]
    found = {}
    for name in names:
        path = place.path_of("results", f"{name}-bigrams")
        if path.is_dir():
            result = Result.load(path)
            if result.inputs.get("subnetwork") == _hash(place, name):
                found[name] = result
    return names, found
