"""What an edge means, on the real model in float32: per-layer, skip and cross-layer transcoders."""

import pytest
import torch

from workbench.circuits import Target, TraceConfig, ValidateConfig, check_sums, trace, validate
from workbench.core import Site
from workbench.dictionaries import CoderConfig, CrossLayerConfig, new_set

KINDS = {
    "topk-transcoder": CoderConfig(d_sae=256, k=8),
    "topk-skip-transcoder": CoderConfig(d_sae=256, k=8),
    "cross-layer-transcoder": CrossLayerConfig(d_sae=64, k=8),
}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("family", KINDS)
def test_direct_total_and_sums_agree_on_the_real_model(smollm2, family):
    model, shape = smollm2, smollm2.shape
    layers = list(range(shape.n_layers))
    ids = model.tokens("When Mary and John went to the store, John gave a drink to").ids[0]
    sites = [Site(kind, layer) for layer in layers for kind in ("mlp_in", "mlp_out")]
    rows = {site: value[0, 1:] for site, value in model.capture(ids[None], sites).items()}
    dictionaries = new_set([(family, KINDS[family])], lambda site: shape.d_model, layers=layers, name="started")
    for dictionary in dictionaries.values():
        dictionary.initialise(rows, 0)
    tokens = [model.tokenizer.encode(name)[0] for name in (" Mary", " John")]
    graph = trace(model, dictionaries, ids, Target.difference(*tokens), TraceConfig(max_feature_nodes=300))
    result = validate(model, dictionaries, graph, ValidateConfig(singles=10, sizes=(10,), random_groups=2))
    for mode in ("direct", "edges", "total"):
        assert result.scalars[f"exact_{mode}_worst_ratio"] <= 1e-3, mode
    assert len(result.df("exact")) == 200
    sums = check_sums(model, dictionaries, graph)
    assert sums.scalars["worst_ratio"] <= 1e-3
    assert torch.isfinite(torch.tensor(list(graph.scores.values()))).all()
    print(family, {name: value for name, value in result.scalars.items() if name.startswith(("exact", "size", "r_"))})
    print(family, sums.scalars, graph.scores)
