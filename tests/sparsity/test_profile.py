"""Profiles against activations captured one sequence at a time, and planted answers."""

import numpy as np
import pytest
import torch

from workbench.core import Edit, Site
from workbench.models import assign
from workbench.sparsity import (
    NeuronCounts,
    OutlierCounts,
    ProfileConfig,
    activation_flow,
    output_norms,
    profile,
    stream,
)

CONFIG = ProfileConfig(sample_rows=24, sample_sequences=2, batch_sequences=3)


def captured(model, text, kind, layer, edits=()):
    """Rows that count, sequence by sequence, with their positions and ids."""
    rows, positions, ids = [], [], []
    for row, length in zip(text.ids.long(), text.lengths.tolist(), strict=True):
        site = Site(kind, layer)
        rows.append(model.capture(row[:length][None], [site], edits)[site][0, 1:])
        positions += range(1, length)
        ids += row[1:length].tolist()
    return torch.cat(rows), torch.tensor(positions), torch.tensor(ids)


@pytest.fixture(scope="module")
def found(relu, text):
    return profile(relu, text, CONFIG)


def test_relu_counts_exact_zeros(relu, text, found):
    for layer in found.tables["layers"]:
        rows, _, _ = captured(relu, text, "mlp_post", layer["layer"])
        rates = (rows > 0).double().mean(0)
        assert layer["density"] == pytest.approx(rates.mean().item())
        assert layer["zeros"] == pytest.approx((rows == 0).double().mean().item())
        assert layer["zeros"] == pytest.approx(1 - layer["density"])
        assert layer["dead_share"] == pytest.approx((rates == 0).double().mean().item())
        assert layer["always_on_share"] == pytest.approx((rates > 0.99).double().mean().item())
        assert layer["largest"] == pytest.approx(rows.max().item())
        np.testing.assert_allclose(found.arrays["rates"][layer["layer"]], rates, rtol=1e-6)
        for share in (75, 90):
            exact = rows.abs().flatten().quantile(share / 100).item()
            assert layer[f"quantile_{share}"] == pytest.approx(exact, rel=0.13)


def test_an_untrained_relu_model_fires_half_the_time(found):
    assert found.scalars["density_mean"] == pytest.approx(0.5, abs=0.05)


def test_dead_and_always_on_neurons_are_found(relu, text):
    name = "blocks.1.mlp.b_in"
    before = relu.params()[name].clone()
    planted = torch.full_like(before, 0.0)
    planted[:5], planted[5:8] = -1e4, 1e4
    try:
        found = profile(assign(relu, {name: planted}), text, CONFIG)
    finally:
        assign(relu, {name: before})
    rates = found.arrays["rates"][1]
    assert set(np.nonzero(rates == 0)[0]) >= set(range(5))
    assert set(np.nonzero(rates == 1)[0]) >= {5, 6, 7}
    layer, width = found.tables["layers"][1], relu.shape.d_mlp
    assert layer["dead_share"] == pytest.approx((rates == 0).sum() / width)
    assert layer["always_on_share"] == pytest.approx((rates > 0.99).sum() / width)


def test_positions_and_frequencies_add_up(relu, text, found):
    rows, positions, ids = captured(relu, text, "mlp_post", 2)
    fired = (rows > 0).double().mean(1)
    for row in (row for row in found.tables["positions"] if row["layer"] == 2):
        here = (positions >= row["from"]) & (positions <= row["to"])
        assert (row["n"], row["density"]) == (int(here.sum()), pytest.approx(fired[here].mean().item()))
    real = torch.arange(text.ids.shape[1]) < text.lengths[:, None]
    counts = torch.bincount(text.ids[real].long(), minlength=50)
    rare = counts[ids] < 10
    (row,) = [r for r in found.tables["frequencies"] if r["layer"] == 2 and r["occurrences"] == "1-9"]
    assert (row["n"], row["density"]) == (int(rare.sum()), pytest.approx(fired[rare].mean().item()))
    assert sum(r["n"] for r in found.tables["positions"] if r["layer"] == 0) == found.scalars["tokens"] == len(ids)


def test_gated_neurons_fire_by_what_they_write(model, text):
    found = profile(model, text, CONFIG)
    for layer in found.tables["layers"]:
        rows, _, _ = captured(model, text, "mlp_post", layer["layer"])
        weights = model.params()[f"blocks.{layer['layer']}.mlp.W_out"]
        sizes = rows.abs() * output_norms(model, layer["layer"])
        limit = sizes.flatten().quantile(1 - layer["density"])
        lost = (rows.masked_fill(sizes >= limit, 0) @ weights).norm(dim=1) / (rows @ weights).norm(dim=1)
        # The sample holds every token here, so the mean error is the one asked for, but for the grid.
        assert lost.mean().item() == pytest.approx(CONFIG.error, abs=0.05)
    assert all(0 <= head["on_first_token"] <= 1 for head in found.tables["heads"])
    assert len(found.tables["heads"]) == model.shape.n_layers * model.shape.n_heads


def test_planted_outliers(model, text):
    value = torch.zeros(model.shape.d_model)
    value[3] = 500.0
    counts = OutlierCounts()
    for rows in stream(model, text, 3):
        x = model.capture(rows.tokens, ["resid_post.0"], [Edit.add("resid_post.0", value, rows=(4,))])
        counts.add(x[Site("resid_post", 0)], rows)
    assert counts.norm[False] == pytest.approx(500, abs=20)
    assert counts.norm[True] < 50
    exact, positions, _ = captured(model, text, "resid_post", 0, [Edit.add("resid_post.0", value, rows=(4,))])
    centred = exact.double() - exact.double().mean(1, keepdim=True)
    kurtosis = (centred**4).mean(1) / centred.square().mean(1) ** 2
    assert kurtosis[positions == 4].mean() > 20
    assert counts.kurtosis(first=False) == pytest.approx(kurtosis.mean().item(), rel=1e-4)


def test_memory_does_not_grow_with_the_text(model, text):
    counts = NeuronCounts(torch.zeros(model.shape.d_mlp), 12)

    def held():
        tally = counts.tally
        tensors = (tally.counts, tally.histogram, tally.limits, counts.by_position, counts.by_band)
        return sum(tensor.nbytes for tensor in tensors)

    before = held()
    for _ in range(5):
        for rows in stream(model, text, 3):
            counts.add(model.capture(rows.tokens, ["mlp_post.0"])[Site("mlp_post", 0)].flatten(0, 1), rows)
    assert held() == before
    assert counts.tally.rows == 5 * int((text.lengths - 1).sum())


def test_flow_of_planted_dimensions():
    rows = torch.zeros(6, 10)
    rows[:, 0] = 10.0
    rows[torch.arange(6), torch.arange(6) + 2] = 10.0
    flow = activation_flow(rows, 0.9, 3)
    assert flow == {"active": 0.2, "shared": pytest.approx(1 / 4), "specialised": pytest.approx(3 / 4)}
    assert np.isnan(activation_flow(rows[:2], 0.9, 3)["shared"])


def test_a_head_that_looks_at_the_first_token_is_idle(model, text):
    heads = profile(model, text, CONFIG.model_copy(update={"sink_above": 1e-6})).tables["heads"]
    assert all(head["idle"] for head in heads)


def test_only_so_many_tokens(relu, text):
    few = profile(relu, text, CONFIG.model_copy(update={"tokens": 20}))
    assert 15 <= few.scalars["tokens"] <= 35


@pytest.mark.parametrize("sequences", [2, 40])
def test_watched_neurons_are_those_of_the_site(model, sequences):
    """By the long way for few rows and by the short way for many; the runs stay what they are."""
    ids = torch.randint(2, 50, (sequences, 32), generator=torch.Generator().manual_seed(1))
    plain, seen = model.run(ids).logits, {0: [], 1: []}
    watchers = {layer: lambda x, layer=layer: seen[layer].append(x.clone()) for layer in seen}
    with torch.no_grad(), model.watch_neurons(watchers):
        torch.testing.assert_close(model.run(ids).logits, plain)
    for layer, pieces in seen.items():
        wanted = model.capture(ids, [Site("mlp_post", layer)])[Site("mlp_post", layer)].flatten(0, 1)
        torch.testing.assert_close(torch.cat(pieces), wanted)
    counts = {layer: len(pieces) for layer, pieces in seen.items()}
    model.run(ids)
    assert counts == {layer: len(pieces) for layer, pieces in seen.items()}
