"""The workspace that the app is measured on: graphs of known sizes beside links to what another one holds."""

from pathlib import Path

import torch

from workbench.core import CircuitGraph, Manifest, Node, Site, Unit, generator
from workbench.workspace import Workspace

FOLDERS = ("dictionaries", "stores", "graphs", "results", "subnetworks", "runs", "reports")


def furnish(place: Path, workspace: Path | None, model: str, nodes: tuple[int, ...]) -> str:
    """Fill a folder; returns the name of a graph of `workspace` that tests can be run on (empty: none).

    Args:
        workspace: whose artifacts are linked, so that they are read and never written.
        model: that the graph to be tested must have been traced on.
    """
    for kind in FOLDERS:
        (place / kind).mkdir(parents=True)
        for path in sorted((workspace / kind).iterdir()) if workspace and (workspace / kind).is_dir() else []:
            if path.is_dir() and not path.name.startswith("."):
                (place / kind / path.name).symlink_to(path.resolve())
    testable = _testable(Workspace(place), model)
    for count in nodes:
        graph_of_size(count).save(place / "graphs" / f"bench-{count}")
    return testable


def _testable(workspace: Workspace, model: str) -> str:
    """A graph of the model whose dictionaries are there, with what the manifest says of them."""
    content = {e.name: e.manifest.content_hash for e in workspace.list("dictionaries") if e.manifest}
    for entry in workspace.list("graphs"):
        made = entry.manifest
        wanted = made.details.get("dictionaries", "") if made else ""
        fits = made is not None and made.model is not None and made.model.id == model and wanted in content
        if made is not None and fits and made.parents.get(wanted, content[wanted]) == content[wanted]:
            return entry.name
    return ""


def graph_of_size(nodes: int, tokens: int = 16, seed: int = 0) -> CircuitGraph:
    """A random graph of that many nodes, ten edges a node."""
    draw = generator(seed, "budget", nodes)
    layers, per = 24, max(1, (nodes - tokens - 1) // (24 * (tokens - 1)))
    made = [Node("embed", -1, t, index=t, activation=1.0) for t in range(tokens)]
    slots = [(layer, t, i) for layer in range(layers) for t in range(1, tokens) for i in range(per + 1)]
    chosen = torch.randperm(len(slots), generator=draw)[: nodes - tokens - 1].sort().values.tolist()
    for layer, t, i in (slots[c] for c in chosen):
        unit = Unit("transcoder", "bench", Site("mlp_in", layer), 100 * t + i)
        made.append(Node("feature", layer, t, 100 * t + i, unit, 1.0, 0.5))
    made.append(Node("logit", layers, tokens - 1, label="target"))
    shares = torch.rand(len(made), generator=draw)
    effects = torch.randn(len(made), generator=draw)
    made = [
        Node(**{**vars(node), "influence": float(share / shares.sum()), "effect": float(effect)})
        for node, share, effect in zip(made, shares, effects, strict=True)
    ]
    pairs = torch.randint(len(made), (10 * len(made), 2), generator=draw).tolist()
    kept = {
        (s, t)
        for s, t in pairs
        if made[s].layer < made[t].layer and made[s].position <= made[t].position and made[t].kind != "embed"
    }
    source, target = torch.tensor(sorted(kept)).T.contiguous()
    weight = torch.randn(len(kept), generator=draw)
    words = tuple(f" word{t}" for t in range(tokens))
    return CircuitGraph(
        tuple(made), source, target, weight, torch.zeros(len(made)), words, tuple(range(tokens)), layers,
        "a benchmark", 1.0, manifest=Manifest(kind="graph"),
    )  # fmt: skip
