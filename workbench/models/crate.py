"""CRATE: a transformer each of whose steps has a stated aim, compression and then sparsity; it needs no hooks."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import child

from .crate_config import CrateConfig


class SubspaceAttention(nn.Module):
    """MSSA: each head projects tokens onto its subspace once, as query, key and value at a time (Yu et al. 2023)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.project = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        inside = self.inside(x)
        weights = (inside @ inside.transpose(-1, -2) * self.size**-0.5).softmax(-1)
        return self.out((weights @ inside).transpose(1, 2).flatten(2))

    def inside(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b h n p"]:
        """Coordinates of the tokens in the subspace of each head."""
        return self.project(x).unflatten(-1, (self.heads, self.size)).transpose(1, 2)


class SparseStep(nn.Module):
    """ISTA: one proximal step towards a non-negative sparse code of the tokens in a learned dictionary.

    It lowers 1/2 |z - D a|^2 + penalty |a| from a = z; there is no residual connection around it.
    """

    def __init__(self, width: int, step: float, penalty: float) -> None:
        super().__init__()
        self.step, self.penalty = step, penalty
        self.dictionary = nn.Parameter(torch.empty(width, width))
        nn.init.kaiming_uniform_(self.dictionary)

    def forward(self, z: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        gradient = (z @ self.dictionary.T - z) @ self.dictionary
        return (z - self.step * (gradient + self.penalty)).relu()


class Halves(NamedTuple):
    """The stream before a block, after its attention, and after its second step."""

    before: Float[Tensor, "b n d"]
    between: Float[Tensor, "b n d"]
    after: Float[Tensor, "b n d"]


class CrateBlock(nn.Module):
    """Attention with a residual connection, then the sparse step without one."""

    def __init__(self, config: CrateConfig) -> None:
        super().__init__()
        self.norm, self.second_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = SubspaceAttention(config.width, config.heads)
        self.sparse = SparseStep(config.width, config.step, config.penalty)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.halves(x).after

    def halves(self, x: Float[Tensor, "b n d"]) -> Halves:
        """The block's result and what lies between its steps."""
        between = x + self.attention(self.norm(x))
        return Halves(x, between, self.sparse(self.second_norm(between)))


class PatchClassifier(nn.Module):
    """Reads patches as tokens behind a learned one, which the class is read from after the last block.

    Plain blocks have an MLP as wide as the stream: six matrices of d x d, CRATE's three.
    """

    def __init__(self, config: CrateConfig) -> None:
        super().__init__()
        self.config = config
        self.read = nn.Linear(config.values, config.width)
        self.start = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.positions = nn.Parameter(torch.randn(config.patches + 1, config.width) * 0.02)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm, self.answer = nn.LayerNorm(config.width), nn.Linear(config.width, config.classes)

    def forward(self, patches: Float[Tensor, "b n v"]) -> Float[Tensor, "b classes"]:
        """Logits of the classes."""
        x = self.embed(patches)
        for block in self.blocks:
            x = block(x)
        return self.answer(self.norm(x[:, 0]))

    def embed(self, patches: Float[Tensor, "b n v"]) -> Float[Tensor, "b n+1 d"]:
        """The tokens before the first block."""
        x = self.read(patches)
        return torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.positions

    def halves(self, patches: Float[Tensor, "b n v"]) -> list[tuple[CrateBlock, Halves]]:
        """CRATE's blocks with what each made of a batch."""
        x, found = self.embed(patches), []
        for block in self.blocks:
            assert isinstance(block, CrateBlock), "plain blocks have no such steps"
            found.append((block, block.halves(x)))
            x = found[-1][1].after
        return found

    def loss(self, batch: tuple[Float[Tensor, "b n v"], Int[Tensor, " b"]], share: float) -> Mapping[str, Tensor]:
        """Cross-entropy."""
        patches, label = batch
        return {"loss": nn.functional.cross_entropy(self(patches), label)}


def new_classifier(config: CrateConfig, seed: int) -> PatchClassifier:
    """An untrained classifier; equal seeds give equal weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(child(seed, "patch classifier"))
        return PatchClassifier(config)


def _block(config: CrateConfig) -> nn.Module:
    if config.blocks == "crate":
        return CrateBlock(config)
    return nn.TransformerEncoderLayer(
        config.width, config.heads, config.width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
