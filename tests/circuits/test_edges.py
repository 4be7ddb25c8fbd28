"""Every edge equals a measured intervention on the hooked model; what is kept is what is strongest."""

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, FAMILIES, IDS, build_hooked, random_analysis, random_dictionaries

from workbench.circuits import Analysis, Target, TraceConfig, analyse, trace
from workbench.core import Codes, Edit, Site
from workbench.models import HookedModel


class ConstantUnits:
    """Stands for one MLP: affine path live, every unit's write and the error constant."""

    def __init__(self, units, layers) -> None:
        self.units, self.name = units, f"constant units {units.layer}"
        self.reads, self.writes = (Site("mlp_in", units.layer),), (Site("mlp_out", units.layer),)
        self.fixed = units.error.clone()
        for earlier in layers[: units.layer + 1]:
            if units.layer in earlier.writers:
                self.fixed.index_add_(0, earlier.position, earlier.writes(units.layer))

    def encode(self, inputs):
        rows = inputs[self.reads[0]]
        return Codes(torch.zeros(len(rows), 0, dtype=torch.long), rows[:, :0], 1)

    def decode(self, codes):
        return {self.writes[0]: self.fixed.new_zeros(len(codes), self.fixed.shape[1])}

    def bypass(self, inputs):
        mlp_in = inputs[self.reads[0]].view(-1, *self.fixed.shape)
        return {self.writes[0]: (self.units.affine(mlp_in) + self.fixed).view(-1, self.fixed.shape[1])}


def held(model: HookedModel, analysis: Analysis) -> list[Edit]:
    kinds = ["attn_pattern", "ln1_scale", "ln2_scale", *(["ln1_post_scale"] if model.shape.sandwich else [])]
    sites = [Site(kind, layer) for layer in range(model.shape.n_layers) for kind in kinds]
    seen = model.capture(analysis.frozen.tokens[None], [*sites, Site("lnf_scale")])
    layers = analysis.replacement.layers
    return [
        *(Edit.set(site, value[0]) for site, value in seen.items()),
        *(Edit.through(ConstantUnits(units, layers)) for units in layers),
    ]


def source_vectors(analysis: Analysis) -> list[list[tuple[str, int, torch.Tensor]]]:
    """What every source writes, in order of number: site, position and vector."""
    found: list = [[("resid_pre.0", position, row)] for position, row in enumerate(analysis.frozen.embed)]
    found += [None] * (analysis.numbering.n_sources - len(found))
    for units, sources in zip(analysis.replacement.layers, analysis.numbering.layers, strict=True):
        for i, (number, position) in enumerate(zip(sources.unit_nodes, units.position, strict=True)):
            found[number] = [(f"mlp_out.{layer}", int(position), units.writes(layer)[i]) for layer in units.writers]
        for number, (position, error) in zip(sources.error_nodes, enumerate(units.error), strict=True):
            found[number] = [(f"mlp_out.{units.layer}", position, error)]
    return found


def measured_rows(model: HookedModel, analysis: Analysis) -> torch.Tensor:
    """Change of every target's pre-activation (units, then logit targets) when each source is removed: [n, s]."""
    sources, edits = source_vectors(analysis), held(model, analysis)
    sites = [*(Site("mlp_in", layer) for layer in range(model.shape.n_layers)), Site("final_norm")]
    written = {site for writes in sources for site, _, _ in writes}
    deltas = {site: torch.zeros(len(sources) + 1, *analysis.frozen.embed.shape).double() for site in written}
    for row, writes in enumerate(sources):
        for site, position, vector in writes:
            deltas[site][row, position] -= vector
    tokens = analysis.frozen.tokens.expand(len(sources) + 1, -1)
    removals = [Edit.add(site, delta) for site, delta in deltas.items()]
    seen = model.run(tokens, [*edits, *removals], sites=sites, logits=False).activations
    change = {site: value[-1] - value[:-1] for site, value in seen.items()}
    rows = [
        change[Site("mlp_in", units.layer)][:, units.position[i]] @ units.readers[i]
        for units in analysis.replacement.layers
        for i in range(len(units))
    ]
    final = change[Site("final_norm")][:, analysis.metric.position]
    return torch.stack([*rows, *(final @ direction for direction in analysis.metric.directions)])


def explicit_rows(analysis: Analysis) -> torch.Tensor:
    """The same rows as the sweep computes them."""
    sweep, numbering = analysis.sweep, analysis.numbering
    full = torch.zeros(numbering.n_nodes, numbering.n_sources, dtype=torch.float64)
    for rows in (sweep.target_rows(analysis.metric), *sweep.blocks(7)):
        full[rows.nodes, : rows.weight.shape[1]] = rows.weight
    targets = torch.arange(numbering.n_sources, numbering.n_nodes)
    return full[torch.cat([analysis.unit_nodes, targets])]


@pytest.mark.parametrize("dictionary", ["topk-skip-transcoder", "cross-layer-transcoder"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_every_edge_is_what_removing_its_source_changes(family, dictionary):
    model, _, analysis = random_analysis(family, dictionary=dictionary)
    wanted = measured_rows(model, analysis)
    found = explicit_rows(analysis)
    assert (found - wanted).abs().max() < 1e-10 * wanted.abs().max()
    assert (wanted != 0).float().mean() > 0.05


@torch.no_grad()
def test_edges_into_several_token_targets_at_an_inner_position():
    model, _, analysis = random_analysis("gemma2", target=Target.of(7, 8, 9, position=5))
    wanted = measured_rows(model, analysis)
    assert (explicit_rows(analysis) - wanted).abs().max() < 1e-10 * wanted.abs().max()


def test_blocks_of_any_size_give_the_same_graph():
    model, dictionaries, _ = random_analysis("llama")
    first, second = (trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(rows_per_block=n)) for n in (1, 10_000))
    assert first.source.equal(second.source)
    assert first.target.equal(second.target)
    assert torch.allclose(first.weight, second.weight, rtol=1e-6, atol=1e-12)
    assert first.scores == pytest.approx(second.scores, abs=1e-12)


def test_a_limited_graph_keeps_the_edges_with_the_largest_influence():
    model, dictionaries, analysis = random_analysis("qwen3")
    whole = trace(model, dictionaries, IDS, DIFFERENCE)
    few = trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(max_edges=20, rows_per_block=5))
    dense = explicit_rows(analysis).abs()
    influence = torch.tensor([node.influence for node in whole.nodes], dtype=torch.float64)
    worth = (
        dense / dense.sum(1, keepdim=True) * influence[torch.cat([analysis.unit_nodes, torch.tensor([-1])])][:, None]
    )
    strongest = {
        (int(column), int(analysis.unit_nodes[row])) for row, column in zip(*divmod_topk(worth[:-1], 20), strict=True)
    }
    is_target = few.target == len(few.nodes) - 1
    kept = set(zip(few.source[~is_target].tolist(), few.target[~is_target].tolist(), strict=True))
    assert kept == strongest
    assert int(is_target.sum()) == int((dense[-1] > 0).sum())
    assert few.scores["edge_influence_kept"] < whole.scores["edge_influence_kept"] == pytest.approx(1.0)
    assert few.scores["replacement"] == pytest.approx(whole.scores["replacement"])


def divmod_topk(values: torch.Tensor, k: int) -> tuple[list[int], list[int]]:
    flat = values.flatten().topk(k).indices
    return (flat // values.shape[1]).tolist(), (flat % values.shape[1]).tolist()


def test_plain_transcoders_and_layers_without_one():
    model, _ = build_hooked("gpt2", torch.float64)
    plain = random_dictionaries(model, "topk-transcoder")
    only = type(plain)([plain.by_layer(1)], "one layer")
    with torch.no_grad():
        analysis = analyse(model, only, IDS, DIFFERENCE)
        wanted = measured_rows(model, analysis)
        assert (explicit_rows(analysis) - wanted).abs().max() < 1e-10 * wanted.abs().max()
    assert not len(analysis.replacement.layers[0])
    assert torch.equal(analysis.replacement.layers[0].error, analysis.frozen.mlp_out[0])
