"""The slow obvious model of edges: every reader's input is added up from what every component wrote."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

Outputs = dict[str, Tensor]


class EdgeModel:
    """A GPT-2 or Llama without dropout, run component by component; edges are named `source->target<q>`."""

    def __init__(self, model: Any) -> None:
        self.model, config = model, model.config
        self.gpt2 = hasattr(model, "transformer")
        self.blocks = model.transformer.h if self.gpt2 else model.model.layers
        self.heads = config.num_attention_heads
        self.size = config.hidden_size // self.heads if self.gpt2 else config.head_dim

    def edges(self) -> list[str]:
        """Every edge, in the order of the pass."""
        sources, found = ["input"], []
        for layer in range(len(self.blocks)):
            heads = [f"a{layer}.h{head}" for head in range(self.heads)]
            readers = dict.fromkeys(self._reader(layer, head, part) for head in range(self.heads) for part in "qkv")
            found += [f"{source}->{reader}" for reader in readers for source in sources]
            sources += heads
            found += [f"{source}->m{layer}" for source in sources]
            sources.append(f"m{layer}")
        return found + [f"{source}->logits" for source in sources]

    @torch.no_grad()
    def run(
        self, ids: Tensor, other: Outputs | None = None, swapped: Collection[str] = (), zeroed: Collection[str] = ()
    ) -> tuple[Tensor, Outputs]:
        """Logits and every output; `swapped` edges carry `other`'s outputs, `zeroed` nodes write nothing."""
        outputs: Outputs = {"input": self._embed(ids)}

        def arriving(target: str) -> Tensor:
            found = [
                (other or outputs)[source] if f"{source}->{target}" in swapped else written
                for source, written in outputs.items()
            ]
            return torch.stack(found).sum(0)

        for layer, block in enumerate(self.blocks):
            found = {}
            for head in range(self.heads):
                name = f"a{layer}.h{head}"
                found[name] = self._head(block, head, *(arriving(self._reader(layer, head, part)) for part in "qkv"))
            outputs |= {name: x * (name not in zeroed) for name, x in found.items()}
            norm = block.ln_2 if self.gpt2 else block.post_attention_layernorm
            outputs[f"m{layer}"] = block.mlp(norm(arriving(f"m{layer}"))) * (f"m{layer}" not in zeroed)
        norm = self.model.transformer.ln_f if self.gpt2 else self.model.model.norm
        return self.model.lm_head(norm(arriving("logits"))), outputs

    def _reader(self, layer: int, head: int, part: str) -> str:
        """Keys and values that heads share go by the first head of the group."""
        shared = 1 if self.gpt2 or part == "q" else self.heads // self.model.config.num_key_value_heads
        return f"a{layer}.h{head // shared * shared}<{part}>"

    def _embed(self, ids: Tensor) -> Tensor:
        if not self.gpt2:
            return self.model.model.embed_tokens(ids)
        body = self.model.transformer
        return body.wte(ids) + body.wpe(torch.arange(ids.shape[1]))

    def _head(self, block: Any, head: int, *inputs: Tensor) -> Tensor:
        norm = block.ln_1 if self.gpt2 else block.input_layernorm
        own = slice(head * self.size, (head + 1) * self.size)
        if self.gpt2:
            weights = block.attn.c_attn.weight.chunk(3, 1)
            biases = block.attn.c_attn.bias.chunk(3)
            q, k, v = (norm(x) @ w[:, own] + b[own] for x, w, b in zip(inputs, weights, biases, strict=True))
            out = block.attn.c_proj.weight[own]
        else:
            attention = block.self_attn
            shared = self.heads // self.model.config.num_key_value_heads
            group = slice(head // shared * self.size, (head // shared + 1) * self.size)
            parts = ((attention.q_proj, own), (attention.k_proj, group), (attention.v_proj, group))
            q, k, v = (norm(x) @ part.weight[rows].T for x, (part, rows) in zip(inputs, parts, strict=True))
            q, k = self._rotate(q), self._rotate(k)
            out = attention.o_proj.weight[:, own].T
        scores = q @ k.transpose(-1, -2) / self.size**0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return scores.masked_fill(future, float("-inf")).softmax(-1) @ v @ out

    def _rotate(self, x: Tensor) -> Tensor:
        base = self.model.config.rope_parameters["rope_theta"]
        speed = base ** -(torch.arange(0, self.size, 2, dtype=x.dtype) / self.size)
        angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * speed
        first, second = x.chunk(2, -1)
        return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)
