"""The card of a unit: what its parts say is what a slow computation says."""

import pytest
import torch

from workbench.core import ArtifactError, CodeTweak, ConfigError, Edit, Manifest, ModelRef, Site, Unit
from workbench.dictionaries import DictionarySet
from workbench.features import (
    Bench,
    CardConfig,
    coactive,
    compare_units,
    connections,
    feature_card,
    measured_effects,
    member_of,
    occurrences,
    similar_units,
    unit_of,
)
from workbench.features.bench import OneUnit

from .bench import ANSWER, PLANTED, planted_bench


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return planted_bench(tmp_path_factory.mktemp("card"))


def frequent(bench, found, layer=1):
    return unit_of(bench.dictionaries, f"mlp_in.{layer}", int(found.counts(f"mlp_in.{layer}").argmax()))


def test_units_have_addresses_that_find_them(subject):
    bench, _ = subject
    unit = unit_of(bench.dictionaries, "mlp_in.1", 5)
    assert str(unit) == "transcoder:t:mlp_in.1:5"
    assert member_of(bench.dictionaries, Unit.parse(str(unit))) == "mlp_in.1"


def test_taking_one_unit_out_moves_the_output_by_what_it_wrote(subject):
    """An Edit through one unit equals an Edit through its whole dictionary with the same tweak."""
    bench, found = subject
    unit = frequent(bench, found)
    member, tokens = bench.member(unit), found.ids[:4].long()
    alone = Edit.through(OneUnit(member, unit), (CodeTweak((0,)),), keep_error=True)
    whole = Edit.through(member, (CodeTweak((unit.index,)),), keep_error=True)
    with torch.no_grad():
        a, b = (bench.model.run(tokens, [edit]).logits for edit in (alone, whole))
        plain = bench.model.run(tokens).logits
    torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)
    assert (a - plain).abs().max() > 1e-3


def test_measured_effects_are_those_of_two_runs(subject):
    bench, found = subject
    unit = frequent(bench, found)
    config = CardConfig(measured=3, tokens=4, window=64)
    result = measured_effects(bench, found, unit, config)
    changes = []
    for place in found.places(unit, "random")[0][:3]:
        sequence, position = divmod(place, found.ids.shape[1])
        tokens = found.ids[sequence : sequence + 1, : position + 1].long()
        edit = Edit.through(bench.member(unit), (CodeTweak((unit.index,)),), (position,), keep_error=True)
        with torch.no_grad():
            runs = [bench.model.run(tokens, edits).logits[0, -1].log_softmax(-1) for edits in ([], [edit])]
        changes.append(runs[0] - runs[1])
    mean = torch.stack(changes).mean(0)
    assert result.tables["measured"][0]["change"] == pytest.approx(float(mean.max()), abs=2e-3)
    assert result.tables["measured"][-1]["change"] == pytest.approx(float(mean.min()), abs=2e-3)


def test_a_planted_writer_is_measured_to_write_its_answer(subject):
    bench, found = subject
    unit = unit_of(bench.dictionaries, "mlp_in.1", PLANTED)
    assert found.places(unit, "random")[0]
    result = measured_effects(bench, found, unit)
    assert result.tables["measured"][0]["token"].strip() == ANSWER


def test_coactivation_counts_pairs(subject):
    bench, found = subject
    unit = frequent(bench, found)
    dense = torch.stack([found.activations(unit_of(bench.dictionaries, "mlp_in.1", i), 2) != 0 for i in range(24)])
    total = torch.zeros(24)
    for sequence in range(len(found.ids)):
        on = torch.stack(
            [found.activations(unit_of(bench.dictionaries, "mlp_in.1", i), sequence) != 0 for i in range(24)]
        )
        total += (on & on[unit.index]).sum(1)
    total[unit.index] = 0
    together, lift = coactive(found, unit)
    assert together.tolist() == total.tolist()
    other = int(together.argmax())
    share = float(total[other]) / float(found.counts("mlp_in.1")[unit.index])
    assert float(lift[other]) == pytest.approx(
        share / (int(found.counts("mlp_in.1")[other]) / found.counted_tokens), rel=1e-4
    )
    assert len(dense) == 24


def test_a_copy_is_the_most_similar_unit(subject, tmp_path):
    bench, found = subject
    copied = bench.dictionaries.copy()
    with torch.no_grad():
        copied["mlp_in.0"].W_dec[9] = 3 * copied["mlp_in.1"].W_dec[4]
    copied.name = "t"
    rows = similar_units(Bench(bench.model, copied), found, unit_of(copied, "mlp_in.1", 4), 5).tables["similar"]
    assert rows[0]["unit"] == "transcoder:t:mlp_in.0:9"
    assert rows[0]["cosine"] == pytest.approx(1.0, abs=1e-5)


def test_a_pair_is_compared_as_counted_one_place_at_a_time(subject):
    bench, found = subject
    one, other = frequent(bench, found, 1), frequent(bench, found, 0)
    result = compare_units((bench, found, one), (bench, found, other))
    x, y = (
        torch.cat([found.activations(unit, n)[: int(found.lengths[n])] for n in range(len(found.ids))]).double()
        for unit in (one, other)
    )
    both, either = int(((x != 0) & (y != 0)).sum()), int(((x != 0) | (y != 0)).sum())
    counts = [float(found.counts(unit.site)[unit.index]) for unit in (one, other)]
    assert [result.scalars[f"{side}_count"] for side in ("first", "second")] == counts
    assert result.scalars["together"] == both
    assert result.scalars["overlap"] == pytest.approx(both / either)
    assert result.scalars["lift"] == pytest.approx(both / counts[0] / (counts[1] / found.counted_tokens))
    rows = [bench.member(unit).W_dec[unit.index] for unit in (one, other)]
    cosine = float(torch.nn.functional.cosine_similarity(*rows, dim=0))
    assert result.scalars["written_cosine"] == pytest.approx(cosine, abs=1e-5)
    assert "different places" in " ".join(result.notes)


def test_a_unit_compared_with_itself_is_the_same_and_unscanned_ones_are_told(subject):
    bench, found = subject
    unit = frequent(bench, found)
    same = compare_units((bench, found, unit), (bench, found, unit)).scalars
    for name in ("written_cosine", "read_cosine", "overlap", "correlation"):
        assert same[name] == pytest.approx(1.0, abs=1e-6)
    alone = compare_units((bench, found, unit), (bench, None, unit))
    assert "together" not in alone.scalars
    assert "must have been scanned" in " ".join(alone.notes)
    beyond = Unit.parse("transcoder:t:mlp_in.1:99")
    with pytest.raises(ConfigError):
        compare_units((bench, found, unit), (bench, found, beyond))


def test_virtual_weights_are_reader_times_norm_times_writer(subject):
    bench, found = subject
    unit = unit_of(bench.dictionaries, "mlp_in.1", 2)
    rows = connections(bench, unit, 24).tables["connections"]
    lower, upper = bench.dictionaries["mlp_in.0"], bench.dictionaries["mlp_in.1"]
    weight = bench.model.params().get("blocks.1.ln2.w", torch.ones(256))
    reader = upper.W_enc[2] * weight
    if bench.model.shape.norm == "layer":
        reader = reader - reader.mean()
    expected = lower.W_dec @ reader
    assert {row["side"] for row in rows} == {"input"}
    got = {Unit.parse(row["unit"]).index: row["weight"] for row in rows}
    assert got == pytest.approx({i: float(value) for i, value in enumerate(expected)}, abs=1e-4)
    down = connections(bench, unit_of(bench.dictionaries, "mlp_in.0", 7), 24, found).tables["connections"]
    back = next(row for row in down if row["unit"] == str(unit))
    assert back["side"] == "output"
    assert back["weight"] == pytest.approx(got[7], abs=1e-4)
    scale = found.scale(unit_of(bench.dictionaries, "mlp_in.0", 7))
    assert back["expected"] == pytest.approx(back["weight"] * scale, rel=1e-4)


def test_a_card_has_every_part(subject):
    bench, found = subject
    unit = frequent(bench, found)
    card = feature_card(bench, found, unit, CardConfig(measured=2))
    assert set(card.tables) == {"examples", "histogram", "effects", "measured", "similar", "connections"}
    assert {row["set"] for row in card.tables["examples"]} >= {"top", "band", "random"}
    assert card.scalars["density"] == found.density(unit)
    for row in card.tables["examples"]:
        if row["set"] != "near miss":
            assert row["values"][row["peak"]] == pytest.approx(row["activation"])


def test_a_unit_that_never_fires_has_a_card_that_says_so(subject, tmp_path):
    bench, _ = subject
    dead = bench.dictionaries.copy()
    with torch.no_grad():
        dead["mlp_in.1"].W_enc[0], dead["mlp_in.1"].b_enc[0] = 0.0, -100.0
    from workbench.data import PackConfig, open_text, pack
    from workbench.features import ScanConfig, scan

    text = pack(
        open_text("synthetic-places:20"), bench.model.tokenizer, PackConfig(sequence_length=24), bench.model.policy
    )
    found = scan(bench.model, dead, text, tmp_path / "dead", ScanConfig(sequences=8))
    unit = Unit("transcoder", "t", Site("mlp_in", 1), 0)
    result = occurrences(found, unit, bench.model.tokenizer.strings)
    assert result.scalars["dead"] == 1
    assert {row["set"] for row in result.tables["examples"]} <= {"near miss"}
    assert measured_effects(Bench(bench.model, dead), found, unit).tables["measured"] == []


def test_dictionaries_of_other_weights_are_refused_with_both_hashes(subject):
    bench, _ = subject
    manifest = Manifest(kind="dictionary set", model=ModelRef(id="other", weight_hash="f" * 64))
    foreign = DictionarySet(dict(bench.dictionaries.items()), "t", manifest)
    with pytest.raises(ArtifactError, match=f"{'f' * 12}.*{bench.model.ref.weight_hash[:12]}"):
        Bench(bench.model, foreign).check()
    assert bench.check() is bench
