"""`planted-bigram`: a Llama whose bigram table is carried by known weights among distractors of the same sizes.

The residual stream has one direction for every token, one for every token that may be said, and one for every token
seen before. Neurons of layer 0 read a token and say its followers: these weights are the table. Beside them, equal in
number and size: neurons of both layers that read what came before and say something else (they harm the table), neurons
that read a token and write where nothing reads, and two heads that copy earlier tokens.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.core import generator

from .tokenize import WordTokenizer
from .zoo import Built, register_builtin

NAME = "planted-bigram"
_TOKENS, _FOLLOWERS, _LAYERS = 24, 4, 2
_READ, _SAY, _SHARP = 0.5, 0.15, 1.5


class PlantedBigram(NamedTuple):
    """The model, and by canonical name which of its weights carry the table and which are distractors."""

    model: Any
    tokenizer: WordTokenizer
    table: dict[str, Bool[Tensor, "*s"]]
    distractors: dict[str, Bool[Tensor, "*s"]]


def build_planted_bigram(seed: int = 0) -> PlantedBigram:
    """Make the model; the seed draws every token's followers and what the distractors say."""
    from transformers import LlamaConfig, LlamaForCausalLM

    d = 3 * _TOKENS
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=_TOKENS,
            hidden_size=d,
            intermediate_size=3 * _TOKENS,
            num_hidden_layers=_LAYERS,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=_TOKENS,
            max_position_embeddings=128,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.zero_()
        model.model.embed_tokens.weight[:, :_TOKENS] = torch.eye(_TOKENS)
        model.lm_head.weight[:, _TOKENS : 2 * _TOKENS] = _SHARP * torch.eye(_TOKENS)
        for layer in range(_LAYERS):
            _fill(model.model.layers[layer], layer, seed)
    table, distractors = _truth(model)
    words = ("<bos>", *(f"w{number}" for number in range(1, _TOKENS)))
    return PlantedBigram(model, WordTokenizer(words), table, distractors)


def _fill(block: Any, layer: int, seed: int) -> None:
    """Heads that copy earlier tokens, and three kinds of neurons: of the token, of what came before, and idle ones."""
    copied = torch.eye(_TOKENS)
    seen = slice(2 * _TOKENS, 3 * _TOKENS)
    block.self_attn.v_proj.weight[layer * _TOKENS : (layer + 1) * _TOKENS, :_TOKENS] = _READ * copied
    block.self_attn.o_proj.weight[seen, layer * _TOKENS : (layer + 1) * _TOKENS] = _READ * copied
    mlp = block.mlp
    for token in range(_TOKENS):
        kinds = ((token, _TOKENS), (2 * _TOKENS + token, _TOKENS), (token, 2 * _TOKENS))
        for kind, (read, write) in enumerate(kinds):
            if layer and kind == 0:
                continue
            neuron = kind * _TOKENS + token
            draw = generator(seed, "planted bigram", layer, kind, token)
            says = write + torch.randperm(_TOKENS, generator=draw)[:_FOLLOWERS]
            if kind == 2:
                says = says[:1]
            mlp.gate_proj.weight[neuron, read] = _READ
            mlp.up_proj.weight[neuron, read] = _READ
            mlp.down_proj.weight[says, neuron] = _SAY


def _truth(model: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Canonical masks: the weights of layer 0's first neurons, and every other weight that is not 0."""
    table, distractors = {}, {}
    for layer, block in enumerate(model.model.layers):
        own = {"W_gate": block.mlp.gate_proj, "W_in": block.mlp.up_proj, "W_out": block.mlp.down_proj}
        for name, linear in own.items():
            there = (linear.weight != 0).T
            carries = torch.zeros_like(there)
            neurons = (slice(_TOKENS), slice(None)) if name == "W_out" else (slice(None), slice(_TOKENS))
            if layer == 0:
                carries[neurons] = there[neurons]
            table[f"blocks.{layer}.mlp.{name}"] = carries
            distractors[f"blocks.{layer}.mlp.{name}"] = there & ~carries
        for name, linear in (("W_V", block.self_attn.v_proj), ("W_O", block.self_attn.o_proj)):
            there = linear.weight != 0
            heads = there.unflatten(0, (2, -1)).transpose(1, 2) if name == "W_V" else there.T.unflatten(0, (2, -1))
            table[f"blocks.{layer}.attn.{name}"] = torch.zeros_like(heads)
            distractors[f"blocks.{layer}.attn.{name}"] = heads
    return table, distractors


@register_builtin(NAME, family="llama", parameters=0.05, note="its bigram table lies in known weights")
def _planted_bigram() -> Built:
    made = build_planted_bigram()
    return Built(made.model, made.tokenizer)
