"""Codebooks as one writes them in plain PyTorch, inside Hugging Face's own module: what ours are compared with."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class PlainCodebook(nn.Module):
    """One codebook for each head: LayerNorm, all similarities, topk, the mean of the chosen, straight through."""

    def __init__(self, heads: int, codes: int, size: int, k: int) -> None:
        super().__init__()
        self.heads, self.k = heads, k
        self.book = nn.Parameter(torch.zeros(heads, codes, size))
        self.norm_weight, self.norm_bias = (
            nn.Parameter(torch.ones(heads * size)),
            nn.Parameter(torch.zeros(heads * size)),
        )
        self.counts = torch.zeros(heads, codes, dtype=torch.long)
        self.mse = torch.zeros(())

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        parts = x.unflatten(2, (self.heads, -1))
        normed = nn.functional.layer_norm(parts, parts.shape[3:]).flatten(2) * self.norm_weight + self.norm_bias
        rows = normed.unflatten(2, (self.heads, -1)).transpose(0, 2).flatten(1, 2)
        near = rows.detach() @ (self.book / self.book.norm(dim=2, keepdim=True)).detach().transpose(1, 2)
        index = near.topk(self.k, dim=2).indices
        chosen = torch.stack([book[own].mean(1) for book, own in zip(self.book, index, strict=True)])
        for counts, own in zip(self.counts, index, strict=True):
            counts += torch.bincount(own.flatten(), minlength=len(counts))
        self.mse = (chosen - rows.detach()).square().sum() / rows.shape[1]
        out = rows - rows.detach() + chosen
        return out.unflatten(1, (x.shape[1], x.shape[0])).transpose(0, 2).flatten(2)


class PlainLearner:
    """Hugging Face's module with AdamW, with or without a plain codebook in front of every W_O."""

    def __init__(self, model: Any, books: list[PlainCodebook] | None = None) -> None:
        self.model, self.books = model.train().requires_grad_(True), books or []
        for block, book in zip(model.gpt_neox.layers, self.books, strict=False):
            block.attention.dense.register_forward_pre_hook(lambda module, inputs, book=book: (book(inputs[0]),))
        self._weights = [*model.parameters(), *(weight for book in self.books for weight in book.parameters())]
        self._optimiser = torch.optim.AdamW(self._weights, lr=1e-4, weight_decay=0.0, fused=True)

    def step(self, ids: Int[Tensor, "b t"]) -> Tensor:
        """One step on a batch; returns the loss."""
        logits = self.model(input_ids=ids, use_cache=False).logits
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss = sum((book.mse for book in self.books), loss)
        loss.backward()
        nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return loss.detach()
