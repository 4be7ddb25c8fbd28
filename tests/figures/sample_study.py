"""A made-up study with the shapes of a real one: a graph, its validation with failures, contexts, an evaluation."""

import numpy as np
import torch

from workbench.core import CircuitGraph, Manifest, MaskPolicy, ModelRef, Node, Result, Site, TextRef, Unit

TOKENS = (
    *("<|endoftext|>", "When", " Mary", " and", " John", " went", " to", " the"),
    *(" store", ",", " John", " gave", " a", " drink", " to"),
)
IDS = (0, 2427, 9430, 284, 3350, 3893, 288, 260, 3480, 28, 3350, 6283, 253, 6174, 288)
EFFECTS = {1: 0.08, 2: 5.18, 3: -0.11, 4: -3.47, 5: 0.05, 8: 0.21, 10: 3.37, 11: -0.32, 13: 0.12, 14: 0.3}
WORDS = ("her herself she", "his himself he", "woman girl lady", "their them", "War Sea Mar", "one each", "store shop")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
METRIC = "logit difference Mary - John"
N_LAYERS = 30


def unit_of(layer: int, index: int) -> Unit:
    return Unit("transcoder", "demo", Site("mlp_in", layer), index)


def manifest(kind: str = "graph") -> Manifest:
    return Manifest(
        kind=kind,
        name="mary-and-john",
        content_hash="5f" * 32,
        created="2026-01-02T03:04:05+00:00",
        model=ModelRef(
            id="smollm2-135m-instruct-q4",
            weight_hash="ab12" * 16,
            processing=("dequantised from Q4_1",),
            tokenizer_hash="cd34" * 16,
        ),
        text=TextRef(id="wikipedia-sample", hash="ef56" * 16, licence="CC BY-SA 3.0"),
        mask=MaskPolicy(),
        parents={"dictionaries": "0a1b" * 16},
        seed=0,
        threads=2,
        versions={"python": "3.11.9", "torch": "2.13.0", "mech-workbench": "0.1.0"},
        config={"target": {"kind": "difference", "tokens": [9430, 3350], "position": -1}, "max_edges": 300000},
        details={"dictionaries": "demo", "pruned": {"node_share": 0.8, "edge_share": 0.98}},
    )


def graph(n_features: int = 260, seed: int = 0, tokens: tuple[str, ...] = TOKENS) -> CircuitGraph:
    """A graph whose nodes and edges are drawn at random, topologically sorted."""
    rng = np.random.default_rng(seed)
    last = len(tokens) - 1
    nodes = [
        Node(
            "embed",
            -1,
            position,
            IDS[position % len(IDS)],
            activation=1.0,
            influence=0.01,
            effect=EFFECTS.get(position, 0.0),
        )
        for position in range(len(tokens))
    ]
    features = set()
    while len(features) < n_features:
        position = int(rng.choice([2, 4, 10, last, int(rng.integers(1, last + 1))], p=[0.22, 0.12, 0.12, 0.4, 0.14]))
        features.add((int(rng.integers(0, N_LAYERS)), position, int(rng.integers(0, 2048))))
    for layer, position, index in sorted(features):
        effect = float(rng.laplace(0, 0.05)) * (1 + layer / 20)
        nodes.append(
            Node(
                "feature",
                layer,
                position,
                index,
                unit_of(layer, index),
                float(rng.gamma(2, 2)),
                1.0,
                abs(effect) / 20,
                effect,
            )
        )
    nodes += [
        Node("error", layer, last, influence=0.004, effect=float(rng.normal(0, 0.05)))
        for layer in range(0, N_LAYERS, 3)
    ]
    nodes.sort(key=lambda n: n.layer)
    nodes.append(Node("logit", N_LAYERS, last, 0, activation=3.72, influence=1.0, effect=3.72, label="Mary - John"))
    source, target, weight = [], [], []
    for j, node in enumerate(nodes):
        below = [i for i in range(j) if nodes[i].layer < node.layer and nodes[i].position <= node.position]
        for i in rng.permutation(below)[: 60 if node.kind == "logit" else 12]:
            if node.kind in ("feature", "logit"):
                source.append(int(i))
                target.append(j)
                weight.append(float(rng.laplace(0, 0.3)))
    return CircuitGraph(
        nodes=tuple(nodes),
        source=torch.tensor(source),
        target=torch.tensor(target),
        weight=torch.tensor(weight),
        bias=torch.zeros(len(nodes)),
        tokens=tokens,
        token_ids=tuple(IDS[i % len(IDS)] for i in range(len(tokens))),
        n_layers=N_LAYERS,
        metric=METRIC,
        metric_value=3.7216,
        scores={"replacement": 0.56, "completeness": 0.86, "completeness_features": 0.80, "n_features": 13440.0}
        | {"pruned_nodes_removed": 13620.0, "pruned_edges_removed": 296896.0},
        manifest=manifest(),
    )


def labels(made: CircuitGraph) -> Result:
    """unit_effects for the features of a graph."""
    rows = []
    for i in made.find("feature"):
        node = made.nodes[i]
        up, down = WORDS[i % len(WORDS)].split(), WORDS[(i + 1) % len(WORDS)].split()
        rows.append(
            {
                "unit": str(node.unit),
                "promoted": [[f" {word}", 0.9 - 0.1 * place] for place, word in enumerate(up)],
                "suppressed": [[f" {word}", -0.7 + 0.1 * place] for place, word in enumerate(down)],
            }
        )
    return Result("unit_effects", tables={"unit_effects": rows})


def contexts(made: CircuitGraph, count: int = 3) -> Result:
    """Top-activating examples for the features of a graph; the first one is hostile."""
    rows, words = (
        [],
        ["", "the", "old", "woman", "said", "that", "her", "sister", "had", "left", "the", "house", "before"][1:],
    )
    for place, i in enumerate(made.top(40)):
        for rank in range(count):
            tokens = [f" {word}" for word in words]
            tokens[4] = HOSTILE if place == 0 and rank == 0 else tokens[4]
            values = [0.0] * 5 + [9.0 - rank - place / 10, 3.0 - rank] + [0.0] * (len(tokens) - 7)
            rows.append(
                {
                    "unit": str(made.nodes[i].unit),
                    "rank": rank,
                    "activation": max(values),
                    "document": f"Article {place} & <b>friends</b>",
                    "tokens": tokens,
                    "values": values,
                    "peak": 5,
                }
            )
    params = {
        "text": "wikipedia-sample",
        "licence": "CC BY-SA 3.0",
        "licence_url": "https://creativecommons.org/licenses/by-sa/3.0/",
    }
    return Result(
        "contexts", tables={"contexts": rows}, params=params, notes=("Top activations among 101,600 tokens.",)
    )


def evaluation() -> Result:
    rng = np.random.default_rng(3)
    rows = [
        {
            "layer": layer,
            "site": f"mlp_out.{layer}",
            "dictionary": f"demo/mlp_in.{layer}",
            "family": "topk-skip-transcoder",
            "fvu": float(0.3 + 0.1 * rng.random()),
            "fvu_affine": float(0.45 + 0.1 * rng.random()),
            "fvu_untrained": float(0.6 + 0.1 * rng.random()),
            "cosine": 0.83,
            "l0": 32.0,
            "dead_share": 0.001,
            "width": 2048,
            "rows": 8000,
            "dropped_share": 0.01,
        }
        for layer in range(N_LAYERS)
    ]
    losses = {"model": 3.562, "dictionary": 4.68, "affine": 6.16, "untrained": 6.60, "mean": 15.9}
    splice = [
        {"variant": name, "replaced": "none" if name == "model" else "all", "layer": None, "ce": ce, "ce_low": ce - 0.1}
        | {"ce_high": ce + 0.1, "kl": max(ce - 3.562, 0.0), "n": 8000, "documents": 20}
        for name, ce in losses.items()
    ]
    scalars = {"fvu_mean": 0.311, "fvu_affine_mean": 0.494, "l0_mean": 32.0} | {f"ce_{k}": v for k, v in losses.items()}
    notes = ("Text: wikipedia-sample, heldout documents.",)
    return Result("evaluation", scalars, {"layers": rows, "splice": splice}, notes=notes)


def next_tokens() -> Result:
    rows = [
        (" Mary", 0.80, 18.2),
        (" the", 0.05, 15.4),
        (" him", 0.03, 14.9),
        (" John", 0.019, 14.5),
        (HOSTILE, 0.01, 13.8),
    ]
    table = [{"rank": k, "token": t, "token_id": k, "probability": p, "logit": v} for k, (t, p, v) in enumerate(rows)]
    return Result("next_tokens", tables={"next_tokens": table})


AFTER = {
    "trained": {10: (1.73, 1.78, 2.28), 30: (0.16, 0.50, 1.71), 100: (-2.12, -0.82, 0.58)},
    "untrained": {10: (3.05, 3.00, 3.14), 30: (2.20, 2.28, 2.52), 100: (0.40, 1.18, 1.83)},
    "random": {10: (3.75, 3.72, 3.75), 30: (3.74, 3.71, 3.70), 100: (3.75, 3.72, 3.67)},
}


def validation(made: CircuitGraph, seed: int = 0) -> Result:
    """Group and single ablations with the sizes of the trial: good late, poor early, some signs wrong."""
    rng = np.random.default_rng(seed)
    groups = []
    for name, sizes in AFTER.items():
        for n, after in sizes.items():
            for draw in range(5 if name == "random" else 1):
                noise = rng.normal(0, 0.08, 3) if name == "random" else np.zeros(3)
                values = dict(zip(("predicted", "frozen", "free"), (np.array(after) + noise).tolist(), strict=True))
                groups.append({"set": name, "n": n, "seed": draw, **values})
    single = []
    for name in ("trained", "random", "untrained"):
        for i in made.top(60):
            node = made.nodes[i]
            predicted, loose = -node.effect, 0.02 if node.layer >= 20 else 0.12
            predicted *= {"trained": 1.0, "random": 0.01, "untrained": 0.6}[name]
            values = {"predicted": predicted, "frozen": 0.9 * predicted + float(rng.normal(0, loose / 2))}
            values["free"] = 0.7 * predicted + float(rng.normal(0, loose))
            address = {"set": name, "node": node.id, "layer": node.layer, "position": node.position}
            single.append({**address, "index": node.index, "activation": node.activation, **values})
    bands = [
        {"set": name, "band": band, "n": n, "size_predicted": 0.1, "r_frozen": r, "sign_frozen": 0.92, "r_free": s}
        for name, band, n, r, s in (
            ("trained", "all", 60, 0.92, 0.70),
            ("trained", "0-2", 12, 0.68, 0.41),
            ("trained", "20-29", 30, 0.97, 0.92),
            ("untrained", "all", 60, 0.92, 0.74),
        )
    ]
    exact = [
        {"set": "trained", "node": row["node"], "mode": mode, "predicted": 1.0, "measured": 1.0, "ratio": 1e-5 * k}
        for mode in ("direct", "total")
        for k, row in enumerate(single[:50])
    ]
    tables = {"groups": groups, "single": single, "bands": bands, "exact": exact}
    params = {"metric": METRIC, "sizes": [10, 30, 100]}
    return Result("validation", {"metric_value": 3.7216}, tables, params=params, notes=("Definitions.",), seed=0)


def sum_check() -> Result:
    rows = [{"set": "largest", "node": f"feature:{k}:7:2", "ratio": 1e-6 * k} for k in range(20)]
    scalars = {"worst_ratio": 1.9e-5, "source_effects_gap": 2e-7, "kept_edges_gap": 0.002}
    return Result("sum_check", scalars, {"nodes": rows})
