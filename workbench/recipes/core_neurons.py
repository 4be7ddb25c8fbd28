"""Core neurons of a model by name: what they cost, how stable they are, what they tell of meaning."""

from pathlib import Path

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

from .reproduce_config import ReproduceConfig

MEASURES = ("loss", "stability", "similarity", "clusters")


def core_by_name(
    model: str,
    text: str,
    measure: str = "loss",
    config: CoreLossConfig | CoreStabilityConfig | CoreSimilarityConfig | CoreClustersConfig | None = None,
    *,
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """One of `MEASURES` of a model by name, on a text by name; nothing is trained but the clusters.

    Raises:
        ConfigError: no such measure. TextError: texts that are too short. ModelError: MLPs that are not known.
    """
    progress = progress or Silent()
    plain = load_plain(model, dtype=dtype, offline=offline, progress=progress)
    return measure_core(plain, text, measure, config, offline, progress)


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


MODEL, TEXT = "smollm2-135m-instruct-q4", "wikipedia-sample"
PAPER_NOTES = (
    "paper (CoreInfer, OPT-6.7B): 3 % of core neurons change with 8 tokens more than 256, 6 % with 64; perplexity "
    "+ 2 % at alpha .4, + 3 % at beta .25; Spearman of core similarity with people's judgement .56 (STS-B), .42 (SICK)",
    "ours: a gated SiLU model of 135M, |h| in the place of positive activations; the paper's models are 50 to 500 "
    "times as large",
)


@register("reproduction", "coreinfer")
def reproduce_coreinfer(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """Stability, loss with a fixed core, similarity and clusters on SmolLM2, beside the paper's figures."""
    plain = load_plain(MODEL, progress=progress)
    tables, notes, partial = {}, list(PAPER_NOTES), False
    for measure, title in (
        ("stability", "core change"),
        ("loss", "loss after 256 tokens"),
        ("similarity", "core similarity and meaning"),
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


_SIZES = {
    "stability": CoreStabilityConfig(sequences=24),
    "loss": CoreLossConfig(sequences=24),
    "clusters": CoreClustersConfig(sequences=24, training=192),
}
