"""Discrete codes: the counting by hand, the training on rows whose codes are known, a planted circuit."""

import numpy as np
import pytest
import torch

from workbench.circuits import Components, DiscreteConfig, auroc, contrast_of, discrete, read_outputs
from workbench.circuits.discrete import discrete_from_rows, edge_counts, node_counts
from workbench.circuits.discrete_rows import OutputRows
from workbench.core import ConfigError
from workbench.models import build_circuit

SMALL = DiscreteConfig(codes=40, examples=20, steps=200)


@pytest.fixture(scope="module")
def planted():
    circuit = build_circuit("lookup")
    return circuit, circuit.hooked(), circuit.prompts(40, seed=1)


def test_codes_of_one_side_only_are_counted():
    positive, negative = torch.tensor([[1, 5], [2, 5], [2, 6]]), torch.tensor([[1, 5], [4, 6]])
    assert node_counts(positive, negative, relative=False).tolist() == [1, 0]
    assert node_counts(positive, negative, relative=True).tolist() == [1 / 3, 0]
    pairs = [(0, 1)]
    assert edge_counts(positive, negative, pairs, relative=False).tolist() == [2]  # (2, 5) and (2, 6)
    assert edge_counts(positive, negative, pairs, relative=True).tolist() == [2 / 4]


def test_outputs_are_what_components_write(planted):
    _, model, pairs = planted
    contrast = contrast_of(model, pairs[:3])
    for position in ("mean", "last"):
        rows = read_outputs(model, pairs[:3], DiscreteConfig(position=position, batch=2))
        for side, ids in ((rows.positive, contrast.clean), (rows.negative, contrast.corrupted)):
            for row, tokens in enumerate(ids):
                tokens = tokens[: contrast.lengths[row]]
                heads = model.capture(tokens, ["attn_result.0", "mlp_out.1"])
                head, mlp = (found[0] for found in heads.values())
                taken = (lambda x: x.mean(0)) if position == "mean" else (lambda x: x[-1])
                torch.testing.assert_close(side[row, 2], taken(head[:, 2]), atol=1e-4, rtol=1e-3)
                torch.testing.assert_close(side[row, 9], taken(mlp), atol=1e-4, rtol=1e-3)
    assert rows.positive.shape == (3, 10, model.shape.d_model)


def test_a_component_with_words_of_its_own_on_one_side_is_found(planted):
    """Directions as outputs: one component has others on the positive side, the rest draw from the same ones."""
    _, model, _ = planted
    draw = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(model.shape.d_model, 12, generator=draw)).Q.T

    def side(first: int) -> torch.Tensor:
        rows = directions[torch.randint(0, 4, (60, 10), generator=draw)]
        rows[:, 6] = directions[torch.randint(first, first + 4, (60,), generator=draw)]
        return rows

    rows = OutputRows(side(4), side(8))
    result = discrete_from_rows(model, rows, SMALL)
    scores = {row["node"]: row["score"] for row in result.tables["nodes"]}
    assert len(scores) == 10
    best = max(scores, key=lambda node: scores[node])
    assert best == "a1.h1"
    assert all(score == 0 for node, score in scores.items() if node != best)
    edges = {row["edge"]: row["score"] for row in result.tables["edges"]}
    assert set(edges) >= {"a0.h0->m0", "a0.h3->a1.h1<q>", "m0->a1.h1<k>", "a1.h1->m1"}
    assert set(edges) < set(Components.of(model.shape).edges)
    assert not any(edge.startswith("input") or edge.endswith("logits") for edge in edges)
    assert min(score for edge, score in edges.items() if "a1.h1" in edge) > 0
    votes = {row["node"]: row["votes"] for row in result.tables["nodes"]}
    assert max(votes, key=lambda node: votes[node]) == best


def test_the_planted_circuit_is_found_and_the_seed_decides(planted):
    circuit, model, pairs = planted
    first, again = (discrete(model, pairs, SMALL.model_copy(update={"trials": 2})) for _ in range(2))
    assert first.tables == again.tables
    rows = first.tables["nodes"]
    labels = [row["node"] in circuit.nodes for row in rows]
    assert auroc([row["score"] for row in rows], labels) == 1
    heads = discrete(model, pairs, SMALL.model_copy(update={"mlps": False}))
    assert [row["node"][0] for row in heads.tables["nodes"]] == ["a"] * 8
    assert 2 <= heads.scalars["codes_used"] <= 41
    assert np.isfinite([row["score"] for row in heads.tables["edges"]]).all()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="codes"):
        DiscreteConfig.parse({"codes": 1})
