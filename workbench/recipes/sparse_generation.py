"""Generate by name on some of the neurons, telling the text as it comes."""

import time
from collections.abc import Callable

import torch

from workbench.core import ModelError, Progress, Result, Silent
from workbench.models import PlainModel, Sampling, load_plain
from workbench.sparsity import SparseGenerationConfig, SparseModel


def generate_by_name(
    model: str,
    prompt: str,
    config: SparseGenerationConfig | None = None,
    *,
    dtype: str = "float32",
    offline: bool = False,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Continue a prompt on a CPU; `tell` gets every new piece of text at once.

    Raises:
        ModelError: no tokenizer, or MLPs that are not known. TextError: prompt and new tokens exceed the context.
    """
    progress = progress or Silent()
    plain = load_plain(model, dtype=dtype, offline=offline, progress=progress)
    return generate_sparsely(plain, prompt, config, tell, progress)


@torch.no_grad()
def generate_sparsely(
    plain: PlainModel,
    prompt: str,
    config: SparseGenerationConfig | None = None,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Result:
    """`generate_by_name` of a model that is loaded."""
    config, progress, tell = config or SparseGenerationConfig(), progress or Silent(), tell or (lambda _: None)
    tokenizer = plain.tokenizer
    if tokenizer is None:
        raise ModelError("this model has no tokenizer", hint="text needs one")
    head = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    ids = torch.tensor([*head, *tokenizer.encode(prompt)])
    sparse, new, told, partial = SparseModel(plain), [], "", False
    sampling = Sampling(temperature=config.temperature, top_k=config.top_k, stop_at_eos=config.stop_at_eos)
    progress.phase("generate", config.new_tokens, "tokens")
    with sparse.sparse():
        counters = sparse.counters(config.alpha) if config.choose == "core" else None
        begin = time.perf_counter()
        logits = sparse.read(ids, counters)
        read = time.perf_counter()
        choices = None
        if counters is not None:
            choices = sparse.fixed([counter.core(config.share) for counter in counters])
        elif config.choose == "token":
            choices = sparse.by_token(config.share)
        sparse.choose(choices)
        chosen = time.perf_counter()
        for token in sparse.stream(logits, config.new_tokens, sampling, config.seed):
            new.append(token)
            text = tokenizer.decode(new)
            if not text.endswith("\ufffd"):  # the rest of a character is still to come
                tell(text[len(told) :])
                told = text
            progress.advance()
            if partial := progress.cancelled():
                break
        done = time.perf_counter()
    seconds = {"read_seconds": read - begin, "choose_seconds": chosen - read, "generate_seconds": done - chosen}
    dense = sparse.mlp_bytes
    moved = dense if choices is None else sum(choice.read_bytes for choice in choices)
    return Result(
        kind="sparse_generation",
        scalars={
            "tokens_per_second": len(new) / (done - chosen),
            "new_tokens": float(len(new)),
            **seconds,
            "mlp_mb_a_token": moved / 1e6,
            "mlp_share": moved / dense,
            "held_mb": 0.0 if choices is None else sum(choice.held_bytes for choice in choices) / 1e6,
        },
        tables={"generation": [{"prompt": prompt, "text": tokenizer.decode(new), **seconds}]},
        params=config.model_dump(mode="json") | {"model": plain.name},
        notes=(
            "the prompt is read densely; tokens per second are those after it, without loading, reading and choosing",
            "mlp_mb_a_token: weights of the MLPs that one token reads; held_mb: copies of weights that it keeps",
        ),
        seed=config.seed,
        partial=partial,
    )
