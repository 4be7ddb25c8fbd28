import pytest
import torch

from workbench.core import ConfigError, MaskPolicy, Site, Unit
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import CoderConfig, DictionarySet, make_dictionary
from workbench.features import ScanConfig, open_scan, scan, unit_effects
from workbench.features.tally import Best, lottery
from workbench.models import TokenBatch, build_places, load_model


@pytest.fixture(scope="module")
def subject():
    """The planted model, its text, and an untrained transcoder on layer 0, spread over the data."""
    model = load_model("planted-places")
    text = pack(open_text("synthetic-places:120"), model.tokenizer, PackConfig(sequence_length=24), MaskPolicy())
    read, write = Site("mlp_in", 0), Site("mlp_out", 0)
    coder = make_dictionary(
        "topk-transcoder", CoderConfig(d_sae=24, k=3, start="random"), {read: 256}, {write: 256}, "t/mlp_in.0"
    )
    rows = model.capture(TokenBatch(text.ids, text.lengths), [read, write])
    coder.initialise({site: x.flatten(0, 1) for site, x in rows.items()}, 0)
    return model, text, DictionarySet([coder], "t")


def test_counts_and_examples_match_a_dense_reference(subject, tmp_path):
    model, text, dictionaries = subject
    found = scan(model, dictionaries, text, tmp_path / "scan", ScanConfig(sequences=40, examples=5, batch_sequences=7))
    coder, count = next(iter(dictionaries.values())), 40
    (site,) = coder.reads
    part = text.take(torch.arange(count))
    x = model.capture(TokenBatch(part.ids, part.lengths), [site])[site]
    dense = coder.encode({site: x.flatten(0, 1)}).dense().view(count, -1, 24)
    dense = dense * part.mask(model.policy, model.tokenizer.special_ids)[..., None]
    assert found.counts(site).tolist() == (dense > 0).sum((0, 1)).tolist()
    for feature in range(24):
        unit = Unit("transcoder", "t", site, feature)
        best = dense[..., feature].amax(1).sort(descending=True).values
        best = best[best > 0][:5]
        rows = found.contexts([unit], model.tokenizer.strings, count=5).tables["contexts"]
        torch.testing.assert_close(torch.tensor([row["activation"] for row in rows]), best, rtol=1e-2, atol=1e-3)
        for row in rows:
            assert row["values"][row["peak"]] == pytest.approx(row["activation"])
            assert len(row["tokens"]) == len(row["values"])


def test_a_scan_is_an_artifact_and_names_what_it_lacks(subject, tmp_path):
    model, text, dictionaries = subject
    made = scan(model, dictionaries, text, tmp_path / "scan", ScanConfig(sequences=8))
    opened = open_scan(tmp_path / "scan")
    opened.artifact.verify()
    unit = Unit("transcoder", "t", next(iter(dictionaries)), 0)
    assert opened.density(unit) == made.density(unit)
    with pytest.raises(ConfigError, match="no features at mlp_in.1"):
        opened.counts("mlp_in.1")


def test_promoted_tokens_are_those_of_the_decoder_row(subject):
    """A decoder row that is the direction of a planted answer promotes that answer most."""
    model, _, dictionaries = subject
    coder = next(iter(dictionaries.values()))
    with torch.no_grad():
        coder.W_dec[3] = build_places().basis["say cap-north-korea"]
    effects = unit_effects(model, dictionaries, [Unit("transcoder", "t", Site("mlp_in", 0), 3)], count=2)
    (row,) = effects.tables["unit_effects"]
    assert row["promoted"][0][0].strip() == "cap-north-korea"
    assert row["promoted"][0][1] > row["promoted"][1][1] + 0.5


def test_statistics_match_a_dense_reference_whatever_the_batches(subject, tmp_path):
    model, text, dictionaries = subject
    count, (site,) = 40, next(iter(dictionaries.values())).reads
    made = [
        scan(model, dictionaries, text, tmp_path / f"scan{size}", ScanConfig(sequences=count, batch_sequences=size))
        for size in (7, 16)
    ]
    part = text.take(torch.arange(count))
    coder = next(iter(dictionaries.values()))
    x = {site: model.capture(TokenBatch(part.ids, part.lengths), [site])[site].flatten(0, 1)}
    keep = part.mask(model.policy, model.tokenizer.special_ids).flatten()
    dense = (coder.encode(x).dense().detach() * keep[:, None]).bfloat16().float()
    silent = coder.pre_activations(x).detach().masked_fill((dense != 0) | ~keep[:, None], -torch.inf)
    for feature in range(24):
        unit, values = Unit("transcoder", "t", site, feature), dense[:, feature]
        active = values[values != 0]
        for found in made:
            assert sum(row["count"] for row in found.histogram(unit)) == len(active)
            assert all(row["low"] < row["high"] for row in found.histogram(unit))
            if len(active):
                assert found.scale(unit) == pytest.approx(float(active.square().mean().sqrt()), rel=1e-4)
            for place, value in zip(*found.places(unit, "random"), strict=True):
                assert value == float(values[place])
            for place, value in zip(*found.places(unit, "near"), strict=True):
                assert value == pytest.approx(float(silent[place, feature]), abs=1e-4)
            assert max(found.places(unit, "near")[1]) == pytest.approx(float(silent[:, feature].max()), abs=1e-4)
        assert sorted(made[0].places(unit, "random")[0]) == sorted(made[1].places(unit, "random")[0])
        bands = made[0].bands(unit, 5, 3)
        strengths = [[value for band, _, value in bands if band == number] for number in range(1, 6)]
        pairs = zip(filter(None, strengths), list(filter(None, strengths))[1:], strict=False)
        assert all(min(higher) >= max(lower) for higher, lower in pairs)


def test_random_examples_are_drawn_evenly():
    """Every firing of a feature is kept with the same chance: over many features the mean place is the middle."""
    kept = Best(200, 10)
    place, feature = torch.arange(500).repeat(200), torch.arange(200).repeat_interleave(500)
    for part in torch.arange(len(place)).split(777):
        kept.add(feature[part], lottery(place[part], feature[part], 3), place[part], torch.ones(len(part)))
    assert float(kept.place.float().mean()) == pytest.approx(249.5, abs=4 * 144 / 2000**0.5)
    assert kept.place.unique().numel() > 450


def test_dead_dense_and_duplicate_units_are_told(subject, tmp_path):
    model, text, dictionaries = subject
    copied = dictionaries.copy()
    coder = next(iter(copied.values()))
    with torch.no_grad():
        coder.W_dec[5] = 2 * coder.W_dec[4]
        coder.W_enc[6], coder.b_enc[6] = 0.0, -100.0
        coder.W_enc[7], coder.b_enc[7] = 0.0, 100.0
    found = scan(model, copied, text, tmp_path / "scan", ScanConfig(sequences=16))
    flags = found.flags("mlp_in.0")
    assert bool(flags["duplicate"][4])
    assert bool(flags["duplicate"][5])
    assert found.statistic("twin", "mlp_in.0")[5] == 4
    assert bool(flags["dead"][6])
    assert bool(flags["dense"][7])
    assert not bool(flags["dead"][7])
