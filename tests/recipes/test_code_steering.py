import pytest
import torch

from workbench.core import ConfigError, MaskPolicy, Site, Unit
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import Codebook, CodebookConfig, CoderConfig, DictionarySet, make_dictionary
from workbench.models import load_model
from workbench.recipes import Steered, SteeringConfig, steer_codes
from workbench.recipes.steered import random_codes

SITE = Site("resid_post", 1)


@pytest.fixture(scope="module")
def steered():
    """A tiny model whose last residual stream passes one book that knows it well: the first codes say one word each."""
    model = load_model("tiny-sentences")
    text = pack(open_text("synthetic-sentences:200"), model.tokenizer, PackConfig(sequence_length=24), MaskPolicy())
    d = model.shape.d_model
    book = Codebook(
        CodebookConfig(codes=200, groups=1, k=2, layer_norm=False, initial="rows"), {SITE: d}, {SITE: d}, f"t/{SITE}"
    )
    rows = model.capture(text.ids[:60].long(), [SITE])[SITE].flatten(0, 1)
    book.initialise_in_model(rows, 0)
    words = model.tokenizer.encode("Alice park")
    unembedding = model.params()["unembed.W_U"].T
    with torch.no_grad():
        for code, word in enumerate(words):
            direction = unembedding[word] - unembedding.mean(0)
            book.book[code] = 40 * direction / direction.norm()
    return Steered(model, DictionarySet({str(SITE): book}, "t")), text


def unit(code: int) -> Unit:
    return Unit("code", "t", SITE, code)


def test_steering_by_a_code_that_says_a_word(steered):
    subject, text = steered
    config = SteeringConfig(samples=3, new_tokens=8, heldout_sequences=6, bootstrap=50)
    topics = {"alice": r"\bAlice\b", "park": r"\bpark\b"}
    result = steer_codes(subject, text, topics, config, {"alice": [unit(0)], "park": [unit(1)]}, prompts=("", "When"))
    rows = {(row["topic"], row["protocol"]): row for row in result.tables["steering"]}
    assert {protocol for _, protocol in rows} == {
        "unsteered", "one code", "all codes", "random one code", "random all codes",
    }  # fmt: skip
    for topic in topics:
        one, every = rows[topic, "one code"], rows[topic, "all codes"]
        assert every["success"] == 1.0
        assert every["success"] >= one["success"]
        assert one["success"] >= rows[topic, "random one code"]["success"]
        assert every["heldout_ce"] > rows[topic, "unsteered"]["heldout_ce"]
        assert every["samples"] == 6
    assert len(result.tables["samples"]) == 6 * (1 + 2 * 4)
    said = [
        row["text"] for row in result.tables["samples"] if row["protocol"] == "all codes" and row["topic"] == "park"
    ]
    assert all(text.split()[1:] == ["park"] * 7 for text in said), "position 0 is left alone"


def test_unsteered_costs_are_those_of_a_plain_pass(steered):
    subject, text = steered
    config = SteeringConfig(samples=1, new_tokens=4, heldout_sequences=4, bootstrap=20, random_codes=False)
    result = steer_codes(subject, text, {"alice": "Alice"}, config, {"alice": [unit(0)]}, prompts=("",))
    part = text.split("heldout")
    part = part.take(torch.linspace(0, len(part) - 1, 4).round().long().unique())
    total, count = 0.0, 0
    for ids, length in zip(part.ids, part.lengths.tolist(), strict=True):
        logits = subject.model.run(ids[None, :length].long()).logits[0].log_softmax(-1)
        for t in range(1, length - 1):
            total -= float(logits[t, ids[t + 1]])
            count += 1
    assert result.scalars["heldout_ce_model"] == pytest.approx(total / count, rel=1e-4)


def test_codes_are_chosen_by_topic_when_none_are_given(steered):
    subject, text = steered
    config = SteeringConfig(samples=1, new_tokens=3, heldout_sequences=0, codes=3, search_sequences=60)
    result = steer_codes(subject, text, {"park": r"\bpark\b"}, config, prompts=("",))
    assert [row["topic"] for row in result.tables["codes"]] == ["park"] * len(result.tables["codes"])
    assert 1 <= len(result.tables["codes"]) <= 3


def test_random_codes_stand_in_the_same_groups():
    size = {Site("mlp_out", 0): 8}
    book = Codebook(CodebookConfig(codes=6, groups=2, k=1), size, size, "t")
    found = random_codes(DictionarySet({"a": book}, "t"), {"a": [0, 1, 7]}, 3)["a"]
    assert [code // 6 for code in found] == [0, 0, 1]
    assert not set(found) & {0, 1, 7}
    assert len(set(found)) == 3


def test_an_unknown_code_is_refused(steered):
    subject, text = steered
    with pytest.raises(ConfigError, match="no codebook has the code"):
        steer_codes(subject, text, {"x": "x"}, SteeringConfig(), {"x": [unit(900)]}, prompts=("",))


def test_features_of_an_autoencoder_are_no_codes(steered):
    subject, text = steered
    sizes = {SITE: subject.model.shape.d_model}
    plain = make_dictionary("topk-sae", CoderConfig(d_sae=8, k=2), sizes, sizes)
    with pytest.raises(ConfigError, match="is a topk-sae"):
        steer_codes(Steered(subject.model, DictionarySet([plain])), text)
