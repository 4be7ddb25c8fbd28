"""Make distractors as large as the circuit: weight norm and output norm of every component of a planted model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_PADDING = 0


@dataclass(frozen=True)
class Component:
    """A head or an MLP through views of its weights: what it reads its output from, and what it writes it with.

    `scores` are weights that only decide where a head looks.
    """

    name: str
    scores: tuple[Tensor, ...]
    reads: tuple[Tensor, ...]
    writes: Tensor

    def weight_norm(self) -> float:
        """Frobenius norm of all its weights together."""
        parts = (*self.scores, *self.reads, self.writes)
        return float(sum(part.square().sum() for part in parts) ** 0.5)


def components(model: Any) -> dict[str, Component]:
    """The heads and MLPs of a planted GPT-2 or Llama, by name."""
    if hasattr(model, "transformer"):
        found = [part for layer, block in enumerate(model.transformer.h) for part in _of_gpt2(layer, block, model)]
    else:
        found = [part for layer, block in enumerate(model.model.layers) for part in _of_llama(layer, block, model)]
    return {part.name: part for part in found}


def output_norms(model: Any, rows: Sequence[Sequence[int]]) -> dict[str, float]:
    """Root mean square over tokens of the length of every component's output."""
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), _PADDING)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    real = torch.tensor([[place < len(tokens) for place in range(length)] for tokens in rows])
    with _recorded(model) as outputs, torch.no_grad():
        model(ids)
    return {name: float(x[real].square().sum(-1).mean() ** 0.5) for name, x in outputs.items()}


@torch.no_grad()
def match_norms(model: Any, rows: Sequence[Sequence[int]], circuit: frozenset[str]) -> None:
    """Scale the weights of every distractor so that its output and all its weights have the circuit's norms.

    The model for each is the circuit's part of its own kind in its own layer, else the mean over the circuit's parts
    of its kind, else (MLPs of a circuit of heads) the heads' output norm. Layer by layer, as outputs feed on.
    """
    parts = components(model)
    for layer in sorted({_layer(name) for name in parts}):
        for kind in "am":
            names = [name for name in parts if name[0] == kind and _layer(name) == layer and name not in circuit]
            models = {name: _models(name, circuit) for name in names}
            weights = {name: _mean_weight(parts, kind, models[name]) for name in names}
            for name in names:
                _soften(parts[name], weights[name])
            norms = output_norms(model, rows)
            for name in names:
                output = sum(norms[each] for each in models[name]) / len(models[name])
                _scale(parts[name], output / max(norms[name], 1e-6), weights[name])


def _layer(name: str) -> int:
    return int(name[1:].split(".")[0])


def _models(name: str, circuit: frozenset[str]) -> list[str]:
    heads_or_mlps = sorted(node for node in circuit if node not in ("input", "logits"))
    kind = [node for node in heads_or_mlps if node[0] == name[0]]
    return [node for node in kind if _layer(node) == _layer(name)] or kind or heads_or_mlps


def _mean_weight(parts: dict[str, Component], kind: str, models: Sequence[str]) -> float | None:
    same = [parts[name].weight_norm() for name in models if name[0] == kind]
    return sum(same) / len(same) if same else None


def _soften(part: Component, weight: float | None) -> None:
    """Let a head look less sharply where its scores alone are heavier than all its weights may be."""
    scores, rest = (
        float(sum(each.square().sum() for each in group)) for group in (part.scores, (*part.reads, part.writes))
    )
    if weight is None or scores + rest <= 1.01 * weight**2:
        return
    for each in part.scores:
        each.mul_(((weight**2 - rest) / scores) ** 0.5)


def _scale(part: Component, output: float, weight: float | None) -> None:
    """Multiply reading weights by r and writing weights by output / r, so that all weights have norm `weight`.

    With R and W the squared norms of the two and S that of the scores, r^2 R + (output / r)^2 W + S = weight^2; where
    no r does it, the r that comes nearest.
    """
    first, second = part.reads, part.writes
    read = float(sum(each.square().sum() for each in first))
    write = float(second.square().sum())
    nearest_square = output * (write / read) ** 0.5
    square = nearest_square
    if weight is not None:
        room = weight**2 - float(sum(each.square().sum() for each in part.scores))
        inside = room**2 - 4 * read * write * output**2
        if inside > 0 and room > 0:
            square = (room - inside**0.5) / (2 * read)
    factor = square**0.5
    for each in first:
        each.mul_(factor)
    second.mul_(output / factor)


def _of_gpt2(layer: int, block: Any, model: Any) -> Iterator[Component]:
    heads, width = model.config.n_head, model.config.n_embd
    size = width // heads
    for head in range(heads):
        q, k, v = (
            block.attn.c_attn.weight[:, part * width + head * size : part * width + (head + 1) * size]
            for part in range(3)
        )
        yield Component(f"a{layer}.h{head}", (q, k), (v,), block.attn.c_proj.weight[head * size : (head + 1) * size])
    yield Component(f"m{layer}", (), (block.mlp.c_fc.weight, block.mlp.c_fc.bias), block.mlp.c_proj.weight)


def _of_llama(layer: int, block: Any, model: Any) -> Iterator[Component]:
    """A head's part of the shared keys and values: the dimensions that its own queries and outputs use."""
    config, attention = model.config, block.self_attn
    size, shared = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    for head in range(config.num_attention_heads):
        group, member = divmod(head, shared)
        query = attention.q_proj.weight[head * size : (head + 1) * size]
        key = attention.k_proj.weight[group * size : (group + 1) * size]
        own = slice(group * size + member * (size // shared), group * size + (member + 1) * (size // shared))
        used = (query != 0).any(1)
        used = used | used.roll(size // 2)
        value, out = attention.v_proj.weight[own], attention.o_proj.weight[:, head * size : (head + 1) * size]
        yield Component(f"a{layer}.h{head}", (query, key[used]), (value,), out)
    mlp = block.mlp
    yield Component(f"m{layer}", (mlp.up_proj.weight,), (mlp.gate_proj.weight,), mlp.down_proj.weight)


@contextmanager
def _recorded(model: Any) -> Iterator[dict[str, Tensor]]:
    """Inside, a forward pass leaves every component's output [b t d] in the dictionary."""
    outputs: dict[str, Tensor] = {}
    handles = []
    blocks = model.transformer.h if hasattr(model, "transformer") else model.model.layers
    for layer, block in enumerate(blocks):
        attention = block.attn.c_proj if hasattr(block, "attn") else block.self_attn.o_proj
        handles.append(attention.register_forward_hook(_record_heads(layer, model.config, outputs)))
        handles.append(block.mlp.register_forward_hook(_record_mlp(layer, outputs)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _record_heads(layer: int, config: Any, outputs: dict[str, Tensor]) -> Any:
    def hook(module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        z = inputs[0].unflatten(-1, (config.num_attention_heads, -1))
        transposed = type(module).__name__ == "Conv1D"
        weight = module.weight if transposed else module.weight.T
        written = torch.einsum("bthe,hed->bthd", z, weight.unflatten(0, (config.num_attention_heads, -1)))
        outputs.update({f"a{layer}.h{head}": written[:, :, head] for head in range(written.shape[2])})

    return hook


def _record_mlp(layer: int, outputs: dict[str, Tensor]) -> Any:
    def hook(module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        outputs[f"m{layer}"] = output

    return hook
