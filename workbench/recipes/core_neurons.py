"""Core neurons of a model by name: what they cost, how stable they are, what they tell of meaning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.core import ConfigError, Progress, Result, Silent, register
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.evaluation import (
    CoreClustersConfig,
    CoreLossConfig,
    CoreSimilarityConfig,
    CoreStabilityConfig,
    core_loss,
    core_similarity,
    core_stability,
    similarity_guided,
)
from workbench.models import PlainModel, load_plain
from workbench.workspace import Workspace, shipped_folder

from .reproduce_config import ReproduceConfig
from .reproduce_summary import SUMMARY, Compared, summary

MEASURES = ("loss", "stability", "similarity", "clusters")


def core_by_name(
    place: Workspace,
    name: str,
    measure: str = "loss",
    config: CoreLossConfig | CoreStabilityConfig | CoreSimilarityConfig | CoreClustersConfig | None = None,
    *,
    model: str,
    text: str,
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """One of `MEASURES` of a model by name, on a text by name, saved as `results/<name>`.

    Nothing is trained but the clusters.

    Raises:
        ConfigError: no such measure. TextError: texts that are too short. ModelError: MLPs that are not known.
    """
    progress = progress or Silent()
    plain = load_plain(model, dtype=dtype, offline=offline, progress=progress)
    result = measure_core(plain, text, measure, config, offline, progress)
    result.save(place.path_of("results", name))
    return result


def measure_core(
    plain: PlainModel,
    text: str,
    measure: str,
    config: object = None,
    offline: bool = False,
    progress: Progress = Silent(),
) -> Result:
    """`core_by_name` of a model that is loaded."""
    if measure == "similarity":
        assert config is None or isinstance(config, CoreSimilarityConfig)
        return core_similarity(plain, config, progress=progress)
    if measure == "stability":
        assert config is None or isinstance(config, CoreStabilityConfig)
        settings = config or CoreStabilityConfig()
        return core_stability(plain, packed(plain, text, settings.longest, offline), settings, progress)
    if measure == "clusters":
        assert config is None or isinstance(config, CoreClustersConfig)
        short = config or CoreClustersConfig()
        whole = packed(plain, text, short.prefix + short.follow, offline)
        return similarity_guided(plain, whole.split("train"), whole.split("heldout"), short, progress)
    if measure != "loss":
        raise ConfigError(f"cannot measure {measure!r} of core neurons", hint=f"there are {', '.join(MEASURES)}")
    assert config is None or isinstance(config, CoreLossConfig)
    loss = config or CoreLossConfig()
    return core_loss(plain, packed(plain, text, loss.prefix + loss.follow, offline), loss, progress)


def packed(plain: PlainModel, text: str, tokens: int, offline: bool) -> PackedText:
    """A text in sequences of so many tokens."""
    return pack(open_text(text, offline=offline), plain.tokenizer, PackConfig(sequence_length=tokens))


CHANGE, LOSS, MEANING = "core change", "loss after 256 tokens", "core similarity and meaning"
FIXED, RANDOM = "fixed core", "random core"
MODEL, TEXT = "smollm2-135m-instruct-q4", "wikipedia-sample"
PAPER_NOTES = (
    "paper (CoreInfer, OPT-6.7B): 3 % of core neurons change with 8 tokens more than 256, 6 % with 64; perplexity "
    "+ 2 % at alpha .4, + 3 % at beta .25; Spearman of core similarity with people's judgement .56 (STS-B), .42 (SICK)",
    "ours: a gated SiLU model of 135M, |h| in the place of positive activations; the paper's models are 50 to 500 "
    "times as large",
)


@register("reproduction", "coreinfer")
def reproduce_coreinfer(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """Stability, loss with a fixed core, similarity and clusters on SmolLM2, beside the paper's figures.

    The measurements that are shipped, or (`from_scratch`) made again, about five minutes of two cores.
    """
    result = _coreinfer(progress) if config.from_scratch else Result.load(shipped_folder() / "coreinfer")
    if config.from_scratch and not result.partial:
        result.save(config.save or folder / "coreinfer")
    return replace(result, tables={SUMMARY: _summary(result), **result.tables})


def _coreinfer(progress: Progress) -> Result:
    plain = load_plain(MODEL, progress=progress)
    tables, notes, partial = {}, list(PAPER_NOTES), False
    for measure, title in (
        ("stability", CHANGE),
        ("loss", LOSS),
        ("similarity", MEANING),
        ("clusters", "short inputs, 16 tokens"),
    ):
        if partial := progress.cancelled():
            break
        found = measure_core(plain, TEXT, measure, _SIZES.get(measure), progress=progress)
        tables[title] = found.tables[measure if measure in found.tables else "loss"]
        notes += [note for note in found.notes if note not in notes]
        partial = partial or found.partial
    params = {"name": "coreinfer", "model": MODEL, "text": TEXT}
    return Result("reproduction", tables=tables, notes=tuple(notes), seed=0, partial=partial, params=params)


def _summary(result: Result) -> list[dict[str, Any]]:
    """What the paper reports too."""
    told = {"paper": "CoreInfer (Wang et al. 2024)", "differs": "SmolLM2-135M, gated SiLU; theirs OPT-6.7B, ReLU"}
    lines = []
    for row in result.tables.get(CHANGE, []):
        if row["paper"] is not None:
            what = f"core neurons that change, {row['prefix']} tokens and {row['against']}"
            lines.append(Compared.of(row, "change", what=what, published=row["paper"], **told))
    for row in result.tables.get(LOSS, []):
        if (row["way"], row["share"]) in ((FIXED, 0.3), (RANDOM, 0.3)):
            what = f"perplexity over the dense model's, {row['way']}, {row['share']:.0%} of the neurons"
            published = "1.03 at 25 %" if row["way"] == FIXED else None
            lines.append(Compared.of(row, "perplexity_ratio", what=what, published=published, **told))
    for row in result.tables.get(MEANING, [])[:1]:
        what = f"rank correlation of {row['of']} with meaning"
        lines.append(Compared.of(row, "spearman", what=what, published=".56 (STS-B), .42 (SICK)", **told))
    return summary(*lines)


_SIZES = {
    "stability": CoreStabilityConfig(sequences=16),
    "loss": CoreLossConfig(sequences=6),
    "clusters": CoreClustersConfig(sequences=6, training=48, clusters=8),
}
