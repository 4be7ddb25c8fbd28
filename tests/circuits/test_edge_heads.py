"""Heads' parts in an edge: they add up to it, and removing a head's path removes its part."""

from dataclasses import replace

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, FAMILIES, IDS, random_analysis
from circuits.test_edges import explicit_rows

from workbench.circuits import Analysis, edge_heads, trace
from workbench.circuits.edge_heads import carried
from workbench.core import ConfigError


def without_head(analysis: Analysis, layer: int, head: int) -> Analysis:
    """The same analysis with one head's frozen pattern at zero."""
    from workbench.circuits.numbering import number_nodes
    from workbench.circuits.sweep import Sweep

    frozen = analysis.frozen
    attention = list(frozen.attention)
    mix = attention[layer].mix.clone()
    mix[head // mix.shape[2], :, head % mix.shape[2]] = 0
    attention[layer] = replace(attention[layer], mix=mix)
    replacement = replace(analysis.replacement, frozen=replace(frozen, attention=tuple(attention)))
    numbering = number_nodes(replacement, analysis.numbering.n_targets)
    return replace(analysis, replacement=replacement, numbering=numbering, sweep=Sweep(replacement, numbering))


@pytest.mark.parametrize("dictionary", ["topk-skip-transcoder", "cross-layer-transcoder"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_parts_add_up_and_through_is_what_removing_the_head_takes(family, dictionary):
    _, _, analysis = random_analysis(family, dictionary=dictionary)
    rows = explicit_rows(analysis)
    targets = [int(analysis.unit_nodes[-1]), analysis.numbering.n_sources]
    gone, by_heads = {}, 0.0
    for target in targets:
        row = -1 if target == analysis.numbering.n_sources else len(analysis.unit_nodes) - 1
        sources = rows[row].abs().topk(4).indices.tolist()
        for source in sources:
            part, through = carried(analysis, source, target)
            assert float(part.sum()) == pytest.approx(float(rows[row, source]), rel=1e-9)
            by_heads += float(part[:-1].abs().sum())
            layer, head = divmod(int(through[:-1].abs().argmax()), through.shape[1])
            if (layer, head) not in gone:
                gone[layer, head] = explicit_rows(without_head(analysis, layer, head))
            change = float(rows[row, source] - gone[layer, head][row, source])
            assert float(through[layer, head]) == pytest.approx(change, rel=1e-7, abs=1e-12)
    assert by_heads > 0


def test_the_table_names_the_strongest_edges():
    model, dictionaries, _ = random_analysis("qwen3")
    graph = trace(model, dictionaries, IDS, DIFFERENCE)
    result = edge_heads(model, dictionaries, graph, strongest=3)
    edges = result.df("edges")
    weights = graph.df("edges").set_index(["source", "target"])["weight"]
    assert len(edges) == 3
    for row in result.tables["edges"]:
        assert row["weight"] == pytest.approx(weights[row["source"], row["target"]], rel=1e-5)
        mine = [
            h["part"] for h in result.tables["heads"] if (h["source"], h["target"]) == (row["source"], row["target"])
        ]
        assert sum(mine) == pytest.approx(row["weight"])
    node = graph.nodes[graph.top(1)[0]].id
    with pytest.raises(ConfigError, match="no node"):
        edge_heads(model, dictionaries, graph, [("feature:9:9:9", node)])
    with pytest.raises(ConfigError, match="reads after"):
        edge_heads(model, dictionaries, graph, [(graph.nodes[graph.find("logit")[0]].id, node)])
