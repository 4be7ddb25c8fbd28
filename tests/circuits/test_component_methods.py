"""Patching and attribution against brute force and finite differences, for every family in float64."""

from typing import Any

import pytest
import torch
from circuits.small_components import SOME_FAMILIES, SlowRuns, pair_of, pinned_run
from torch import Tensor

from workbench.circuits import (
    AcdcConfig,
    AttributionConfig,
    Contrast,
    PatchConfig,
    PathPatchConfig,
    acdc,
    attribution_patch,
    eap,
    patch,
    path_patch,
)
from workbench.circuits.component_model import ComponentModel
from workbench.core import ConfigError, Interrupted, Silent, Site

SMALL = ("neox-parallel", pytest.param("gemma2", marks=pytest.mark.slow))
STEP = 1e-5


@pytest.fixture(scope="module", params=SOME_FAMILIES)
def setting(request):
    return pair_of(request.param)


def by_name(result, table: str) -> dict[str, float]:
    return {row[table[:-1]]: row["score"] for row in result.tables[table]}


def clean_values(slow: SlowRuns, ids: Tensor) -> dict[Site, Tensor]:
    run = slow.reference()
    run(ids)
    return run.values


def node_site(name: str) -> tuple[Site, int | None]:
    if name == "input":
        return Site("resid_pre", 0), None
    layer, _, head = name[1:].partition(".h")
    return (Site("attn_z", int(layer)), int(head)) if head else (Site("mlp_out", int(layer)), None)


def with_node(
    values: dict[Site, Tensor], name: str, other: dict[Site, Tensor], rows: Any = slice(None)
) -> dict[Site, Tensor]:
    """The value of a node's site in which the node has other activations."""
    site, head = node_site(name)
    x = values[site].clone()
    where = (slice(None), rows) if head is None else (slice(None), rows, head)
    x[where] = other[site][where]
    return {site: x}


@torch.no_grad()
def test_patching_nodes_is_what_pinning_their_outputs_gives(setting):
    model, some, slow = setting
    clean, corrupted = clean_values(slow, some.clean), clean_values(slow, some.corrupted)
    base, other = (slow.metric(slow.reference()(ids), some) for ids in (some.clean, some.corrupted))
    noising = patch(model, some, PatchConfig(positions=True, batch=2))
    denoising = patch(model, some, PatchConfig(direction="denoising"))
    found, restored = by_name(noising, "nodes"), by_name(denoising, "nodes")
    for name in ("input", "a0.h1", "m0", "a1.h3", "m1"):
        _, logits = pinned_run(slow, some.clean, with_node(clean, name, corrupted))
        assert found[name] == pytest.approx(float((base - slow.metric(logits, some)).mean()), abs=1e-9)
        _, logits = pinned_run(slow, some.corrupted, with_node(corrupted, name, clean))
        assert restored[name] == pytest.approx(float((slow.metric(logits, some) - other).mean()), abs=1e-9)
    positions = {(row["node"], row["position"]): row["score"] for row in noising.tables["positions"]}
    for name, position in (("a0.h1", 2), ("m0", 6), ("input", 1)):
        _, logits = pinned_run(slow, some.clean, with_node(clean, name, corrupted, position))
        assert positions[name, position] == pytest.approx(float((base - slow.metric(logits, some)).mean()), abs=1e-9)
    assert noising.scalars == pytest.approx({"clean": float(base.mean()), "corrupted": float(other.mean())})
    row = noising.tables["nodes"][2]
    assert row["low"] <= row["score"] <= row["high"]


@pytest.mark.parametrize("kind", ["resample", "mean", "zero"])
def test_patching_edges_is_what_the_slow_runs_give(kind):
    model, some, slow = pair_of("qwen3", 2)
    found = by_name(patch(model, some, PatchConfig(level="edge", ablation=kind, bootstrap=0)), "edges")
    base = slow.metric(slow.reference()(some.clean), some)
    assert list(found) == list(slow.components.edges)
    for name in ("input->a0.h0<q>", "a0.h1->a1.h2<k>", "m0->a1.h0<v>", "a0.h3->m1", "a1.h3->logits"):
        wanted = base - slow.edge_run(some, {name: 0.0}, kind)
        assert found[name] == pytest.approx(float(wanted.mean()), abs=1e-9)


def test_plain_attribution_is_the_slope_of_patching(setting):
    model, some, slow = setting
    clean, corrupted = clean_values(slow, some.clean), clean_values(slow, some.corrupted)
    found = by_name(attribution_patch(model, some, AttributionConfig(method="plain", batch=2)), "nodes")
    for name in ("input", "a0.h1", "m0", "a1.h3", "m1"):
        values = []
        for step in (STEP, -STEP):
            ((site, there),) = with_node(clean, name, corrupted).items()
            mixed = {site: clean[site] + step * (clean[site] - there)}
            values.append(slow.metric(pinned_run(slow, some.clean, mixed)[1], some))
        assert found[name] == pytest.approx(float((values[0] - values[1]).mean() / (2 * STEP)), rel=1e-5, abs=1e-7)


def slope_at(slow: SlowRuns, some: Contrast, edge: str, pinned: dict[Site, Tensor], lost: dict[str, Tensor]) -> float:
    """The slope of the metric when a reader gets more of what its source lost, in a run with pinned sites."""
    source, reader = edge.split("->")
    site, head, _ = slow._site(reader)
    base, _ = pinned_run(slow, some.clean, pinned)
    values = []
    for step in (STEP, -STEP):
        added = torch.zeros_like(base.values[site])
        view = added if head is None else added[:, :, head]
        view += step * lost[source]
        values.append(slow.metric(pinned_run(slow, some.clean, pinned, {site: added})[1], some))
    return float((values[0] - values[1]).mean() / (2 * STEP))


EDGES = ("input->a0.h0<q>", "input->logits", "a0.h1->a1.h2<k>", "m0->a1.h0<v>", "a0.h3->m1", "a1.h3->logits")


def lost_outputs(slow: SlowRuns, some: Contrast, kind: str = "resample") -> dict[str, Tensor]:
    run = slow.reference()
    run(some.clean)
    instead = slow.ablated(some, kind)
    return {name: x - instead[name] for name, x in slow.outputs(run).items()}


def test_edge_attribution_is_the_slope_of_the_metric(setting):
    model, some, slow = setting
    found = by_name(eap(model, some, AttributionConfig(method="plain", batch=2)), "edges")
    lost = lost_outputs(slow, some)
    for edge in EDGES:
        assert found[edge] == pytest.approx(slope_at(slow, some, edge, {}, lost), rel=1e-5, abs=1e-7)


def test_edge_attribution_is_the_slope_of_a_run_along_edges(setting):
    model, some, _ = setting
    parts = ComponentModel(model)
    found = by_name(eap(model, some, AttributionConfig(method="plain")), "edges")
    ablated = parts.outputs(parts.activations(some.corrupted_batch))
    for edge in EDGES[::2]:
        values = []
        for step in (STEP, -STEP):
            keep = torch.ones(parts.components.allowed.shape, dtype=torch.float64)
            keep[parts.components.edge(edge)] += step
            values.append(parts.run_edges(some, ablated, keep))
        assert found[edge] == pytest.approx(float((values[0] - values[1]).mean() / (2 * STEP)), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("kind", ["resample", "zero"])
def test_integrated_gradients_over_inputs(family, kind):
    model, some, slow = pair_of(family, 2)
    found = by_name(eap(model, some, AttributionConfig(method="ig-inputs", steps=3, ablation=kind)), "edges")
    embed, lost = Site("resid_pre", 0), lost_outputs(slow, some, kind)
    clean = clean_values(slow, some.clean)[embed]
    instead = clean - lost["input"]
    for edge in EDGES:
        slopes = [
            slope_at(slow, some, edge, {embed: instead + (clean - instead) * step / 3}, lost) for step in (1, 2, 3)
        ]
        assert found[edge] == pytest.approx(sum(slopes) / 3, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("family", SMALL)
def test_integrated_gradients_over_activations(family):
    model, some, slow = pair_of(family, 2)
    config = AttributionConfig(method="ig-activations", steps=2)
    found, nodes = by_name(eap(model, some, config), "edges"), by_name(attribution_patch(model, some, config), "nodes")
    clean, corrupted, lost = (
        clean_values(slow, some.clean),
        clean_values(slow, some.corrupted),
        lost_outputs(slow, some),
    )
    for edge in EDGES:
        site, _ = node_site(edge.split("->")[0])
        half = {site: (clean[site] + corrupted[site]) / 2}
        slopes = [slope_at(slow, some, edge, pinned, lost) for pinned in (half, {site: clean[site]})]
        assert found[edge] == pytest.approx(sum(slopes) / 2, rel=1e-4, abs=1e-7)
    if not slow.shape.sandwich:
        total = dict.fromkeys(nodes, 0.0)
        for edge, score in found.items():
            total[edge.split("->")[0]] += score
        assert total == pytest.approx(nodes, rel=1e-8, abs=1e-10)


def test_more_steps_come_closer_to_the_exact_effect():
    """The defining law of integrated gradients: the scores of one node's whole output sum to its patching effect."""
    model, some, _ = pair_of("gpt2", 1)
    exact = by_name(patch(model, some), "nodes")
    few, many = (
        by_name(attribution_patch(model, some, AttributionConfig(method="ig-activations", steps=n)), "nodes")
        for n in (2, 40)
    )
    for node in ("m0", "m1"):
        assert abs(many[node] - exact[node]) < 0.1 * abs(few[node] - exact[node])


@torch.no_grad()
def test_paths_without_mlps_are_single_edges(setting):
    model, some, slow = setting
    base = slow.metric(slow.reference()(some.clean), some)
    for receiver in ("logits", "a1.h2<q>", "m1"):
        config = PathPatchConfig(receivers=(receiver,), through_mlps=False, batch=2)
        found = by_name(path_patch(model, some, config), "nodes")
        # Under sandwich norms a changed head also changes the scale of its neighbours, which an edge run holds.
        for source in ("input", "m0") if slow.shape.sandwich else ("input", "a0.h3", "m0"):
            wanted = base - slow.edge_run(some, {f"{source}->{receiver}": 0.0})
            assert found[source] == pytest.approx(float(wanted.mean()), abs=1e-9)


@pytest.mark.parametrize("family", ["neox-parallel", pytest.param("gemma3", marks=pytest.mark.slow)])
@torch.no_grad()
def test_paths_through_mlps_hold_every_other_head(family):
    model, some, slow = pair_of(family)
    clean, corrupted = clean_values(slow, some.clean), clean_values(slow, some.corrupted)
    base = slow.metric(slow.reference()(some.clean), some)
    heads = {Site("attn_z", layer): clean[Site("attn_z", layer)] for layer in range(slow.shape.n_layers)}
    logits = by_name(path_patch(model, some), "nodes")
    keys = by_name(path_patch(model, some, PathPatchConfig(receivers=("a1.h3",))), "nodes")
    for source in ("input", "a0.h1", "m0"):
        run, out = pinned_run(slow, some.clean, heads | with_node(clean, source, corrupted))
        assert logits[source] == pytest.approx(float((base - slow.metric(out, some)).mean()), abs=1e-9)
        group = slow.shape.n_heads // slow.shape.n_kv_heads
        received = {}
        for part, head in (("q", 3), ("k", 3 // group), ("v", 3 // group)):
            site = Site(f"attn_{part}", 1)
            received[site] = clean[site].clone()
            received[site][:, :, head] = run.values[site][:, :, head]
        _, out = pinned_run(slow, some.clean, received)
        assert keys[source] == pytest.approx(float((base - slow.metric(out, some)).mean()), abs=1e-9)
    assert keys["m1"] == logits["a1.h3"] * 0


def test_unknown_receivers_are_refused():
    model, some, _ = pair_of("gpt2", 1)
    for wrong in (("a9.h0<q>",), ("a0.h0<x>",), (), ("logits", "m1"), ("m7",)):
        with pytest.raises(ConfigError):
            path_patch(model, some, PathPatchConfig(receivers=wrong))


class Impatient(Silent):
    def cancelled(self) -> bool:
        return True


@pytest.mark.parametrize("method", [patch, path_patch, attribution_patch, eap, acdc])
def test_cancelling_stops(method):
    model, some, _ = pair_of("gpt2", 1)
    with pytest.raises(Interrupted):
        method(model, some, progress=Impatient())


@torch.no_grad()
def test_the_exact_search_keeps_what_it_must():
    model, some, slow = pair_of("llama", 2)
    result = acdc(model, some, AcdcConfig(threshold=0.05))
    rows = result.tables["edges"]
    kept = {row["edge"]: 1.0 if row["kept"] else 0.0 for row in rows}
    assert 0 < sum(kept.values()) < len(kept) == len(slow.components.edges)
    assert result.scalars["edges"] == sum(kept.values())
    assert result.scalars["circuit"] == pytest.approx(float(slow.edge_run(some, kept).mean()), abs=1e-9)
    everything, nothing = (slow.metric(slow.reference()(ids), some) for ids in (some.clean, some.corrupted))
    span = float((everything - nothing).abs().mean())
    order = [row for row in reversed(rows) if row["edge"].endswith("->logits")]
    now, so_far = everything, {}
    for row in order[:4]:
        without = slow.edge_run(some, {**so_far, row["edge"]: 0.0})
        assert row["score"] == pytest.approx(float((without - now).abs().mean()) / span, abs=1e-9)
        if not row["kept"]:
            so_far[row["edge"]], now = 0.0, without
    with pytest.raises(ConfigError, match="one by one"):
        acdc(model, some, AcdcConfig(max_edges=10))
