"""Training with codebooks: ours beside the plain module, the bare bridge, and codebooks in plain PyTorch."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sparse_kernels import speed
from workbench.core import Progress, Result, Silent, Site, register
from workbench.dictionaries import Codebook, CodebookConfig
from workbench.models import AutomatonModelConfig, new_automaton_model, wrap
from workbench.training import LENGTHS, TOKENS, LanguageConfig, LanguageLearner, LanguageModule

from .codebook_config import CodebookBenchConfig
from .comparison import Comparison, Operands, compare, device_of, threads
from .plain_codebooks import PlainCodebook, PlainLearner

MODULE, BRIDGE, PLAIN, OURS = "plain nn.Module", "bridge, no codebooks", "plain PyTorch codebooks", "codebooks"


@register("benchmark", "codebooks")
def bench_codebooks(config: CodebookBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time a training step of a small GPT-NeoX with codes at every head, and tokens a second of every way.

    Tables `codebooks` (one row for each way) and `tokens` (tokens a second, and its share of the plain module's).

    Raises:
        ConfigError: an unknown device.
        Interrupted: cancelled before anything was measured.
    """
    config = (config or CodebookBenchConfig()).reduced()
    with threads(config):
        result = compare("codebooks", [_comparison(config)], config, progress or Silent(), _NOTES)
    tokens = config.sequences * config.sequence_length
    rows = [
        {
            "case": row["case"],
            "tokens_per_second": 1000 * tokens / row["ms"],
            "share_of_plain_module": 1 / row["ratio_floor"],
        }
        for row in result.tables["codebooks"]
    ]
    return replace(result, tables={"tokens": rows, **result.tables})


def _comparison(config: CodebookBenchConfig) -> Comparison:
    operands = Operands(config.seed, device_of(config))
    ids = operands.index(config.sequences, config.sequence_length, below=10)
    ways = steps(config, ids)
    shape = f"{config.layers} x {config.heads} heads, d {config.d_model}, {config.codes} codes, k {config.k}, "
    shape += f"{config.sequences} x {config.sequence_length} tokens"
    backend = {OURS: operands.backend}
    cases = tuple(speed.Case(name, step, backend.get(name, "torch")) for name, step in ways.items())
    return Comparison("training with codebooks", shape, "float32", cases, MODULE, PLAIN)


def steps(config: CodebookBenchConfig, ids: Tensor) -> dict[str, Callable[[], Tensor]]:
    """A step of every way from the same weights, on the same tokens; each returns its loss."""
    sizes = AutomatonModelConfig(
        layers=config.layers, heads=config.heads, d_model=config.d_model, d_mlp=4 * config.d_model,
        length=config.sequence_length, seed=config.seed,
    )  # fmt: skip
    batch = {TOKENS: ids, LENGTHS: torch.full((len(ids), 1), ids.shape[1], device=ids.device)}

    def learner(codecs: list[Codebook]) -> Callable[[], Tensor]:
        model = wrap(new_automaton_model(sizes).to(ids.device))
        module = LanguageModule(model, codecs, trains="both" if codecs else "model")
        settings = LanguageConfig(lr=1e-4, warm_up=0, decay_share=0, weight_decay=0)
        made = LanguageLearner("benchmark", module, settings, total_steps=1)
        return lambda: made.optimise(batch)["loss"]

    books = [_codebook(config, layer).to(ids.device) for layer in range(config.layers)]
    plain_books = [_plain(book, config).to(ids.device) for book in books]
    module = PlainLearner(new_automaton_model(sizes).to(ids.device))
    coded = PlainLearner(new_automaton_model(sizes).to(ids.device), plain_books)
    return {
        MODULE: lambda: module.step(ids),
        BRIDGE: learner([]),
        PLAIN: lambda: coded.step(ids),
        OURS: learner(books),
    }


def _codebook(config: CodebookBenchConfig, layer: int) -> Codebook:
    site = Site("attn_z", layer)
    settings = CodebookConfig(codes=config.codes, k=config.k, groups=config.heads)
    made = Codebook(settings, {site: config.d_model}, {site: config.d_model}, str(site))
    made.randomise_(config.seed + layer)
    return made


def _plain(book: Codebook, config: CodebookBenchConfig) -> PlainCodebook:
    made = PlainCodebook(config.heads, config.codes, config.d_model // config.heads, config.k)
    with torch.no_grad():
        made.book.copy_(book.book.view_as(made.book))
    return made


_NOTES = (
    f"A step: forward, next-token loss, backward, clipping, AdamW. {MODULE}: Hugging Face's own GPT-NeoX. {BRIDGE}: "
    f"the same model trained through the workbench's door without any code. {PLAIN}: LayerNorm, all similarities, topk "
    f"and a gather in the module's own forward pass.",
)
