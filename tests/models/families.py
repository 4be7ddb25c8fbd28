"""Tiny random Hugging Face models of every tested family, made in memory, every weight random."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from workbench.core import MaskPolicy, ModelRef
from workbench.models import HookedModel, wrap

VOCABULARY = 50
_LETTERS = "#_abcdefghijklmnopqrstuvwxyz .,"


def _rotary(**changes: Any) -> dict[str, Any]:
    # All sizes differ, so that a transposed matrix cannot pass; heads x d_head is not d_model.
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 0} | sizes | heads | changes


_GEMMA = {"num_hidden_layers": 3, "sliding_window": 4, "query_pre_attn_scalar": 16, "tie_word_embeddings": True}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]


def _neox(parallel: bool) -> PreTrainedModel:
    config = transformers.GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        use_parallel_residual=parallel,
        bos_token_id=1,
        eos_token_id=0,
    )
    return transformers.GPTNeoXForCausalLM(config)


def _gpt2() -> PreTrainedModel:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=24,
        n_inner=40,
        n_layer=2,
        n_head=4,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**_rotary(tie_word_embeddings=True))),
    "gpt2": _gpt2,
    "neox-parallel": lambda: _neox(True),
    "neox-sequential": lambda: _neox(False),
    "gemma2": lambda: transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            **_rotary(**_GEMMA), layer_types=_MIXED, attn_logit_softcapping=3.0, final_logit_softcapping=4.0
        )
    ),
    "gemma3": lambda: transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(**_rotary(**_GEMMA), layer_types=_MIXED)
    ),
    "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**_rotary())),
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_rotary())),
}


def build(family: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> PreTrainedModel:
    """A random model of a family; norm weights and biases are random too, the signals a few units strong."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = FAMILIES[family]().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
                else:
                    parameter.copy_(torch.randn_like(parameter) * 1.2 / parameter.shape[-1] ** 0.5)
    model.to(dtype=dtype)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return model


def build_hooked(
    family: str, dtype: torch.dtype = torch.float32, seed: int = 0, policy: MaskPolicy | None = None
) -> tuple[HookedModel, PreTrainedModel]:
    """A hooked model and an untouched copy of what was hooked."""
    model = build(family, dtype, seed)
    untouched = copy.deepcopy(model)
    ref = ModelRef(id=f"random-{family}", weight_hash=f"{family}-{seed}", dtype=str(dtype).removeprefix("torch."))
    return wrap(model, LetterTokenizer(), ref, policy or MaskPolicy()), untouched


def random_ids(batch: int = 2, length: int = 9, seed: int = 0) -> torch.Tensor:
    """Random ids [b t] without special tokens; longer than the sliding windows above."""
    return torch.randint(2, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


class LetterTokenizer:
    """One token per letter; unknown letters and ids become `?`-like fillers. Id 0 ends a text, id 1 begins it."""

    bos_id: int | None = 1
    eos_id: int | None = 0
    special_ids: tuple[int, ...] = (0, 1)
    vocab_size = VOCABULARY
    hash = "letters"

    def encode(self, text: str) -> list[int]:
        return [max(_LETTERS.find(letter), 2) for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.strings(ids))

    def strings(self, ids: list[int]) -> list[str]:
        return [_LETTERS[i] if i < len(_LETTERS) else "?" for i in ids]

    def chat(self, messages: list[dict[str, str]]) -> str:
        return "\n".join(message["content"] for message in messages)
