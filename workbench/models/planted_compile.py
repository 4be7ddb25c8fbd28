"""Compile a planted program into the weights of a GPT-2 or a Llama."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.core import ModelError, generator

from .planted_program import ONE, Head, Match, Neuron

N_CTX = 24
D_MODEL, D_HEAD, N_HEADS, N_KV_HEADS = 320, 80, 4, 2
_ON = 20.0
"""Length of the direction `one`: it keeps the norms' scales nearly constant."""
_SHARPNESS = 12.0
_READOUT = 8.0
_ROTARY_BASE = 1e8
_TURNING = 4
"""Under rotary positions, the pairs of dimensions that turn fast enough to find the previous position."""


@dataclass(frozen=True)
class Placed:
    """A head of some copy of the program, with the number that the seed drew for it."""

    head: Head
    slot: int


class Basis:
    """Orthonormal named directions, turned by a seed so that none lies on an axis.

    All are orthogonal to the vector of ones, so that LayerNorm's centring does nothing.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        if len(names) >= D_MODEL:
            raise ModelError(f"a planted model has room for {D_MODEL - 1} directions", f"found {len(names)}")
        noise = torch.randn(D_MODEL, len(names) + 1, generator=generator(seed, "basis"))
        noise[:, 0] = 1.0
        directions = torch.linalg.qr(noise.double()).Q[:, 1:].float()
        self.directions = dict(zip(names, directions.T.contiguous(), strict=True))

    def __getitem__(self, name: str) -> Tensor:
        return self.directions[name]

    def reader(self, names: Sequence[str]) -> Tensor:
        """What gives, from the stream, how many of these are on."""
        return torch.stack([self[name] / (_ON if name == ONE else 1.0) for name in names]).sum(0)


def names_of(placed: Sequence[Placed], neurons: Sequence[Neuron], vocabulary: Sequence[str]) -> tuple[str, ...]:
    """Every direction that a program needs, in a fixed order."""
    names = [ONE, *(f"word {word}" for word in vocabulary), *(f"position {i}" for i in range(N_CTX))]
    for each in placed:
        names += [name for match in each.head.matches for name in (*match.query, *match.key)]
        names += [name for move in each.head.moves for name in move]
    for neuron in neurons:
        names += [*neuron.reads, *(name for name, _ in neuron.writes)]
    return tuple(name for name in dict.fromkeys(names) if name != "here")


def compile_gpt2(
    placed: Sequence[Placed], neurons: Sequence[Neuron], layers: int, vocabulary: Sequence[str], basis: Basis
) -> Any:
    """A GPT2LMHeadModel: learned positions, LayerNorm, MLPs of ReLU neurons."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=N_CTX, n_embd=D_MODEL, n_layer=layers, n_head=N_HEADS,
        n_inner=_widest(neurons, layers), activation_function="relu", tie_word_embeddings=False, bos_token_id=0,
        eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = _blank(GPT2LMHeadModel(config))
    body = model.transformer
    body.wpe.weight.copy_(torch.stack([basis[f"position {i}"] for i in range(N_CTX)]))
    norms = [norm for block in body.h for norm in (block.ln_1, block.ln_2)]
    _plant_ends(body.wte, model.lm_head, [*norms, body.ln_f], vocabulary, basis)
    scale = (_SHARPNESS * D_HEAD**0.5) ** 0.5
    for each in placed:
        attention, first = body.h[each.head.layer].attn, each.slot * D_HEAD
        pairs = [(basis.reader(m.query) * m.strength * scale, basis.reader(m.key) * scale) for m in _by_position(each)]
        reads, writes = _moves(each.head, basis)
        for part, rows in enumerate((*map(torch.stack, zip(*pairs, strict=True)), reads)):
            start = part * D_MODEL + first
            attention.c_attn.weight[:, start : start + len(rows)] = rows.T
        attention.c_proj.weight[first : first + len(writes)] = writes
    for layer, block in enumerate(body.h):
        for i, neuron in enumerate(neuron for neuron in neurons if neuron.layer == layer):
            block.mlp.c_fc.weight[:, i] = basis.reader(neuron.reads)
            block.mlp.c_fc.bias[i] = -neuron.threshold
            block.mlp.c_proj.weight[i] = _written(neuron, basis)
    return model


def compile_llama(
    placed: Sequence[Placed], neurons: Sequence[Neuron], layers: int, vocabulary: Sequence[str], basis: Basis
) -> Any:
    """A LlamaForCausalLM: rotary positions, RMSNorm, keys and values shared by two heads, gated MLPs.

    Words are matched in dimensions that hardly turn, the previous position is found in those that turn fast. The two
    heads of a group have dimensions of their own in the keys and values that they share. Gates are ReLUs; the other
    branch of the MLPs is 1.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=D_MODEL, intermediate_size=_widest(neurons, layers),
        num_hidden_layers=layers, num_attention_heads=N_HEADS, num_key_value_heads=N_KV_HEADS, head_dim=D_HEAD,
        max_position_embeddings=N_CTX, hidden_act="relu", tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": _ROTARY_BASE},
    )  # fmt: skip
    model = _blank(LlamaForCausalLM(config))
    norms = [norm for block in model.model.layers for norm in (block.input_layernorm, block.post_attention_layernorm)]
    _plant_ends(model.model.embed_tokens, model.lm_head, [*norms, model.model.norm], vocabulary, basis)
    for each in placed:
        _plant_rotary_head(model.model.layers[each.head.layer].self_attn, each, basis)
    for layer, block in enumerate(model.model.layers):
        for i, neuron in enumerate(neuron for neuron in neurons if neuron.layer == layer):
            block.mlp.gate_proj.weight[i] = basis.reader(neuron.reads) - neuron.threshold * basis.reader((ONE,))
            block.mlp.up_proj.weight[i] = basis.reader((ONE,))
            block.mlp.down_proj.weight[:, i] = _written(neuron, basis)
    return model


def _plant_rotary_head(attention: Any, each: Placed, basis: Basis) -> None:
    per_group = N_HEADS // N_KV_HEADS
    group, member = divmod(each.slot, per_group)
    query, key = each.slot * D_HEAD, group * D_HEAD
    scale = (_SHARPNESS * D_HEAD**0.5) ** 0.5
    if each.head.previous:
        half, always = D_HEAD // 2, basis.reader((ONE,)) * scale * 1.5
        for pair in range(_TURNING):
            angle = torch.tensor(_ROTARY_BASE ** (-2 * pair / D_HEAD))
            attention.q_proj.weight[query + pair] = always
            attention.k_proj.weight[key + pair] = always * angle.cos()
            attention.k_proj.weight[key + half + pair] = always * angle.sin()
    room = (D_HEAD // 2 - _STILL) // per_group
    if len(each.head.matches) > room:
        raise ModelError(f"a rotary head matches at most {room} things", f"found {len(each.head.matches)}")
    for i, match in enumerate(each.head.matches, start=_STILL + member * room):
        attention.q_proj.weight[query + i] = basis.reader(match.query) * match.strength * scale
        attention.k_proj.weight[key + i] = basis.reader(match.key) * scale
    reads, writes = _moves(each.head, basis)
    first = member * (D_HEAD // per_group)
    attention.v_proj.weight[key + first : key + first + len(reads)] = reads
    attention.o_proj.weight[:, query + first : query + first + len(writes)] = writes.T


_STILL = 12
"""Under rotary positions, the first pair of dimensions that turns too slowly to matter within the context."""


def _blank(model: Any) -> Any:
    model = model.eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    return model


def _plant_ends(embedding: Any, head: Any, norms: Sequence[Any], vocabulary: Sequence[str], basis: Basis) -> None:
    """Embedding, unembedding, and norms that give back nearly the stream itself."""
    embedding.weight.copy_(torch.stack([basis[f"word {word}"] + _ON * basis[ONE] for word in vocabulary]))
    nothing = torch.zeros(D_MODEL)
    readout = [basis.directions.get(f"say {word}", nothing) for word in vocabulary]
    head.weight.copy_(_READOUT * torch.stack(readout))
    for norm in norms:
        norm.weight.fill_(_ON / D_MODEL**0.5)


def _by_position(each: Placed) -> tuple[Match, ...]:
    """The matches with those of positions written out."""
    found = []
    for match in each.head.matches:
        if match.query == ("here",):
            found += [Match((f"position {i}",), (f"position {i}",), match.strength) for i in range(N_CTX)]
        else:
            found.append(match)
    if each.head.previous:
        found += [Match((f"position {i}",), (f"position {i - 1}",)) for i in range(1, N_CTX)]
    return tuple(found)


def _moves(head: Head, basis: Basis) -> tuple[Tensor, Tensor]:
    reads, writes = zip(*head.moves, strict=True)
    return torch.stack([basis[name] for name in reads]), torch.stack([basis[name] for name in writes])


def _written(neuron: Neuron, basis: Basis) -> Tensor:
    return torch.stack([gain * basis[name] for name, gain in neuron.writes]).sum(0)


def _widest(neurons: Sequence[Neuron], layers: int) -> int:
    return max(sum(neuron.layer == layer for neuron in neurons) for layer in range(layers))
