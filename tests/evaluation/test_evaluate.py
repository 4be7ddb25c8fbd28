"""The evaluation on a tiny random model: against slow obvious formulas, exact replacements, and refusals."""

import json

import pytest
import torch

from workbench.core import ConfigError, Edit, Interrupted, Manifest, MaskPolicy, Silent, Site
from workbench.dictionaries import (
    AffineMap,
    CoderConfig,
    CrossLayerConfig,
    DictionarySet,
    dictionaries_for_layers,
    make_dictionary,
)
from workbench.evaluation import EvaluateConfig, evaluate, evaluate_sets
from workbench.evaluation.batches import batches

CONFIG = EvaluateConfig(batch_sequences=3, bootstrap=50, single_layers_every=1)


@pytest.fixture(scope="module")
def rows(model, text) -> dict[Site, torch.Tensor]:
    """Every counted row, sequence by sequence."""
    sites = [Site(kind, layer) for layer in (0, 1) for kind in ("mlp_in", "mlp_out")]
    found = {site: [] for site in sites}
    for ids, length in zip(text.ids, text.lengths.tolist(), strict=True):
        for site, x in model.capture(ids[:length].long(), sites).items():
            found[site].append(x[0, 1:])
    return {site: torch.cat(parts) for site, parts in found.items()}


@pytest.fixture(scope="module")
def dictionaries(rows) -> DictionarySet:
    made = dictionaries_for_layers("topk-skip-transcoder", (0, 1), 24, CoderConfig(d_sae=40, k=5), "tiny")
    for dictionary in made.values():
        dictionary.initialise(rows, 0)
    return made


@pytest.fixture(scope="module")
def result(model, dictionaries, text):
    return evaluate(model, dictionaries, text, CONFIG, {"affine": dictionaries.affine_only()})


@torch.no_grad()
def test_layers_against_the_formulas(result, dictionaries, rows):
    for record in result.tables["layers"]:
        dictionary = dictionaries.by_layer(record["layer"])
        y = rows[dictionary.writes[0]].double()
        out, norm = dictionary(rows)[dictionary.writes[0]].double(), y.norm(dim=1)
        total = (y - y.mean(0)).square().sum()
        assert record["fvu_all_rows"] == pytest.approx(float((out - y).square().sum() / total), rel=1e-4)
        assert record["fvu_low"] <= record["fvu"] <= record["fvu_high"]
        affine = y - rows[dictionary.reads[0]].double() @ dictionary.W_skip.T.double() - dictionary.b_dec.double()
        assert record["fvu_all_rows_affine"] == pytest.approx(float(affine.square().sum() / total), rel=1e-4)
        kept = norm <= 6 * norm.median()
        if kept.all() and record["dropped_share"] == 0:
            assert record["fvu"] == pytest.approx(record["fvu_all_rows"])
            cosine = torch.cosine_similarity(out, y).mean()
            assert record["cosine"] == pytest.approx(float(cosine), rel=1e-4)
            assert record["mse"] == pytest.approx(float((out - y).square().mean()), rel=1e-4)
            slope = torch.linalg.lstsq(out.flatten()[:, None], y.flatten()[:, None]).solution
            assert record["shrinkage"] == pytest.approx(float(slope), rel=1e-4)
            assert record["norm_ratio"] == pytest.approx(float(out.norm(dim=1).sum() / norm.sum()), rel=1e-4)
            assert record["cosine_affine"] != record["cosine"]
            for key in ("fvu", "mse", "cosine", "shrinkage", "norm_ratio", "l0"):
                assert record[f"{key}_low"] <= record[key] <= record[f"{key}_high"]
        codes = dictionary.encode(rows)
        assert record["l0"] == pytest.approx(float(codes.l0().double().mean()))
        fired = codes.dense().ne(0).any(0)
        assert record["dead_share"] == pytest.approx(1 - float(fired.double().mean()))
        dense = codes.dense().ne(0).double().mean(0) > 0.1
        assert record["dense_share"] == pytest.approx(float(dense.double().mean()))
        bins = [row for row in result.tables["density"] if row["site"] == record["site"]]
        assert sum(row["features"] for row in bins) == dictionary.width
        assert record["rows"] == len(y)


@torch.no_grad()
def test_splice_against_a_loop_over_positions(result, model, dictionaries, text):
    totals = {"model": [], "dictionary": [], "affine": []}
    divergence = []
    for ids, length in zip(text.ids, text.lengths.tolist(), strict=True):
        tokens = ids[:length].long()
        logits = {"model": model.run(tokens).logits[0].log_softmax(1)}
        for name, members in (("dictionary", dictionaries), ("affine", dictionaries.affine_only())):
            edits = [Edit.through(codec, rows=tuple(range(1, length))) for codec in members.values()]
            logits[name] = model.run(tokens, edits).logits[0].log_softmax(1)
        for position in range(1, length - 1):
            for name, found in logits.items():
                totals[name].append(-found[position, tokens[position + 1]])
            base, spliced = logits["model"][position], logits["dictionary"][position]
            divergence.append((base.exp() * (base - spliced)).sum())
    records = {record["variant"]: record for record in result.tables["splice"] if record["layer"] is None}
    for name, losses in totals.items():
        assert records[name]["ce"] == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)
        assert records[name]["n"] == len(losses)
    assert records["dictionary"]["kl"] == pytest.approx(float(torch.stack(divergence).mean()), rel=1e-3)
    assert records["model"]["kl"] == 0
    assert records["model"]["kl_recovered_mean"] == records["model"]["kl_recovered_zero"] == 1
    for ablation in ("mean", "zero"):
        ablated, model_ce = records[ablation]["ce"], records["model"]["ce"]
        wanted = (ablated - records["dictionary"]["ce"]) / (ablated - model_ce)
        if ablated > model_ce:
            assert records["dictionary"][f"ce_recovered_{ablation}"] == pytest.approx(wanted)
        wanted = 1 - records["dictionary"]["kl"] / records[ablation]["kl"]
        assert records["dictionary"][f"kl_recovered_{ablation}"] == pytest.approx(wanted)


def test_the_table_names_every_replacement(result):
    found = [(record["variant"], record["replaced"]) for record in result.tables["splice"]]
    assert found == [
        ("model", "none"),
        ("dictionary", "all"),
        ("affine", "all"),
        ("mean", "all"),
        ("zero", "all"),
        ("dictionary", "layer 0"),
        ("dictionary", "layer 1"),
    ]
    assert result.scalars["ce_mean"] == result.tables["splice"][3]["ce"]
    for phrase in ("FVU", "bootstrap", "first 1 position", "n = "):
        assert phrase in " ".join(result.notes)


def test_several_sets_at_once_are_each_as_alone(model, dictionaries, text, result, monkeypatch):
    """And what they share is measured once: the model alone, the mean, the zeros, an equal affine map."""
    other = dictionaries.copy()
    with torch.no_grad():
        for dictionary in other.values():
            dictionary.W_dec.mul_(0.5)
    controls = {"affine": dictionaries.affine_only()}
    captures, runs = [], []
    capture, run = model.capture, model.run
    monkeypatch.setattr(model, "capture", lambda *words: captures.append(1) or capture(*words))
    monkeypatch.setattr(model, "run", lambda *words, **more: runs.append(1) or run(*words, **more))
    sets = {"one": (dictionaries, controls), "other": (other, {"affine": other.affine_only()})}
    found = evaluate_sets(model, sets, text, CONFIG)
    times = -(-len(text) // CONFIG.batch_sequences)
    assert len(captures) == times
    wanted = 1 + 2 + 1 + 2 + 2 * 2  # alone; two sets; affine; mean, zero; two layers of each
    assert len(runs) == times * wanted + len(captures), "a capture is a run"
    monkeypatch.undo()
    alone = evaluate(model, other, text, CONFIG, controls)
    for name, wanted in (("one", result), ("other", alone)):
        assert json.dumps(found[name].tables) == json.dumps(wanted.tables), "as text, where nan equals nan"


@torch.no_grad()
def test_one_that_spans_layers_is_counted_layer_by_layer(model, text, rows):
    sites = [tuple(Site(kind, layer) for layer in (0, 1)) for kind in ("mlp_in", "mlp_out")]
    sizes = [{site: rows[site].shape[1] for site in part} for part in sites]
    made = make_dictionary("cross-layer-transcoder", CrossLayerConfig(d_sae=20, k=3), *sizes, name="crossing")
    made.initialise(rows, 0)
    found = evaluate(model, DictionarySet([made]), text, EvaluateConfig(bootstrap=10, splice=False)).tables["layers"]
    dense = made.encode(rows).dense()
    for record, part, site in zip(found, dense.split(20, 1), sites[1], strict=True):
        assert record["width"] == 20
        assert record["l0"] == pytest.approx(float((part != 0).sum(1).double().mean()))
        assert record["dead_share"] == pytest.approx(float((part == 0).all(0).double().mean()))
        error = (made(rows)[site] - rows[site]).double().square().sum()
        total = (rows[site] - rows[site].double().mean(0)).square().sum()
        assert record["fvu_all_rows"] == pytest.approx(float(error / total), rel=1e-4)


@torch.no_grad()
def test_zero_ablation_against_edits_by_hand(result, model, dictionaries, text):
    losses = []
    for ids, length in zip(text.ids, text.lengths.tolist(), strict=True):
        edits = [Edit.set(d.writes[0], torch.zeros(24), rows=tuple(range(1, length))) for d in dictionaries.values()]
        found = model.run(ids[:length].long(), edits).logits[0].log_softmax(1)
        losses += [-found[t, ids[t + 1].long()] for t in range(1, length - 1)]
    assert result.scalars["ce_zero"] == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)


def test_an_exact_replacement_changes_nothing(model, text):
    """A dictionary that writes what it reads, at a site whose reading is exact."""
    exact = []
    for layer in (0, 1):
        site = Site("mlp_out", layer)
        identity = AffineMap.of(torch.eye(24), torch.zeros(24), site, site)
        exact.append(identity)
    found = evaluate(model, DictionarySet(exact, "exact"), text, CONFIG)
    assert found.scalars["fvu_mean"] == pytest.approx(0, abs=1e-10)
    assert found.scalars["kl_dictionary"] == pytest.approx(0, abs=1e-6)
    assert found.scalars["ce_dictionary"] == pytest.approx(found.scalars["ce_model"], rel=1e-6)
    assert found.scalars["kl_recovered_against_mean"] == pytest.approx(1)
    assert found.scalars["shrinkage_mean"] == pytest.approx(1, rel=1e-5)
    assert found.scalars["norm_ratio_mean"] == pytest.approx(1, rel=1e-5)


def test_the_mean_as_a_prediction_has_fvu_one(model, text, rows):
    site = Site("mlp_out", 1)
    mean = AffineMap.of(torch.zeros(24, 24), rows[site].mean(0), Site("mlp_in", 1), site)
    found = evaluate(model, DictionarySet([mean], "mean"), text, CONFIG)
    assert found.tables["layers"][0]["fvu_all_rows"] == pytest.approx(1, rel=1e-5)
    assert found.scalars["ce_dictionary"] == pytest.approx(found.scalars["ce_mean"], rel=1e-5)


def test_outlier_rows_are_counted_apart(model, text, dictionaries):
    strict = evaluate(model, dictionaries, text, EvaluateConfig(outlier_factor=1.001, splice=False, bootstrap=20))
    for record in strict.tables["layers"]:
        assert 0.2 < record["dropped_share"] < 0.7
        assert record["fvu"] != record["fvu_all_rows"]
    assert "splice" not in strict.tables


def test_other_model_or_mask_is_refused(model, text, dictionaries):
    def made(**changes) -> DictionarySet:
        return DictionarySet(dictionaries.values(), "tiny", Manifest(kind="dictionary set", **changes))

    other = model.ref.model_copy(update={"id": "other", "weight_hash": "0"})
    with pytest.raises(ConfigError, match="was trained on other"):
        evaluate(model, made(model=other), text)
    with pytest.raises(ConfigError, match="first 4 position"):
        evaluate(model, made(model=model.ref, mask=MaskPolicy(skip_first=4)), text)
    twice = DictionarySet({"one": dictionaries.by_layer(0), "two": dictionaries.by_layer(0)})
    with pytest.raises(ConfigError, match=r"two dictionaries write mlp_out\.0"):
        evaluate(model, twice, text)
    with pytest.raises(ConfigError, match="no dictionary to evaluate"):
        evaluate(model, DictionarySet([]), text)


class CancelAfter(Silent):
    def __init__(self, batches: int) -> None:
        self.left = batches

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_cancelled(model, text, dictionaries):
    with pytest.raises(Interrupted, match="before anything was measured"):
        evaluate(model, dictionaries, text, CONFIG, progress=CancelAfter(0))
    part = evaluate(model, dictionaries, text, CONFIG, progress=CancelAfter(1))
    assert part.partial
    assert list(part.tables) == ["layers", "density"]
    part = evaluate(model, dictionaries, text, CONFIG, progress=CancelAfter(4))
    assert part.partial
    assert 0 < part.tables["splice"][0]["n"] < 40


def test_some_sequences_are_spread_over_the_text(model, text):
    found = list(batches(model, text, 2, 3))
    assert [len(batch.document) for batch in found] == [2, 1]
    chosen = torch.tensor([0, 2, 4])
    assert torch.equal(torch.cat([batch.document for batch in found]), text.document[chosen].long())
    for batch, lengths in zip(found, text.lengths[chosen].split(2), strict=True):
        assert torch.equal(batch.tokens.lengths, lengths.long())
        assert batch.tokens.ids.shape[1] == batch.mask.shape[1] == int(lengths.max())
    everything = torch.cat([batch.document for batch in batches(model, text, 2, 100)])
    assert torch.equal(everything, text.document.long())
