"""Generation on some of the neurons beside Hugging Face's generate on a model loaded by itself, end to end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from sparse_kernels import speed
from workbench.core import ConfigError, Progress, Result, Silent, register
from workbench.data import PackConfig, open_text, pack
from workbench.evaluation.core_config import CoreLossConfig
from workbench.evaluation.core_loss import FIXED, GATE, long_enough, measure_ways, ways
from workbench.models import PlainModel, Sampling, load_plain
from workbench.sparsity import Choice, CoreCounter, SparseModel

from .comparison import device_of, threads
from .machine import machine
from .sparsity_config import SparsityBenchConfig

HUGGING_FACE, DENSE = "Hugging Face generate", "dense, own loop"


class Clock:
    """Seconds spent in the MLPs of a model, through hooks on whatever stands there."""

    def __init__(self) -> None:
        self.seconds, self.running = 0.0, False
        self._began = 0.0

    @contextmanager
    def watching(self, model: PlainModel) -> Iterator[None]:
        mlps = [mlp for block in model.blocks if isinstance(mlp := block.mlp, nn.Module)]
        handles = [mlp.register_forward_pre_hook(self._start) for mlp in mlps]
        handles += [mlp.register_forward_hook(self._stop) for mlp in mlps]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _start(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _stop(self, *_: Any) -> None:
        if self.running:
            self.seconds += time.perf_counter() - self._began


class Generations:
    """Every way to generate from one prompt, and what it spent in the MLPs while it generated."""

    def __init__(self, sparse: SparseModel, ids: Int[Tensor, " t"], config: SparsityBenchConfig) -> None:
        self.sparse, self.ids, self.config, self.clock = sparse, ids, config, Clock()
        self.mlp: dict[str, list[float]] = {}
        self.tokens: dict[str, list[int]] = {}
        self.read_bytes: dict[str, int] = {}
        self.held_bytes: dict[str, int] = {}

    def hugging_face(self, model: PlainModel) -> Callable[[], object]:
        """Greedy generation by Hugging Face itself."""
        count = self.config.new_tokens

        def run() -> None:
            with torch.no_grad():
                out = model.model.generate(
                    self.ids[None], attention_mask=torch.ones_like(self.ids[None]), do_sample=False,
                    max_new_tokens=count, min_new_tokens=count, pad_token_id=0,
                )  # fmt: skip
            self.tokens[HUGGING_FACE] = out[0, len(self.ids) :].tolist()

        return run

    def way(self, name: str, choose: Callable[[list[CoreCounter] | None], list[Choice] | None], core: bool = False):
        """Read the prompt, choose, generate; all of it is timed, and the MLPs of the generated tokens apart."""

        def run() -> None:
            counters = self.sparse.counters(self.config.alpha) if core else None
            logits = self.sparse.read(self.ids, counters)
            choices = choose(counters)
            self.sparse.choose(choices)
            self.clock.seconds, self.clock.running = 0.0, True
            sampling = Sampling(stop_at_eos=False)
            self.tokens[name] = list(self.sparse.stream(logits, self.config.new_tokens, sampling))
            self.clock.running = False
            self.mlp.setdefault(name, []).append(self.clock.seconds / (self.config.new_tokens - 1))
            dense = self.sparse.mlp_bytes
            self.read_bytes[name] = dense if choices is None else sum(each.read_bytes for each in choices)
            self.held_bytes[name] = 0 if choices is None else sum(each.held_bytes for each in choices)

        return torch.no_grad()(run)


@register("benchmark", "sparsity")
def bench_sparsity(config: SparsityBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Tokens per second with a fixed core and with each token's own neurons, dense, and by Hugging Face.

    Table `generation`: one row for each way with milliseconds in the MLPs of one token, tokens per second with the
    prompt's reading and the choice included, weights read, and perplexity over the dense model's.

    Raises:
        ConfigError: a device other than the CPU. TextError: no text that is long enough. ModelError: see `load_plain`.
    """
    config, progress = (config or SparsityBenchConfig()).reduced(), progress or Silent()
    if config.device not in ("auto", "cpu"):
        raise ConfigError("sparse generation is for the CPU", f"found the device {config.device}", "use --device cpu")
    config = config.model_copy(update={"device": "cpu"})
    with threads(config):
        return _bench(config, progress)


def _bench(config: SparsityBenchConfig, progress: Progress) -> Result:
    foreign, own = (load_plain(config.model, dtype=config.dtype, offline=config.offline) for _ in range(2))
    length = config.prompt_tokens + config.new_tokens
    text = pack(open_text(config.text, offline=config.offline), own.tokenizer, PackConfig(sequence_length=length))
    row = int(long_enough(text, config.prompt_tokens, 1)[0])
    sparse = SparseModel(own)
    generations = Generations(sparse, text.ids[row, : config.prompt_tokens].long(), config)
    named = _ways(generations, config)
    cases = [speed.Case(HUGGING_FACE, generations.hugging_face(foreign), "Hugging Face", prepare=_nothing)]
    cases += [speed.Case(name, call, "torch", prepare=_nothing) for name, (_, _, call) in named.items()]
    progress.phase("generate", config.rounds, "rounds")

    def turn() -> bool:
        progress.advance()
        return progress.cancelled()

    with sparse.sparse(), generations.clock.watching(own):
        timings = speed.measure(cases, rounds=config.rounds, memory=False, advance=turn)
    stopped = progress.cancelled()
    quality = {} if stopped or not config.sequences else _quality(sparse, text, config, progress)
    same = generations.tokens[DENSE] == generations.tokens[HUGGING_FACE]
    shape = f"{config.prompt_tokens} + {config.new_tokens} tokens, {config.model}"
    rows = [
        {"operation": "generate", "shape": shape, "dtype": config.dtype} | row
        for row in speed.rows(timings, floor=HUGGING_FACE, plain=DENSE)
    ]
    return Result(
        kind="benchmark",
        scalars={"same_tokens_as_hugging_face": float(same)},
        tables={"generation": _records(generations, named, timings, quality, config), "sparsity": rows},
        params={"benchmark": "sparsity", **config.model_dump(mode="json"), **machine(device_of(config))},
        inputs={"text": text.hash},
        notes=_NOTES,
        seed=config.seed,
        partial=stopped,
    )


def _nothing() -> None:
    """Given as a case's preparation it keeps a timing to one generation."""


def _ways(generations: Generations, config: SparsityBenchConfig) -> dict[str, tuple[str, float, Callable[[], None]]]:
    """Name -> (kind of choice, share, call)."""
    sparse = generations.sparse
    found: dict[str, Any] = {DENSE: (DENSE, 1.0, generations.way(DENSE, lambda _: None))}
    for share in config.cores:
        name = f"{FIXED}, {share:g}"

        def fixed(counters: Any, share: float = share) -> list[Choice]:
            return sparse.fixed([counter.core(share) for counter in counters])

        found[name] = (FIXED, share, generations.way(name, fixed, core=True))
    for share in config.tokens:
        name = f"{GATE}, {share:g}"
        ready = sparse.by_token(share)
        found[name] = (GATE, share, generations.way(name, lambda _, ready=ready: ready))
    return found


def _quality(sparse: SparseModel, text: Any, config: SparsityBenchConfig, progress: Progress) -> dict:
    """(way, share) -> row of the loss table."""
    found = {}
    for name, shares in ((FIXED, config.cores), (GATE, config.tokens)):
        if shares:
            settings = CoreLossConfig(
                prefix=config.prompt_tokens, follow=config.new_tokens, sequences=max(2, config.sequences),
                alpha=config.alpha, shares=shares, seed=config.seed,
            )  # fmt: skip
            rows = measure_ways(sparse, text, ways(settings, sparse, (name,)), settings, progress).tables["loss"]
            found |= {(row["way"], row["share"]): row for row in rows}
    return found


def _records(
    generations: Generations,
    named: dict[str, tuple[str, float, Callable[[], None]]],
    timings: dict[str, speed.Timing],
    quality: dict,
    config: SparsityBenchConfig,
) -> list[dict[str, Any]]:
    dense = generations.mlp[DENSE][-config.rounds :]
    rest = other_bytes(generations.sparse, len(generations.ids) + config.new_tokens // 2)
    records = []
    for name, timing in timings.items():
        kind, share, _ = named.get(name, (HUGGING_FACE, 1.0, None))
        mlp = generations.mlp.get(name, [])[-config.rounds :]
        shares = speed.Spread.of([mine / theirs for mine, theirs in zip(mlp, dense, strict=False)]) if mlp else None
        against = speed.ratio(timings[HUGGING_FACE], timing)
        read = generations.read_bytes.get(name, generations.sparse.mlp_bytes)
        row = quality.get((kind, share), {})
        perplexity = 1.0 if share == 1 else row.get("perplexity_ratio")
        good = perplexity is not None and perplexity <= config.most
        records.append(
            {
                "way": kind,
                "share": share,
                "mlp_ms": 1e3 * sum(mlp) / len(mlp) if mlp else None,
                "mlp_ratio": shares.median if shares else None,
                "tokens_per_second": config.new_tokens / timing.median,
                "x_hugging_face": against.median,
                "x_own_dense": speed.ratio(timings[DENSE], timing).median,
                "perplexity_ratio": perplexity,
                "perplexity_ratio_low": row.get("perplexity_ratio_low"),
                "perplexity_ratio_high": row.get("perplexity_ratio_high"),
                "mlp_mb": read / 1e6,
                "token_mb": (read + rest) / 1e6,
                "held_mb": generations.held_bytes.get(name, 0) / 1e6,
                "pays": None if perplexity is None or share == 1 else _pays(good, timing, timings[DENSE]),
            }
        )
    return records


def _pays(good: bool, timing: speed.Timing, dense: speed.Timing) -> str:
    faster = speed.ratio(timing, dense).high < 1
    return "yes" if good and faster else "no: perplexity" if faster else "no: not faster" if good else "no: neither"


def other_bytes(sparse: SparseModel, length: int) -> int:
    """Weights that a token reads beside the MLPs' (the unembedding among them), and keys and values so far."""
    model = sparse.plain.model
    config = model.config.get_text_config()
    blocks = sum(p.nbytes for block in sparse.plain.blocks for name, p in block.named_parameters() if "mlp" not in name)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    unembed = model.get_output_embeddings().weight
    return blocks + unembed.nbytes + 2 * len(sparse.mlps) * heads * width * length * unembed.element_size()


_NOTES = (
    "every way generates greedily from the same prompt; tokens per second are end to end: reading the prompt, "
    "densely, choosing and slicing the core, generating",
    f"{HUGGING_FACE}: generate of a model loaded by itself, same precision; {DENSE}: our loop with the model's own "
    "MLPs, so that what the loop saves is not counted as sparsity's",
    "mlp_ms: all MLPs of one generated token, inside the model; mlp_ratio: over the dense MLPs in the same round",
    "by gate: the gate of every neuron is computed, then the other weights of the chosen ones are read; nothing else",
    "mlp_mb, token_mb: weights (and keys and values) that one token reads; held_mb: copies kept beside the model",
    "pays: faster than our own dense loop (upper quartile of the ratios below 1), at a perplexity that still counts "
    "as good",
)
