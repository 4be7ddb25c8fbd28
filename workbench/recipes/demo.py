"""The main job: from text to a tested circuit and its report, on a real model or, quickly, on a planted one."""

import shutil
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import Field

from workbench.circuits import ValidateConfig
from workbench.core import Config, Progress, Result, Silent
from workbench.data import PackConfig, PackedText, PromptPair, make_task, open_text, pack
from workbench.dictionaries import CoderConfig, DictionarySet, load_dictionaries
from workbench.evaluation import EvaluateConfig, evaluate
from workbench.features import FeatureScan, ScanConfig, scan
from workbench.models import HookedModel, load_model
from workbench.report import ReportConfig
from workbench.store import StreamRows
from workbench.training import TrainConfig
from workbench.workspace import Workspace

from .dictionaries import load_controls, new_dictionaries, train_dictionaries
from .planted import check_planted, planted_prompts
from .saved import find_scan
from .study import Bench, Finding, StudyConfig, quick_study, study, write_finding
from .subject import open_subject


class DemoConfig(Config):
    """Everything that decides what the demo does."""

    name: str = Field(default="demo", description="name of everything it leaves in the workspace")
    model: str = "smollm2-135m-instruct-q4"
    text: str = "wikipedia-sample"
    task: str = Field(default="demo", description="task that names the prompts; the first is the main one")
    prompts: int = Field(default=5, ge=1, description="prompts that are studied")
    family: str = "topk-skip-transcoder"
    dictionary: CoderConfig = Field(default_factory=CoderConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    pack: PackConfig = Field(default_factory=PackConfig)
    train_sequences: int = Field(default=2900, ge=1, description="sequences trained on, drawn by seed")
    heldout_sequences: int = Field(default=64, ge=1, description="held-out sequences for the evaluation")
    chunk_sequences: int = Field(default=128, ge=1, description="sequences in memory at a time")
    capture_dtype: str = Field(default="bfloat16", description="dtype of the model while training rows are captured")
    evaluation: EvaluateConfig = Field(default_factory=EvaluateConfig)
    scan: ScanConfig = Field(default_factory=ScanConfig)
    study: StudyConfig = Field(default_factory=StudyConfig)
    seed: int = Field(default=0, ge=0, description="seed of every random draw")


# Fresh rows help most, then steps: each chunk is gone through twice. Few checkpoints: one takes over a gigabyte.
_REAL_TRAINING = TrainConfig(replays=2, skip_lr_factor=0.5, checkpoint_every_chunks=8)


def demo_settings(quick: bool = False, seed: int = 0) -> DemoConfig:
    """The demo's settings: SmolLM2 and Wikipedia, or the planted model and its synthetic text."""
    if not quick:
        return DemoConfig(train=_REAL_TRAINING.model_copy(update={"seed": seed}), seed=seed)
    return DemoConfig(
        name="quick",
        model="planted-places",
        text="synthetic-places",
        task="planted-places",
        prompts=3,
        family="topk-transcoder",
        dictionary=CoderConfig(d_sae=128, k=2),
        train=TrainConfig(seed=seed, batch_rows=256, replays=12, outlier_factor=None),
        pack=PackConfig(sequence_length=24),
        train_sequences=1200,
        chunk_sequences=400,
        capture_dtype="float32",
        scan=ScanConfig(sequences=128),
        study=StudyConfig(validation=ValidateConfig(singles=10, exact=10, sizes=(1, 2, 4)), seed=seed),
        seed=seed,
    )


@dataclass
class DemoOutcome:
    """What the demo measured; `tables` are for people and scripts alike."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reports: dict[str, str] = field(default_factory=dict)
    partial: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "scalars": self.scalars,
            "tables": self.tables,
            "notes": self.notes,
            "reports": self.reports,
            "partial": self.partial,
        }


def demo(
    config: DemoConfig,
    place: Workspace,
    *,
    offline: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> DemoOutcome:
    """Train (or find) dictionaries, evaluate them, study the prompts, write the report.

    What is already in the workspace is not made again: dictionaries, evaluation and feature scan. The graph, its
    validation and the report always are. `fresh` starts from nothing.
    """
    progress, outcome, began = progress or Silent(), DemoOutcome(), time.monotonic()
    if fresh:
        shutil.rmtree(place.path_of("dictionaries", config.name), ignore_errors=True)
    model = load_model(config.model, device="cpu", offline=offline, progress=progress)
    dictionaries = find_or_train(config, place, model, offline, progress)
    if dictionaries is None:
        outcome.partial = True
        outcome.notes.append("stopped while training; run the same command again to go on from the last checkpoint")
        return outcome
    controls = load_controls(place.path_of("dictionaries", config.name))
    heldout = _heldout(config, model, offline)
    evaluation = _evaluation(config, place, model, dictionaries, controls, heldout, progress)
    found = _scan(config, place, model, dictionaries, heldout, progress)
    bench = Bench(
        model,
        dictionaries,
        controls.get("untrained"),
        {"affine only": dictionaries.affine_only(), "shuffled decoder": dictionaries.shuffled_decoder(config.seed)},
        found,
        evaluation,
    )
    pairs = _prompts(config, model)
    main = study(bench, pairs[0], place, config.name, config.study, progress)
    others = [
        quick_study(bench, pair, place, f"{config.name}-{number}", config.study, progress)
        for number, pair in enumerate(pairs[1:], start=2)
    ]
    command = "workbench demo" + (" --quick" if config.model.startswith("planted") else "")
    paths = write_finding(main, bench, place, ReportConfig(command=command), others)
    outcome.reports = {kind: str(path) for kind, path in paths.items()}
    _tell(outcome, config, evaluation, main, others)
    if config.task == "planted-places":
        check_planted(main, pairs[0], model, dictionaries, outcome.tables, outcome.scalars)
        outcome.notes.append(
            "planted circuit: precision {planted_precision:.2f}, recall {planted_recall:.2f}".format_map(
                outcome.scalars
            )
        )
    outcome.scalars["seconds"] = time.monotonic() - began
    outcome.notes.append(f"report: {paths['html']}")
    outcome.notes.append(f"look at it with: workbench app --workspace {place.path}")
    return outcome


def find_or_train(
    config: DemoConfig, place: Workspace, model: HookedModel, offline: bool, progress: Progress
) -> DictionarySet | None:
    """The demo's dictionaries: those of the workspace if they are this model's, else newly trained; None if stopped."""
    folder = place.path_of("dictionaries", config.name)
    if (folder / "manifest.json").is_file():
        found = load_dictionaries(folder)
        made_for = found.manifest.model if found.manifest else None
        if made_for is not None and made_for.weight_hash == model.ref.weight_hash:
            return found
        shutil.rmtree(folder)
    subject, text = open_subject(
        config.model, config.text, config.pack, device="cpu", dtype=config.capture_dtype, offline=offline,
        progress=progress,
    )  # fmt: skip
    text = draw_sequences(text.split("train"), config.train_sequences, config.seed)
    fresh = new_dictionaries(subject, config.family, config.dictionary, config.name)
    sites = tuple(dict.fromkeys(site for member in fresh.values() for site in (*member.reads, *member.writes)))
    rows = StreamRows(subject, text, sites, config.chunk_sequences, config.seed)
    trained = train_dictionaries(
        subject, rows, place, config.name, config.family, config.dictionary, config.train, progress
    )
    return None if trained.partial else load_dictionaries(folder)


def draw_sequences(text: PackedText, count: int, seed: int) -> PackedText:
    """At most `count` sequences of a text, drawn by seed."""
    order = torch.randperm(len(text), generator=torch.Generator().manual_seed(seed))
    return text.take(order[:count].sort().values)


def _heldout(config: DemoConfig, model: HookedModel, offline: bool) -> PackedText:
    packed = pack(open_text(config.text, offline=offline), model.tokenizer, config.pack, model.policy)
    return packed.split("heldout")


def _evaluation(
    config: DemoConfig,
    place: Workspace,
    model: HookedModel,
    dictionaries: DictionarySet,
    controls: dict[str, DictionarySet],
    heldout: PackedText,
    progress: Progress,
) -> Result:
    path = place.path_of("results", f"{config.name}-evaluation")
    if path.is_dir():
        known = Result.load(path)
        if dictionaries.manifest and dictionaries.manifest.content_hash in known.inputs.values() and not known.partial:
            return known
    text = draw_sequences(heldout, config.heldout_sequences, config.seed)
    result = evaluate(model, dictionaries, text, config.evaluation, controls, progress)
    result.params.update(heldout_sequences=config.heldout_sequences, draw_seed=config.seed)
    result.save(path)
    return result


def _scan(
    config: DemoConfig,
    place: Workspace,
    model: HookedModel,
    dictionaries: DictionarySet,
    heldout: PackedText,
    progress: Progress,
) -> FeatureScan:
    path = place.path_of("stores", f"{config.name}-scan")
    if found := find_scan(place, dictionaries):
        return found
    text = draw_sequences(heldout, config.scan.sequences, config.seed)
    return scan(model, dictionaries, text, path, config.scan, progress)


def _prompts(config: DemoConfig, model: HookedModel) -> list[PromptPair]:
    if config.task == "planted-places":
        return planted_prompts(config.prompts)
    return list(make_task(config.task, model.tokenizer, config.prompts, config.seed).prompts)


def _tell(outcome: DemoOutcome, config: DemoConfig, evaluation: Result, main: Finding, others: list[Finding]) -> None:
    """Fill the outcome's tables and scalars from what was measured."""
    outcome.scalars |= {f"evaluation_{key}": value for key, value in evaluation.scalars.items()}
    outcome.tables["splice"] = evaluation.tables.get("splice", [])
    outcome.tables["graph_scores"] = [
        {"graph": name, **{key: scores.get(key) for key in ("replacement", "completeness")}}
        for name, scores in {"trained": main.graph.scores, **main.control_scores}.items()
    ]
    outcome.tables["group_removal"] = [
        {"prompt": number, "metric": finding.graph.metric, "start": finding.graph.metric_value, **row}
        for number, finding in enumerate([main, *others], start=1)
        for row in _mean_over_seeds(finding.validation.tables["groups"])
    ]
    outcome.tables["single_removal"] = [row for row in main.validation.tables["bands"] if row["band"] == "all"]
    outcome.scalars |= {f"validation_{key}": value for key, value in main.validation.scalars.items()}
    if main.sums is not None:
        outcome.scalars |= {f"sums_{key}": value for key, value in main.sums.scalars.items()}
    outcome.scalars["features_in_graph"] = main.graph.scores["n_features"]
    outcome.notes.append(
        "held-out FVU {fvu_mean:.3f} (affine map {fvu_affine_mean:.3f}); cross-entropy {ce_model:.2f} alone, "
        "{ce_dictionary:.2f} with every transcoder spliced in, {ce_affine:.2f} with affine maps, {ce_mean:.2f} with "
        "means".format_map(evaluation.scalars)
    )


def _mean_over_seeds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    cells: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["set"], row["n"]), []).append(row)
    return [
        {"set": name, "n": n, **{m: sum(r[m] for r in found) / len(found) for m in ("predicted", "frozen", "free")}}
        for (name, n), found in cells.items()
    ]
