"""Tiny models with contrasts of random tokens, and component runs computed the slow, obvious way."""

from dataclasses import dataclass, field

import pytest
import torch
from models.families import FAMILIES, build_hooked, random_ids
from models.reference import Reference, read_positions
from torch import Tensor

from workbench.circuits import Components, Contrast
from workbench.core import Site
from workbench.models import HookedModel

__all__ = ["FAMILIES", "SOME_FAMILIES", "SlowRuns", "build_hooked", "contrast", "pair_of", "pinned_run"]

QUICK = ("llama", "gpt2", "gemma2")
SOME_FAMILIES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


def contrast(count: int = 3, length: int = 7, changed: int = 2) -> Contrast:
    """Random prompts; the twins differ at some early positions."""
    clean, other = random_ids(count, length, seed=1), random_ids(count, length, seed=2)
    corrupted = clean.clone()
    corrupted[:, 1 : 1 + changed] = other[:, 1 : 1 + changed]
    return Contrast.of_ids(clean, corrupted, torch.arange(3, 3 + count), torch.arange(10, 10 + count))


def pair_of(family: str, count: int = 3) -> tuple[HookedModel, Contrast, "SlowRuns"]:
    """A float64 model of a family, a contrast, and the reference."""
    model, untouched = build_hooked(family, torch.float64)
    return model, contrast(count), SlowRuns(model, untouched.config)


class SlowRuns:
    """Component runs on the reference forward pass, which shares no code with the model."""

    def __init__(self, model: HookedModel, config) -> None:
        self.model, self.shape = model, model.shape
        self.positions = read_positions(config, model.shape)
        self.params = model.params()
        self.components = Components.of(model.shape)

    def reference(self) -> Reference:
        return Reference(self.shape, self.params, self.positions)

    def outputs(self, run: Reference) -> dict[str, Tensor]:
        """What every source adds to the residual stream [b t d], by name."""
        found = {"input": run.values[Site("resid_pre", 0)]}
        for layer in range(self.shape.n_layers):
            result = run.values[Site("attn_result", layer)]
            if self.shape.sandwich:
                result = result / run.values[Site("ln1_post_scale", layer)][..., None]
                result = result * self.params[f"blocks.{layer}.ln1_post.w"]
            found |= {f"a{layer}.h{head}": result[:, :, head] for head in range(self.shape.n_heads)}
            found[f"m{layer}"] = run.values[Site("mlp_out", layer)]
        return found

    def metric(self, logits: Tensor, some: Contrast) -> Tensor:
        found = []
        for row, length, ids, weights in zip(logits, some.lengths, some.answers, some.weights, strict=True):
            last = row[length - 1] if some.metric == "logit difference" else row[length - 1].softmax(-1)
            found.append(sum(float(weight) * last[i] for i, weight in zip(ids, weights, strict=True)))
        return torch.stack(found)

    def ablated(self, some: Contrast, kind: str) -> dict[str, Tensor]:
        run = self.reference()
        run(some.corrupted if kind == "resample" else some.clean)
        outputs = self.outputs(run)
        if kind == "zero":
            return {name: torch.zeros_like(x) for name, x in outputs.items()}
        if kind == "mean":
            return {name: x.mean((0, 1), keepdim=True).expand_as(x) for name, x in outputs.items()}
        return outputs

    def edge_run(self, some: Contrast, keep: dict[str, float], kind: str = "resample") -> Tensor:
        """The metric with `keep` (default 1) of every edge: run again until every reader got what it should."""
        instead = self.ablated(some, kind)
        run = self.reference()
        logits = run(some.clean)
        for _ in range(2 * self.shape.n_layers + 1):
            again = self.reference()
            again.added = self._changes(self.outputs(run), instead, keep)
            logits = again(some.clean)
            run = again
        return self.metric(logits, some)

    def _changes(self, outputs, instead, keep) -> dict[Site, Tensor]:
        added: dict[Site, Tensor] = {}
        for name, kept in keep.items():
            source, reader = name.split("->")
            change = (1 - kept) * (instead[source] - outputs[source])
            site, head, heads = self._site(reader)
            if site not in added:
                shape = change.shape if heads is None else (*change.shape[:2], heads, change.shape[-1])
                added[site] = change.new_zeros(shape)
            view = added[site] if head is None else added[site][:, :, head]
            view += change
        return added

    def _site(self, reader: str) -> tuple[Site, int | None, int | None]:
        if reader == "logits":
            return Site("resid_post", self.shape.n_layers - 1), None, None
        if reader.startswith("m"):
            return Site("mlp_input", int(reader[1:])), None, None
        node, part = reader[:-1].split("<")
        layer, head = (int(x) for x in node[1:].split(".h"))
        heads = self.shape.n_heads if part == "q" else self.shape.n_kv_heads
        return Site(f"attn_{part}_input", layer), head * heads // self.shape.n_heads, heads


@dataclass
class Pinned(Reference):
    """A forward pass in which some sites hold given values."""

    pinned: dict[Site, Tensor] = field(default_factory=dict)

    def at(self, kind: str, layer: int | None, x: Tensor) -> Tensor:
        return super().at(kind, layer, self.pinned.get(Site(kind, layer), x))


def pinned_run(slow: SlowRuns, ids: Tensor, pinned: dict[Site, Tensor], added: dict[Site, Tensor] | None = None):
    """The run and its logits."""
    run = Pinned(slow.shape, slow.params, slow.positions, added or {}, pinned=pinned)
    return run, run(ids)
